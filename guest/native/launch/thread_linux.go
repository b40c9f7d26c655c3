package launch

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// thread is an OS thread that is given away: namespaces, root, credentials, and
// filters are properties of a thread, so one is locked, changed beyond repair, forks
// the program, and is thrown away.
type thread struct {
	tid  int
	work chan func()
	gone chan struct{} // closed when it takes no more work
}

// newThread starts a thread that waits for work. retire must be called.
func newThread() *thread {
	t := &thread{work: make(chan func()), gone: make(chan struct{})}
	ready := make(chan struct{})
	go t.loop(ready)
	<-ready
	return t
}

func (t *thread) loop(ready chan<- struct{}) {
	runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
	t.tid = unix.Gettid()
	if t.tid == unix.Getpid() {
		// The runtime cannot end the main thread; it would keep what was done to
		// it, in sight of everybody. With this one occupied another is found.
		go t.loop(ready)
		<-t.gone
		runtime.UnlockOSThread()
		return
	}
	close(ready)
	defer close(t.gone)
	for f := range t.work {
		f()
	}
}

// do runs f on the thread and returns its error.
func (t *thread) do(f func() error) (err error) {
	done := make(chan struct{})
	t.work <- func() {
		defer close(done)
		err = f()
	}
	<-done
	return err
}

// retire ends the thread once its work is done. Nothing may be given to it any more.
func (t *thread) retire() { close(t.work) }
