package wasm

import (
	"runtime"
	"time"

	"golang.org/x/sys/cpu"
)

// Options configure a Domain. The zero value is usable: no cache, compilation in
// a child made from the running executable, default limits.
type Options struct {
	// CacheDir keeps compiled programs between kernels. It must be private to
	// the effective user: whoever can write it can run code in the kernel. Empty
	// keeps nothing.
	CacheDir string
	// Helper is the command that becomes the compiling child: a program that
	// calls [HelperMain] first of all. Empty is the running executable.
	Helper []string
	// CompileInProcess compiles without a child. Nothing then bounds what a
	// hostile module costs, so it is for tests and benchmarks.
	CompileInProcess bool
	Limits           Limits
}

// Limits bound what programs cost. Zero means the default that the field names.
type Limits struct {
	CompileTime   time.Duration // wall time of one compilation; 60 s
	CompileMemory uint64        // bytes of one compilation; 2 GiB
	Compilers     int           // compilations at once; half the processors, at least 1
	ImageBytes    uint64        // size of a module; 256 MiB
	CacheBytes    uint64        // size of CacheDir; 2 GiB
	IdlePrograms  int           // loaded programs kept although nobody uses them; 16
	IdleBytes     uint64        // code and modules of those; 256 MiB
	MaxStack      uint64        // bytes of a guest's call stack, as estimated; 128 MiB
	MaxPages      uint32        // pages of linear memory; 65,535
	MaxTable      uint32        // entries of one table; 262,144
}

// withDefaults returns l with every zero field set.
func (l Limits) withDefaults() Limits {
	set(&l.CompileTime, time.Minute)
	set(&l.CompileMemory, 2<<30)
	set(&l.Compilers, max(1, runtime.NumCPU()/2))
	set(&l.ImageBytes, 256<<20)
	set(&l.CacheBytes, 2<<30)
	set(&l.IdlePrograms, 16)
	set(&l.IdleBytes, 256<<20)
	set(&l.MaxStack, 128<<20)
	set(&l.MaxPages, maxPages)
	set(&l.MaxTable, 1<<18)
	l.MaxPages = min(l.MaxPages, maxPages)
	return l
}

// maxPages is one less than the format allows: at 65,536 pages the size in bytes
// no longer fits in 32 bits.
const maxPages = 65535

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Facts says what this domain is on this host.
type Facts struct {
	Engine    string // "compiler" or "interpreter"
	Isolation string // how cold modules are compiled: "child" or "in-process"
	Cache     string // the cache directory in use, "" if there is none
	CacheNote string // why there is none although one was asked for
}

// compiles reports whether wazero generates native code here. Elsewhere it
// interprets, some ten times slower and under the same rules.
func compiles() bool {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd", "netbsd", "dragonfly", "solaris", "windows":
	default:
		return false
	}
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasSSE41
	case "arm64":
		return true
	}
	return false
}
