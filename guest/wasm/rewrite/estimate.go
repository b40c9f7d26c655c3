package rewrite

import "math"

// What compiling may cost, in the units of estimate.compile. The engine takes
// from 0.3 µs a unit, in ordinary modules, to 4 µs, in hostile ones. The largest
// functions of real programs stay well below: see docs/METERING.md. These
// limits refuse at once what would take minutes; what remains is for the limits
// of the process that compiles.
const (
	maxFunctionCost = 6 << 20
	maxCompileCost  = 256 << 20
)

// estimate collects what says how large the engine will make a function's stack
// frame and how long it will take to compile it.
//
// The engine gives each SSA value that has to live through a call, or through a
// shortage of registers, an own slot in the frame and never uses a slot twice.
// At a call live the values below its operands on the stack and one for each
// local; a local gets a new value when it is set, and where control flow joins
// after it was set.
type estimate struct {
	ops      uint64   // instructions
	values   uint64   // made by instructions
	sets     uint64   // of locals
	joins    uint64   // values that locals get by joins, at most
	segment  uint32   // counts where control flow joins
	blocks   uint64   // basic blocks, about
	calls    uint64   // yields included
	held     uint64   // values on the stack during calls, summed over the calls
	edges    uint64   // values on the stack at branches, and values they pass
	passed   uint64   // values that joins make of what branches pass
	callArea uint64   // the most parameters and results of one call
	touched  []uint32 // distinct locals
}

// localUse is what an estimate knows of one local.
type localUse struct {
	stamp   uint32 // function (plus one) that this is of
	segment uint32 // in which it was last set, plus one
	across  bool   // it is read where a join may have made its value
	joins   uint64 // blocks around its sets, at the end of which values may join
}

func (e *estimate) call(height, params, results int) {
	e.calls++
	e.held += uint64(height)
	e.edges += uint64(params + results)
	e.values += uint64(results)
	e.callArea = max(e.callArea, uint64(params+results))
}

func (e *estimate) block(height, passed int) {
	e.blocks++
	e.edges += uint64(height + passed)
	e.passed += uint64(passed)
}

func (e *estimate) get(l *localUse) {
	l.across = l.across || l.segment != e.segment+1
}

func (e *estimate) set(l *localUse, depth int) {
	e.sets++
	l.segment = e.segment + 1
	l.joins += uint64(depth)
}

// finish adds up the locals. The engine joins the values of a local only where
// one of them is read.
func (e *estimate) finish(locals []localUse) {
	for _, i := range e.touched {
		if l := &locals[i]; l.across {
			e.joins += min(l.joins, e.blocks+1)
		}
	}
}

// frame returns the estimate in bytes. It means to be an upper bound for what
// lives through calls; what a shortage of registers adds is a share of all
// values, measured rather than proved (TestFrameEstimate).
func (e *estimate) frame(f *function, highest int, vectors bool) uint64 {
	word := uint64(8)
	if vectors {
		word = 16
	}
	vars := uint64(f.params + len(e.touched))
	locals := min(e.sets+e.joins, satMul(e.calls, vars))
	slots := 16 + vars + min(e.held, e.values+e.passed)
	if vars+uint64(highest) > fewRegisters {
		locals = max(locals, e.joins/2)
		slots += (e.values + e.passed) / 4
	}
	return 96 + word*(slots+locals+e.callArea)
}

// fewRegisters is how many values the engine is trusted to keep without
// spilling, besides those of its own.
const fewRegisters = 8

// compile returns an estimate of the work to compile the function: values
// placed, values passed along edges, and values alive or joined at each block.
func (e *estimate) compile(f *function) uint64 {
	vars := uint64(f.params + len(e.touched))
	return satAdd(uint64(f.locals)/64+e.ops+e.values+e.edges+e.joins, satMul(e.blocks, vars))
}

func satAdd(a, b uint64) uint64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxUint64
}

func satMul(a, b uint64) uint64 {
	if a == 0 || b <= math.MaxUint64/a {
		return a * b
	}
	return math.MaxUint64
}
