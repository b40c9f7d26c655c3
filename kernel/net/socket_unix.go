//go:build unix

package net

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// socket is a stream socket of the host that never blocks.
type socket struct {
	fd  int
	ino uint64

	mu   sync.Mutex
	stop chan struct{} // closed by Stop; guarded by mu, since Stop may come twice
	gone bool          // guarded by mu
}

func newSocket(fd int) *socket {
	s := &socket{fd: fd, stop: make(chan struct{})}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		s.ino = st.Ino
	}
	return s
}

func (s *socket) Type() abi.FileType { return abi.TypeSocket }

func (s *socket) Stat() abi.Stat {
	return abi.Stat{Ino: s.ino, Type: abi.TypeSocket, Mode: 0o600, Nlink: 1}
}

// Close closes the socket.
func (s *socket) Close() abi.Errno { return errnoOf(unix.Close(s.fd)) }

// Stop has every Read and Write return.
func (s *socket) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.gone = true
		close(s.stop)
	}
}

func eventsOf(kind abi.PollKind) int16 {
	if kind == abi.PollWrite {
		return unix.POLLOUT
	}
	return unix.POLLIN
}

// polled asks the host about a socket without waiting.
func polled(fd int, kind abi.PollKind) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: eventsOf(kind)}}
	for {
		switch _, err := unix.Poll(fds, 0); err {
		case nil:
			return fds[0].Revents
		case unix.EINTR:
		default:
			return unix.POLLERR // the operation will say what is wrong
		}
	}
}

// Ready asks the host.
func (s *socket) Ready(kind abi.PollKind) vfs.Readiness {
	got := polled(s.fd, kind)
	r := vfs.Readiness{Ready: got != 0, Hangup: got&(unix.POLLHUP|unix.POLLERR) != 0}
	if kind == abi.PollRead && got&unix.POLLIN != 0 {
		r.Bytes = waiting(s.fd)
	}
	return r
}

// Watch waits on Go's own poller, with a second descriptor of the socket: closing
// that ends the wait and touches nothing else.
func (s *socket) Watch(kind abi.PollKind, wake func()) (cancel func()) {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		go wake() // the host is short of descriptors: it will be asked again
		return func() {}
	}
	f := os.NewFile(uintptr(fd), "socket")
	cancel = sync.OnceFunc(func() { _ = f.Close() }) // a second descriptor: nothing is lost with it
	conn, err := f.SyscallConn()
	if err != nil {
		cancel()
		go wake()
		return func() {}
	}
	ready := func(fd uintptr) bool { return polled(int(fd), kind) != 0 }
	go func() {
		wait := conn.Read
		if kind == abi.PollWrite {
			wait = conn.Write
		}
		if wait(ready) == nil {
			wake()
		}
	}()
	return cancel
}

// await waits until the socket is ready; false says that it was stopped.
func (s *socket) await(kind abi.PollKind) bool {
	ready := make(chan struct{}, 1)
	cancel := s.Watch(kind, func() {
		select {
		case ready <- struct{}{}:
		default:
		}
	})
	defer cancel()
	select {
	case <-ready:
		return true
	case <-s.stop:
		return false
	}
}

// conn is a connection.
type conn struct{ *socket }

var _ Conn = conn{}

func filled(bufs [][]byte) [][]byte {
	var out [][]byte
	for _, b := range bufs {
		if len(b) > 0 {
			out = append(out, b)
		}
	}
	return out
}

func (c conn) TryRead(bufs [][]byte) (int, abi.Errno) { return c.TryReceive(bufs, false) }

func (c conn) TryReceive(bufs [][]byte, peek bool) (int, abi.Errno) {
	if bufs = filled(bufs); len(bufs) == 0 {
		return 0, abi.OK
	}
	flags := unix.MSG_DONTWAIT
	if peek {
		flags |= unix.MSG_PEEK
	}
	n, _, _, _, err := unix.RecvmsgBuffers(c.fd, bufs, nil, flags)
	return max(n, 0), errnoOf(err)
}

func (c conn) TryWrite(bufs [][]byte) (int, abi.Errno) {
	if bufs = filled(bufs); len(bufs) == 0 {
		return 0, abi.OK
	}
	n, err := unix.SendmsgBuffers(c.fd, bufs, nil, nil, unix.MSG_DONTWAIT|noSignal)
	return max(n, 0), errnoOf(err)
}

// patiently repeats an operation until it has an answer.
func (s *socket) patiently(kind abi.PollKind, try func() (int, abi.Errno)) (int, abi.Errno) {
	for {
		n, errno := try()
		if errno != abi.EAGAIN {
			return n, errno
		}
		if !s.await(kind) {
			return 0, abi.EINTR
		}
	}
}

func (c conn) Read(bufs [][]byte) (int, abi.Errno) {
	return c.patiently(abi.PollRead, func() (int, abi.Errno) { return c.TryRead(bufs) })
}

func (c conn) Write(bufs [][]byte) (int, abi.Errno) {
	return c.patiently(abi.PollWrite, func() (int, abi.Errno) { return c.TryWrite(bufs) })
}

func (c conn) Shutdown(read, write bool) abi.Errno {
	how := unix.SHUT_RDWR
	switch {
	case !read && !write:
		return abi.EINVAL
	case !write:
		how = unix.SHUT_RD
	case !read:
		how = unix.SHUT_WR
	}
	return errnoOf(unix.Shutdown(c.fd, how))
}

// errnoOf maps the errors that sockets give; another is an I/O error.
func errnoOf(err error) abi.Errno {
	for _, m := range errnos {
		if err == m.host {
			return m.kernel
		}
	}
	if err == nil {
		return abi.OK
	}
	return abi.EIO
}

var errnos = [...]struct {
	host   error
	kernel abi.Errno
}{
	{unix.EAGAIN, abi.EAGAIN}, {unix.EINTR, abi.EAGAIN}, {unix.ECONNRESET, abi.ECONNRESET}, {unix.EPIPE, abi.EPIPE},
	{unix.ENOTCONN, abi.ENOTCONN}, {unix.ECONNABORTED, abi.ECONNABORTED}, {unix.ETIMEDOUT, abi.ETIMEDOUT},
	{unix.EMFILE, abi.EMFILE}, {unix.ENFILE, abi.ENFILE}, {unix.ENOBUFS, abi.ENOBUFS}, {unix.ENOMEM, abi.ENOMEM},
	{unix.EBADF, abi.EBADF}, {unix.EINVAL, abi.EINVAL}, {unix.EADDRINUSE, abi.EADDRINUSE}, {unix.EADDRNOTAVAIL, abi.EADDRNOTAVAIL},
	{unix.EACCES, abi.EACCES}, {unix.EPERM, abi.EPERM}, {unix.EHOSTUNREACH, abi.EHOSTUNREACH}, {unix.ENETUNREACH, abi.ENETUNREACH},
	{unix.ENETDOWN, abi.ENETDOWN}, {unix.EPROTO, abi.EPROTO},
}
