package gate

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Handler performs one operation and returns how it went, leaving results in c.
// It may run on a worker; it keeps neither c nor c.Buf.
type Handler func(p *proc.Process, c *abi.Call) abi.Errno

// WaitHandler performs an operation that waits for time to pass or for others. It
// is called again with the same arguments each time the process wakes; began is
// when the call was made. If it is not finished it returns what to wait for.
type WaitHandler func(p *proc.Process, c *abi.Call, began time.Time) (errno abi.Errno, wait Wait, done bool)

// Wait is what a process waits for: the first of them.
type Wait struct {
	Again time.Time // the zero time is never
	Files []Watched
}

// Watched is a file that a process waits for. Whoever takes it takes its reference.
type Watched struct {
	File *vfs.File
	Kind abi.PollKind
}

// Table is the dispatch: for each operation exactly one of the two.
type Table struct {
	handlers [abi.NumSys]Handler
	waiting  [abi.NumSys]WaitHandler
}

// NewTable merges the handlers of the subsystems. It fails unless every row of
// the syscall table has exactly one.
func NewTable(waiting map[abi.Sysno]WaitHandler, sets ...map[abi.Sysno]Handler) (*Table, error) {
	t := new(Table)
	for _, set := range sets {
		for nr, h := range set {
			if t.handlers[nr] != nil {
				return nil, fmt.Errorf("gate: %s has two handlers", nr)
			}
			t.handlers[nr] = h
		}
	}
	for nr, h := range waiting {
		if t.handlers[nr] != nil {
			return nil, fmt.Errorf("gate: %s has two handlers", nr)
		}
		t.waiting[nr] = h
	}
	for nr := range abi.NumSys {
		if t.handlers[nr] == nil && t.waiting[nr] == nil {
			return nil, fmt.Errorf("gate: %s has no handler", nr)
		}
	}
	return t, nil
}

// Shared is what the gates of one kernel have in common.
type Shared struct {
	Table   *Table
	Workers *Workers
	// Panicked is told of a panic in a handler, after the process was marked.
	Panicked func(p *proc.Process, value any, stack []byte)
}

// Gate is the gate of one process. It implements [guest.Gate]; its methods run
// on the process's vCPU.
type Gate struct {
	p      *proc.Process
	shared *Shared

	ev event.Event // of the last call, used again: filling it anew would clear it first

	// Counted on the vCPU and published after each slice.
	calls, emitted uint64

	// One call at most is in flight; these describe it.
	began  time.Time
	start  event.Ticks
	job    *job
	timer  *time.Timer
	buffer []byte // bounce buffer, kept between calls while small
	lease  Lease  // nil sends every call that may wait to a worker
	// answered says that the call was performed and only its slice given up.
	answered bool
	epoch    uint64 // that the call is decided under
	channel  bool   // the call waits for its channel
	paying   bool   // the call is answered, and waits for having been denied too much
	moved    int    // bytes that it has moved so far

	watches []watch // changed on the vCPU, and at last by the release

	inflight atomic.Pointer[job] // job, for the release of the process
}

var _ guest.Gate = (*Gate)(nil)

// Lease is the gate's hold on its vCPU, from the scheduler.
type Lease interface {
	// EnterHost says that a call into the host begins on the vCPU.
	EnterHost()
	// LeaveHost says that it is over, and reports whether the vCPU is still the
	// guest's to use.
	LeaveHost() bool
}

// New makes the gate of p.
func New(p *proc.Process, shared *Shared) *Gate {
	return &Gate{p: p, shared: shared, ev: event.Event{PID: p.PID, Chain: p.Chain}}
}

// SetLease lets the gate call prompt storage on the vCPU. It must be called
// before the process runs.
func (g *Gate) SetLease(l Lease) { g.lease = l }

// Killed reports whether the process must unwind.
func (g *Gate) Killed() bool { return g.p.Killed() }

