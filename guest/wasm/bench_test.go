package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Benchmarks against wazero alone, in one run each: compare the /agentos and
// the /wazero lines.

// leanGate is the least a gate can do, so that what is measured is the domain.
type leanGate struct {
	*testHost
	now  uint64
	page []byte
}

func (g *leanGate) Gate() guest.Gate { return g }

func (g *leanGate) Call(c *abi.Call) abi.Status {
	switch c.Nr {
	case abi.SysClockTime:
		g.now++
		c.Ret = g.now
		c.Errno = abi.OK
	case abi.SysRead:
		n := 0
		for _, b := range c.Buf {
			n += copy(b, g.page)
		}
		c.Ret = uint64(n)
		c.Errno = abi.OK
	case abi.SysExit:
		c.Errno = abi.OK
	default:
		return g.testHost.Call(c)
	}
	return abi.Done
}

// bare runs images on wazero with its own WASI.
type bare struct {
	r      wazero.Runtime
	c      wazero.CompiledModule
	config wazero.ModuleConfig
}

func newBare(b *testing.B, image []byte, config wazero.ModuleConfig) *bare {
	b.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	b.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	c, err := r.CompileModule(ctx, image)
	if err != nil {
		b.Fatal(err)
	}
	return &bare{r, c, config.WithName("")}
}

func (w *bare) run(b *testing.B) {
	ctx := context.Background()
	m, err := w.r.InstantiateModule(ctx, w.c, w.config)
	var exit *sys.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 0) {
		b.Fatal(err)
	}
	if m != nil {
		if err := m.Close(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func runOnce(b *testing.B, p guest.Program, host guest.Host) {
	in, err := p.Instantiate(context.Background(), host)
	if err != nil {
		b.Fatal(err)
	}
	for {
		if o, _ := in.Resume(1 << 22); o == guest.Exited {
			break
		}
	}
	if e := in.Exit(); e.Cause != abi.CauseExited || e.Code != 0 {
		b.Fatalf("exit %+v", e)
	}
	if err := in.Close(); err != nil {
		b.Fatal(err)
	}
}

// Spawn to exit of a small compiled module.
func BenchmarkSpawn(b *testing.B) {
	image := exiting(0)
	b.Run("wazero", func(b *testing.B) {
		w := newBare(b, image, wazero.NewModuleConfig())
		b.ReportAllocs()
		for b.Loop() {
			w.run(b)
		}
	})
	b.Run("agentos", func(b *testing.B) {
		p := load(b, testDomain(b, inProcess), image)
		b.ReportAllocs()
		for b.Loop() {
			runOnce(b, p, newHost(1<<30))
		}
	})
}

const callsPerRun = 100_000

func benchCalls(b *testing.B, image []byte, config wazero.ModuleConfig, page []byte) {
	perCall := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/callsPerRun, "ns/call")
	}
	b.Run("wazero", func(b *testing.B) {
		w := newBare(b, image, config)
		for b.Loop() {
			w.run(b)
		}
		perCall(b)
	})
	b.Run("agentos", func(b *testing.B) {
		p := load(b, testDomain(b, inProcess), image)
		for b.Loop() {
			runOnce(b, p, &leanGate{testHost: newHost(1 << 30), page: page})
		}
		perCall(b)
	})
}

func BenchmarkClockTimeGet(b *testing.B) {
	benchCalls(b, caller("clock_time_get", callsPerRun, i32(1), i64(0), i32(64)), wazero.NewModuleConfig().WithSysNanotime(), nil)
}

func BenchmarkFdRead(b *testing.B) {
	// Memory is zero but for the vector that data puts at 16: 4096 bytes at
	// 4096.
	m := newModule(4, 16)
	f := m.wasi("fd_read")
	exit := m.wasi("proc_exit")
	m.data = [][]byte{code(0, i32(16), 0x0b, 8, 0x00, 0x10, 0, 0, 0x00, 0x10, 0, 0)}
	body := code(i32(callsPerRun), 0x21, 0, 0x03, 0x40, i32(0), i32(16), i32(1), i32(32), 0x10, f,
		0x20, 1, 0x6a, 0x21, 1, 0x20, 0, i32(1), 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0x10, exit)
	m.fn("main", 2, body...)
	page := bytes.Repeat([]byte{1}, 4096)
	benchCalls(b, m.command(), wazero.NewModuleConfig().WithStdin(endlessReader(page)), page)
}

type endlessReader []byte

func (r endlessReader) Read(p []byte) (int, error) { return copy(p, r), nil }

// One yield and resume: what a scheduler pays to change guests.
func BenchmarkSwitch(b *testing.B) {
	in := instantiate(b, load(b, testDomain(b, inProcess), yielding()), newHost(1<<30))
	for b.Loop() {
		if o, _ := in.Resume(1 << 20); o != guest.Yielded {
			b.Fatal("it ended")
		}
	}
}

// Loading a Go module of 2.5 MB: compiled in a child, from the cache of an
// earlier kernel, and again in the same kernel.
func BenchmarkLoadGo(b *testing.B) {
	image := goModule(b, "hello")
	ctx := context.Background()
	once := func(b *testing.B, o Options) {
		d, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		p, err := d.Load(ctx, guest.Source{Image: image})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(p.Close(), d.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			once(b, Options{})
		}
	})
	b.Run("warm", func(b *testing.B) {
		o := Options{CacheDir: privateDir(b)}
		once(b, o)
		for b.Loop() {
			once(b, o)
		}
	})
	b.Run("again", func(b *testing.B) {
		d := testDomain(b, inProcess)
		load(b, d, image)
		for b.Loop() {
			p, err := d.Load(ctx, guest.Source{Image: image})
			if err != nil {
				b.Fatal(err)
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Private memory of an idle guest: the growth of the resident set for each of a
// thousand that have run a little and wait, their linear memory included.
func BenchmarkIdleMemory(b *testing.B) {
	const n = 1000
	for _, c := range []struct {
		name  string
		image []byte
	}{{"small", yielding()}, {"go", goModule(b, "hello")}} {
		b.Run(c.name, func(b *testing.B) {
			p := load(b, testDomain(b, goOptions(b)), c.image)
			for b.Loop() {
				debug.FreeOSMemory()
				before := resident(b)
				all := make([]guest.Instance, n)
				for i := range all {
					in, err := p.Instantiate(context.Background(), newHost(1<<30))
					if err != nil {
						b.Fatal(err)
					}
					in.Resume(1000)
					all[i] = in
				}
				debug.FreeOSMemory()
				b.ReportMetric(float64(resident(b)-before)/n/1024, "KiB/guest")
				for _, in := range all {
					if err := in.Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// resident returns the resident set in bytes.
func resident(b *testing.B) int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("the resident set is only known on Linux: ", err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(raw), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
