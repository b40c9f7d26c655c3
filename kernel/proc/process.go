package proc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// End is why and how a process ended.
type End struct {
	Cause     abi.Cause
	Code      int        // the program's own status, for CauseExited and CauseMemoryLimit
	Signal    abi.Signal // for CauseSignaled and CauseKilled
	Detail    string
	Backtrace []string // of the guest, innermost first
}

// Identity is what never changes about a process.
type Identity struct {
	Handle  abi.Handle
	PID     abi.PID
	Chain   abi.ChainID
	Program string
	Args    []string // with the program's name first
	Env     []string
}

// Process is one row of the process table.
type Process struct {
	Identity
	created   time.Time
	stream    *event.Stream
	account   *limit.Account
	authority *perm.Authority
	denials   *perm.Denials
	debt      debt
	host      HostView
	observe   func(act abi.Action, canonical string, c *abi.Call)
	looks     looks

	ns  *vfs.Namespace // set by the mount owner before Ready
	fds *FDTable       // set by the descriptor owner before Ready

	state  atomic.Uint32
	killed atomic.Bool
	stop   atomic.Bool
	end    atomic.Pointer[End]
	wake   atomic.Pointer[func()]

	// Resident is the memory that a process uses which the host limits, in bytes.
	Resident atomic.Uint64

	cpu      atomic.Int64 // ns on a vCPU, or of the host processes it consists of
	pressed  atomic.Bool  // a growth of memory was refused and none succeeded since
	failures perm.Failures
	// Of the call being served, and of the last that failed; on whoever serves it.
	why       perm.Reason
	grantable bool
	last      verdict
	refused   atomic.Uint32 // by what the call being served was: byNothing, byRule, or byLimit
	current   *abi.Call     // being served; set and read on whoever serves it
	asked     []question    // what current was allowed; on whoever serves it
	// remembered counts the decisions that Decide had from memory.
	remembered atomic.Uint64
	// serving is the epoch under which a call is served at this moment, 0 if none is.
	serving atomic.Uint64

	Syscalls     atomic.Uint64
	BytesRead    atomic.Uint64
	BytesWritten atomic.Uint64
	Emitted      atomic.Uint64 // events recorded, of memory and files excepted

	mu       sync.Mutex
	history  []StateAt     // guarded by mu; the first entry into each state
	seen     atomic.Uint32 // written under mu; bit set of states in history
	dead     chan struct{}
	deadOnce sync.Once
}

// What a call can have been refused by. A limit may be met beside the call, too, so
// that only this is written then.
const (
	byNothing = iota
	byRule
	byLimit
)

// StateAt is the first entry into a state, At after the creation.
type StateAt struct {
	State State
	At    time.Duration
}

// Options are what a process is made of. Stream may be nil.
type Options struct {
	Identity
	Stream    *event.Stream
	Account   *limit.Account
	Authority *perm.Authority
	Denials   *perm.Denials
	// Observe is told of each thing that the process was allowed to do to a file, on
	// whoever serves the call c, which may be nil; nil for nobody.
	Observe func(act abi.Action, canonical string, c *abi.Call)
	// Host looks at the host, for naming hidden denials; it may be nil.
	Host HostView
}

// HostView says whether the host has a path and whether any grant could show it.
type HostView func(path string) (exists, grantable bool)

// New makes a process in state Creating.
func New(o Options) *Process {
	p := &Process{
		Identity: o.Identity, created: time.Now(), stream: o.Stream, account: o.Account,
		authority: o.Authority, denials: o.Denials, host: o.Host, observe: o.Observe, dead: make(chan struct{}),
	}
	if p.account != nil {
		p.account.OnRefusal(p.limited)
	}
	p.first(Creating)
	return p
}

// limited records that a limit refused n of something.
func (p *Process) limited(l abi.Limit, n uint64) {
	p.refused.Store(byLimit)
	p.Emit(&event.Event{
		Category: abi.CatSecurity, Severity: abi.Notice, Kind: event.KindLimit,
		PID: p.PID, Chain: p.Chain, A: uint64(l), B: n,
	})
}

// Announce emits that the process exists.
func (p *Process) Announce() { p.emitState("", Creating) }

// Emit records an event of the process.
func (p *Process) Emit(e *event.Event) abi.EventID {
	id := p.stream.Emit(e)
	if id != 0 {
		p.Emitted.Add(1)
	}
	return id
}

// Created returns when the process was made.
func (p *Process) Created() time.Time { return p.created }

// Stream returns the event stream, which may be nil.
func (p *Process) Stream() *event.Stream { return p.stream }

// Account returns what the process is charged for.
func (p *Process) Account() *limit.Account { return p.account }

// Authority returns what decides on what the process may do.
func (p *Process) Authority() *perm.Authority { return p.authority }

// Remembered counts what became of the questions to the authority.
func (p *Process) Remembered() perm.Remembered {
	r := p.authority.Remembered()
	r.Hits += p.remembered.Load()
	return r
}

// Subject returns the credentials as they are now.
func (p *Process) Subject() *perm.Subject { return p.authority.Subject() }

// Denials returns the folded record of refusals.
func (p *Process) Denials() *perm.Denials { return p.denials }

// NS returns the mount namespace; nil before it is initialized.
func (p *Process) NS() *vfs.Namespace { return p.ns }

// SetNS installs the mount namespace. The mount owner calls it once.
func (p *Process) SetNS(ns *vfs.Namespace) { p.ns = ns }

// FDs returns the descriptor table; nil before it is initialized.
func (p *Process) FDs() *FDTable { return p.fds }

// SetFDs installs the descriptor table. The descriptor owner calls it once.
func (p *Process) SetFDs(t *FDTable) { p.fds = t }

