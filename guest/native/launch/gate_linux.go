package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gate answers what the filter of a tree asks about: every start of a program.
type gate struct {
	listener *os.File
	raw      func(func(fd uintptr) bool) error
	ran      func(pid int, exe string)

	done sync.WaitGroup
}

// notification and response are seccomp_notif and seccomp_notif_resp.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

const continueCall = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE

// newGate takes over the listener of a filter.
func newGate(fd int) (*gate, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // the error says more
		return nil, fmt.Errorf("seccomp listener: %w", err)
	}
	f := os.NewFile(uintptr(fd), "seccomp listener")
	c, err := f.SyscallConn()
	if err != nil {
		_ = f.Close() // as above
		return nil, fmt.Errorf("seccomp listener: %w", err)
	}
	return &gate{listener: f, raw: c.Read}, nil
}

// serve answers until the tree is gone or the gate is closed.
func (g *gate) serve() {
	g.done.Go(func() {
		for {
			n, err := g.receive()
			if err != nil {
				return // closed, or nobody is left who could ask
			}
			program := executable(int(n.pid), n)
			// The number may be another process's by now, and so what was read.
			if ioctl(g.listener, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.id)) != nil {
				continue
			}
			g.ran(int(n.pid), program)
			resp := response{id: n.id, flags: continueCall}
			// An error means that the process was killed meanwhile.
			_ = ioctl(g.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&resp))
		}
	})
}

// receive waits for a question without holding a thread.
func (g *gate) receive() (n notification, err error) {
	var errno unix.Errno
	werr := g.raw(func(fd uintptr) bool {
		for {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if k, perr := unix.Poll(p, 0); perr != nil || k == 0 {
				if perr == unix.EINTR {
					continue
				}
				return false
			}
			if p[0].Revents&unix.POLLIN == 0 {
				errno = unix.ENOTCONN // hung up
				return true
			}
			n = notification{}
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
			if errno == unix.EINTR || errno == unix.ENOENT { // the asker was killed
				continue
			}
			return true
		}
	})
	if werr != nil {
		return n, werr
	}
	if errno != 0 {
		return n, errno
	}
	return n, nil
}

// executable names what a process is about to execute, for the record only: the
// guest can change the memory that it is read from.
func executable(pid int, n notification) string {
	at := n.args[0]
	if n.nr == unix.SYS_EXECVEAT {
		at = n.args[1]
	}
	buf := make([]byte, 256)
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(buf)}}
	got, err := unix.ProcessVMReadv(pid, local, remote, 0)
	if err != nil || got <= 0 {
		return "?"
	}
	for i, c := range buf[:got] {
		if c == 0 {
			return string(buf[:i])
		}
	}
	return string(buf[:got]) + "…"
}

// close ends the gate. What is asked from then on fails with ENOSYS.
func (g *gate) close() error {
	err := g.listener.Close()
	g.done.Wait()
	return err
}

func ioctl(f *os.File, req uint, arg unsafe.Pointer) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	if err := c.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, uintptr(req), uintptr(arg))
	}); err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// unlikely raises the chance that the host, when it is out of memory, takes a process
// of the tree and not one of its own.
func unlikely(pid int) error {
	err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("500"), 0o644)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		// Killed meanwhile; or it is in a user namespace of its own, where it is not ours
		// to say. Nothing of the floor hangs on it.
		return nil
	}
	return err
}
