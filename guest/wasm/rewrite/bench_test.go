package rewrite

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// programs are the classes of the measured table, written by hand.
func programs() map[string][]byte {
	one := func(b *build, f int) []byte { b.export("run", KindFunc, f); return b.bytes() }
	all := map[string][]byte{}

	// fib(n) = fib(n-1) + fib(n-2)
	b := &build{}
	f := b.fn("i", "i", "", get(0), i32c(2), 0x48, opIf, typeEmpty, get(0), opReturn, opEnd,
		get(0), i32c(1), opI32Sub, opCall, 0, get(0), i32c(2), opI32Sub, opCall, 0, opI32Add)
	all["fib"] = one(b, f)

	// The tightest loop: count down.
	b = &build{}
	f = b.fn("i", "i", "", opLoop, typeEmpty, get(0), i32c(1), opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd, get(0))
	all["tight"] = one(b, f)

	// crc32, a bit at a time with a table of 256 made first, over 64 KiB n times.
	// locals: 1 i, 2 j, 3 crc
	b = &build{memory: cat(1, 2, 2)}
	f = b.fn("i", "i", "iii",
		opLoop, typeEmpty, // table
		get(1), set(3), i32c(8), set(2),
		opLoop, typeEmpty,
		get(3), i32c(1), 0x76, i32c(0), get(3), i32c(1), 0x71, opI32Sub, i32c(-306674912), 0x71, 0x73, set(3),
		get(2), i32c(1), opI32Sub, opLocalTee, 2, opBrIf, 0, opEnd,
		get(1), i32c(2), 0x74, get(3), 0x36, 2, u(pageBytes),
		get(1), i32c(1), opI32Add, opLocalTee, 1, i32c(256), 0x49, opBrIf, 0, opEnd,
		i32c(-1), set(3),
		opLoop, typeEmpty, i32c(0), set(1),
		opLoop, typeEmpty,
		get(3), i32c(8), 0x76,
		get(3), get(1), 0x2d, 0, 0, 0x73, i32c(255), 0x71, i32c(2), 0x74, 0x28, 2, u(pageBytes), 0x73, set(3),
		get(1), i32c(1), opI32Add, opLocalTee, 1, i32c(pageBytes), 0x49, opBrIf, 0, opEnd,
		get(0), i32c(1), opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd, get(3))
	all["crc"] = one(b, f)

	// matmul of n by n doubles. locals: 1 i, 2 j, 3 k, 4 sum
	b = &build{memory: cat(1, 64, 64)}
	at := func(base int, row, col int) []byte {
		return cat(get(row), get(0), 0x6c, get(col), opI32Add, i32c(3), 0x74, 0x2b, 3, u(base))
	}
	f = b.fn("i", "i", "iiiF",
		opLoop, typeEmpty, i32c(0), set(2),
		opLoop, typeEmpty, i32c(0), set(3), opF64Const, make([]byte, 8), set(4),
		opLoop, typeEmpty,
		get(4), at(0, 1, 3), at(1<<20, 3, 2), 0xa2, 0xa0, set(4),
		get(3), i32c(1), opI32Add, opLocalTee, 3, get(0), 0x49, opBrIf, 0, opEnd,
		get(1), get(0), 0x6c, get(2), opI32Add, i32c(3), 0x74, get(4), 0x39, 3, u(2<<20),
		get(2), i32c(1), opI32Add, opLocalTee, 2, get(0), 0x49, opBrIf, 0, opEnd,
		get(1), i32c(1), opI32Add, opLocalTee, 1, get(0), 0x49, opBrIf, 0, opEnd, get(1))
	all["matmul"] = one(b, f)

	// mandelbrot of n by n points, 100 iterations. locals: 1 px, 2 py, 3 it,
	// 4 total, 5 x, 6 y, 7 cx, 8 cy, 9 t
	f64 := func(v float64) []byte {
		bits := math.Float64bits(v)
		c := []byte{opF64Const}
		for i := range 8 {
			c = append(c, byte(bits>>(8*i)))
		}
		return c
	}
	scale := func(p int, from, span float64) []byte {
		return cat(get(p), 0xb8, get(0), 0xb8, 0xa3, f64(span), 0xa2, f64(from), 0xa0)
	}
	b = &build{}
	f = b.fn("i", "i", "iiiiFFFFF",
		opLoop, typeEmpty, i32c(0), set(1), scale(2, -1.25, 2.5), set(8),
		opLoop, typeEmpty, scale(1, -2, 2.5), set(7), f64(0), set(5), f64(0), set(6), i32c(0), set(3),
		opBlock, typeEmpty, opLoop, typeEmpty,
		get(5), get(5), 0xa2, get(6), get(6), 0xa2, 0xa0, f64(4), 0x64, opBrIf, 1,
		get(5), get(5), 0xa2, get(6), get(6), 0xa2, 0xa1, get(7), 0xa0, set(9),
		get(5), get(6), 0xa2, f64(2), 0xa2, get(8), 0xa0, set(6), get(9), set(5),
		get(3), i32c(1), opI32Add, opLocalTee, 3, i32c(100), 0x49, opBrIf, 0, opEnd, opEnd,
		get(4), get(3), opI32Add, set(4),
		get(1), i32c(1), opI32Add, opLocalTee, 1, get(0), 0x49, opBrIf, 0, opEnd,
		get(2), i32c(1), opI32Add, opLocalTee, 2, get(0), 0x49, opBrIf, 0, opEnd, get(4))
	all["mandelbrot"] = one(b, f)

	// memory.copy of lengths that are not known: 32 bytes at a time.
	b = &build{memory: cat(1, 2, 2)}
	f = b.fn("i", "i", "i", i32c(32), set(1), opLoop, typeEmpty,
		get(0), i32c(1023), 0x71, get(0), i32c(511), 0x71, get(1), opMemoryCopy, 0, 0,
		get(0), i32c(1), opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd, get(0))
	all["copy32"] = one(b, f)
	return all
}

