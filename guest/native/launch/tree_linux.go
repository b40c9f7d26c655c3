package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/stub"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// Tree is a program and all that it starts.
type Tree struct {
	cell    *cell
	job     Job
	script  *stub.Script
	send    []*os.File // to the starter; closed when they are sent
	missing []string
	done    chan struct{}
	end     End // valid once done is closed
	started atomic.Bool
	execErr chan error // receives one error, or nil, once all was sent

	telling sync.Mutex
	told    bool // guarded by telling; nothing is told any more

	mu     sync.Mutex
	looked time.Time // guarded by mu; when the disk was looked at
	gate   *gate     // guarded by mu; nil without one, and at the end
}

// Start prepares a tree: when it returns, everything is in place and nothing of the
// program has run. ctx bounds the wait for a cell.
func (l *Launcher) Start(ctx context.Context, job *Job) (_ *Tree, err error) {
	s := stageOf(job)
	c, err := l.take(ctx, s)
	if err != nil {
		return nil, err
	}
	t := &Tree{cell: c, job: *job, done: make(chan struct{}), execErr: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.discard())
		}
	}()
	if t.missing, err = c.limitFor(job); err != nil {
		return nil, err
	}
	conf := confinement{job: &t.job, terminal: -1}
	if conf.limits, err = c.rlimits(&job.Limits); err != nil {
		return nil, err
	}
	conf.cpus = c.affinity()
	if !l.namespaces {
		if err := c.settle(&t.job); err != nil {
			return nil, err
		}
	}
	if err := t.dress(&conf, s); err != nil {
		return nil, err
	}
	t.script = conf.script()
	t.gate, t.cell.gate = t.cell.gate, nil
	t.cell.retire()
	go t.finish()
	return t, nil
}

// furnish puts the job's view on. A job that needs a place of its own in what the
// programs of a plan have in common gets a cell without a plan.
func (t *Tree) furnish(s stage) (ptmx, ruleset *os.File, err error) {
	ptmx, ruleset, err = t.cell.furnish(&t.job)
	if !errors.Is(err, view.ErrShared) {
		return ptmx, ruleset, err
	}
	c, err := t.cell.l.newCell(s, nil)
	if err != nil {
		return nil, nil, err
	}
	err = t.cell.close()
	t.cell = c
	if err != nil {
		return nil, nil, err
	}
	if t.missing, err = c.limitFor(&t.job); err != nil {
		return nil, nil, err
	}
	return c.furnish(&t.job)
}

// dress puts the job's view on, and opens what is sent to the starter.
func (t *Tree) dress(conf *confinement, s stage) (err error) {
	ptmx, ruleset, err := t.furnish(s)
	if err != nil {
		return err
	}
	stdio, err := t.job.Stdio(ptmx)
	if err != nil {
		return errors.Join(err, closeFile(ruleset))
	}
	if t.job.Terminal {
		conf.terminal = t.job.Session
	}
	if ruleset != nil {
		defer func() {
			if err != nil {
				_ = ruleset.Close() // the error says more
			}
		}()
	}
	// The starter gets duplicates, so that the caller may close its own at any time.
	for i, f := range stdio {
		if conf.stdio[i] = -1; f == nil {
			continue
		}
		d, err := duplicate(f)
		if err != nil {
			return err
		}
		conf.stdio[i] = len(t.send)
		t.send = append(t.send, d)
	}
	if conf.ruleset = -1; ruleset != nil {
		conf.ruleset = len(t.send)
		t.send = append(t.send, ruleset)
	}
	conf.sent = len(t.send)
	return nil
}

