package stream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// inlet copies the caller's input to the program. A file of the operating system
// is waited for by poll(2), with a pipe that ends the wait, and read when there
// is something; its own flags are left alone, because the shell that lent it goes
// on using it. Any other reader is read by a goroutine that cannot be called
// back.
type inlet struct {
	src     io.Reader
	fd      int  // a duplicate of src where that is a file, else -1
	regular bool // fd is a regular file
	to      *os.File
	screen  *screen // whose master to is, and then not closed here; nil for a pipe

	wakeR, wakeW int // closing wakeW ends the wait; -1 without fd
	once         sync.Once

	mu      sync.Mutex
	stopped bool // guarded by mu
	reading bool // guarded by mu; in a Read of src, which may last

	done chan struct{} // closed when the copying is over
	err  error         // valid once done is closed

	// Where a regular file is put back to at the end: a program that leaves some
	// of its input leaves it to whoever reads the file next, as it would if it
	// held the file itself. run's until done is closed.
	start int64    // position at the beginning
	read  int64    // bytes taken from src
	given int64    // bytes put into the pipe
	rest  *os.File // the reading end of the pipe, once the writing end is closed
}

// newInlet takes over to, also if it fails.
func newInlet(src io.Reader, to *os.File, sc *screen) (*inlet, error) {
	n := &inlet{src: src, fd: -1, to: to, screen: sc, wakeR: -1, wakeW: -1, done: make(chan struct{})}
	if f, ok := src.(*os.File); ok && f != nil {
		// Of its own, in case the owner closes the file early and its number
		// becomes another's. A file that is closed already says so when read.
		err := control(f, func(fd int) (err error) {
			n.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
			return err
		})
		if err != nil {
			n.fd = -1
		}
	}
	if n.fd < 0 {
		return n, nil
	}
	var st unix.Stat_t
	err := unix.Fstat(n.fd, &st)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && sc == nil {
		n.regular = true
		n.start, err = unix.Seek(n.fd, 0, io.SeekCurrent)
	}
	var p [2]int
	if err == nil {
		err = unix.Pipe2(p[:], unix.O_CLOEXEC)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("standard input: %w", err), unix.Close(n.fd), n.closeTo())
	}
	n.wakeR, n.wakeW = p[0], p[1]
	return n, nil
}