// Call performs c; see [guest.Gate].
func (g *Gate) Call(c *abi.Call) abi.Status {
	p := g.p
	if p.Killed() || !p.State().AcceptsCalls() {
		return abi.Killed
	}
	if c.Nr >= abi.NumSys {
		c.Errno = abi.ENOSYS
		return abi.Done
	}
	row := c.Nr.Row()
	g.calls++
	if p.Stream().On(row.Category) {
		g.start = event.Now()
	} else {
		g.start = 0
	}
	if !g.enter(row, c) {
		return g.done(c)
	}
	if c.Need|c.Need2 != 0 && g.lacks(row, c) {
		p.SetCall(c)
		c.Errno = c.Lack
		return g.done(c)
	}
	if row.Waits {
		if g.shared.Table.waiting[c.Nr] != nil {
			g.began = time.Now()
			return g.wait(c)
		}
		if latency := g.latency(row, c); latency != vfs.Instant {
			return g.visit(c, latency)
		}
	}
	g.perform(c)
	return g.done(c)
}

// asked are the actions that policies decide here: they are done to the host or to the
// process itself. On files the walk asks, with the handle; on variables, programs, and
// listeners whoever starts a run.
var asked = [abi.NumActions]bool{abi.ActClock: true, abi.ActRandom: true, abi.ActInfo: true, abi.ActSignal: true}

// hostQuery is the question of such an action.
func hostQuery(row *abi.Row) *perm.Query {
	q := &perm.Query{Action: row.Action, Target: perm.TargetHost}
	if row.Action == abi.ActSignal {
		q.Target = perm.TargetProcess // itself
	}
	return q
}

// enter begins to serve c: it asks layer 1, policies on what is no file, and whether the
// descriptor is still good for the call. It reports false if c is refused. Whoever
// returns without done leaves.
func (g *Gate) enter(row *abi.Row, c *abi.Call) bool {
	p := g.p
	g.epoch = p.Enter()
	if c.Errno = admit(p, row, c, g.epoch); c.Errno == abi.OK {
		return true
	}
	return false
}

// admit asks what enter asks. A poll has its descriptors in a list, and asks for each.
func admit(p *proc.Process, row *abi.Row, c *abi.Call, epoch uint64) abi.Errno {
	if !p.Subject().Allows(row.Capability) {
		p.SetCall(c)
		return p.Deny(p.Subject().Capability(row), c.Path, "")
	}
	if asked[row.Action] && p.Authority().Policed() {
		if d := p.Authority().Ask(hostQuery(row)); !d.Allow {
			p.SetCall(c)
			return p.Deny(d, c.Path, "")
		}
	}
	switch {
	case row.Touches == abi.ObjDescriptor && c.Nr != abi.SysPoll && !p.FDs().Fresh(c.FD, epoch):
		return p.Recheck(c, c.FD, epoch)
	case row.Touches == abi.ObjPath:
		// Where the walks begin.
		if !p.FDs().Fresh(c.FD, epoch) {
			if errno := p.Recheck(c, c.FD, epoch); errno != abi.OK {
				return errno
			}
		}
		if (c.Nr == abi.SysRename || c.Nr == abi.SysLink) && !p.FDs().Fresh(c.FD2, epoch) {
			return p.Recheck(c, c.FD2, epoch)
		}
	}
	return abi.OK
}

// perform runs the handler on this goroutine.
func (g *Gate) perform(c *abi.Call) {
	defer g.recovered(c)
	g.p.SetCall(c)
	c.Errno = g.shared.Table.handlers[c.Nr](g.p, c)
}

// recovered turns a panic in a handler into the end of its process.
func (g *Gate) recovered(c *abi.Call) {
	if r := recover(); r != nil {
		panicked(g.shared, g.p, c, r)
	}
}

func panicked(s *Shared, p *proc.Process, c *abi.Call, r any) {
	c.Errno = abi.EIO
	p.Kill(proc.End{Cause: abi.CauseKernelError, Detail: fmt.Sprintf("panic in %s: %v", c.Nr, r)})
	if s.Panicked != nil {
		s.Panicked(p, r, debug.Stack())
	}
}

// done ends the serving of a finished call and emits its event.
func (g *Gate) done(c *abi.Call) abi.Status {
	g.p.Leave()
	var id abi.EventID
	if g.start != 0 {
		id = g.emit(c)
	}
	if c.Errno != abi.OK {
		g.p.Failed(c, id)
		return g.pay()
	}
	if g.p.Killed() {
		return abi.Killed
	}
	return abi.Done
}

// pay lets the guest have its answer once it has paid for what it was denied. It waits as
// any call does, off the vCPU.
func (g *Gate) pay() abi.Status {
	g.paying = false
	if g.p.Killed() {
		return abi.Killed
	}
	owes := g.p.Owes()
	if owes == 0 {
		return abi.Done
	}
	g.paying = true
	g.wakeIn(owes)
	return abi.Blocked
}

