//go:build linux && !hostfs_portable

package hostfs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// desc is a host descriptor with a count of those who hold it: each owner (a
// node, a handle, the file system) and each operation under way. The last to
// let go closes it, so that a number is never used after the host may have
// given it to another file. That matters here more than usual: a killed
// process's handles are released while an orphaned worker may still be about to
// read from one.
type desc struct {
	fd int
	n  atomic.Int32 // holders; never rises again from zero
}

func newDesc(fd int) *desc {
	d := &desc{fd: fd}
	d.n.Store(1)
	return d
}

// hold adds a holder. It fails once nobody holds d, that is, once d is closed.
func (d *desc) hold() bool {
	for {
		n := d.n.Load()
		if n <= 0 {
			return false
		}
		if d.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// drop removes a holder. The last one gets close's error.
func (d *desc) drop() abi.Errno {
	if d.n.Add(-1) != 0 {
		return abi.OK
	}
	// After EINTR the descriptor is gone on Linux; closing again would close
	// somebody else's.
	if err := unix.Close(d.fd); err != nil && err != unix.EINTR {
		return Errno(err)
	}
	return abi.OK
}

// ref is one owner's hold of a desc, given up once.
type ref struct {
	d      *desc
	closed atomic.Bool
}

// use begins an operation and returns the descriptor; d.drop ends it.
func (r *ref) use() (int, abi.Errno) {
	if r.closed.Load() || !r.d.hold() {
		return -1, abi.EBADF
	}
	return r.d.fd, abi.OK
}

// done ends an operation begun by use.
func (r *ref) done() {
	// An error of close has no one to go to when an operation outlives its
	// owner's Close, as in Linux itself.
	_ = r.d.drop()
}

// giveUp drops the owner's hold, the first time it is called.
func (r *ref) giveUp() abi.Errno {
	if r.closed.Swap(true) {
		return abi.EBADF
	}
	return r.d.drop()
}

// again repeats a system call as long as a signal interrupts it: the Go
// runtime's own preemption signals reach calls on FUSE and network file systems.
func again[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// againErr is again for calls that only fail or succeed.
func againErr(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