// CountRead adds n bytes to what the process has read.
func (p *Process) CountRead(n int) { p.BytesRead.Add(uint64(n)) }

// CountWritten adds n bytes to what the process has written.
func (p *Process) CountWritten(n int) { p.BytesWritten.Add(uint64(n)) }

// State returns the current state.
func (p *Process) State() State { return State(p.state.Load()) }

// To moves the process to next and reports whether the table allows it from
// where the process is. A refused move changes nothing.
func (p *Process) To(next State) bool {
	for {
		cur := State(p.state.Load())
		if legal[cur]&(1<<next) == 0 {
			return false
		}
		if p.state.CompareAndSwap(uint32(cur), uint32(next)) {
			p.note(cur, next)
			return true
		}
	}
}

// note records and emits the first entry into a state. Later rounds of running,
// ready, and blocked are the scheduler's events, not lifecycle.
func (p *Process) note(from, to State) {
	if p.first(to) {
		p.emitState(from.String(), to)
	}
}

func (p *Process) emitState(from string, to State) {
	p.Emit(&event.Event{
		Category: abi.CatProcess, Severity: abi.Info, Kind: event.KindState,
		PID: p.PID, Chain: p.Chain, Text: from, Text2: to.String(),
	})
}

// first records the time of the first entry into a state and reports whether
// this was it.
func (p *Process) first(s State) bool {
	if p.seen.Load()&(1<<s) != 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	invariants.Point("proc.process")
	if p.seen.Load()&(1<<s) != 0 {
		return false
	}
	p.seen.Store(p.seen.Load() | 1<<s)
	p.history = append(p.history, StateAt{s, time.Since(p.created)})
	return true
}

// History returns the first entry into each state, in order.
func (p *Process) History() []StateAt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.history)
}

// Finish records the end, if no other came first, and reports whether it did. A
// program that fails after its memory was refused has died of that.
func (p *Process) Finish(e End) bool {
	failed := e.Cause == abi.CauseFault || e.Cause == abi.CauseExited && e.Code != 0
	if failed && p.pressed.Load() {
		if e.Detail != "" {
			e.Detail = "memory was refused, then: " + e.Detail
		} else {
			e.Detail = "memory was refused and the program gave up"
		}
		e.Cause = abi.CauseMemoryLimit
	}
	return p.end.CompareAndSwap(nil, &e)
}

// MemoryRefused notes whether the last growth of memory was refused.
func (p *Process) MemoryRefused(refused bool) { p.pressed.Store(refused) }

// CPUTime returns how long the process has been on a vCPU.
func (p *Process) CPUTime() time.Duration { return time.Duration(p.cpu.Load()) }

// AddCPU adds a slice and returns the sum.
func (p *Process) AddCPU(d time.Duration) time.Duration { return time.Duration(p.cpu.Add(int64(d))) }

// SetCall names the call that is being served, for the record of a denial.
func (p *Process) SetCall(c *abi.Call) {
	p.current, p.asked = c, p.asked[:0]
	if p.refused.Load() != byNothing { // a load is free, and a store is not
		p.refused.Store(byNothing)
	}
}

// ObserveCPU replaces the CPU time of a process that runs outside the vCPUs, unless
// more is known already, and returns it.
func (p *Process) ObserveCPU(total time.Duration) time.Duration {
	for old := p.cpu.Load(); int64(total) > old; old = p.cpu.Load() {
		if p.cpu.CompareAndSwap(old, int64(total)) {
			return total
		}
	}
	return p.CPUTime()
}

// End returns how the process ended; nil while it has not.
func (p *Process) End() *End { return p.end.Load() }

// AddBacktrace completes the end with the guest's frames, which are known only
// once it has unwound. It must be called on the process's own vCPU.
func (p *Process) AddBacktrace(frames []string) {
	for {
		old := p.end.Load()
		if old == nil || len(old.Backtrace) > 0 || len(frames) == 0 {
			return
		}
		e := *old
		e.Backtrace = frames
		if p.end.CompareAndSwap(old, &e) {
			return
		}
	}
}

// SetWake installs what makes the process runnable.
func (p *Process) SetWake(f func()) { p.wake.Store(&f) }

// Wake makes the process runnable again, if it can be.
func (p *Process) Wake() {
	if f := p.wake.Load(); f != nil {
		(*f)()
	}
}

// Kill marks the process to die of e, unless it has ended otherwise, and wakes
// it so that it unwinds. It reports whether e became the cause.
func (p *Process) Kill(e End) bool {
	won := p.Finish(e)
	p.killed.Store(true)
	if won && e.Cause != abi.CauseExited {
		p.Emit(&event.Event{
			Category: abi.CatProcess, Severity: abi.Warning, Kind: event.KindKill,
			PID: p.PID, Chain: p.Chain, A: uint64(e.Cause), B: event.Absent, Text: e.Detail,
		})
	}
	p.Wake()
	return won
}

// Killed reports whether the process must unwind.
func (p *Process) Killed() bool { return p.killed.Load() }

// Stop asks the process to stop at its next yield; Continue lets it go on.
func (p *Process) Stop() { p.stop.Store(true) }

// Continue undoes Stop.
func (p *Process) Continue() {
	p.stop.Store(false)
	p.Wake()
}

// StopRequested reports whether the process should be stopped. A process that
// is to die never stops.
func (p *Process) StopRequested() bool { return p.stop.Load() && !p.killed.Load() }

// MarkDead moves a process out of sight: everything was released and its
// waiters may go on.
func (p *Process) MarkDead() {
	p.To(Dead)
	p.deadOnce.Do(func() { close(p.dead) })
}

// DeadC is closed when the process is dead.
func (p *Process) DeadC() <-chan struct{} { return p.dead }
