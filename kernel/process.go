package kernel

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/gate"
	"github.com/agentos-kernel/agentos/kernel/mem"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/resource"
	"github.com/agentos-kernel/agentos/kernel/sched"
)

// Process is a process together with what executes it.
type Process struct {
	*proc.Process
	k       *Kernel
	spec    Spec
	program guest.Program

	// Set by the owners during Init, in their order.
	memory    *mem.Memory
	gate      *gate.Gate
	instance  guest.Instance
	entity    *sched.Entity
	inhabited atomic.Bool // the instance may still touch its memory
	started   bool        // the instance has been resumed; only touched on its vCPU

	summary resource.Summary // valid once dead

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; the wall-clock deadline
}

// Summary returns what the release returned; valid once the process is dead.
func (p *Process) Summary() resource.Summary { return p.summary }

// armDeadline starts the wall-clock limit. It runs from the creation, so that
// compiling counts.
func (p *Process) armDeadline(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(d, func() {
		detail := "ran for " + d.String()
		if p.State() == proc.Creating {
			detail = "its " + d.String() + " were over before it was compiled"
		}
		p.Kill(proc.End{Cause: abi.CauseTimeout, Detail: detail})
	})
}

// stopDeadline stops the limit and reports whether it was still running.
func (p *Process) stopDeadline() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return false
	}
	running := p.timer.Stop()
	p.timer = nil
	return running
}

// Deadline returns when the wall-clock limit ends the process; ok is false if
// there is none.
func (p *Process) Deadline() (at time.Time, ok bool) {
	wall := p.spec.Caps[abi.LimitWall]
	return p.Created().Add(time.Duration(wall)), wall != 0
}

// task binds a process's instance to the scheduler. It implements [sched.Task].
type task struct{ p *Process }

// Run gives the guest one slice. A panic of our own ends this process alone.
func (t task) Run(fuel int64) (out sched.Outcome, used int64) {
	defer func() {
		if r := recover(); r != nil {
			t.p.Kill(proc.End{Cause: abi.CauseKernelError, Detail: fmt.Sprintf("panic on the vCPU: %v", r)})
			out, used = sched.Exited, 0
		}
	}()
	return t.slice(fuel)
}

func (t task) slice(fuel int64) (sched.Outcome, int64) {
	p := t.p
	if p.StopRequested() {
		if s, ok := p.instance.(guest.Stopper); ok && p.started {
			p.told(s.Stop())
		}
		p.To(proc.Running) // a blocked process stops by way of running
		p.To(proc.Stopped)
		return sched.Waiting, 0
	}
	if p.State() == proc.Stopped {
		if s, ok := p.instance.(guest.Stopper); ok && p.started {
			p.told(s.Continue())
		}
		p.To(proc.Ready)
	}
	if p.Killed() && !p.started {
		return sched.Exited, 0
	}
	p.To(proc.Running)
	p.started = true
	var start event.Ticks
	if p.Stream().On(abi.CatScheduler) {
		start = event.Now()
	}
	out, used := p.instance.Resume(fuel)
	p.gate.Publish()
	if start != 0 {
		t.emit(start, out, used)
	}
	switch out {
	case guest.Waiting:
		p.To(proc.Blocked)
		return sched.Waiting, used
	case guest.Away:
		return sched.Waiting, used // and it is running
	case guest.Exited:
		return sched.Exited, used
	}
	p.To(proc.Ready)
	return sched.Yielded, used
}

// emit records a slice and, if the guest waits now, that it blocked.
func (t task) emit(start event.Ticks, out guest.Outcome, used int64) {
	p := t.p
	e := event.Event{Category: abi.CatScheduler, Kind: event.KindSlice, PID: p.PID, Chain: p.Chain, Start: start, End: event.Now(), A: uint64(used)}
	if out == guest.Waiting {
		e.Kind = event.KindBlock
	}
	p.Emit(&e)
}

// Charge accounts for the CPU time of a slice and enforces its limit.
func (t task) Charge(d time.Duration) {
	if t.p.spec.Setting != nil {
		return // it runs elsewhere, and the host counts
	}
	t.limitCPU(t.p.AddCPU(d))
}

func (t task) limitCPU(sum time.Duration) {
	if max := t.p.spec.Caps[abi.LimitCPU]; max != 0 && sum > time.Duration(max) {
		t.p.Kill(proc.End{Cause: abi.CauseCPULimit, Detail: "used " + time.Duration(max).String() + " of CPU time"})
	}
}

// told ends the process if its instance could not be stopped or continued: what
// runs on although it was stopped is out of control.
func (p *Process) told(err error) {
	if err != nil {
		p.Kill(proc.End{Cause: abi.CauseKernelError, Detail: err.Error()})
	}
}

// Instance returns what executes the process; nil before it is initialized. It is
// for the optional interfaces of package guest.
func (p *Process) Instance() guest.Instance {
	if !p.State().Schedulable() && p.State() != proc.Stopped {
		return nil
	}
	return p.instance
}

// Exited releases the process without holding up the vCPU.
func (t task) Exited() { go t.p.k.exit(t.p) }