// wakeIn sets the timer that wakes the process.
func (g *Gate) wakeIn(d time.Duration) {
	if g.timer == nil {
		g.timer = time.AfterFunc(d, g.p.Wake)
	} else {
		g.timer.Reset(d)
	}
}

func (g *Gate) emit(c *abi.Call) abi.EventID {
	row := c.Nr.Row()
	e := &g.ev
	e.Category, e.Kind, e.Errno, e.Severity = row.Category, event.KindSyscall(c.Nr), c.Errno, abi.Info
	if c.Errno != abi.OK {
		e.Severity = abi.Notice
	}
	e.Start, e.End = g.start, event.Now()
	if e.Via != c.Via {
		e.Via = c.Via
	}
	e.A, e.B = uint64(c.FD), c.Ret
	switch row.Touches {
	case abi.ObjPath:
		e.Text, e.Text2 = c.Path, ""
	case abi.ObjTwoPaths:
		e.Text, e.Text2 = c.Path, c.Path2
	default:
		if row.Touches != abi.ObjDescriptor {
			e.A = c.Arg[0]
		}
		if e.Text != "" {
			e.Text, e.Text2 = "", ""
		}
	}
	id := g.p.Stream().Emit(e)
	if id != 0 {
		g.emitted++
	}
	return id
}

// Publish adds what was counted to the process's usage. The kernel calls it
// after each slice, on the vCPU.
func (g *Gate) Publish() {
	if g.calls != 0 {
		g.p.Syscalls.Add(g.calls)
		g.p.Emitted.Add(g.emitted)
		g.calls, g.emitted = 0, 0
	}
}

// lacks reports whether a descriptor lacks a right that the call takes. Rights are
// the guest's own bookkeeping: to lack one is no denial of the kernel's.
func (g *Gate) lacks(row *abi.Row, c *abi.Call) bool {
	fds, base := g.p.FDs(), row.Touches != abi.ObjDescriptor
	return fds.Lacks(c.FD, c.Need, base) || c.Need2 != 0 && fds.Lacks(c.FD2, c.Need2, base)
}

// latency returns how long an operation may wait for the host.
func (g *Gate) latency(row *abi.Row, c *abi.Call) vfs.Latency {
	fds := g.p.FDs()
	switch row.Touches {
	case abi.ObjDescriptor:
		l := fds.Latency(c.FD)
		if c.Nr == abi.SysRenumber {
			l = max(l, fds.Latency(c.FD2))
		}
		return l
	case abi.ObjPath:
		return fds.BaseLatency(c.FD)
	case abi.ObjTwoPaths:
		return max(fds.BaseLatency(c.FD), fds.BaseLatency(c.FD2))
	}
	return vfs.Instant
}

// visit performs an operation that may wait for the host: at once if the host has
// what is asked for, on the vCPU if it is quick, and else on a worker.
func (g *Gate) visit(c *abi.Call, latency vfs.Latency) abi.Status {
	if c.Nr == abi.SysRead || c.Nr == abi.SysWrite {
		if f, errno := g.p.FDs().Borrow(c.FD); errno == abi.OK && f.Stream() {
			g.p.SetCall(c)
			g.moved = 0
			return g.onChannel(c)
		}
	}
	slow := latency != vfs.Prompt || g.lease == nil
	switch c.Nr {
	case abi.SysRead, abi.SysPread:
		switch errno := g.tryRead(c); errno {
		case abi.OK:
			return g.done(c)
		case abi.EAGAIN:
			slow = true
		}
	case abi.SysSync, abi.SysDatasync:
		slow = true
	case abi.SysWrite, abi.SysPwrite:
		if f, errno := g.p.FDs().Borrow(c.FD); errno == abi.OK && f.Durable() {
			slow = true
		}
	}
	if slow {
		return g.offload(c)
	}
	return g.here(c)
}

// here performs an operation in the host on the vCPU. The guest stays in its call
// until the host has answered, so that its own buffers can be used. If the
// vCPU went to others meanwhile, or is due to, the guest gives up its slice first.
func (g *Gate) here(c *abi.Call) abi.Status {
	g.lease.EnterHost()
	g.perform(c)
	if g.lease.LeaveHost() {
		return g.done(c)
	}
	g.answered = true
	g.p.Leave()
	g.p.Wake()
	return abi.Blocked
}

