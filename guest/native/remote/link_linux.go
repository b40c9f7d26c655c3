package remote

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// Variable marks a process as one that [Main] serves. It is the only variable that it
// has.
const Variable = "AGENTOS_HELPER"

// variableValue is what it is set to.
const variableValue = "native-launch"

// socketFD is the descriptor of the other process's end.
const socketFD = 3

// patience is how long the other process has to come up, and to go.
const patience = 10 * time.Second

// link is the kernel's side of one other process.
type link struct {
	socket  *socket
	process *os.Process
	facts   launch.Facts
	stderr  *tail
	gone    chan struct{} // closed when the process was reaped
	exit    error         // valid once gone is closed

	mu    sync.Mutex
	calls map[uint64]chan *word // guarded by mu; nil once the link is down
	trees map[uint64]*Tree      // guarded by mu
	last  uint64                // guarded by mu
}

// open starts another process and has it make a launcher. It is of this user, and with
// user it is alone in a user namespace where it has all capabilities.
func open(argv []string, user bool, o launch.Options) (_ *link, err error) {
	if os.Getenv(Variable) != "" {
		return nil, errors.New("this process was started to serve another kernel: its main must call the helper entry first of all")
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "launcher")
	defer func() { err = errors.Join(err, theirs.Close()) }() // the process has its own
	s, err := newSocket(pair[0], "launcher")
	if err != nil {
		return nil, err
	}
	l := &link{socket: s, gone: make(chan struct{}), calls: map[uint64]chan *word{}, trees: map[uint64]*Tree{}}
	if err := l.start(argv, user, theirs); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := l.greet(o); err != nil {
		return nil, errors.Join(err, l.close())
	}
	go l.listen()
	return l, nil
}

// start starts the process.
func (l *link) start(argv []string, user bool, theirs *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }() // the process has its own
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	sys := &syscall.SysProcAttr{Setsid: true}
	if user {
		if err := launch.OwnUserNamespace(sys); err != nil {
			return errors.Join(err, r.Close(), w.Close())
		}
	}
	l.process, err = os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: []string{Variable + "=" + variableValue}, Files: []*os.File{null, null, w, theirs}, Sys: sys,
	})
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", argv[0], err), r.Close())
	}
	l.stderr = newTail(r)
	go l.reap()
	return nil
}

func (l *link) reap() {
	defer close(l.gone)
	state, err := l.process.Wait()
	said := l.stderr.String()
	switch {
	case err != nil:
		l.exit = err
	case said != "":
		l.exit = errors.New(said)
	default:
		l.exit = errors.New(state.String())
	}
}

// greet says what the launcher shall be like and waits until it is made.
func (l *link) greet(o launch.Options) error {
	if err := l.socket.file.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var g greeting
	err := l.socket.send(greeting{Options: o})
	if err == nil {
		_, err = l.socket.receive(&g)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the launching process does not answer: a program that embeds the kernel must call its helper entry first of all in main")
	}
	if err != nil {
		return fmt.Errorf("the launching process failed: %w", l.why(err))
	}
	if err := g.Fault.error(); err != nil {
		return err
	}
	l.facts = g.Facts
	return l.socket.file.SetDeadline(time.Time{})
}

// why prefers what the process said at its end to what became of the socket.
func (l *link) why(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		return err
	}
	select {
	case <-l.gone:
		return l.exit
	case <-time.After(time.Second):
		return err
	}
}

// listen delivers what the process says until it is gone.
func (l *link) listen() {
	for {
		w := new(word)
		files, err := l.socket.receive(w)
		if err != nil {
			l.down(fmt.Errorf("the launching process is gone: %w", l.why(err)))
			return
		}
		l.deliver(w, files)
	}
}

func (l *link) deliver(w *word, files []*os.File) {
	if w.What == isAnswer {
		l.mu.Lock()
		c := l.calls[w.Call]
		delete(l.calls, w.Call)
		l.mu.Unlock()
		if c != nil {
			c <- w // has room
		}
	} else {
		l.mu.Lock()
		t := l.trees[w.Tree]
		l.mu.Unlock()
		if t != nil && w.What == isStdio && len(files) <= 1 {
			var ptmx *os.File
			if len(files) == 1 {
				ptmx = files[0]
			}
			go t.stdio(ptmx)
			return
		}
		if t != nil {
			t.heard(w)
		}
	}
	for _, f := range files {
		_ = f.Close() // nobody asked for it
	}
}

// down ends everything that waits.
func (l *link) down(err error) {
	l.mu.Lock()
	calls, trees := l.calls, l.trees
	l.calls, l.trees = nil, map[uint64]*Tree{}
	l.mu.Unlock()
	for _, c := range calls {
		c <- &word{Fault: toFault(err)}
	}
	for _, t := range trees {
		t.lost(err)
	}
}

// errDown is what is said of a process that is gone already.
var errDown = errors.New("the launching process is gone")

// call gives an order and waits for the answer.
func (l *link) call(o *order) (*word, error) {
	c := make(chan *word, 1)
	l.mu.Lock()
	if l.calls == nil {
		l.mu.Unlock()
		return nil, errDown
	}
	l.last++
	o.Call = l.last
	l.calls[o.Call] = c
	l.mu.Unlock()
	if err := l.socket.send(o); err != nil {
		l.mu.Lock()
		if l.calls != nil {
			delete(l.calls, o.Call)
		}
		l.mu.Unlock()
		return nil, err
	}
	w := <-c
	return w, w.Fault.error()
}

// add enters a tree, which must be removed.
func (l *link) add(t *Tree) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		return errDown
	}
	l.last++
	t.id = l.last
	l.trees[t.id] = t
	return nil
}

func (l *link) remove(t *Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.trees, t.id)
}

// up reports whether the process can be used.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls != nil
}

// close has the process end its trees and exit, and waits for that.
func (l *link) close() error {
	err := l.socket.close()
	select {
	case <-l.gone:
	case <-time.After(patience):
		if kerr := l.process.Kill(); kerr != nil && !errors.Is(kerr, os.ErrProcessDone) {
			err = errors.Join(err, kerr)
		}
		<-l.gone
		err = errors.Join(err, errors.New("the launching process did not end by itself"))
	}
	if said := l.stderr.String(); said != "" {
		err = errors.Join(err, errors.New(said))
	}
	return err
}

// tail keeps the beginning of what a process says on its standard error.
type tail struct {
	done chan struct{}
	b    []byte // valid once done is closed
}

const maxTail = 4096

func newTail(r *os.File) *tail {
	t := &tail{done: make(chan struct{})}
	go func() {
		defer close(t.done)
		b, err := io.ReadAll(io.LimitReader(r, maxTail))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err = errors.Join(err, r.Close()); err != nil {
			b = append(b, err.Error()...)
		}
		t.b = b
	}()
	return t
}

// String waits for the end of the process.
func (t *tail) String() string {
	<-t.done
	first, _, _ := strings.Cut(strings.TrimSpace(string(t.b)), "\n")
	return first
}
