package overlayfs

import (
	"math"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

// handle is an open object. One that was opened before the object departed from
// the lower layer sees what is written afterwards, as it would of one file.
type handle struct {
	n      *inode
	flags  abi.OpenFlags
	low    vfs.Handle // in the lower layer, if the object was there when it was opened
	closed atomic.Bool
}

var (
	_ vfs.Allocator    = (*handle)(nil)
	_ hostfs.TryReader = (*handle)(nil)
)

// Open opens a regular file or a directory. A file of the lower layer is copied
// when it is first changed, not when it is opened.
func (n *inode) Open(flags abi.OpenFlags) (vfs.Handle, abi.Errno) {
	changes := flags&(abi.OWrite|abi.OTrunc) != 0
	switch n.typ {
	case abi.TypeRegular:
	case abi.TypeDirectory:
		if changes {
			return nil, abi.EISDIR
		}
	case abi.TypeSymlink:
		return nil, abi.ELOOP
	default:
		return nil, abi.ENXIO
	}
	if flags&(abi.OTrunc|abi.OWrite) == abi.OTrunc {
		return nil, abi.EINVAL
	}
	h, errno := n.openLow(flags)
	if errno != abi.OK {
		return nil, errno
	}
	if flags&abi.OTrunc != 0 {
		if errno := h.truncate(0); errno != abi.OK {
			_ = h.Close() // nothing was written
			return nil, errno
		}
	}
	return h, abi.OK
}

func (n *inode) openLow(flags abi.OpenFlags) (*handle, abi.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.ledger.closed.Load() {
		return nil, abi.EIO
	}
	h := &handle{n: n, flags: flags}
	if n.merged {
		if n.lower == nil && n.typ != abi.TypeDirectory {
			return nil, abi.ESTALE
		}
		if n.lower != nil {
			var errno abi.Errno
			if h.low, errno = n.lower.Open(abi.ORead); errno != abi.OK {
				return nil, errno
			}
		}
	}
	n.refs++
	return h, abi.OK
}

// Close lets go of the handle.
func (h *handle) Close() abi.Errno {
	if !h.closed.CompareAndSwap(false, true) {
		return abi.EBADF
	}
	errno := abi.OK
	if h.low != nil {
		errno = h.low.Close()
	}
	h.n.Close()
	return errno
}

// begin checks that h was opened with need.
func (h *handle) begin(need abi.OpenFlags) abi.Errno {
	switch {
	case h.n.typ == abi.TypeDirectory:
		return abi.EISDIR
	case h.closed.Load(), h.flags&need != need:
		return abi.EBADF
	case h.n.fs.ledger.closed.Load():
		return abi.EIO
	}
	return abi.OK
}

// span returns how many bytes bufs hold, and whether there is such a place in a
// file: offsets end at 2^63.
func span(bufs [][]byte, off int64) (total int64, errno abi.Errno) {
	for _, b := range bufs {
		total += int64(len(b))
	}
	if off < 0 || off > math.MaxInt64-total {
		return 0, abi.EINVAL
	}
	return total, abi.OK
}

// ReadAt reads at off, from the store once the file is there.
func (h *handle) ReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	if errno := h.begin(abi.ORead); errno != abi.OK {
		return 0, errno
	}
	if total, errno := span(bufs, off); errno != abi.OK || total == 0 {
		return 0, errno
	}
	up, errno := h.n.data.reader(h.n.fs)
	switch {
	case errno != abi.OK:
		return 0, errno
	case up != nil:
		return up.ReadAt(bufs, off)
	case h.low != nil:
		if h.n.dated.Load() {
			h.n.fs.mu.Lock()
			h.n.accessed()
			h.n.fs.mu.Unlock()
		}
		return h.low.ReadAt(bufs, off)
	}
	return 0, abi.EIO // cannot be: a file is in one layer or the other
}

// TryReadAt is ReadAt where nothing must be waited for.
func (h *handle) TryReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	if h.begin(abi.ORead) != abi.OK || off < 0 || !h.n.data.mu.TryRLock() {
		return 0, abi.EAGAIN
	}
	at := h.low
	if h.n.dated.Load() && h.n.data.num == 0 {
		at = nil // a time of ours moves
	}
	if h.n.data.num != 0 {
		at = h.n.data.h
	}
	h.n.data.mu.RUnlock()
	if t, ok := at.(hostfs.TryReader); ok {
		return t.TryReadAt(bufs, off)
	}
	return 0, abi.EAGAIN
}

// WriteAt writes at off, or at the end with OAppend.
func (h *handle) WriteAt(bufs [][]byte, off int64) (int, int64, abi.Errno) {
	if errno := h.begin(abi.OWrite); errno != abi.OK {
		return 0, 0, errno
	}
	if h.flags&abi.OAppend != 0 {
		off = 0 // is not looked at
	}
	if total, errno := span(bufs, off); errno != abi.OK || total == 0 {
		return 0, off, errno
	}
	if errno := h.n.prepare(maxSize); errno != abi.OK {
		return 0, 0, errno
	}
	return h.n.data.write(h.n.fs, bufs, off, h.flags&abi.OAppend != 0)
}

// Truncate sets the size.
func (h *handle) Truncate(size int64) abi.Errno {
	if errno := h.begin(abi.OWrite); errno != abi.OK {
		return errno
	}
	return h.truncate(size)
}

func (h *handle) truncate(size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	if size > maxSize {
		return abi.EFBIG
	}
	if errno := h.n.prepare(size); errno != abi.OK {
		return errno
	}
	return h.n.data.truncate(h.n.fs, size)
}

// Allocate implements [vfs.Allocator].
func (h *handle) Allocate(off, length int64) abi.Errno {
	if errno := h.begin(abi.OWrite); errno != abi.OK {
		return errno
	}
	if off < 0 || length <= 0 {
		return abi.EINVAL
	}
	if errno := h.n.prepare(maxSize); errno != abi.OK {
		return errno
	}
	return h.n.data.allocate(h.n.fs, off, length)
}

// Sync stores what was written, and that it was.
func (h *handle) Sync(dataOnly bool) abi.Errno {
	fs := h.n.fs
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	up, errno := h.n.data.reader(fs)
	if errno != abi.OK {
		return errno
	}
	if up != nil {
		if errno := up.Sync(dataOnly); errno != abi.OK {
			return errno
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	return hostfs.Errno(fs.journal.f.Sync())
}

// prepare makes a regular file one that can be written to: it is in the store,
// and the journal does not say that it is the same as one of the lower layer. Of
// a file of the lower layer, at most limit bytes are copied.
func (n *inode) prepare(limit int64) abi.Errno {
	if n.data.ready.Load() {
		return abi.OK
	}
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n.data.ready.Load() {
		return abi.OK
	}
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	t := fs.change()
	if n.data.has() {
		r := n.record()
		r.origin = ""
		t.put(putNode(nil, r))
		t.then(func() {
			n.origin = ""
			n.data.ready.Store(true)
		})
		return t.commit()
	}
	if n.removed {
		errno := t.own(n, "", limit)
		t.ops = t.ops[:headSize] // it has no name that the journal could know
		if errno != abi.OK {
			return t.fail(errno)
		}
		return t.commit()
	}
	errno := t.base(n)
	if errno == abi.OK {
		errno = t.enter(n)
	}
	if errno == abi.OK {
		errno = t.own(n, "", limit)
	}
	if errno != abi.OK {
		return t.fail(errno)
	}
	return t.commit()
}
