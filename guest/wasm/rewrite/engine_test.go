package rewrite

import (
	"context"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// machine is an engine with the yield import.
type machine struct {
	rt      wazero.Runtime
	slice   int64 // fuel given at each yield
	limit   int   // yields after which the guest is stopped; 0 is never
	yields  int
	deepest uint64

	// compiled keeps what was compiled, by the first byte of the module.
	compiled map[*byte]wazero.CompiledModule
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errStopped = errors.New("stopped by the test")

func newMachine(tb testing.TB) *machine {
	tb.Helper()
	ctx := context.Background()
	m := &machine{slice: 1000, compiled: map[*byte]wazero.CompiledModule{}}
	m.rt = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
	tb.Cleanup(func() {
		if err := m.rt.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	_, err := m.rt.NewHostModuleBuilder(ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(m.yield), nil, nil).Export(ImportYield).Instantiate(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// forget drops what was compiled.
func (m *machine) forget(tb testing.TB) {
	for key, c := range m.compiled {
		if err := c.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		delete(m.compiled, key)
	}
}

func (m *machine) yield(_ context.Context, mod api.Module, _ []uint64) {
	word := mod.ExportedGlobal(ExportBudget).(api.MutableGlobal)
	w := word.Get()
	if Fuel(w) >= 0 {
		panic("a yield with fuel left")
	}
	m.yields++
	m.deepest = max(m.deepest, Depth(w))
	if m.limit > 0 && m.yields >= m.limit {
		panic(errStopped)
	}
	word.Set(Refill(w, m.slice))
}

// outcome is all that can be told of a call from outside.
type outcome struct {
	failed  string // why it could not be instantiated or what it trapped with
	results []uint64
	memory  uint32 // checksum
	pages   uint32
	globals []uint64
	after   []uint64 // results of the export "state", if the call did not trap
}

// run instantiates a module, calls the export "run", and looks at what is left.
// For a rewritten module it checks that the depth is back at zero.
func (m *machine) run(tb testing.TB, wasm []byte, globals int, args ...uint64) (o outcome) {
	tb.Helper()
	ctx := context.Background()
	c := m.compiled[&wasm[0]]
	if c == nil {
		var err error
		if c, err = m.rt.CompileModule(ctx, wasm); err != nil {
			tb.Fatal(err)
		}
		m.compiled[&wasm[0]] = c
	}
	mod, err := m.rt.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		o.failed = trap(err)
		return o
	}
	defer func() {
		if err := mod.Close(ctx); err != nil {
			tb.Error(err)
		}
	}()
	o.results, err = mod.ExportedFunction("run").Call(ctx, args...)
	if err != nil {
		o.failed = trap(err)
	} else {
		if word := mod.ExportedGlobal(ExportBudget); word != nil && Depth(word.Get()) != 0 {
			tb.Errorf("depth %d after the call returned", Depth(word.Get()))
		}
		if state := mod.ExportedFunction("state"); state != nil {
			if o.after, err = state.Call(ctx); err != nil {
				o.failed = "state: " + trap(err)
			}
		}
	}
	if mem := mod.ExportedMemory("memory"); mem != nil {
		b, _ := mem.Read(0, mem.Size()) // all of it, so it cannot be out of range
		o.memory, o.pages = crc32.Checksum(b, castagnoli), mem.Size()/pageBytes
	}
	for i := range globals {
		o.globals = append(o.globals, mod.ExportedGlobal("g"+string(rune('0'+i))).Get())
	}
	return o
}

func trap(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func mustRewrite(tb testing.TB, wasm []byte, opts Options) *Result {
	tb.Helper()
	res, err := Rewrite(wasm, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return res
}
