package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// Options configure a launcher.
type Options struct {
	launch.Options
	// Command is the command line of a program that calls [Main] first of all; empty
	// means this executable.
	Command []string
}

// Launcher starts trees in other processes. Its methods are those of
// [launch.Launcher].
type Launcher struct {
	o      Options
	argv   []string
	each   bool // tree has a process of its own
	facts  launch.Facts
	opened atomic.Uint64 // processes, for their names

	mu     sync.Mutex
	link   *link // guarded by mu; for the next tree; nil for none
	closed bool  // guarded by mu
}

// New starts the first of the other processes. With NoNamespaces there is one for each
// tree, otherwise one in a user namespace for all.
func New(o Options) (*Launcher, error) {
	l := &Launcher{o: o, argv: o.Command, each: o.NoNamespaces}
	if len(l.argv) == 0 {
		l.argv = []string{"/proc/self/exe"} // also after the file was replaced
	}
	if l.each {
		l.o.Alone, l.o.Ready = true, 0
	} else {
		l.o.UserNamespace = true
	}
	k, err := l.open()
	if err != nil {
		return nil, err
	}
	l.link, l.facts = k, k.facts
	return l, nil
}

func (l *Launcher) open() (*link, error) {
	o := l.o.Options
	o.Name += "-" + strconv.FormatUint(l.opened.Add(1), 10)
	return open(l.argv, !l.each, o)
}

// Facts says what the floor is made of.
func (l *Launcher) Facts() launch.Facts { return l.facts }

// take returns the process for the next tree.
func (l *Launcher) take() (*link, error) {
	l.mu.Lock()
	k := l.link
	if l.each {
		l.link = nil
	}
	closed := l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return nil, os.ErrClosed
	case k != nil && k.up():
		return k, nil
	}
	fresh, err := l.open()
	if err != nil || l.each {
		return fresh, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link != k || l.closed { // another was quicker
		other := l.link
		go func() { _ = fresh.close() }() // it has no tree yet
		if l.closed {
			return nil, os.ErrClosed
		}
		return other, nil
	}
	l.link = fresh
	if k != nil {
		go func() { _ = k.close() }() // it is dead, and how was said to its trees
	}
	return fresh, nil
}

// Close ends the processes. The trees must have ended.
func (l *Launcher) Close() error {
	l.mu.Lock()
	k := l.link
	l.link, l.closed = nil, true
	l.mu.Unlock()
	if k == nil {
		return nil
	}
	return k.close()
}

// Tree is a program and all that it starts, in another process's care. Its methods are
// those of [launch.Tree].
type Tree struct {
	l       *Launcher
	link    *link
	id      uint64
	job     *launch.Job
	pid     int
	program atomic.Pointer[os.File] // pidfd, of a tree that its process would leave behind; else nil
	missing []string
	watched bool
	over    chan struct{} // closed when it has ended, before its process is waited for
	done    chan struct{}
	once    sync.Once
	end     launch.End // valid once done is closed
}

// Start prepares a tree. ctx is looked at once.
func (l *Launcher) Start(ctx context.Context, job *launch.Job) (*Tree, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w, err := toJob(job)
	if err != nil {
		return nil, err
	}
	k, err := l.take()
	if err != nil {
		return nil, err
	}
	t := &Tree{l: l, link: k, job: job, over: make(chan struct{}), done: make(chan struct{})}
	if err := k.add(t); err != nil {
		return nil, errors.Join(err, t.giveBack())
	}
	said, err := k.call(&order{Op: opPrepare, Tree: t.id, Job: w})
	if err != nil {
		k.remove(t)
		return nil, errors.Join(err, t.giveBack())
	}
	t.pid, t.missing, t.watched = said.PID, said.Missing, said.Watched
	if l.each {
		fd, err := unix.PidfdOpen(t.pid, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pidfd_open: %w", err), t.giveBack())
		}
		t.program.Store(os.NewFile(uintptr(fd), "program"))
		if !k.up() { // and whoever found that may have come too early to end the program
			return nil, errors.Join(errDown, t.killProgram())
		}
	}
	return t, nil
}

// giveBack ends a process that served this tree alone.
func (t *Tree) giveBack() error {
	if !t.l.each {
		return nil
	}
	return t.link.close()
}