// closeTo closes the program's input, unless it is a terminal's.
func (n *inlet) closeTo() error {
	if n.screen != nil {
		return nil
	}
	if err := n.to.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// run copies until the input ends, the program closes its end, or stop.
func (n *inlet) run() {
	defer close(n.done)
	var err error
	if n.fd >= 0 {
		err = n.copyFile()
	} else {
		err = n.copyReader()
	}
	switch {
	case err == nil: // closed by the program, or stopped
		n.putBack(n.to)
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		err = n.atEnd()
	default:
		err = errors.Join(fmt.Errorf("%w: %w", ErrInput, err), n.atEnd())
	}
	n.err = errors.Join(err, n.closeTo())
	if n.fd >= 0 {
		if n.rest == nil {
			n.err = errors.Join(n.err, unix.Close(n.fd))
		}
		n.err = errors.Join(n.err, unix.Close(n.wakeR))
	}
}

// atEnd tells the program that its input is at its end.
func (n *inlet) atEnd() error {
	if n.screen != nil {
		return n.screen.typeEnd()
	}
	if n.regular {
		// The writing end must close for the program to see the end, and then only
		// a reading end can tell what was left. Without /proc nobody will know.
		n.rest, _ = os.OpenFile("/proc/self/fd/"+n.number(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	return nil
}

// number is the descriptor of the program's input, in digits.
func (n *inlet) number() (s string) {
	_ = control(n.to, func(fd int) error { // closed: no number, no such file
		s = strconv.Itoa(fd)
		return nil
	})
	return s
}

// putBack puts the file's position back over what the program did not read, if
// nobody else has moved it. end is either end of the pipe.
func (n *inlet) putBack(end *os.File) {
	if !n.regular {
		return
	}
	queued, err := waiting(end)
	if err != nil {
		return // nobody knows what was left
	}
	left := n.read - n.given + int64(queued)
	if at, err := unix.Seek(n.fd, 0, io.SeekCurrent); err == nil && left > 0 && at == n.start+n.read {
		_, _ = unix.Seek(n.fd, -left, io.SeekCurrent) // a courtesy
	}
}

// copyFile returns nil if the program closed its end or the run ended, io.EOF at
// the end of the file.
func (n *inlet) copyFile() error {
	buf := make([]byte, smallBuffer)
	blind := n.regular // it cannot be asked not to wait, or need not
	for n.await() {
		if !n.enter() {
			return nil
		}
		m, err := 0, error(unix.EOPNOTSUPP)
		if !blind {
			// Somebody else may have read first what poll saw.
			m, err = unix.Preadv2(n.fd, [][]byte{buf}, -1, unix.RWF_NOWAIT)
		}
		switch err {
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM, unix.ESPIPE:
			blind = true
			m, err = unix.Read(n.fd, buf)
		}
		n.leave()
		switch {
		case err == unix.EAGAIN, err == unix.EINTR:
			continue
		case err != nil:
			return err
		case m <= 0:
			return io.EOF
		}
		n.read += int64(m)
		if !n.deliver(buf[:m]) {
			return nil
		}
		if m == len(buf) && m < largeBuffer {
			buf = make([]byte, largeBuffer)
		}
	}
	return nil
}

// await waits for room at the program's end and then for input, and reports
// false if the program has closed its end or the run has ended.
func (n *inlet) await() bool {
	ready := false
	err := control(n.to, func(to int) error {
		fds := []unix.PollFd{{Fd: int32(n.wakeR), Events: unix.POLLIN}, {Fd: int32(to), Events: unix.POLLOUT}, {Fd: -1, Events: unix.POLLIN}}
		const gone = unix.POLLERR | unix.POLLHUP | unix.POLLNVAL
		if err := poll(fds); err != nil || fds[0].Revents != 0 || fds[1].Revents&gone != 0 {
			return err
		}
		fds[1].Events, fds[2].Fd = 0, int32(n.fd)
		if err := poll(fds); err != nil || fds[0].Revents != 0 || fds[1].Revents&gone != 0 {
			return err
		}
		ready = true
		return nil
	})
	return err == nil && ready
}

// poll is poll(2) without a time, taken up again after signals.
func poll(fds []unix.PollFd) error {
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err
		}
	}
}

// copyReader is copyFile of a reader that is no file.
func (n *inlet) copyReader() error {
	buf := make([]byte, smallBuffer)
	for n.room() && n.enter() {
		m, err := n.src.Read(buf)
		n.leave()
		if m > 0 && !n.deliver(buf[:m]) {
			return nil
		}
		if err != nil {
			return err
		}
		if m == len(buf) && m < largeBuffer {
			buf = make([]byte, largeBuffer)
		}
	}
	return nil
}

// room waits until the program's end takes something, and reports false if it is
// closed or the run has ended.
func (n *inlet) room() bool {
	conn, err := n.to.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = conn.Write(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(fds, 0); err != nil {
			return err != unix.EINTR // again, once it is writable
		}
		open = fds[0].Revents&unix.POLLOUT != 0 && fds[0].Revents&unix.POLLERR == 0
		return fds[0].Revents != 0
	})
	return err == nil && open
}

// deliver gives the program what was read, and reports whether it took it.
func (n *inlet) deliver(b []byte) bool {
	for n.screen != nil {
		i := n.screen.stopAt(b)
		if i < 0 {
			break
		}
		if !n.give(b[:i]) {
			return false
		}
		n.screen.suspend()
		b = b[i+1:]
	}
	return n.give(b)
}

func (n *inlet) give(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if n.screen != nil {
		n.screen.last = b[len(b)-1]
	}
	m, err := n.to.Write(b)
	n.given += int64(m)
	return err == nil
}

// enter reports whether there is still something to read for.
func (n *inlet) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reading = !n.stopped
	return n.reading
}

func (n *inlet) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reading = false
}

// stop ends the copying. Nothing is read afterwards but by a Read that is under
// way, whose goroutine is left behind.
func (n *inlet) stop() (err error) {
	n.once.Do(func() { err = n.halt() })
	return err
}

func (n *inlet) halt() error {
	n.mu.Lock()
	n.stopped = true
	inRead := n.reading
	n.mu.Unlock()
	var err error
	if n.wakeW >= 0 {
		err = unix.Close(n.wakeW) // closing is the message
	}
	_ = n.to.SetWriteDeadline(time.Unix(1, 0)) // a file that is closed needs none
	if n.fd < 0 && inRead {
		return errors.Join(err, n.closeTo())
	}
	select {
	case <-n.done:
	case <-time.After(lingering):
		return err
	}
	if n.rest != nil {
		n.putBack(n.rest)
		err = errors.Join(err, n.rest.Close(), unix.Close(n.fd))
	}
	return errors.Join(err, n.err)
}

// close gives up an inlet that never ran.
func (n *inlet) close() error {
	err := n.closeTo()
	for _, fd := range []int{n.fd, n.wakeR, n.wakeW} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

func (n *inlet) running() bool {
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}
