package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm/rewrite"
)

const (
	pageSize      = 1 << 16
	bytesPerEntry = 8 // of a table
)

// program is one loaded module with a runtime of its own, so that nothing
// (function types, code, host functions) outlives it or is shared with another.
type program struct {
	domain  *Domain
	key     cacheKey
	facts   *facts
	entries []string // exports to call, in order
	size    uint64   // bytes of module and native code, roughly

	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	cache    wazero.CompilationCache

	refs int    // handles and instances; guarded by Domain.mu
	used uint64 // when refs last became 0, by Domain.clock; guarded by Domain.mu
}

// handle is what Load returns: one reference to a program.
type handle struct {
	*program
	once sync.Once
}

// Close gives the reference back. Instances keep the program alive.
func (h *handle) Close() error {
	h.once.Do(h.program.release)
	return nil
}

// start makes the runtime of a program whose code is in dir. The caller has
// verified it; never compiles if lookup is set, and then fails where the code is
// not found.
func (d *Domain) start(ctx context.Context, a *artifact, lookup bool) (_ *program, err error) {
	p := &program{domain: d, facts: a.meta.Facts, size: a.size}
	if a.meta.Facts.HasStart {
		p.entries = append(p.entries, rewrite.ExportStart)
	}
	p.entries = append(p.entries, entryExport)
	p.runtime, p.compiled, p.cache, err = engine(ctx, a.dir, a.module, d.limits, lookup)
	if err != nil {
		return nil, err
	}
	if err := provide(ctx, p.runtime, a.meta.Facts.Imports); err != nil {
		return nil, errors.Join(err, p.shutdown())
	}
	return p, nil
}

// errNoCode is engine's error when it was not to compile and would have had to.
var errNoCode = errors.New("no native code in the cache")

// engine makes a runtime and loads module into it with dir as the cache. With
// lookup it fails instead of compiling: wazero looks at the context between
// functions when it compiles with several workers, and not at all when it finds
// the code.
func engine(ctx context.Context, dir string, module []byte, l Limits, lookup bool) (wazero.Runtime, wazero.CompiledModule, wazero.CompilationCache, error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	config := wazero.NewRuntimeConfigInterpreter()
	if compiles() {
		config = wazero.NewRuntimeConfigCompiler()
	}
	r := wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(cache).
		WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(l.MaxPages).WithDebugInfoEnabled(false))
	if lookup && compiles() {
		never, cancel := context.WithCancelCause(ctx)
		cancel(errNoCode)
		ctx = experimental.WithCompilationWorkers(never, 2)
	} else {
		ctx = experimental.WithCompilationWorkers(ctx, workers)
	}
	c, err := r.CompileModule(ctx, module)
	if err != nil {
		return nil, nil, nil, errors.Join(err, r.Close(ctx), cache.Close(ctx))
	}
	return r, c, cache, nil
}

// workers is how many functions are compiled at once.
const workers = 2

// shutdown returns what a program holds.
func (p *program) shutdown() error {
	ctx := context.Background()
	return errors.Join(p.compiled.Close(ctx), p.runtime.Close(ctx), p.cache.Close(ctx))
}

// Instantiate implements [guest.Program].
func (p *program) Instantiate(ctx context.Context, host guest.Host) (_ guest.Instance, err error) {
	in := &instance{program: p, gate: host.Gate(), memory: host.Memory()}
	in.abi.Host = in
	defer func() {
		// wazero panics where an allocator refuses the first pages. They are
		// committed here before, so what is left would be a bug, and no reason to
		// take the kernel down.
		if r := recover(); r != nil {
			err = &guest.LoadError{Kind: guest.HostFailed, Reason: fmt.Sprint("instantiation panicked: ", r)}
		}
		if err != nil {
			in.discard()
		}
	}()
	if err := in.reserve(); err != nil {
		return nil, err
	}
	ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(in.allocate))
	in.module, err = p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithRandSource(rand.Reader)) // nothing reads it; the default seeds a generator for each instance
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &guest.LoadError{Kind: guest.NotRunnable, Reason: "the module cannot be instantiated", Err: err}
	}
	budget, ok := in.module.ExportedGlobal(rewrite.ExportBudget).(api.MutableGlobal)
	if !ok {
		return nil, errors.Join(&guest.LoadError{Kind: guest.HostFailed, Reason: "the compiled module lost its budget"}, in.module.Close(ctx))
	}
	in.budget = budget
	p.acquire()
	return in, nil
}

// reserve takes the memory that the program declares.
func (in *instance) reserve() error {
	f := in.program.facts
	in.tables = f.Tables * bytesPerEntry
	if !in.memory.Charge(in.tables) {
		return &guest.LoadError{Kind: guest.TooCostly, Reason: fmt.Sprintf("the memory limit refused %d bytes for tables", in.tables), Fix: "raise the memory limit"}
	}
	if !f.HasMemory {
		return nil
	}
	region, err := in.memory.Reserve(uint64(f.MaxPages) * pageSize)
	if err != nil {
		return &guest.LoadError{Kind: guest.HostFailed, Reason: "no address space for the program's memory", Err: err}
	}
	in.region = region
	first := uint64(f.MinPages) * pageSize
	b, ok := region.Grow(first)
	if !ok {
		return &guest.LoadError{Kind: guest.TooCostly, Reason: fmt.Sprintf("the memory limit refused the %d bytes that the program starts with", first), Fix: "raise the memory limit"}
	}
	in.abi.Mem = b
	if first > lazyBytes {
		in.populate(0, first, func() bool { return !in.gate.Killed() })
	}
	return nil
}

// lazyBytes of memory are left to be backed when they are touched: a guest that
// uses little is to cost little. Beyond it a guest could hold up everybody by
// touching fresh pages, since a fault takes thousands of times as long as the
// store that causes it.
const lazyBytes = 1 << 20

// populateStep is how much is backed at once, in bytes.
const populateStep = 1 << 20

// populate backs memory in steps, as long as more says so between them.
func (in *instance) populate(from, to uint64, more func() bool) {
	for from < to {
		step := min(to-from, populateStep)
		in.region.Populate(from, from+step)
		if from += step; from < to && !more() {
			return
		}
	}
}

// allocate is wazero's way to the region.
func (in *instance) allocate(uint64, uint64) experimental.LinearMemory { return (*linear)(in) }

// linear is an instance as wazero's linear memory.
type linear instance

// Reallocate grows the memory. wazero takes nil for a refusal.
func (l *linear) Reallocate(size uint64) []byte {
	if l.region == nil {
		return nil
	}
	in, old := (*instance)(l), uint64(len(l.abi.Mem))
	b, ok := l.region.Grow(size)
	if !ok {
		return nil
	}
	l.abi.Mem = b
	if size > old && size > lazyBytes {
		// Between the steps the vCPU serves others. No Go frame of wazero's above
		// this one holds anything, so that unwinding from here is as good as from
		// a host function.
		in.populate(old, size, func() bool {
			if in.yield != nil {
				in.suspend(guest.Yielded)
			}
			return true
		})
	}
	return b
}

// Free does nothing: the instance frees its region after the module is closed.
func (l *linear) Free() {}
