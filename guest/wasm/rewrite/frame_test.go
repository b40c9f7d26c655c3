package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// frames compiles a module and reads from the engine's cache how much each
// function takes from the stack pointer, in bytes. It knows the layout of the
// cache and the prologue on amd64, and fails when they have changed: the
// estimate must then be looked at anew.
func frames(tb testing.TB, wasm []byte) []uint64 {
	tb.Helper()
	dir := tb.TempDir()
	ctx := context.Background()
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).WithCompilationCache(cache))
	defer func() {
		if err := rt.Close(ctx); err != nil {
			tb.Error(err)
		}
		if err := cache.Close(ctx); err != nil {
			tb.Error(err)
		}
	}()
	if _, err := rt.CompileModule(ctx, wasm); err != nil {
		tb.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 1 {
		tb.Fatalf("the cache holds %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("WAZEVO")) {
		tb.Fatal("the engine's cache has another format")
	}
	b = b[7+int(b[6]):]
	n := int(binary.LittleEndian.Uint32(b))
	offsets, code := b[4:], b[4+8*n+8:]
	out := make([]uint64, n)
	for i := range out {
		at := binary.LittleEndian.Uint64(offsets[8*i:])
		c := code[at:]
		if c[0] != 0x55 { // push rbp
			tb.Fatalf("function %d does not begin with the known prologue: % x", i, c[:16])
		}
		c = c[:min(len(c), 400)]
		wide := bytes.Index(c, []byte{0x48, 0x81, 0xec}) // sub rsp, imm32
		short := bytes.Index(c, []byte{0x48, 0x83, 0xec})
		switch {
		case wide >= 0 && (short < 0 || wide < short):
			out[i] = uint64(binary.LittleEndian.Uint32(c[wide+3:]))
		case short >= 0:
			out[i] = uint64(c[short+3])
		}
	}
	return out
}

// hostile are functions made to have large frames.
func hostile() map[string][]byte {
	const n, l = 300, 60
	all := map[string][]byte{}
	module := func(name, locals string, code ...any) {
		b := &build{memory: cat(1, 1, 1)}
		b.globals = [][]byte{cat(typeI32, 1, i32c(0), opEnd)}
		b.fn("", "i", "", i32c(1))
		b.fn("", "", locals, code...)
		all[name] = b.bytes()
	}
	ints := strings.Repeat("i", l)
	var use []byte
	for i := range l {
		use = cat(use, get(i), opGlobalGet, 0, opI32Add, opGlobalSet, 0)
	}
	var c []byte
	for range n {
		c = append(c, cat(opCall, 0)...)
	}
	module("stack over calls", "", c, repeat(cat(opI32Add), n-1), opGlobalSet, 0)
	c = nil
	for i := range n {
		c = append(c, cat(opCall, 0, set(i%l))...)
	}
	module("locals over calls", ints, c, use)
	c = nil
	for i := range n {
		c = append(c, cat(get(i%l), opIf, typeEmpty, i32c(int64(i)), set(i*7%l), opEnd, opCall, 0, opDrop)...)
	}
	module("joins over calls", ints, c, use)
	c = nil
	for i := range n {
		c = append(c, cat(get(i%l), opIf, typeEmpty, i32c(int64(i)), set(i*7%l))...)
	}
	for i := range n {
		c = append(c, cat(opElse, i32c(int64(-i)), set(i*3%l), opEnd)...)
	}
	module("nested joins", ints, c, use)
	c = nil
	for i := range n {
		c = append(c, cat(opLoop, typeEmpty, get(i%l), i32c(1), opI32Sub, opLocalTee, u(i*7%l), opBrIf, 0, opEnd)...)
	}
	module("loops", ints, c, use)
	c = nil
	for i := range n {
		c = append(c, cat(get(i%l), get((i+1)%l), opI32Add, set(i*7%l))...)
	}
	module("shortage of registers", ints, c, use)
	return all
}

// TestFrameEstimate holds the estimate of a frame against what the engine makes.
func TestFrameEstimate(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("not checked here: only the prologue on amd64 is known")
	}
	all := hostile()
	for name, wasm := range programs() {
		all[name] = wasm
	}
	for seed := range uint64(15) {
		all["seed "+string(rune('a'+seed))] = generate(seed)
	}
	for name, wasm := range all {
		checkFrames(t, name, wasm)
	}
}

// checkFrames returns the sums of what was estimated and what is.
func checkFrames(t testing.TB, name string, wasm []byte) (estimated, real uint64) {
	t.Helper()
	m, failed := decode(wasm, Options{MaxMemoryPages: defaultMemoryPages,
		MaxTableEntries: defaultTableEntries, MaxDataBytes: defaultDataBytes})
	if failed != nil {
		t.Fatal(failed)
	}
	a, failed := analyze(m)
	if failed != nil {
		t.Fatal(failed)
	}
	is := frames(t, mustRewrite(t, wasm, Options{}).Module)
	for i := range a.fns {
		f := &a.fns[i]
		if is[i] > f.frame {
			t.Errorf("%s, function %d of weight %d: estimated %d, the engine takes %d", name, i, f.weight, f.frame, is[i])
		}
		estimated, real = estimated+f.frame, real+is[i]
	}
	for _, x := range is[len(a.fns):] { // the synthesized ones
		if x > UncountedStack/64 {
			t.Errorf("%s: a synthesized function takes %d", name, x)
		}
	}
	t.Logf("%s: estimated %d, the engine takes %d", name, estimated, real)
	return estimated, real
}