// stdio makes the descriptors when the tree needs them.
func (t *Tree) stdio(ptmx *os.File) {
	files, err := t.job.Stdio(ptmx)
	if err != nil {
		err = t.link.socket.send(&order{Op: opStdio, Tree: t.id, Fault: toFault(err)})
	} else {
		err = t.sendStdio(files)
	}
	if err != nil {
		// The other process waits for what cannot be sent; without it there is no tree.
		_ = t.link.process.Kill()
	}
}

func (t *Tree) sendStdio(files [3]*os.File) error {
	for i, f := range files {
		if f == nil {
			return t.link.socket.send(&order{Op: opStdio, Tree: t.id, Fault: &fault{Text: fmt.Sprintf("descriptor %d has nothing behind it", i)}})
		}
	}
	return t.link.socket.send(&order{Op: opStdio, Tree: t.id}, files[:]...)
}

// heard takes what the other process says of the tree by itself.
func (t *Tree) heard(w *word) {
	switch w.What {
	case isRan:
		if t.job.Ran != nil {
			t.job.Ran(w.PID, w.Program)
		}
	case isEnd:
		if w.End != nil {
			t.link.remove(t)
			e := w.End.End
			e.Err = w.End.Fault.error()
			t.finish(e)
		}
	case isAnswer, isStdio:
	}
}

// lost ends a tree whose process has died. Its sockets closed with that, and so a tree
// in namespaces ends itself. Of another the program is ended; what it left to the dead
// process nobody can find any more.
func (t *Tree) lost(err error) {
	if kerr := t.killProgram(); kerr != nil {
		err = errors.Join(err, fmt.Errorf("killing the program: %w", kerr))
	}
	t.finish(launch.End{Err: err})
}

func (t *Tree) killProgram() error {
	p := t.program.Load()
	if p == nil {
		return nil
	}
	c, err := p.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = c.Control(func(fd uintptr) { serr = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if serr == unix.ESRCH || errors.Is(err, os.ErrClosed) {
		return nil // it has ended
	}
	return errors.Join(err, serr)
}

func (t *Tree) finish(e launch.End) {
	t.once.Do(func() {
		t.end = e
		close(t.over)
		if !t.l.each {
			close(t.done)
			return
		}
		go func() { // who delivers this cannot wait for its own end
			t.end.Err = errors.Join(t.end.Err, t.giveBack())
			if p := t.program.Load(); p != nil {
				t.end.Err = errors.Join(t.end.Err, p.Close())
			}
			close(t.done)
		}()
	})
}

// Missing says which limits and masks are not enforced.
func (t *Tree) Missing() []string { return t.missing }

// Watched reports whether a limit of the tree is held by supervision: whoever runs it
// must ask for its usage often.
func (t *Tree) Watched() bool { return t.watched }

// PID returns the host's number of the program's process.
func (t *Tree) PID() int { return t.pid }

// Go lets the program run.
func (t *Tree) Go() {
	if _, err := t.link.call(&order{Op: opGo, Tree: t.id}); err != nil {
		t.lost(err)
	}
}

// Signal sends a signal to the program; unix.ESRCH if it has ended.
func (t *Tree) Signal(sig unix.Signal) error { return t.ask(&order{Op: opSignal, Signal: int(sig)}) }

// Stop freezes the whole tree; Continue lets it go on.
func (t *Tree) Stop() error     { return t.ask(&order{Op: opStop}) }
func (t *Tree) Continue() error { return t.ask(&order{Op: opContinue}) }

// Kill ends every process of the tree. Done says when they are gone.
func (t *Tree) Kill() error {
	err := t.ask(&order{Op: opKill})
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func (t *Tree) ask(o *order) error {
	select {
	case <-t.over:
		return unix.ESRCH
	default:
	}
	o.Tree = t.id
	_, err := t.link.call(o)
	if err != nil {
		select {
		case <-t.over: // meanwhile
			return unix.ESRCH
		default:
		}
	}
	return err
}

// Usage returns what the tree has used so far, and what of that is too much.
func (t *Tree) Usage() (guest.Usage, *launch.Excess, error) {
	w, err := t.link.call(&order{Op: opUsage, Tree: t.id})
	if err != nil {
		return guest.Usage{}, nil, err
	}
	return w.Usage, w.Over, nil
}

// Done is closed when no process of the tree is left.
func (t *Tree) Done() <-chan struct{} { return t.done }

// End returns how it ended; valid once Done is closed.
func (t *Tree) End() launch.End { return t.end }
