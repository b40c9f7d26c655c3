// Package hostile makes WebAssembly modules that mean harm: they never end, hold
// up everybody else, or cost more than they look. The tests and benchmarks run
// them as guests.
//
// Invariants: every module is valid WebAssembly; none of them ends by itself
// unless its description says so.
//
// Locks: none.
//
// Imports: test/assemble.
package hostile

import (
	"slices"

	asm "github.com/agentos-kernel/agentos/test/assemble"
)

// Module is one of them.
type Module struct {
	Name string
	Does string
	Wasm []byte
	Args []string // of the run
	// Ends are the causes under which a run of it may be ended, given a memory
	// limit of 256 MiB and a time-out.
	Ends []string
}

const (
	bigMemory = 200 << 20 / asm.Page // pages
	bigTable  = 200_000              // entries
)

// Modules returns all of them.
func Modules() []Module {
	forever, stack := []string{"timeout"}, []string{"fault", "memory_limit"}
	null := []byte{asm.RefNull, asm.Funcref}
	bulk := func(op ...byte) []byte { return append([]byte{asm.Prefix}, op...) }
	return []Module{
		{Name: "loop", Does: "an endless loop", Wasm: module(0, 0, 0, asm.Endless()), Ends: forever},
		{Name: "wide-loop", Does: "an endless loop whose body is a million instructions", Wasm: module(0, 0, 1, asm.Endless(work(300_000))), Ends: forever},
		{Name: "calls", Does: "an endless loop of calls to a long function without calls or loops", Wasm: module(0, 0, 0, asm.Endless([]byte{asm.Call, 1}), asm.Function{Locals: 1, Code: work(50_000)}), Ends: forever},
		{Name: "memory-fill", Does: "an endless memory.fill of 200 MiB", Wasm: module(bigMemory, 0, 0, asm.Endless(asm.Const(0), asm.Const(1), asm.Const(bigMemory*asm.Page), bulk(asm.MemFill, 0))), Ends: forever},
		{Name: "memory-copy", Does: "an endless memory.copy of 100 MiB", Wasm: module(bigMemory, 0, 0, asm.Endless(asm.Const(bigMemory/2*asm.Page), asm.Const(0), asm.Const(bigMemory/2*asm.Page), bulk(asm.MemCopy, 0, 0))), Ends: forever},
		{Name: "table-fill", Does: "an endless table.fill", Wasm: module(0, bigTable, 0, asm.Endless(asm.Const(0), null, asm.Const(bigTable), bulk(asm.TabFill, 0))), Ends: forever},
		{Name: "table-grow", Does: "growing a table for ever", Wasm: module(0, 1, 0, asm.Endless(null, asm.Const(10_000), bulk(asm.TabGrow, 0, asm.Drop))), Ends: forever},
		{Name: "memory-grow", Does: "growing memory for ever", Wasm: module(1, 0, 0, asm.Endless(asm.Const(16), []byte{asm.MemGrow, 0, asm.Drop})), Ends: forever},
		{Name: "recursion", Does: "recursion without end", Wasm: module(0, 0, 0, []byte{asm.Call, 0}), Ends: stack},
		{Name: "wide-recursion", Does: "recursion without end, with large frames", Wasm: module(0, 0, 0, []byte{asm.Call, 1},
			asm.Function{Locals: 2000, Code: slices.Concat(spread(2000), []byte{asm.Call, 1}, spread(2000))}), Ends: stack},
		{Name: "mutual-recursion", Does: "two functions that call each other without end", Wasm: module(0, 0, 0, []byte{asm.Call, 1}, asm.Function{Code: []byte{asm.Call, 0}}), Ends: stack},
		{Name: "bomb", Does: "small and dear to compile", Wasm: Bomb(24), Ends: []string{"timeout", "refused"}},
		{Name: "small-bomb", Does: "many functions that are each dear to compile, but not too dear", Wasm: Laborious(200), Ends: []string{"timeout", "exited"}},
	}
}

// Bomb is a module that is dear to compile: many locals that live across many
// blocks, in many functions. Run, it ends at once.
func Bomb(functions int) []byte {
	const locals, blocks = 1500, 3000
	var body []byte
	for i := range locals {
		body = slices.Concat(body, asm.Const(i), []byte{asm.LocalSet}, asm.Uleb(i))
	}
	for i := range blocks {
		body = slices.Concat(body, []byte{asm.Block, asm.Void, asm.LocalGet}, asm.Uleb(i%locals), asm.Const(1),
			[]byte{asm.I32Add, asm.LocalTee}, asm.Uleb(i*7%locals), []byte{asm.BrIf, 0, asm.End})
	}
	more := slices.Repeat([]asm.Function{{Locals: locals, Code: body}}, functions)
	return module(0, 0, 0, nil, more...)
}

// Laborious is a module of which each function is acceptable and all together
// take long to compile.
func Laborious(functions int) []byte {
	const locals, blocks = 400, 800
	var body []byte
	for i := range blocks {
		body = slices.Concat(body, []byte{asm.Block, asm.Void, asm.LocalGet}, asm.Uleb(i%locals), asm.Const(i),
			[]byte{asm.I32Add, asm.LocalTee}, asm.Uleb(i*7%locals), []byte{asm.BrIf, 0, asm.End})
	}
	return module(0, 0, 0, nil, slices.Repeat([]asm.Function{{Locals: locals, Code: body}}, functions)...)
}

// module makes _start of code.
func module(pages, table, locals int, code []byte, more ...asm.Function) []byte {
	m := asm.Module{Pages: pages, Table: table, Functions: append([]asm.Function{{Locals: locals, Code: code}}, more...)}
	return m.Encode()
}

// work is n straight multiplications on local 0.
func work(n int) []byte {
	one := slices.Concat([]byte{asm.LocalGet, 0}, asm.Const(3), []byte{asm.I32Mul, asm.LocalSet, 0})
	return slices.Repeat(one, n)
}

// spread uses n locals, so that they live in the frame.
func spread(n int) []byte {
	var b []byte
	for i := range n {
		b = slices.Concat(b, []byte{asm.LocalGet}, asm.Uleb(i), asm.Const(1), []byte{asm.I32Add, asm.LocalSet}, asm.Uleb(i))
	}
	return b
}
