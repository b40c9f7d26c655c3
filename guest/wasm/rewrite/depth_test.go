package rewrite

import (
	"context"
	"strings"
	"testing"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// TestDepthIsReal measures how far the stack pointer moves a level of recursion
// and compares it with what the word says. Host functions see the guest's stack
// as the place of their arguments.
func TestDepthIsReal(t *testing.T) {
	const levels = 200
	// f(n, …) calls the probe, then itself with n-1; what it holds is used after.
	recursive := func(params, locals string, hold, use []byte, args []byte) []byte {
		b := &build{}
		probe := b.typ("", "")
		b.imports = [][]byte{cat(hostModule, "probe", int(KindFunc), u(probe))}
		b.globals = [][]byte{cat(typeI64, 1, i64c(0), opEnd)}
		f := b.fn("i"+params, "", locals, opCall, 0, get(0), 0x45, opIf, typeEmpty, opReturn, opEnd,
			hold, get(0), i32c(1), opI32Sub, args, opCall, u(1), use)
		zeros := cat()
		for _, c := range valueTypes(params) {
			switch c {
			case typeV128:
				zeros = cat(zeros, opV128Const, make([]byte, 16))
			case typeF64:
				zeros = cat(zeros, opF64Const, make([]byte, 8))
			default:
				zeros = cat(zeros, i64c(1))
			}
		}
		b.export("run", KindFunc, b.fn("", "", "", i32c(levels), zeros, opCall, u(f+1))+1)
		return b.bytes()
	}
	var holdLocals, useLocals, holdStack, useStack, holdVectors, useVectors, sameArgs, vectorArgs []byte
	for i := 1; i <= 40; i++ {
		fresh := cat(opGlobalGet, 0, i64c(int64(i)), opI64Add, opGlobalSet, 0, opGlobalGet, 0)
		holdLocals, useLocals = cat(holdLocals, fresh, set(i)), cat(useLocals, get(i), opGlobalGet, 0, opI64Add, opGlobalSet, 0)
		holdStack, useStack = cat(holdStack, fresh), cat(useStack, opGlobalGet, 0, opI64Sub, opGlobalSet, 0)
		holdVectors = cat(holdVectors, fresh, simdBase+18, set(i))
		useVectors = cat(useVectors, get(i), cat(simdBase+29, 0), opGlobalGet, 0, opI64Add, opGlobalSet, 0)
		sameArgs = cat(sameArgs, get(i))
		vectorArgs = cat(vectorArgs, get(i))
	}
	for name, wasm := range map[string][]byte{
		"plain":          recursive("", "", nil, nil, nil),
		"locals":         recursive("", strings.Repeat("I", 40), holdLocals, useLocals, nil),
		"operands":       recursive("", "", holdStack, useStack, nil),
		"vectors":        recursive("", strings.Repeat("v", 40), holdVectors, useVectors, nil),
		"many arguments": recursive(strings.Repeat("I", 40), "", nil, useLocals, sameArgs),
		"vector arguments": recursive(strings.Repeat("v", 40), "", nil,
			useVectors, vectorArgs),
		"float arguments": recursive(strings.Repeat("F", 40), "", nil, nil, sameArgs),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			ctx := context.Background()
			var last uintptr
			var before, largest, counted uint64
			levelsOf := map[uint64]int{}
			probe := func(_ context.Context, mod api.Module, stack []uint64) {
				sp := uintptr(unsafe.Pointer(unsafe.SliceData(stack)))
				depth := Depth(mod.ExportedGlobal(ExportBudget).Get())
				// Every level is alike; where the engine moved the stack, which it
				// does a few times, the difference is wild.
				if last != 0 {
					levelsOf[uint64(last-sp)]++
					counted = max(counted, depth-before)
				}
				last, before = sp, depth
			}
			if _, err := m.rt.NewHostModuleBuilder(hostModule).NewFunctionBuilder().
				WithGoModuleFunction(api.GoModuleFunc(probe), nil, nil).Export("probe").Instantiate(ctx); err != nil {
				t.Fatal(err)
			}
			mod, err := m.rt.InstantiateWithConfig(ctx, mustRewrite(t, wasm, Options{}).Module, wazero.NewModuleConfig())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mod.ExportedFunction("run").Call(ctx); err != nil {
				t.Fatal(err)
			}
			for d, n := range levelsOf {
				if n > levelsOf[largest] {
					largest = d
				}
			}
			if levelsOf[largest] < levels/2 {
				t.Fatalf("no size of a level prevails: %v", levelsOf)
			}
			if counted < largest {
				t.Errorf("a level takes %d bytes of stack and counts %d", largest, counted)
			}
			t.Logf("a level takes %d bytes of stack and counts %d", largest, counted)
		})
	}
}
