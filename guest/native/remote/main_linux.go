package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// Main turns this process into one that launches for a kernel, if it was started as
// one, and then never returns. Otherwise it returns at once. It must be among the first
// things that main does.
func Main() {
	if os.Getenv(Variable) != variableValue {
		return
	}
	if err := serve(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "agentos helper:", err) // nobody else to tell
		os.Exit(1)
	}
	os.Exit(0)
}

// server is the other process.
type server struct {
	socket   *socket
	launcher *launch.Launcher
	quit     chan struct{} // closed when the kernel is gone
	work     sync.WaitGroup

	mu    sync.Mutex
	trees map[uint64]*served // guarded by mu
}

// served is a tree here.
type served struct {
	id    uint64
	stdio chan answer // what the kernel says to a question for descriptors; has room
	ready chan struct{}
	tree  *launch.Tree // valid once ready is closed; nil if there is none
}

type answer struct {
	files []*os.File
	err   error
}

func serve() error {
	// It ends with the kernel and not before. Caught and not ignored: what is ignored
	// stays so in the programs that are started.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP)
	syscall.CloseOnExec(socketFD)
	if err := unix.SetNonblock(socketFD, true); err != nil {
		return err
	}
	k, err := newSocket(socketFD, "kernel")
	if err != nil {
		return err
	}
	var g greeting
	if _, err := k.receive(&g); err != nil {
		return err
	}
	s := &server{socket: k, quit: make(chan struct{}), trees: map[uint64]*served{}}
	s.launcher, err = launch.New(g.Options)
	if err != nil {
		return k.send(greeting{Fault: toFault(err)})
	}
	err = k.send(greeting{Facts: s.launcher.Facts()})
	if err == nil {
		s.obey()
	}
	s.end()
	return errors.Join(err, s.launcher.Close())
}

// obey does what the kernel says until it is gone.
func (s *server) obey() {
	for {
		o := new(order)
		files, err := s.socket.receive(o)
		if err != nil {
			return // it has closed its end, or died
		}
		if o.Op == opStdio {
			s.given(o, files)
			continue
		}
		for _, f := range files {
			_ = f.Close() // not asked for
		}
		if o.Op == opPrepare {
			t := &served{id: o.Tree, stdio: make(chan answer, 1), ready: make(chan struct{})}
			s.mu.Lock()
			s.trees[t.id] = t
			s.mu.Unlock()
			s.work.Go(func() { s.prepare(t, o) })
			continue
		}
		s.work.Go(func() { s.do(o) })
	}
}

// given hands descriptors to the tree that waits for them.
func (s *server) given(o *order, files []*os.File) {
	a := answer{files: files, err: o.Fault.error()}
	if a.err == nil && len(files) != 3 {
		a.err = fmt.Errorf("%d descriptors came instead of 3", len(files))
	}
	s.mu.Lock()
	t := s.trees[o.Tree]
	s.mu.Unlock()
	if t != nil {
		select {
		case t.stdio <- a:
			return
		default:
		}
	}
	a.close()
}

func (a *answer) close() {
	for _, f := range a.files {
		_ = f.Close() // duplicates
	}
}

// say tells the kernel something. If that fails it is gone, and [server.obey] ends.
func (s *server) say(w *word, files ...*os.File) { _ = s.socket.send(w, files...) }

// prepare makes a tree and watches for its end.
func (s *server) prepare(t *served, o *order) {
	tree, err := s.start(t, o.Job)
	if err != nil {
		close(t.ready)
		s.forget(t)
		s.say(&word{What: isAnswer, Call: o.Call, Fault: toFault(err)})
		return
	}
	t.tree = tree
	close(t.ready)
	s.say(&word{What: isAnswer, Call: o.Call, PID: tree.PID(), Missing: tree.Missing(), Watched: tree.Watched()})
	<-tree.Done()
	s.forget(t)
	e := end{End: tree.End(), Fault: toFault(tree.End().Err)}
	e.End.Err = nil // is the fault
	s.say(&word{What: isEnd, Tree: t.id, End: &e})
}

func (s *server) forget(t *served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.trees, t.id)
}

func (s *server) start(t *served, w *job) (*launch.Tree, error) {
	if w == nil {
		return nil, unix.EINVAL
	}
	j, err := w.open()
	if err != nil {
		return nil, err
	}
	var got answer
	j.Ran = func(pid int, program string) { s.say(&word{What: isRan, Tree: t.id, PID: pid, Program: program}) }
	j.Stdio = func(ptmx *os.File) (fds [3]*os.File, err error) {
		if ptmx == nil {
			s.say(&word{What: isStdio, Tree: t.id})
		} else {
			s.say(&word{What: isStdio, Tree: t.id}, ptmx)
			defer func() { err = errors.Join(err, ptmx.Close()) }() // the kernel has it
		}
		select {
		case got = <-t.stdio:
			copy(fds[:], got.files)
			return fds, got.err
		case <-s.quit:
			return fds, os.ErrClosed
		}
	}
	tree, err := s.launcher.Start(context.Background(), j)
	got.close() // it has its own
	if cerr := closeMounts(j); cerr != nil && tree != nil {
		err = errors.Join(cerr, tree.Kill())
		<-tree.Done()
		return nil, err
	}
	return tree, err
}

// do carries out an order about a tree.
func (s *server) do(o *order) {
	w := &word{What: isAnswer, Call: o.Call}
	if err := s.carryOut(o, w); err != nil {
		w.Fault = toFault(err)
	}
	s.say(w)
}

func (s *server) carryOut(o *order, w *word) (err error) {
	s.mu.Lock()
	t := s.trees[o.Tree]
	s.mu.Unlock()
	if t == nil {
		return unix.ESRCH
	}
	<-t.ready
	if t.tree == nil {
		return unix.ESRCH
	}
	switch o.Op {
	case opGo:
		t.tree.Go()
	case opSignal:
		err = t.tree.Signal(unix.Signal(o.Signal))
	case opStop:
		err = t.tree.Stop()
	case opContinue:
		err = t.tree.Continue()
	case opKill:
		err = t.tree.Kill()
	case opUsage:
		w.Usage, w.Over, err = t.tree.Usage()
	case opPrepare, opStdio:
		err = unix.EINVAL
	}
	return err
}

// end ends every tree and waits for that.
func (s *server) end() {
	close(s.quit)
	s.mu.Lock()
	var trees []*served
	for _, t := range s.trees {
		trees = append(trees, t)
	}
	s.mu.Unlock()
	for _, t := range trees {
		<-t.ready
		if t.tree != nil {
			// What it could not do, its end tells; and every tree dies with this process.
			_ = t.tree.Kill()
		}
	}
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience / 2):
	}
}
