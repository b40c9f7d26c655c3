package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/agentos-kernel/agentos/internal/nearest"
)

// maxProgram bounds a module, in bytes.
const maxProgram = 256 << 20

// program is a program found on the host. A module is read once, so that what was
// looked at is what runs; others are left to the kernel, and have no image.
type program struct {
	path  string
	image []byte
}

// native reports whether the program is for the native domain: it is no module,
// and no Go source, which becomes one.
func (p *program) native(domain string) bool {
	if p.image != nil || domain == "wasm" {
		return false
	}
	if domain == "native" {
		return true
	}
	info, err := os.Stat(p.path)
	return err == nil && !info.IsDir() && !strings.HasSuffix(p.path, ".go")
}

// findProgram resolves name as `run` does. A name with a slash is a path.
// Another is looked for on pathList, the caller's PATH, and then in the current
// directory; PATH comes first, so that a file in a project cannot take the place
// of an installed program.
func findProgram(name, pathList string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", &Failure{Status: statusNotFound, Code: CodeNotFound, Where: name, Problem: "a path has no zero bytes"}
	}
	if strings.Contains(name, "/") {
		return name, nil
	}
	var seen []string
	for _, dir := range filepath.SplitList(pathList) {
		if !filepath.IsAbs(dir) {
			continue // a relative entry would mean the current directory, which comes last
		}
		p := filepath.Join(dir, name)
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if info.Mode()&0o111 != 0 || strings.HasSuffix(name, ".wasm") {
			return p, nil
		}
		seen = append(seen, p)
	}
	here := "." + string(filepath.Separator) + name
	if _, err := os.Lstat(here); err == nil {
		return here, nil
	}
	if len(seen) > 0 {
		return "", &Failure{Status: statusNotRunnable, Code: CodeNotRunnable, Where: seen[0], Problem: "is not executable", Fix: "make it so, or name it with its path"}
	}
	return "", &Failure{Status: statusNotFound, Code: CodeNotFound, Where: name, Problem: "no such program on your PATH or in the current directory", Fix: "name a path, or check the spelling"}
}

// readProgram opens and reads the program at path and refuses what cannot run,
// by what the file is.
func readProgram(path, domain string) (*program, error) {
	notRunnable := func(problem, fix string) error {
		return &Failure{Status: statusNotRunnable, Code: CodeNotRunnable, Where: path, Problem: problem, Fix: fix}
	}
	// Looked at before it is opened: opening a FIFO or device can block or do
	// something.
	info, err := os.Stat(path)
	if err != nil {
		return nil, openFailure(path, err)
	}
	if info.IsDir() {
		if sources, _ := filepath.Glob(filepath.Join(escapeGlob(path), "*.go")); len(sources) > 0 && domain != "native" {
			return &program{path: path}, nil // a package, which the kernel compiles
		}
		return nil, notRunnable("is a directory", "name a program file in it")
	}
	if !info.Mode().IsRegular() {
		return nil, notRunnable("is "+describeMode(info.Mode())+", not a file", "write the program to a file first")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, openFailure(path, err)
	}
	defer func() { _ = f.Close() }() // only read from
	if info, err = f.Stat(); err != nil {
		return nil, openFailure(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, notRunnable("was replaced by "+describeMode(info.Mode())+" while it was opened", "")
	}
	if domain != "native" && strings.HasSuffix(path, ".go") {
		return &program{path: path}, nil // source, which the kernel compiles
	}
	var head [8]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, openFailure(path, err)
	}
	module, err := classify(path, head[:n], domain)
	if err != nil {
		return nil, err
	}
	if !module {
		return &program{path: path}, nil
	}
	if info.Size() > maxProgram {
		return nil, notRunnable(fmt.Sprintf("is %s long; a program is at most %s", formatBytes(uint64(info.Size())), formatBytes(maxProgram)), "")
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxProgram))
	if err != nil {
		return nil, openFailure(path, err)
	}
	return &program{path: path, image: append(head[:n:n], rest...)}, nil
}

// openFailure says why a file could not be opened or read.
func openFailure(path string, err error) *Failure {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &Failure{Status: statusNotFound, Code: CodeNotFound, Where: path, Problem: "no such file", Fix: "check the path; relative ones start at the current directory", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &Failure{Status: statusNotRunnable, Code: CodeUnreadable, Where: path, Problem: "you may not read it", Fix: "check its permissions and those of the directories above it", Err: err}
	}
	return &Failure{Status: statusNotRunnable, Code: CodeUnreadable, Where: path, Problem: "cannot be read: " + reason(err), Err: err}
}

// classify tells by the first eight bytes, and by the name where they say nothing,
// whether a file is a module. What is none, and nothing else that is plainly wrong
// to run, is for the native domain to judge.
func classify(path string, head []byte, domain string) (module bool, err error) {
	fail := func(problem, fix string) (bool, error) {
		return false, &Failure{Status: statusNotRunnable, Code: CodeNotRunnable, Where: path, Problem: problem, Fix: fix}
	}
	module = bytes.HasPrefix(head, []byte("\x00asm"))
	switch {
	case module && domain == "native":
		return fail("is a WebAssembly module, and --domain native was asked for", "leave --domain out")
	case domain == "native":
		return false, nil
	case module && len(head) < 8:
		return fail(fmt.Sprintf("is a WebAssembly module cut short after %d bytes", len(head)), "build or copy it again")
	case module && bytes.Equal(head[4:], []byte{0x0d, 0, 1, 0}):
		return fail("is a WebAssembly component; this version runs core modules", "build it for WASI preview 1 (wasm32-wasip1) as a module")
	case module:
		return true, nil
	case len(head) == 0:
		return fail("is empty", "build or copy it again")
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return fail("is compressed", "unpack it first")
	case strings.HasPrefix(strings.TrimLeft(string(head), " \t\r\n;("), "module"):
		return fail("looks like WebAssembly text", "assemble it to a binary module first, e.g. with wat2wasm")
	case domain == "wasm" || strings.HasSuffix(path, ".wasm"):
		return fail("is not a WebAssembly module: it does not begin with \\0asm", "compile it to one, e.g. GOOS=wasip1 GOARCH=wasm go build")
	}
	return false, nil
}

func describeMode(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m.IsDir():
		return "a directory"
	}
	return "something else"
}

// escapeGlob quotes the characters that filepath.Glob treats as its own.
func escapeGlob(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// nearestFlag suggests one of the flags for a name that is none.
func nearestFlag(name string, flags []string) string {
	if near := nearest.Of(name, flags); near != "" {
		return "did you mean --" + near + "?"
	}
	return ""
}
