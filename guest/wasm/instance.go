package wasm

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm/rewrite"
	"github.com/agentos-kernel/agentos/guest/wasm/wasip1"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// instance is one running program. It is also the context of its own calls into
// wazero, so that a host function finds it by a type assertion instead of a
// search.
type instance struct {
	program *program
	gate    guest.Gate
	memory  guest.Memory
	region  guest.Region // nil without a linear memory
	module  api.Module
	budget  api.MutableGlobal
	abi     wasip1.Process

	next  func() (guest.Outcome, bool) // nil before the first Resume
	stop  func()
	yield func(guest.Outcome) bool

	fuel    int64  // of this Resume, beyond what the budget word holds
	tables  uint64 // bytes charged for tables
	stack   uint64 // the greatest stack charged, bytes
	unwound bool   // ended from inside a host call; exit says how
	exit    guest.Exit
	closed  bool
}

var (
	_ guest.Instance  = (*instance)(nil)
	_ context.Context = (*instance)(nil)
	_ wasip1.Host     = (*instance)(nil)
)

// Deadline, Done, Err, and Value make an instance a context. It has no deadline
// and no values, which is what wazero asks it for.

func (in *instance) Deadline() (time.Time, bool) { return time.Time{}, false }
func (in *instance) Done() <-chan struct{}       { return nil }
func (in *instance) Err() error                  { return nil }
func (in *instance) Value(any) any               { return nil }

// Resume implements [guest.Instance].
func (in *instance) Resume(fuel int64) (guest.Outcome, int64) {
	if in.closed {
		return guest.Exited, 0
	}
	if in.next == nil {
		in.next, in.stop = iter.Pull(in.run)
	}
	in.fuel = fuel
	in.refill(in.budget.Get())
	outcome, more := in.next()
	used := fuel - in.fuel - rewrite.Fuel(in.budget.Get())
	if !more {
		return guest.Exited, used
	}
	return outcome, used
}

// maxPart is the most fuel that is spent before control comes back to Go, whatever
// a Resume allows: the garbage collector cannot stop compiled code, and the depth
// of the stack, which grows by up to 256 bytes for each unit of fuel, is only
// looked at then.
const maxPart = 1 << 15

// refill moves the next part of the slice's fuel into the budget word.
func (in *instance) refill(word uint64) {
	part := min(in.fuel, maxPart)
	in.fuel -= part
	in.budget.Set(rewrite.Refill(word, part))
}

// run is the coroutine: everything that the guest executes, to its end.
func (in *instance) run(yield func(guest.Outcome) bool) {
	in.yield = yield
	defer func() {
		r := recover()
		if !in.unwound && r != nil {
			in.exit = guest.Exit{Cause: abi.CauseKernelError, Detail: fmt.Sprint("panic: ", r)}
		}
	}()
	for _, name := range in.program.entries {
		err := in.call(name)
		if in.unwound {
			if in.exit.Cause == abi.CauseNone && err != nil {
				// It was killed, by a limit, a person, or a panic in a handler:
				// where it was then is worth knowing.
				_, trace, _ := strings.Cut(err.Error(), tracePart)
				in.exit.Backtrace = frames(trace)
			}
			return
		}
		if err != nil {
			in.exit = faultOf(err)
			return
		}
	}
	in.exit = guest.Exit{Cause: abi.CauseExited}
}

func (in *instance) call(name string) error {
	f := in.module.ExportedFunction(name)
	if f == nil {
		return fmt.Errorf("the compiled module lost its export %s", name)
	}
	return f.CallWithStack(in, nil)
}

// suspend hands the vCPU back until the next Resume. It does not return if the
// instance must end.
func (in *instance) suspend(o guest.Outcome) {
	if !in.yield(o) || in.gate.Killed() {
		in.unwind(guest.Exit{})
	}
}

// unwind ends the guest from inside a host call. Of what wazero makes of the panic
// only the trace is looked at.
func (in *instance) unwind(exit guest.Exit) {
	in.unwound, in.exit = true, exit
	if in.stack > shallow {
		panic(escape())
	}
	panic(errUnwind)
}

// spent is the import that rewritten code calls when its budget is negative.
func (in *instance) spent() {
	word := in.budget.Get()
	if depth := rewrite.Depth(word); depth > in.stack {
		in.deepen(depth)
	}
	if left := in.fuel + rewrite.Fuel(word); left > 0 && !in.gate.Killed() {
		in.fuel = left
		in.refill(word)
		return
	}
	in.suspend(guest.Yielded)
}

// stackStep is the granularity of charging for stack, in bytes.
const stackStep = 1 << 18

// deepen charges for a stack that has grown. wazero doubles a stack by copying,
// so twice the depth is held at times; it never shrinks.
func (in *instance) deepen(depth uint64) {
	depth = (depth + stackStep - 1) &^ (stackStep - 1)
	if depth > in.program.domain.limits.MaxStack {
		in.fault("call stack exhausted")
	}
	if !in.memory.Charge(in.tables + 2*depth) {
		in.fault("call stack exhausted: the memory limit refused more")
	}
	in.stack = depth
}

// fault ends the guest for a rule that it broke. Unlike unwind it lets wazero
// collect the trace.
func (in *instance) fault(detail string) { panic(brokenRule(detail)) }

// Enter implements [wasip1.Host].
func (in *instance) Enter(c *abi.Call) {
	status := in.gate.Call(c)
	for status == abi.Blocked {
		in.suspend(guest.Waiting)
		status = in.gate.Continue(c)
	}
	if status == abi.Killed {
		in.unwind(guest.Exit{})
	}
}

// Pause implements [wasip1.Host].
func (in *instance) Pause() { in.suspend(guest.Yielded) }

// Leave implements [wasip1.Host]. The exit stands whatever the gate says of it.
func (in *instance) Leave(c *abi.Call, code uint32) {
	_ = in.gate.Call(c)
	in.unwind(guest.Exit{Cause: abi.CauseExited, Code: int(code)})
}

// Exit implements [guest.Instance].
func (in *instance) Exit() guest.Exit { return in.exit }

// Close implements [guest.Instance]. The order matters: no wasm frame is left
// when the module closes, and no module when its memory goes.
func (in *instance) Close() error {
	if in.closed {
		return nil
	}
	in.closed = true
	if in.stop != nil {
		in.stop()
	}
	err := in.module.Close(in)
	in.discard()
	in.program.release()
	return err
}

// discard gives memory and charges back.
func (in *instance) discard() {
	in.abi.Mem = nil
	if in.region != nil {
		in.region.Free()
	}
	in.memory.Charge(0)
}
