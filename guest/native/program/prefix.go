package program

import (
	"os"
	"path/filepath"
	"strings"
)

// Prefix returns the directory that the program at the real path was installed in
// as a whole, with its libraries. It reports false where there is none that could
// be granted: a home directory, the root, and the like are never an answer.
func Prefix(real string) (string, bool) { return prefix(real, false) }

// prefix is Prefix; with runtime only an installed runtime that is known as one
// counts, not whatever has the shape of an installation.
func prefix(real string, runtime bool) (string, bool) {
	p, err := filepath.EvalSymlinks(real)
	if err != nil {
		return "", false
	}
	if beneath(p, "/nix/store") {
		return "/nix/store", p != "/nix/store" // what it needs is spread over the whole store
	}
	if i := strings.Index(p, "/Cellar/"); i > 0 {
		return p[:i], !unfit(p[:i]) // Homebrew: what it needs stands in other kegs
	}
	d := filepath.Dir(p)
	for range 8 {
		if unfit(d) {
			break
		}
		if !private(d) && marked(d) {
			return d, true
		}
		d = filepath.Dir(d)
	}
	// No runtime that is known: at least it must have the shape of an installation.
	if b := filepath.Base(filepath.Dir(p)); runtime || b != "bin" && b != "sbin" && b != "libexec" {
		return "", false
	}
	d = filepath.Dir(filepath.Dir(p))
	if unfit(d) || private(d) {
		return "", false
	}
	for _, sub := range [...]string{"lib", "lib64", "libexec", "share"} {
		if isDir(filepath.Join(d, sub)) {
			return d, true
		}
	}
	return "", false
}

// marked reports whether d is the top of an installed runtime, by what is in it.
func marked(d string) bool {
	if !isDir(filepath.Join(d, "bin")) {
		return false
	}
	for _, name := range [...]string{"pyvenv.cfg", "conda-meta", "lib/node_modules", "lib/rustlib", "lib/ruby", "lib/jvm"} {
		if exists(filepath.Join(d, name)) {
			return true
		}
	}
	if libs, _ := filepath.Glob(filepath.Join(glob(d), "lib", "python[23].*")); len(libs) > 0 {
		return true
	}
	if text, ok := readSmall(filepath.Join(d, "release")); ok && strings.Contains(text, "JAVA_VERSION=") {
		return true
	}
	text, ok := readSmall(filepath.Join(d, "VERSION"))
	return ok && (strings.HasPrefix(text, "go1") || strings.HasPrefix(text, "devel "))
}

// unfit reports whether d holds too much to be granted as an installation.
func unfit(d string) bool {
	parts := components(filepath.ToSlash(d))
	if len(parts) < 2 || len(parts) == 2 && (parts[0] == "home" || parts[0] == "Users" || parts[0] == "var") {
		return true
	}
	if home, err := os.UserHomeDir(); err == nil && home != "" {
		if real, err := filepath.EvalSymlinks(home); err == nil {
			home = real
		}
		if beneath(home, d) {
			return true // the home itself or something above it
		}
	}
	for _, name := range [...]string{".ssh", ".gnupg", ".aws", ".bash_history", ".bashrc", ".profile", ".netrc"} {
		if exists(filepath.Join(d, name)) {
			return true // somebody's home by what is in it
		}
	}
	return false
}

// private reports whether d is a place where settings and secrets stand beside what
// is installed there: ~/.local, ~/.cargo, a project with an environment in it.
func private(d string) bool {
	switch filepath.Base(d) {
	case ".local", ".cargo", ".config", ".npm", ".cache", ".docker", ".kube":
		return true
	}
	return exists(filepath.Join(d, ".git")) || exists(filepath.Join(d, ".env"))
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

func isDir(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}

// glob quotes the characters that filepath.Glob treats as its own.
func glob(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// readSmall reads a regular file of at most 64 KiB, as version files and settings
// are. Whatever else there is counts as no file.
func readSmall(p string) (string, bool) {
	f, info, err := open(p)
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }() // only read from
	if info.Size() > 64<<10 {
		return "", false
	}
	text := make([]byte, info.Size())
	n, _ := f.ReadAt(text, 0) // a file that shrinks is read as far as it goes
	return string(text[:n]), true
}

// quote makes p one word of a shell.
func quote(p string) string {
	if p != "" && !strings.ContainsFunc(p, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+=@%,:", c) || c > 127)
	}) {
		return p
	}
	return "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
}

// grants writes the flags that grant reading of host paths.
func grants(paths []string) string {
	var flags []string
	for _, p := range paths {
		flags = append(flags, "--read "+quote(strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(p)))
	}
	return strings.Join(flags, " ")
}
