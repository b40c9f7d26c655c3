package agentos

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// maxImage bounds a module, well above any real one. A native program is executed
// from its file, and has no bound.
const maxImage = 256 << 20

// wasmMagic begins every WebAssembly module.
const wasmMagic = "\x00asm"

// load finds the domain of a program, and reads it if that is the WASM domain; Go
// source is read when it is compiled, within the time of the run.
// What --toolchain adds is added to the spec. Errors are *StartErrors.
func (k *Kernel) load(spec *Spec) (guest.Source, string, error) {
	src := guest.Source{Name: spec.Program, Image: spec.Image}
	switch spec.Domain {
	case "", "auto", "wasm", "native":
	default:
		return src, "", refuse("USAGE", "--domain "+spec.Domain, "there is no such domain", "use auto, wasm, or native", nil)
	}
	if spec.Image == nil && spec.Domain != "native" && isGo(spec.Program) {
		src.Name = spec.Program
		return src, "wasm", k.locateGo(spec)
	}
	head := spec.Image
	var file *os.File
	if head == nil {
		var err error
		if file, head, err = openProgramFile(spec.Program); err != nil {
			return src, "", err
		}
		defer func() { _ = file.Close() }() // only read from
	}
	switch isWasm := bytes.HasPrefix(head, []byte(wasmMagic)); {
	case isWasm && spec.Domain == "native":
		return src, "", notRunnable("NOT-RUNNABLE", spec.Program, "is a WebAssembly module, and --domain native was asked for", "leave --domain out", nil)
	case !isWasm && (spec.Domain == "wasm" || len(head) < len(wasmMagic) && strings.HasPrefix(wasmMagic, string(head))):
		return src, "", notModule(spec.Program, head)
	case !isWasm:
		return src, "native", k.loadNative(spec)
	case spec.Toolchain:
		return src, "", refuse("USAGE", "--toolchain", spec.Program+" is a WebAssembly module, and needs no installation", "leave it out", nil)
	}
	if src.Image == nil {
		var err error
		if src.Image, err = readImage(spec.Program, file); err != nil {
			return src, "", err
		}
	}
	return src, "wasm", nil
}

// loadNative decides whether a program can be given to the native domain, which
// reads nothing of it: it is executed from its file.
func (k *Kernel) loadNative(spec *Spec) error {
	if !hasNative {
		return notRunnable("NO-NATIVE", spec.Program, "is a native program or script, and this kernel runs WebAssembly modules only", "compile it to one, e.g. GOOS=wasip1 GOARCH=wasm go build; native programs run on Linux", nil)
	}
	if spec.Image != nil {
		return notRunnable("NOT-RUNNABLE", spec.Program, "is a native program, which is executed from its file, and only its content was given", "name the file", nil)
	}
	if _, err := k.nativeDomain(); err != nil {
		return notRunnable("NO-NATIVE", spec.Program, "is a native program, and this host has nothing to confine it with: "+err.Error(), "agentos doctor says what to change", err)
	}
	if spec.Toolchain {
		return addToolchain(spec)
	}
	return nil
}

// isGo reports whether a path is a Go file or a directory with Go files.
func isGo(name string) bool {
	fi, err := os.Stat(name)
	if err != nil {
		return false
	}
	if !fi.IsDir() {
		return fi.Mode().IsRegular() && strings.HasSuffix(name, ".go")
	}
	entries, err := os.ReadDir(name)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && strings.HasSuffix(e.Name(), ".go") })
}

// notModule says why what should be a module is none.
func notModule(name string, head []byte) *StartError {
	what := "is not a WebAssembly module: it does not begin with \\0asm"
	switch {
	case len(head) == 0:
		what = "is empty"
	case len(head) < len(wasmMagic) && strings.HasPrefix(wasmMagic, string(head)):
		what = "is a WebAssembly module that ends after " + plural(len(head), "byte")
	}
	return notRunnable("NOT-RUNNABLE", name, what, "give a .wasm file, e.g. built with GOOS=wasip1 GOARCH=wasm go build", nil)
}

// openProgramFile opens a program and reads its first bytes. It never blocks on a
// FIFO or device.
func openProgramFile(name string) (*os.File, []byte, error) {
	fi, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, notFound(name, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, notRunnable("UNREADABLE", name, "permission denied", "check its permissions and those of the directories above it", err)
	case err != nil:
		return nil, nil, notRunnable("NOT-RUNNABLE", name, err.Error(), "", err)
	case fi.IsDir():
		return nil, nil, notRunnable("NOT-RUNNABLE", name, "is a directory", "name the program in it", nil)
	case !fi.Mode().IsRegular():
		return nil, nil, notRunnable("NOT-RUNNABLE", name, "is not a regular file", "copy the program into a file", nil)
	}
	f, err := openProgram(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, notRunnable("UNREADABLE", name, "permission denied", "check its permissions", err)
	}
	if err != nil {
		return nil, nil, notRunnable("NOT-RUNNABLE", name, err.Error(), "", err)
	}
	head := make([]byte, len(wasmMagic))
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, errors.Join(notRunnable("UNREADABLE", name, err.Error(), "", err), f.Close())
	}
	return f, head[:n], nil
}

// readImage reads a module once, so that what is checked is what runs.
func readImage(name string, f *os.File) ([]byte, error) {
	image, err := io.ReadAll(io.LimitReader(f, maxImage+1))
	if err != nil {
		return nil, notRunnable("UNREADABLE", name, err.Error(), "", err)
	}
	if len(image) > maxImage {
		return nil, notRunnable("NOT-RUNNABLE", name, "is larger than 256 MiB", "", nil)
	}
	return image, nil
}

// causeStatus returns the exit status of `agentos run` for an end.
func causeStatus(cause abi.Cause, code int, sig abi.Signal) int {
	switch cause {
	case abi.CauseExited:
		return code
	case abi.CauseTimeout:
		return 124
	case abi.CauseSetupFailed:
		return 125
	case abi.CauseKernelError:
		return 134
	case abi.CauseMemoryLimit:
		if code != 0 {
			return code // its own status, when it chose to end
		}
		return 137
	case abi.CauseFault:
		return 139
	case abi.CauseCPULimit:
		return 152
	case abi.CauseOutputLimit:
		return 153
	case abi.CausePolicy:
		return 159
	case abi.CauseSignaled, abi.CauseKilled:
		if sig == 0 {
			sig = abi.SIGKILL
		}
		return 128 + int(sig)
	}
	return 134
}