// duplicate returns another descriptor of f, which is in blocking mode as a program
// expects.
func duplicate(f *os.File) (d *os.File, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	cerr := c.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(cerr, err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Missing says which limits and masks are not enforced.
func (t *Tree) Missing() []string {
	return append(t.missing[:len(t.missing):len(t.missing)], t.cell.left...)
}

// Go lets the program run. It does not wait for it; what becomes of it is said by Done.
func (t *Tree) Go() {
	t.started.Store(true)
	if t.script.Len() <= atOnce {
		t.execErr <- t.execute()
		return
	}
	go func() { t.execErr <- t.execute() }()
}

// atOnce is how much a socket takes whether or not it is read from.
const atOnce = 64 << 10

// execute has the starter execute the program. What prevents that the starter says
// before it dies.
func (t *Tree) execute() error {
	end := t.cell.starter.end
	t.serve()
	err := t.script.Send(end)
	if err == nil {
		err = send(end, t.send)
	}
	t.closeSent()
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	return nil
}

// serve has the gate answer, before the starter asks.
func (t *Tree) serve() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gate == nil { // there is none, or the tree has ended
		return
	}
	t.gate.ran = t.ran
	t.gate.serve()
}

// ran tells of a start of a program, unless the tree has ended.
func (t *Tree) ran(pid int, program string) {
	t.telling.Lock()
	defer t.telling.Unlock()
	if t.job.Ran != nil && !t.told {
		t.job.Ran(pid, program)
	}
}

func (t *Tree) closeSent() {
	for _, f := range t.send {
		_ = f.Close() // a duplicate
	}
	t.send = nil
}

// PID returns the host's number of the program's process.
func (t *Tree) PID() int { return t.cell.starter.pid }

// Signal sends a signal to the program; unix.ESRCH if it has ended.
func (t *Tree) Signal(sig unix.Signal) error {
	select {
	case <-t.cell.starter.gone:
		return unix.ESRCH
	default:
		return t.cell.starter.signal(sig)
	}
}

// Stop freezes the whole tree; Continue lets it go on.
func (t *Tree) Stop() error     { return t.cell.stop() }
func (t *Tree) Continue() error { return t.cell.resume() }

// Kill ends every process of the tree. Done says when they are gone.
func (t *Tree) Kill() error {
	select {
	case <-t.done:
		return nil
	default:
	}
	err := t.cell.kill()
	if errors.Is(err, os.ErrClosed) {
		return nil // it has just ended
	}
	return err
}

// Usage returns what the tree has used so far, and what of that is too much and has to
// be ended by who looks.
func (t *Tree) Usage() (guest.Usage, *Excess, error) {
	u, err := t.cell.usage()
	if err != nil {
		return u, nil, err
	}
	u.CPU -= min(u.CPU, t.cell.before)
	over, err := t.over(&u)
	return u, over, err
}

// Done is closed when no process of the tree is left. What it had of the host's kernel,
// an empty control group and mounts that nobody sees any more, is returned within
// milliseconds from then on; Launcher.Close waits for that.
func (t *Tree) Done() <-chan struct{} { return t.done }

// End returns how it ended; valid once Done is closed.
func (t *Tree) End() End { return t.end }

// finish waits for the end of the program, ends the rest, and counts.
func (t *Tree) finish() {
	c := t.cell
	defer c.l.over()
	defer close(t.done)
	<-c.starter.gone
	began := time.Now()
	var errs []error
	errs = append(errs, c.starter.err)
	if t.started.Load() {
		err := <-t.execErr
		if err == nil {
			err = t.script.Wait(c.starter.end) // its socket has closed
		}
		errs = append(errs, t.execError(err))
	}
	stats, err := c.outcome()
	errs = append(errs, err)
	t.lower()
	c.l.clear(c)
	ws := c.starter.status
	e := &t.end
	e.Exited, e.Status = ws.Exited(), ws.ExitStatus()
	if ws.Signaled() {
		e.Signal, e.Core = int(ws.Signal()), ws.CoreDump()
	}
	e.Usage = usageOf(&stats)
	if c.l.o.Alone {
		// Of nobody else has this process been told, and by now all are reaped.
		var r unix.Rusage
		errs = append(errs, unix.Getrusage(unix.RUSAGE_CHILDREN, &r))
		e.Usage.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		e.Usage.BytesRead += c.orphans.read
		e.Usage.BytesWritten += c.orphans.written
	}
	if !c.l.groups.Has("memory") { // then of the largest of its processes, at least
		e.Usage.MemoryPeak = max(e.Usage.MemoryPeak, uint64(max(c.starter.usage.Maxrss, 0))<<10)
	}
	e.OOMKills, e.PidsHit = stats.OOMKills, stats.PidsFull
	e.MainOOM = e.OOMKills > 0 && ws.Signaled() && ws.Signal() == unix.SIGKILL
	e.Took = time.Since(began)
	e.Err = errors.Join(errs...)
}

// lower has the gate be closed with what else is cleared away. That is not done before
// everyone is gone: whoever starts a program without a gate is told that there is no
// such call.
func (t *Tree) lower() {
	t.telling.Lock()
	t.told = true
	t.telling.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gate, t.cell.gate = nil, t.gate
}

// discard gives back a tree that could not be started.
func (t *Tree) discard() error {
	t.closeSent()
	return t.cell.close()
}
