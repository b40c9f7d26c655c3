//go:build linux && !hostfs_portable

package hostfs

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// maxVecs is how many buffers the host takes in one call (IOV_MAX). More give a
// short transfer.
const maxVecs = 1024

// handle is an object opened for I/O. What flags do not say is refused here,
// not by the host, so that it is the same for every kind of object.
type handle struct {
	ref
	fs    *FS
	flags abi.OpenFlags
	own   desc // what ref.d points to, unless it is shared with a node

	mu  sync.Mutex // guards the host's file position: of appends and of listings
	dir *listing   // nil unless a directory
}

func (fs *FS) newHandle(fd int, flags abi.OpenFlags, dir bool) *handle {
	h := &handle{fs: fs, flags: flags}
	h.own.fd = fd
	h.own.n.Store(1)
	h.d = &h.own
	if dir {
		h.dir = new(listing)
	}
	return h
}

// begin checks that the handle was opened with what an operation needs.
func (h *handle) begin(need abi.OpenFlags) (int, abi.Errno) {
	if h.dir != nil {
		return -1, abi.EISDIR
	}
	if h.flags&need != need {
		return -1, abi.EBADF
	}
	return h.use()
}

// ReadAt reads at off.
func (h *handle) ReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	fd, e := h.begin(abi.ORead)
	if e != abi.OK {
		return 0, e
	}
	defer h.done()
	bufs = bufs[:min(len(bufs), maxVecs)]
	n, err := again(func() (int, error) { return unix.Preadv(fd, bufs, off) })
	if err != nil {
		return 0, Errno(err)
	}
	return n, abi.OK
}

// TryReadAt reads what the host has in memory. ENOTSUP says that this file system
// cannot be asked, EAGAIN that the data are not all there.
func (h *handle) TryReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	fd, e := h.begin(abi.ORead)
	if e != abi.OK {
		return 0, e
	}
	defer h.done()
	if off < 0 {
		return 0, abi.EINVAL // preadv2 would take -1 for the host's own position
	}
	bufs = bufs[:min(len(bufs), maxVecs)]
	want := 0
	for _, b := range bufs {
		want += len(b)
	}
	n, err := unix.Preadv2(fd, bufs, off, unix.RWF_NOWAIT)
	if err != nil {
		return 0, tryErrno(err)
	}
	if n == 0 || n >= want {
		return n, abi.OK
	}
	// Short: either the file ends here, or the rest is not in memory. A guest
	// must not be able to tell which way its read went, so only the first is an
	// answer.
	var one [1]byte
	more, err := unix.Preadv2(fd, [][]byte{one[:]}, off+int64(n), unix.RWF_NOWAIT)
	if err != nil {
		return 0, tryErrno(err)
	}
	if more != 0 {
		return 0, abi.EAGAIN
	}
	return n, abi.OK
}

// tryErrno turns every way of saying "not without waiting" into EAGAIN, and of
// "that cannot be asked here" into ENOTSUP.
func tryErrno(err error) abi.Errno {
	switch err {
	case unix.EAGAIN, unix.EINTR:
		return abi.EAGAIN
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM:
		return abi.ENOTSUP
	}
	return Errno(err)
}

// WriteAt writes at off, or at the end with OAppend.
func (h *handle) WriteAt(bufs [][]byte, off int64) (int, int64, abi.Errno) {
	fd, e := h.begin(abi.OWrite)
	if e != abi.OK {
		return 0, 0, e
	}
	defer h.done()
	bufs = bufs[:min(len(bufs), maxVecs)]
	if h.flags&abi.OAppend != 0 {
		return h.appendTo(fd, bufs)
	}
	n, err := again(func() (int, error) { return unix.Pwritev(fd, bufs, off) })
	if err != nil {
		return 0, 0, Errno(err)
	}
	return n, off + int64(n), abi.OK
}

// appendTo appends and returns where the data ended. The host's position after
// an append is the only thing that tells, others may be appending too.
func (h *handle) appendTo(fd int, bufs [][]byte) (int, int64, abi.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := again(func() (int, error) { return unix.Writev(fd, bufs) })
	if err != nil {
		return 0, 0, Errno(err)
	}
	end, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err != nil {
		return 0, 0, Errno(err)
	}
	return n, end, abi.OK
}

// Truncate sets the size.
func (h *handle) Truncate(size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	fd, e := h.begin(abi.OWrite)
	if e != abi.OK {
		return e
	}
	defer h.done()
	return Errno(againErr(func() error { return unix.Ftruncate(fd, size) }))
}

// Allocate reserves space; see [Allocator].
func (h *handle) Allocate(off, n int64) abi.Errno {
	fd, e := h.begin(abi.OWrite)
	if e != abi.OK {
		return e
	}
	defer h.done()
	return Errno(againErr(func() error { return unix.Fallocate(fd, 0, off, n) }))
}

// Sync writes what has been written to storage. A handle without access has
// written nothing.
func (h *handle) Sync(dataOnly bool) abi.Errno {
	fd, e := h.use()
	if e != abi.OK {
		return e
	}
	defer h.done()
	if h.dir == nil && h.flags&(abi.ORead|abi.OWrite) == 0 {
		return abi.OK
	}
	return Errno(againErr(func() error {
		if dataOnly {
			return unix.Fdatasync(fd)
		}
		return unix.Fsync(fd)
	}))
}

// Close lets go of the handle. It returns what the host says on closing, which
// on network file systems may be the first news of a failed write.
func (h *handle) Close() abi.Errno { return h.giveUp() }
