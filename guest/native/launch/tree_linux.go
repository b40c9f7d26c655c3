package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	execErr chan error // receives one error, or nil, once started

	mu     sync.Mutex
	looked time.Time // guarded by mu; when the disk was looked at
	gate   *gate     // guarded by mu; nil before Go
	gone   bool      // guarded by mu; no gate may be opened any more
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
	if t.missing, err = c.limit(&job.Limits, job.BestEffort); err != nil {
		return nil, err
	}
	conf := confinement{job: &t.job, filter: l.filter, listen: l.listenFlags, namespaces: l.namespaces, terminal: -1}
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
	if t.script, err = conf.script(); err != nil {
		return nil, err
	}
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
	if t.missing, err = c.limit(&t.job.Limits, t.job.BestEffort); err != nil {
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
		if f == nil {
			return fmt.Errorf("descriptor %d has nothing behind it", i)
		}
		d, err := duplicate(f)
		if err != nil {
			return err
		}
		t.send = append(t.send, d)
	}
	if ruleset != nil {
		conf.ruleset = true
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

// Go lets the program run. It returns at once; what becomes of it is said by Done.
func (t *Tree) Go() {
	t.started.Store(true)
	go func() { t.execErr <- t.execError(t.execute()) }()
}

// execute has the starter execute the program and returns what prevented it.
func (t *Tree) execute() error {
	end := t.cell.starter.end
	err := t.script.Send(end)
	if err == nil {
		err = send(end, t.send)
	}
	t.closeSent()
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	var r io.Reader = end
	if t.cell.l.listenFlags != 0 {
		fd, said, err := listener(end)
		if err != nil {
			return fmt.Errorf("starter: %w", err)
		}
		if fd < 0 {
			r = io.MultiReader(bytes.NewReader(said), end)
		} else if err := t.openGate(fd); err != nil {
			return err
		}
	}
	return t.script.Wait(r)
}

func (t *Tree) openGate(fd int) error {
	g, err := newGate(fd)
	if err != nil {
		return err
	}
	g.ran = func(pid int, program string) {
		if t.job.Ran != nil {
			t.job.Ran(pid, program)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return g.listener.Close()
	}
	t.gate = g
	g.serve()
	return nil
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
	stats, err := c.stats()
	errs = append(errs, err)
	if t.started.Load() {
		errs = append(errs, <-t.execErr) // its socket has closed
	}
	ws := c.starter.status
	e := &t.end
	e.Exited, e.Status = ws.Exited(), ws.ExitStatus()
	if ws.Signaled() {
		e.Signal, e.Core = int(ws.Signal()), ws.CoreDump()
	}
	// With the last process the counts are complete.
	errs = append(errs, c.end())
	// Not before everyone is gone: whoever starts a program without a gate is told that
	// there is no such call.
	errs = append(errs, t.lower())
	c.l.clear(c)
	e.Usage = usageOf(&stats)
	e.Usage.CPU = c.starter.cpu()
	e.Usage.BytesRead, e.Usage.BytesWritten = c.starter.io.read, c.starter.io.written
	if c.init != nil {
		e.Usage.CPU += c.init.cpu()
		e.Usage.BytesRead += c.init.io.read
		e.Usage.BytesWritten += c.init.io.written
	}
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

// lower closes the gate and our ends.
func (t *Tree) lower() error {
	t.mu.Lock()
	g := t.gate
	t.gate, t.gone = nil, true
	t.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.close()
}

// discard gives back a tree that could not be started.
func (t *Tree) discard() error {
	t.closeSent()
	return t.cell.close()
}
