package gobuild

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Package is what is to be compiled, and the place that the compiler sees of it.
type Package struct {
	Program string   // as it was named
	Root    string   // real path of the one directory or file that the compiler sees
	Lone    bool     // Root is a file
	Module  bool     // Root is the root of a module
	Dir     string   // real path of the directory of the source
	Sources []string // real paths for the compiler: the package's directory, or files
	// Modules reports that the module requires others which it does not bring along.
	Modules bool
}

// maxSources bounds the files of a directory that is no module.
const maxSources = 1000

// Locate finds out what the Go file or directory at a path belongs to: the module
// whose go.mod is nearest above it or, without one, itself alone. home is the user's.
// Errors are *[Error]s.
func Locate(program, home string) (*Package, error) {
	p := &Package{Program: program}
	abs, err := filepath.Abs(program)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	var fi fs.FileInfo
	if err == nil {
		fi, err = os.Stat(abs)
	}
	if err != nil {
		return nil, &Error{Problem: "cannot be followed: " + err.Error(), Err: err}
	}
	p.Dir, p.Sources = abs, []string{abs}
	if !fi.IsDir() {
		p.Dir = filepath.Dir(abs)
	}
	root, broad := moduleRoot(p.Dir, home)
	switch {
	case root != "" && broad == "":
		p.Root, p.Module = root, true
		p.Modules, err = requires(root)
		if err != nil {
			return nil, &Error{Problem: "its go.mod cannot be read: " + err.Error(), Err: err}
		}
	case !fi.IsDir():
		// A go.mod in a place that anybody could have put it says nothing about a
		// file that needs none.
		p.Root, p.Lone = abs, true
	case broad != "":
		return nil, &Error{Problem: "is part of the module at " + root + ", which is " + broad + ": compiling it would show the compiler all of that",
			Fix: "move the module into a directory of its own"}
	default:
		if why := tooBroad(abs, home); why != "" {
			return nil, &Error{Problem: "is " + why + ": compiling it would show the compiler all of that", Fix: "move the program into a directory of its own"}
		}
		p.Root = abs
		if p.Sources, err = sources(abs); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// moduleRoot returns the directory of the nearest go.mod, and what speaks against
// showing it to a compiler as a whole.
func moduleRoot(dir, home string) (root, broad string) {
	of, err := os.Stat(dir)
	if err != nil {
		return "", ""
	}
	for {
		fi, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil && fi.Mode().IsRegular() {
			if foreign(fi, of) {
				return dir, "somebody else's"
			}
			return dir, tooBroad(dir, home)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", ""
		}
		dir = up
	}
}

// tooBroad says why a directory is more than a program's.
func tooBroad(dir, home string) string {
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	fi, err := os.Stat(dir)
	switch {
	case dir == filepath.Dir(dir):
		return "the whole file system"
	case home != "" && (dir == home || strings.HasPrefix(home, dir+string(filepath.Separator))):
		return "your home directory, or above it"
	case err == nil && fi.Mode().Perm()&0o002 != 0:
		return "a directory that everybody may write to"
	}
	return ""
}

// sources returns the Go files of a directory without tests and what go ignores.
func sources(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &Error{Problem: "cannot be listed: " + err.Error(), Err: err}
	}
	var files []string
	for _, e := range entries {
		n := e.Name()
		if !e.IsDir() && strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") && !strings.HasPrefix(n, "_") && !strings.HasPrefix(n, ".") {
			files = append(files, filepath.Join(dir, n))
		}
	}
	switch {
	case len(files) == 0:
		return nil, &Error{Problem: "has no Go files but tests", Fix: "name the directory of a program"}
	case len(files) > maxSources:
		return nil, &Error{Problem: "has too many Go files for a program without a go.mod", Fix: "make a module of it: go mod init"}
	}
	return files, nil
}

// requires reports whether the module at root needs the cache of modules: it requires
// others and has no copies of them.
func requires(root string) (_ bool, err error) {
	if fi, err := os.Stat(filepath.Join(root, "vendor")); err == nil && fi.IsDir() {
		return false, nil
	}
	f, err := os.Open(filepath.Join(root, "go.mod"))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) > 0 && (w[0] == "require" || strings.HasPrefix(w[0], "require(")) {
			return true, nil
		}
	}
	return false, nil
}

// ModuleCache returns where the user's downloaded modules are, "" if nowhere. It is
// the one setting of the user's that counts.
func ModuleCache(getenv func(string) string, home string) string {
	var file map[string]string
	lookup := func(key string) string {
		if v := getenv(key); v != "" {
			return v
		}
		if file == nil {
			file = settings(getenv, home)
		}
		return file[key]
	}
	dir := lookup("GOMODCACHE")
	if dir == "" {
		first := ""
		if list := filepath.SplitList(lookup("GOPATH")); len(list) > 0 {
			first = list[0]
		}
		if first == "" && home != "" {
			first = filepath.Join(home, "go")
		}
		dir = filepath.Join(first, "pkg", "mod")
	}
	if fi, err := os.Stat(dir); !filepath.IsAbs(dir) || err != nil || !fi.IsDir() {
		return ""
	}
	return dir
}

// settings reads what `go env -w` wrote. Without the file there are none.
func settings(getenv func(string) string, home string) map[string]string {
	name := getenv("GOENV")
	if name == "" {
		config := getenv("XDG_CONFIG_HOME")
		if config == "" {
			config = filepath.Join(home, ".config")
		}
		name = filepath.Join(config, "go", "env")
	}
	set := map[string]string{}
	text, err := os.ReadFile(name)
	if err != nil {
		return set
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && slices.Contains([]string{"GOPATH", "GOMODCACHE"}, k) {
			set[k] = v
		}
	}
	return set
}
