// Package bench compares the kernel with its peers, each pair in one run. Every
// benchmark has the sub-benchmarks that are to be divided by each other; `make
// bench` runs them ten times, and docs/PERFORMANCE.md records the ratios.
package bench

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/agentos-kernel/agentos"
	asm "github.com/agentos-kernel/agentos/test/assemble"
)

func TestMain(m *testing.M) {
	agentos.Helper()
	os.Exit(m.Run())
}

const wasi = "wasi_snapshot_preview1"

// calls is how often the guest makes its call in one run.
const calls = 200_000

var (
	clockTime = asm.Import{Module: wasi, Name: "clock_time_get", Params: []byte{asm.I32, asm.I64, asm.I32}, Results: []byte{asm.I32}}
	fdPread   = asm.Import{Module: wasi, Name: "fd_pread", Params: []byte{asm.I32, asm.I32, asm.I32, asm.I64, asm.I32}, Results: []byte{asm.I32}}
	fdWrite   = asm.Import{Module: wasi, Name: "fd_write", Params: []byte{asm.I32, asm.I32, asm.I32, asm.I32}, Results: []byte{asm.I32}}
	pathOpen  = asm.Import{Module: wasi, Name: "path_open", Params: []byte{asm.I32, asm.I32, asm.I32, asm.I32, asm.I32, asm.I64, asm.I64, asm.I32, asm.I32}, Results: []byte{asm.I32}}
)

// clockModule reads the monotonic clock n times.
func clockModule(n int) []byte {
	m := asm.Module{Imports: []asm.Import{clockTime}, Pages: 1, Functions: []asm.Function{{Locals: 1, Code: asm.Repeat(n, 0,
		asm.Const(1), asm.Const64(1), asm.Const(8), []byte{asm.Call, 0, asm.Drop})}}}
	return m.Encode()
}

// readModule opens f beneath descriptor 3, creating it, writes 4 KiB to it, and
// reads them n times at offset 0. readOnlyModule finds the file there.
func readModule(n int) []byte { return reading(n, true) }

func readOnlyModule(n int) []byte { return reading(n, false) }

func reading(n int, create bool) []byte {
	// Memory: name at 0, iovec at 8, result at 16, buffer at 4096.
	m := asm.Module{
		Imports: []asm.Import{pathOpen, fdWrite, fdPread}, Pages: 1,
		Data: "f\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x10\x00\x00",
	}
	flags := 0 // of path_open
	if create {
		flags = 1 // O_CREAT
	}
	fd := []byte{asm.Const(16)[0], asm.Const(16)[1], asm.I32Load, 2, 0}
	open := bytes.Join([][]byte{asm.Const(3), asm.Const(0), asm.Const(0), asm.Const(1), asm.Const(flags), asm.Const64(1<<30 - 1), asm.Const64(1<<30 - 1), asm.Const(0), asm.Const(16), {asm.Call, 0, asm.Drop}}, nil)
	write := bytes.Join([][]byte{fd, asm.Const(8), asm.Const(1), asm.Const(20), {asm.Call, 1, asm.Drop}}, nil)
	read := bytes.Join([][]byte{fd, asm.Const(8), asm.Const(1), asm.Const64(0), asm.Const(20), {asm.Call, 2, asm.Drop}}, nil)
	if !create {
		write = nil
	}
	m.Functions = []asm.Function{{Locals: 1, Code: bytes.Join([][]byte{open, write, asm.Repeat(n, 0, read)}, nil)}}
	return m.Encode()
}

// nothing is the smallest command.
func nothing() []byte {
	m := asm.Module{Pages: 1, Functions: []asm.Function{{}}}
	return m.Encode()
}

// kernel boots one for a benchmark.
func kernel(b *testing.B, change func(*agentos.Config)) *agentos.Kernel {
	b.Helper()
	c := agentos.Config{State: filepath.Join(b.TempDir(), "state")}
	if change != nil {
		change(&c)
	}
	k, err := agentos.Open(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := k.Close(); err != nil {
			b.Error(err)
		}
	})
	return k
}

func run(b *testing.B, k *agentos.Kernel, image []byte, grants ...agentos.Grant) *agentos.Report {
	b.Helper()
	r, err := k.Run(context.Background(), agentos.Spec{Program: "bench.wasm", Image: image, Grants: grants})
	if err != nil || r.Cause != "exited" || r.ExitCode != 0 {
		b.Fatalf("%v %+v", err, r)
	}
	return r
}

// raw is plain wazero with its own WASI.
type raw struct {
	r wazero.Runtime
	c wazero.CompiledModule
}

func newRaw(b *testing.B, image []byte) raw {
	b.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
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
	return raw{r, c}
}

func (w raw) run(b *testing.B, fs wazero.FSConfig) {
	ctx := context.Background()
	m, err := w.r.InstantiateModule(ctx, w.c, wazero.NewModuleConfig().WithName("").WithSysNanotime().WithFSConfig(fs))
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Close(ctx); err != nil {
		b.Fatal(err)
	}
}

// perCall reports the time of one call of the guest, the run around it included.
func perCall(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls, "ns/call")
}

