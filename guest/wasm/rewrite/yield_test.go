package rewrite

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// endless is a module with a large memory, large tables, a passive segment, and
// "run".
func endless(code ...any) []byte {
	b := &build{memory: cat(1, u(512), u(512)), count: true}
	b.tables = [][]byte{cat(typeFunc, 1, u(200_000), u(200_000)), cat(typeExtern, 0, u(9000))}
	b.datas = [][]byte{cat(1, u(200_000), make([]byte, 200_000))}
	b.elems = [][]byte{cat(0, i32c(0), opEnd, u(1), u(0))}
	f := b.fn("", "", "ii", code...)
	b.export("run", KindFunc, f)
	return b.bytes()
}

// TestEndless shows that nothing runs on without yielding: each program is
// stopped at its hundredth yield, with little fuel a slice.
func TestEndless(t *testing.T) {
	forever := func(body ...any) []byte {
		return endless(opLoop, typeEmpty, cat(body...), opBr, u(0), opEnd)
	}
	programs := map[string][]byte{
		"loop":         forever(),
		"nested loops": forever(opLoop, typeEmpty, opLoop, typeEmpty, i32c(1), opBrIf, u(0), opEnd, opEnd),
		"memory.fill":  forever(i32c(0), i32c(7), i32c(512*pageBytes), opMemoryFill, 0),
		"memory.copy up": forever(i32c(0), i32c(pageBytes), i32c(511*pageBytes),
			opMemoryCopy, 0, 0),
		"memory.copy down": forever(i32c(pageBytes), i32c(0), i32c(511*pageBytes),
			opMemoryCopy, 0, 0),
		"memory.init": forever(i32c(0), i32c(0), i32c(200_000), opMemoryInit, u(0), 0),
		"table.fill": forever(i32c(0), opRefNull, typeFunc, i32c(200_000),
			opTableFill, u(0)),
		"table.copy up":   forever(i32c(0), i32c(1), i32c(199_999), opTableCopy, u(0), u(0)),
		"table.copy down": forever(i32c(1), i32c(0), i32c(199_999), opTableCopy, u(0), u(0)),
		"small fills":     forever(i32c(0), i32c(7), i32c(1), opMemoryFill, 0),
		"recursion":       endless(opCall, u(0)),
		"indirect": endless(i32c(0), opCallIndirect, u(0), u(0),
			i32c(0), opCallIndirect, u(0), u(0)),
	}
	// Ever more calls, with no loop and no deep stack.
	b := &build{}
	for i := range 40 {
		code := []byte{}
		if i > 0 {
			code = cat(opCall, u(i-1), opCall, u(i-1))
		}
		b.fn("", "", "", code)
	}
	b.export("run", KindFunc, 39)
	programs["doubling calls"] = b.bytes()
	// Mutual recursion over three functions.
	b = &build{}
	for i := range 3 {
		b.fn("", "", "", opCall, u((i+1)%3))
	}
	b.export("run", KindFunc, 0)
	programs["mutual recursion"] = b.bytes()

	for name, wasm := range programs {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.slice, m.limit = 50, 100
			o := m.run(t, mustRewrite(t, wasm, Options{}).Module, 0)
			if !strings.HasPrefix(o.failed, errStopped.Error()) {
				t.Fatalf("ended with %q and %v after %d yields", o.failed, o.results, m.yields)
			}
			if strings.Contains(name, "recursion") && m.deepest < 50*100 {
				t.Errorf("depth %d after at least 5,000 frames", m.deepest)
			}
		})
	}
}

// TestStartYields shows that a start function is metered, run by the engine or
// by the host.
func TestStartYields(t *testing.T) {
	b := &build{}
	f := b.fn("", "", "", opLoop, typeEmpty, opBr, u(0), opEnd)
	b.start = f + 1
	for _, strip := range []bool{false, true} {
		m := newMachine(t)
		m.limit = 10
		ctx := context.Background()
		res := mustRewrite(t, b.bytes(), Options{StripStart: strip})
		mod, err := m.rt.InstantiateWithConfig(ctx, res.Module, wazero.NewModuleConfig().WithStartFunctions())
		if strip {
			if err != nil {
				t.Fatal(err)
			}
			_, err = mod.ExportedFunction(ExportStart).Call(ctx)
		}
		if err == nil || !strings.Contains(err.Error(), errStopped.Error()) {
			t.Errorf("strip %v: %v", strip, err)
		}
	}
}

// TestBacktraceNames shows that names survive, shifted.
func TestBacktraceNames(t *testing.T) {
	b := &build{memory: cat(1, u(2), u(2))}
	b.imports = [][]byte{cat(hostModule, "f", int(KindFunc), u(b.typ("", "")))}
	b.fn("", "", "", opUnreachable)
	b.fn("", "", "", opCall, u(1))
	b.fn("i", "", "", get(0), get(0), get(0), opMemoryFill, 0, opCall, u(2))
	b.export("run", KindFunc, 3)
	names := cat(u(4), u(0), "imported", u(1), "inner", u(2), "middle", u(3), "outer")
	b.custom = [][]byte{cat("producers", u(1)), cat("name", 1, u(len(names)), names)}
	m := newMachine(t)
	ctx := context.Background()
	if _, err := m.rt.NewHostModuleBuilder(hostModule).NewFunctionBuilder().
		WithFunc(func() {}).Export("f").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	res := mustRewrite(t, b.bytes(), Options{})
	mod, err := m.rt.InstantiateWithConfig(ctx, res.Module, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	_, err = mod.ExportedFunction("run").Call(ctx, 1)
	if err == nil {
		t.Fatal("no trap")
	}
	at := 0
	for _, want := range []string{"inner()", "middle()", "outer("} {
		i := strings.Index(err.Error()[at:], want)
		if i < 0 {
			t.Fatalf("no %q in order in\n%v", want, err)
		}
		at += i
	}
	_, err = mod.ExportedFunction("run").Call(ctx, 1<<17+1)
	if err == nil || !strings.Contains(err.Error(), "agentos.memory.fill") {
		t.Errorf("synthesized function not named in\n%v", err)
	}
	if bytes.Contains(res.Module, []byte("producers")) {
		t.Error("a custom section was kept")
	}
}

const hostModule = "env"
