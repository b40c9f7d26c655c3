//go:build unix

package vfs

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// hostEnd is a file of the operating system as one end of a stream: whether it
// would wait can be asked, and a wait can be ended. The file may be shared with
// other programs, so its own flags are left alone and nothing is read from it that
// the guest did not ask for.
type hostEnd struct {
	fd      int
	regular bool        // never waits for others, but for storage
	blind   atomic.Bool // the operating system cannot be asked not to wait

	mu      sync.Mutex
	stopped bool                   // guarded by mu
	waits   map[*hostWait]struct{} // guarded by mu
}

// endOf returns rw as a hostEnd, or nil if it is not a file of the operating
// system.
func endOf(rw any) *hostEnd {
	f, ok := rw.(*os.File)
	if !ok || f == nil {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil // closed: reading and writing will say so
	}
	// A descriptor of its own, above the standard ones: if the owner closes the
	// file early, its number may soon be another file's.
	fd, dup := -1, error(nil)
	if conn.Control(func(from uintptr) { fd, dup = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 3) }) != nil || dup != nil {
		return nil
	}
	e := &hostEnd{fd: fd, waits: map[*hostWait]struct{}{}}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		e.close()
		return nil
	}
	e.regular = st.Mode&unix.S_IFMT == unix.S_IFREG
	return e
}

func eventsOf(kind abi.PollKind) int16 {
	if kind == abi.PollWrite {
		return unix.POLLOUT
	}
	return unix.POLLIN
}

// pollFDs is poll(2), taken up again after signals.
func pollFDs(fds []unix.PollFd, timeout int) error {
	for {
		if _, err := unix.Poll(fds, timeout); err != unix.EINTR {
			return err
		}
	}
}

// ready asks without waiting.
func (e *hostEnd) ready(kind abi.PollKind) Readiness {
	fds := []unix.PollFd{{Fd: int32(e.fd), Events: eventsOf(kind)}}
	if err := pollFDs(fds, 0); err != nil {
		return Readiness{Ready: true} // the operation will say what is wrong
	}
	got := fds[0].Revents
	r := Readiness{Ready: got != 0, Hangup: got&(unix.POLLHUP|unix.POLLERR) != 0}
	if kind == abi.PollRead && got&unix.POLLIN != 0 {
		r.Hangup = false // there is something to read first
		r.Bytes = bytesWaiting(e.fd)
	}
	return r
}

// hostWait is one wait of a hostEnd: a pipe whose closing end wakes poll(2).
type hostWait struct {
	r, w int
	once sync.Once
}

// begin registers a wait; false says that the end is stopped, or that the host has
// no descriptors left.
func (e *hostEnd) begin() (*hostWait, bool) {
	var p [2]int
	if err := wakePipe(&p); err != nil {
		return nil, false
	}
	w := &hostWait{r: p[0], w: p[1]}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		w.wake()
		_ = unix.Close(w.r) // nothing was ever in it
		return nil, false
	}
	e.waits[w] = struct{}{}
	return w, true
}

// wake ends the wait.
func (w *hostWait) wake() {
	w.once.Do(func() { _ = unix.Close(w.w) }) // closing is the message
}

// run waits until the end is ready or woken, and reports which: true is ready.
func (e *hostEnd) run(w *hostWait, kind abi.PollKind) bool {
	fds := []unix.PollFd{{Fd: int32(e.fd), Events: eventsOf(kind)}, {Fd: int32(w.r), Events: unix.POLLIN}}
	err := pollFDs(fds, -1)
	w.wake()
	_ = unix.Close(w.r) // nothing was ever in it
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waits, w)
	return err != nil || fds[0].Revents != 0
}

// await waits until the end is ready; false says that the wait was ended.
func (e *hostEnd) await(kind abi.PollKind) bool {
	if e.regular || e.ready(kind).Ready {
		return true
	}
	w, ok := e.begin()
	if !ok {
		return e.alive() // without a way to be woken: the operation itself will wait
	}
	return e.run(w, kind)
}

func (e *hostEnd) alive() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.stopped
}

// watch calls wake once the end is ready.
func (e *hostEnd) watch(kind abi.PollKind, wake func()) (cancel func()) {
	w, ok := e.begin()
	if !ok {
		go wake()
		return func() {}
	}
	go func() {
		if e.run(w, kind) {
			wake()
		}
	}()
	return w.wake
}

// close gives the descriptor back. Waits that were ended may still be on their way
// out: all they do is ask about a number.
func (e *hostEnd) close() { _ = unix.Close(e.fd) } // a second descriptor: nothing is lost with it

// stop ends every wait, now and later.
func (e *hostEnd) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	for w := range e.waits {
		w.wake()
	}
}

// tried turns the answer to an operation that was not to wait into an error of
// Try. ENOTSUP is remembered.
func (e *hostEnd) tried(n int, err error) (int, abi.Errno) {
	switch err {
	case nil:
		return max(n, 0), abi.OK
	case unix.EINTR:
		return 0, abi.ENOTSUP
	case unix.EAGAIN:
		if e.regular {
			return 0, abi.ENOTSUP // it waits for storage, which poll does not tell of
		}
		return 0, abi.EAGAIN
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM, unix.ESPIPE:
		e.blind.Store(true)
		return 0, abi.ENOTSUP
	}
	return 0, streamErrno(err)
}

func (e *hostEnd) tryRead(b []byte) (int, abi.Errno) {
	if e.blind.Load() {
		return 0, abi.ENOTSUP
	}
	return e.tried(readNow(e.fd, b))
}

func (e *hostEnd) tryWrite(bufs [][]byte) (int, abi.Errno) {
	if e.blind.Load() {
		return 0, abi.ENOTSUP
	}
	return e.tried(writeNow(e.fd, bufs))
}