// BenchmarkClockTime: a call through the whole gate with its event. Target: 2.5
// times wazero's own.
func BenchmarkClockTime(b *testing.B) {
	image := clockModule(calls)
	b.Run("agentos", func(b *testing.B) {
		k := kernel(b, nil)
		run(b, k, image)
		for b.Loop() {
			run(b, k, image)
		}
		perCall(b)
	})
	b.Run("agentos-noevents", func(b *testing.B) {
		k := kernel(b, func(c *agentos.Config) { c.NoEvents = true })
		run(b, k, image)
		for b.Loop() {
			run(b, k, image)
		}
		perCall(b)
	})
	b.Run("wazero", func(b *testing.B) {
		w := newRaw(b, image)
		for b.Loop() {
			w.run(b, wazero.NewFSConfig())
		}
		perCall(b)
	})
}

// BenchmarkRead4K: 4 KiB from a file in memory, against wazero's WASI on a file in
// memory (a read-only one: it has no other) and on a host file. Target: twice.
func BenchmarkRead4K(b *testing.B) {
	image := readModule(calls)
	b.Run("agentos-memfs", func(b *testing.B) {
		k := kernel(b, nil)
		run(b, k, image) // descriptor 3 is /tmp
		for b.Loop() {
			run(b, k, image)
		}
		perCall(b)
	})
	b.Run("agentos-hostfs", func(b *testing.B) {
		k := kernel(b, nil)
		dir := agentos.Grant{Kind: agentos.GrantWrite, Host: b.TempDir()}
		run(b, k, image, dir)
		for b.Loop() {
			run(b, k, image, dir)
		}
		perCall(b)
	})
	b.Run("wazero-memory", func(b *testing.B) {
		w := newRaw(b, readOnlyModule(calls))
		fs := wazero.NewFSConfig().WithFSMount(fstest.MapFS{"f": {Data: make([]byte, 4096)}}, "/tmp")
		for b.Loop() {
			w.run(b, fs)
		}
		perCall(b)
	})
	b.Run("wazero-dirfs", func(b *testing.B) {
		w := newRaw(b, image)
		fs := wazero.NewFSConfig().WithDirMount(b.TempDir(), "/tmp")
		for b.Loop() {
			w.run(b, fs)
		}
		perCall(b)
	})
}

// BenchmarkSpawnExit: from a compiled module to its exit. Target: 1.5 times raw
// wazero.
func BenchmarkSpawnExit(b *testing.B) {
	image := nothing()
	b.Run("agentos", func(b *testing.B) {
		k := kernel(b, func(c *agentos.Config) { c.NoState = true })
		run(b, k, image)
		for b.Loop() {
			run(b, k, image)
		}
	})
	b.Run("agentos-recorded", func(b *testing.B) {
		k := kernel(b, nil)
		run(b, k, image)
		for b.Loop() {
			run(b, k, image)
		}
	})
	b.Run("wazero", func(b *testing.B) {
		w := newRaw(b, image)
		for b.Loop() {
			w.run(b, wazero.NewFSConfig())
		}
	})
}

// BenchmarkIdle: private memory of a guest that waits, the pages of its linear
// memory that it touched among it, with a thousand of them in one kernel. Target:
// 200 KiB beyond the linear memory.
func BenchmarkIdle(b *testing.B) {
	const crowd = 1000
	// poll_oneoff on a clock for an hour: the subscription is at 0.
	m := asm.Module{
		Imports:   []asm.Import{{Module: wasi, Name: "poll_oneoff", Params: []byte{asm.I32, asm.I32, asm.I32, asm.I32}, Results: []byte{asm.I32}}},
		Pages:     1,
		Data:      strings.Repeat("\x00", 16) + "\x01" + strings.Repeat("\x00", 7) + "\x00\x00\xe8\x53\x46\x03\x00\x00" + strings.Repeat("\x00", 16),
		Functions: []asm.Function{{Code: bytes.Join([][]byte{asm.Const(0), asm.Const(64), asm.Const(1), asm.Const(128), {asm.Call, 0, asm.Drop}}, nil)}},
	}
	image := m.Encode()
	k := kernel(b, func(c *agentos.Config) { c.NoState = true })
	for b.Loop() {
		before := resident(b)
		var wg sync.WaitGroup
		procs := make([]*agentos.Process, crowd)
		for i := range procs {
			p, err := k.Start(context.Background(), agentos.Spec{Program: "idle.wasm", Image: image})
			if err != nil {
				b.Fatal(err)
			}
			procs[i] = p
		}
		time.Sleep(100 * time.Millisecond) // all of them have come to wait
		b.ReportMetric(float64(resident(b)-before)/crowd/1024, "KiB/guest")
		for _, p := range procs {
			wg.Go(func() {
				if err := p.Kill(); err != nil {
					b.Error(err)
				}
				if _, err := p.Wait(context.Background()); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// resident returns the resident memory of this process in bytes.
func resident(b *testing.B) int64 {
	b.Helper()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("NOT CHECKED: resident memory needs /proc")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
