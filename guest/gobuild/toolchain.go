package gobuild

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oldest is the first minor version of Go 1 that compiles for wasip1.
const oldest = 21

// Error says why something cannot be compiled, before anything was tried.
type Error struct {
	Problem, Fix string
	Err          error
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Problem }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Toolchain is an installed Go.
type Toolchain struct {
	Go      string // real path of the go command
	Root    string // its GOROOT
	Version string // as in go1.26.0
	ID      string // of this very installation
}

// Find returns the path of the go command on a list of directories, "" if there is
// none. Relative entries do not count: they would mean whatever directory we are in.
func Find(pathList string) string {
	for _, dir := range filepath.SplitList(pathList) {
		if !filepath.IsAbs(dir) {
			continue
		}
		p := filepath.Join(dir, "go")
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// Inspect looks at the installation that the go command at a path belongs to. It runs
// nothing of it. Errors are *[Error]s.
func Inspect(name string) (*Toolchain, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, &Error{Problem: name + " cannot be followed: " + err.Error(), Err: err}
	}
	t := &Toolchain{Go: real, Root: filepath.Dir(filepath.Dir(real))}
	if fi, err := os.Stat(filepath.Join(t.Root, "src", "runtime")); err != nil || !fi.IsDir() {
		return nil, &Error{Problem: real + " is not the go command of an installation: there is no standard library at " + filepath.Join(t.Root, "src"),
			Fix: "put the bin directory of a Go installation on your PATH", Err: err}
	}
	text, err := os.ReadFile(filepath.Join(t.Root, "VERSION"))
	if err != nil {
		return nil, &Error{Problem: "the Go installation at " + t.Root + " does not say its version: " + err.Error(), Fix: "install a released version of Go", Err: err}
	}
	t.Version, _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	if minor, ok := minorOf(t.Version); ok && minor < oldest {
		return nil, &Error{Problem: fmt.Sprintf("%s at %s is too old to compile to WebAssembly with WASI", t.Version, t.Root),
			Fix: fmt.Sprintf("put Go 1.%d or newer on your PATH", oldest)}
	}
	t.ID, err = t.identify(text)
	if err != nil {
		return nil, &Error{Problem: "the Go installation at " + t.Root + " is incomplete: " + err.Error(), Fix: "install Go again", Err: err}
	}
	return t, nil
}

// minorOf returns 26 for go1.26.3 and go1.26rc1. Versions that are no release have
// none.
func minorOf(version string) (int, bool) {
	s, ok := strings.CutPrefix(version, "go1.")
	if !ok {
		return 0, false
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.Atoi(s[:end])
	return n, err == nil
}

// identify digests what tells this installation from another and from itself after an
// update: the version and what there is to know of its commands without reading them.
// A standard library that somebody edits by hand is not noticed.
func (t *Toolchain) identify(version []byte) (string, error) {
	h := sha256.New()
	put := func(format string, args ...any) { _, _ = fmt.Fprintf(h, format, args...) } // a digest never fails
	put("%s\x00%q\x00", t.Root, version)
	files := []string{t.Go}
	tools, err := filepath.Glob(filepath.Join(t.Root, "pkg", "tool", "*", "*"))
	if err != nil {
		return "", err
	}
	compiler := false
	for _, f := range tools {
		compiler = compiler || filepath.Base(f) == "compile"
	}
	if !compiler {
		return "", errors.New("there is no compiler in " + filepath.Join(t.Root, "pkg", "tool"))
	}
	for _, f := range append(files, tools...) {
		fi, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		put("%s\x00%d\x00%d\x00%s\x00", f, fi.Size(), fi.ModTime().UnixNano(), fileID(fi))
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}