// tryRead serves a read here where the host has the data in memory, which is
// cheaper than a worker by far. EAGAIN says that the data are not there; any other
// error, that the handler knows better what to say, or the host whether it waits.
func (g *Gate) tryRead(c *abi.Call) (errno abi.Errno) {
	f, errno := g.p.FDs().Borrow(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer func() {
		if r := recover(); r != nil {
			panicked(g.shared, g.p, c, r)
			errno = abi.OK // it is served, by its end
		}
	}()
	var n int
	if c.Nr == abi.SysRead {
		n, errno = f.TryRead(c.Buf)
	} else {
		n, errno = f.TryPread(c.Buf, c.Off)
	}
	if errno != abi.OK {
		return errno
	}
	c.Errno, c.Ret = abi.OK, uint64(n)
	g.p.CountRead(n)
	return abi.OK
}

// Continue takes up a call that was blocked; see [guest.Gate].
func (g *Gate) Continue(c *abi.Call) abi.Status {
	if g.p.Killed() {
		return abi.Killed
	}
	if g.paying {
		return g.pay()
	}
	if g.job != nil {
		return g.collect(c)
	}
	row := c.Nr.Row()
	if g.answered {
		g.answered = false
		g.deliver(row, c, g.epoch)
		return g.done(c)
	}
	if !g.enter(row, c) {
		g.unwatch()
		g.channel = false
		if g.timer != nil {
			g.timer.Stop()
		}
		return g.done(c)
	}
	if g.channel {
		return g.onChannel(c)
	}
	return g.wait(c)
}

// deliver takes back what a call has found out that was answered under an epoch, if
// what the process may do has become less since and the call would be refused now.
// What it has done is done, and it is told of that.
func (g *Gate) deliver(row *abi.Row, c *abi.Call, epoch uint64) {
	p := g.p
	now := p.Enter()
	if now == epoch || !tells(c.Nr) {
		return
	}
	errno := admit(p, row, c, now)
	if errno == abi.OK && row.Touches != abi.ObjDescriptor {
		errno = p.Reconsider(c)
	}
	if errno == abi.OK {
		return
	}
	if c.Nr == abi.SysOpen && c.Errno == abi.OK {
		if d, e := p.FDs().Remove(abi.FD(c.Ret)); e == abi.OK {
			_ = d.File.Unref() // nothing was done with it
		}
	}
	c.Errno, c.Ret, c.Link, c.Ents, c.Stat = errno, 0, "", nil, abi.Stat{}
}

// tells reports whether the answer of an operation tells something of a file.
func tells(nr abi.Sysno) bool {
	switch nr {
	case abi.SysRead, abi.SysPread, abi.SysReaddir, abi.SysFstat, abi.SysSeek, abi.SysOpen, abi.SysStat, abi.SysReadlink:
		return true
	}
	return false
}

// wait runs a waiting handler and, if it is not finished, sets the timer that
// wakes the process.
func (g *Gate) wait(c *abi.Call) abi.Status {
	g.unwatch()
	wait, done := g.performWaiting(c)
	if done {
		if g.timer != nil {
			g.timer.Stop()
		}
		return g.done(c)
	}
	g.watch(wait.Files)
	if !wait.Again.IsZero() {
		g.wakeIn(time.Until(wait.Again))
	}
	g.p.Leave()
	return abi.Blocked
}

func (g *Gate) performWaiting(c *abi.Call) (wait Wait, done bool) {
	defer func() {
		if r := recover(); r != nil {
			panicked(g.shared, g.p, c, r)
			wait, done = Wait{}, true
		}
	}()
	g.p.SetCall(c)
	c.Errno, wait, done = g.shared.Table.waiting[c.Nr](g.p, c, g.began)
	return wait, done
}

// Abandon lets go of whatever the last call waits for. It is called once, when
// the process is released and its guest has unwound, and returns how many waits
// there were and how many host operations it left behind.
func (g *Gate) Abandon() (waits, left int) {
	if g.timer != nil && g.timer.Stop() {
		waits++
	}
	waits += len(g.watches)
	g.unwatch()
	if j := g.inflight.Load(); j != nil {
		waits++
		if !j.abandon(g.shared.Workers) {
			left++
		}
	}
	return waits, left
}