var benchArgs = map[string]uint64{
	"fib": 27, "tight": 3_000_000, "crc": 20, "matmul": 120, "mandelbrot": 120, "copy32": 300_000,
}

// BenchmarkOverhead runs each program plain and rewritten by turns, with slices
// of 20,000 fuel, and reports the quotient of the smallest times seen.
func BenchmarkOverhead(b *testing.B) {
	all := programs()
	for _, name := range []string{"fib", "crc", "matmul", "mandelbrot", "tight", "copy32"} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b)
			m.slice = 20_000
			ctx := context.Background()
			var pair [2]api.Function
			for i, wasm := range [][]byte{all[name], mustRewrite(b, all[name], Options{}).Module} {
				mod, err := m.rt.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(""))
				if err != nil {
					b.Fatal(err)
				}
				pair[i] = mod.ExportedFunction("run")
			}
			stack := make([]uint64, 1)
			alternate(b, func(i int) {
				stack[0] = benchArgs[name]
				if err := pair[i].CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// alternate runs 0, plain, and 1, rewritten, by turns and reports the quotient of
// the smallest times.
func alternate(b *testing.B, run func(i int)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := [2]int64{math.MaxInt64, math.MaxInt64}
	for b.Loop() {
		for i := range best {
			before := threadTime()
			run(i)
			best[i] = min(best[i], threadTime()-before)
		}
	}
	b.ReportMetric(float64(best[0]), "plain-ns")
	b.ReportMetric(float64(best[1]), "rewritten-ns")
	b.ReportMetric(100*float64(best[1]-best[0])/float64(best[0]), "%overhead")
}

// BenchmarkRewrite is the rewriter's own speed, on what Go's compiler makes.
func BenchmarkRewrite(b *testing.B) {
	wasm := goProgram(b)
	b.SetBytes(int64(len(wasm)))
	for b.Loop() {
		mustRewrite(b, wasm, Options{})
	}
}

// BenchmarkGo does the same for a Go program.
func BenchmarkGo(b *testing.B) {
	original := goProgram(b)
	for _, mode := range []string{"sha256", "mapsort"} {
		b.Run(mode, func(b *testing.B) {
			m := newMachine(b)
			m.slice = 20_000
			ctx := context.Background()
			wasi_snapshot_preview1.MustInstantiate(ctx, m.rt)
			var pair [2]wazero.CompiledModule
			for i, wasm := range [][]byte{original, mustRewrite(b, original, Options{}).Module} {
				c, err := m.rt.CompileModule(ctx, wasm)
				if err != nil {
					b.Fatal(err)
				}
				pair[i] = c
			}
			alternate(b, func(i int) {
				config := wazero.NewModuleConfig().WithName("").WithArgs("x", mode)
				if _, err := m.rt.InstantiateModule(ctx, pair[i], config); err == nil {
					b.Fatal("the program did not exit")
				}
			})
		})
	}
}

const goSource = `package main

import (
	"crypto/sha256"
	"os"
	"sort"
)

func main() {
	if os.Args[1] == "sha256" {
		h := sha256.New()
		for range 10 {
			h.Write(make([]byte, 1<<20))
		}
		if h.Sum(nil)[0] == 0 {
			os.Exit(3)
		}
		os.Exit(2)
	}
	m := map[int]int{}
	x := uint32(1)
	for i := range 300000 {
		x = x*1664525 + 1013904223
		m[int(x%60000)] += i
	}
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Ints(keys)
	os.Exit(2)
}
`

// goProgram compiles goSource for wasip1 with the toolchain that runs the test.
func goProgram(b *testing.B) []byte {
	b.Helper()
	dir := b.TempDir()
	src, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "main.wasm")
	if err := os.WriteFile(src, []byte(goSource), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", out, src)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, msg)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	return wasm
}
