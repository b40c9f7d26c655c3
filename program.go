package agentos

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// maxImage bounds a program file, well above any real one.
const maxImage = 256 << 20

// The first bytes of the formats that are told apart.
var (
	wasmMagic = []byte("\x00asm")
	elfMagic  = []byte("\x7fELF")
)

// load reads the program and finds its domain. Errors are *StartErrors.
func load(spec *Spec) (guest.Source, string, error) {
	src := guest.Source{Name: spec.Program, Image: spec.Image}
	if src.Image == nil {
		var err error
		if src.Image, err = readProgram(spec.Program); err != nil {
			return src, "", err
		}
	}
	isWasm := bytes.HasPrefix(src.Image, wasmMagic)
	switch spec.Domain {
	case "", "auto", "wasm":
	case "native":
		return src, "", notRunnable("NO-NATIVE", spec.Program, "the native domain is not part of this version", "compile the program to WebAssembly, e.g. GOOS=wasip1 GOARCH=wasm go build", nil)
	default:
		return src, "", refuse("USAGE", "--domain "+spec.Domain, "there is no such domain", "use auto, wasm, or native", nil)
	}
	if isWasm {
		return src, "wasm", nil
	}
	what, code, fix := "is not a WebAssembly module: it does not begin with \\0asm", "NOT-RUNNABLE", "give a .wasm file, e.g. built with GOOS=wasip1 GOARCH=wasm go build"
	switch {
	case len(src.Image) == 0:
		what = "is empty"
	case len(src.Image) < len(wasmMagic) && bytes.HasPrefix(wasmMagic, src.Image):
		what = "is a WebAssembly module that ends after " + plural(len(src.Image), "byte")
	case bytes.HasPrefix(src.Image, elfMagic):
		what, code = "is a native program (ELF), and the native domain is not part of this version", "NO-NATIVE"
	case bytes.HasPrefix(src.Image, []byte("#!")):
		what, code = "is a script, and the native domain is not part of this version", "NO-NATIVE"
	case strings.HasSuffix(spec.Program, ".go"):
		what, code = "is Go source, and compiling it is not part of this version", "NO-COMPILE"
	}
	return src, "", notRunnable(code, spec.Program, what, fix, nil)
}

// readProgram reads a program once, so that what is checked is what runs. It
// never blocks on a FIFO or device.
func readProgram(name string) ([]byte, error) {
	fi, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, notFound(name, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, notRunnable("UNREADABLE", name, "permission denied", "check its permissions and those of the directories above it", err)
	case err != nil:
		return nil, notRunnable("NOT-RUNNABLE", name, err.Error(), "", err)
	case fi.IsDir():
		return nil, notRunnable("NOT-RUNNABLE", name, "is a directory", "name the program in it", nil)
	case !fi.Mode().IsRegular():
		return nil, notRunnable("NOT-RUNNABLE", name, "is not a regular file", "copy the program into a file", nil)
	}
	f, err := openProgram(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, notRunnable("UNREADABLE", name, "permission denied", "check its permissions", err)
	}
	if err != nil {
		return nil, notRunnable("NOT-RUNNABLE", name, err.Error(), "", err)
	}
	defer func() { _ = f.Close() }() // only read from
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
