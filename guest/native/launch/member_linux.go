package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// member is a child of the kernel in a tree: pid 1, or what became the program. It is
// reaped here and nowhere else, and watched without a thread.
type member struct {
	pid   int
	pidfd *os.File
	end   *os.File // our end of its socket
	bytes *os.File // its /proc/PID/io, opened while an ordinary user may; nil if there is none

	gone chan struct{} // closed once it was reaped
	// Valid once gone is closed.
	status syscall.WaitStatus
	usage  syscall.Rusage
	io     ioCounts
	err    error // of reaping
}

// ioCounts are the bytes that a process and its reaped children read and wrote by
// system calls.
type ioCounts struct{ read, written uint64 }

// fork starts a stub, which gets one end of a socket pair as descriptor 3. It must be
// called on the thread whose properties the stub is to inherit; proc is where the
// host's /proc is there. With blocks our end waits by holding its thread: nobody is
// woken when the stub closes its own.
func fork(image *os.File, proc, name string, blocks bool, attr *syscall.SysProcAttr) (*member, error) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", os.DevNull, err)
	}
	defer func() { _ = unix.Close(null) }() // the child has its own
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	if err := unix.SetNonblock(pair[0], !blocks); err != nil {
		_, _ = unix.Close(pair[0]), unix.Close(pair[1]) // the error says more
		return nil, err
	}
	m := &member{end: os.NewFile(uintptr(pair[0]), name), gone: make(chan struct{})}
	m.pid, err = syscall.ForkExec(proc+"/self/fd/"+strconv.Itoa(int(image.Fd())), []string{name}, &syscall.ProcAttr{
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(pair[1])}, Sys: attr,
	})
	_ = unix.Close(pair[1]) // the child's
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fork %s: %w", name, err), m.end.Close())
	}
	fd, err := unix.PidfdOpen(m.pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		// Without it the child cannot be waited for like the others: its socket ends it.
		err = errors.Join(fmt.Errorf("pidfd_open: %w", err), m.end.Close())
		_, werr := syscall.Wait4(m.pid, nil, 0, nil)
		return nil, errors.Join(err, werr)
	}
	m.pidfd = os.NewFile(uintptr(fd), "pidfd "+name)
	if m.bytes, err = os.Open(proc + "/" + strconv.Itoa(m.pid) + "/io"); err != nil {
		m.bytes = nil // no accounting in this kernel, or it is dead already
	}
	go m.watch()
	return m, nil
}

// watch reaps the member when it has ended.
func (m *member) watch() {
	defer close(m.gone)
	c, err := m.pidfd.SyscallConn()
	if err == nil {
		err = c.Read(func(fd uintptr) bool {
			for {
				p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				n, err := unix.Poll(p, 0)
				if err != unix.EINTR {
					return n > 0
				}
			}
		})
	}
	// As a zombie it still shows what it read and wrote, to who has the file open.
	if m.bytes != nil {
		m.io = parseIO(m.bytes)
		err = errors.Join(err, m.bytes.Close())
	}
	for {
		_, werr := syscall.Wait4(m.pid, &m.status, 0, &m.usage)
		if werr == syscall.EINTR {
			continue
		}
		m.err = errors.Join(err, werr)
		return
	}
}

// signal sends sig; it is unix.ESRCH if the member has ended.
func (m *member) signal(sig unix.Signal) error {
	c, err := m.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := c.Control(func(fd uintptr) { serr = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	return serr
}

// kill ends the member for certain; one that has ended already is no error.
func (m *member) kill() error {
	err := m.signal(unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// close gives the descriptors back, after gone.
func (m *member) close() error { return errors.Join(m.end.Close(), m.pidfd.Close()) }

// cpu returns the processor time of the member and of the children it waited for.
func (m *member) cpu() time.Duration {
	return time.Duration(m.usage.Utime.Nano() + m.usage.Stime.Nano())
}

// readIO reads the counts of a process; nothing if they cannot be read.
func readIO(pid int) ioCounts {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/io")
	if err != nil {
		return ioCounts{} // e.g. no task I/O accounting in this kernel
	}
	defer func() { _ = f.Close() }() // only read from
	return parseIO(f)
}

func parseIO(f *os.File) (c ioCounts) {
	b := make([]byte, 512) // seven short lines
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return c
	}
	for line := range strings.Lines(string(b[:n])) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "rchar":
			c.read = n
		case "wchar":
			c.written = n
		}
	}
	return c
}
