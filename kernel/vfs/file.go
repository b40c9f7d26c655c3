package vfs

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// changeableFlags are the flags that can change while a file is open.
const changeableFlags = abi.OAppend | abi.ONonblock | abi.OSync | abi.ODsync | abi.ORsync

// keptFlags are the flags that describe an open file; the others shaped its
// opening.
const keptFlags = changeableFlags | abi.ORead | abi.OWrite

// File is an open file description: an open object with an offset and flags,
// shared by every descriptor that refers to it. It is safe for concurrent use.
type File struct {
	at   spot // the node, and where it was found
	ns   *Namespace
	base *Base // for directories
	typ  abi.FileType
	ch   Channel // instead of node and handles

	refs  atomic.Int64
	flags atomic.Uint32

	mu sync.Mutex
	// mu guards off, and the opening of a second handle; a handle, once set,
	// stays until the last reference goes.
	off     int64
	handles [2]atomic.Pointer[Handle] // [1] appends
}

// newFile makes a file with one reference. It takes over s and h.
func newFile(s spot, h Handle, typ abi.FileType, flags abi.OpenFlags) *File {
	f := &File{at: s, typ: typ}
	f.refs.Store(1)
	f.flags.Store(uint32(flags & keptFlags))
	f.handles[appends(flags)].Store(&h)
	return f
}

// appends is the index of the handle for flags.
func appends(flags abi.OpenFlags) int {
	if flags&abi.OAppend != 0 {
		return 1
	}
	return 0
}

// Ref takes another reference.
func (f *File) Ref() {
	n := f.refs.Add(1)
	invariants.Check(n > 1, "vfs: reference to a closed file")
}

// Unref lets go of a reference; the last one closes the file, and its error is
// that of the closing.
func (f *File) Unref() abi.Errno {
	n := f.refs.Add(-1)
	invariants.Check(n >= 0, "vfs: file closed too often")
	if n != 0 {
		return abi.OK
	}
	result := abi.OK
	for i := range f.handles {
		if h := f.handles[i].Load(); h != nil {
			if errno := (*h).Close(); errno != abi.OK {
				result = errno
			}
		}
	}
	if f.ch != nil {
		return f.ch.Close()
	}
	switch {
	case f.at.own:
		f.at.node.Close()
	case f.at.from != nil:
		_ = f.at.from.Unref() // its own closer is told of its errors
	default:
		f.ns.leave()
	}
	return result
}

// Type returns the type of the file.
func (f *File) Type() abi.FileType { return f.typ }

// Path returns the canonical guest path that the file was opened under, "" for a
// stream.
func (f *File) Path() string { return f.at.path }

// Base returns the file as a place where walks may start, or nil if it is not a
// directory. It is valid while the file is referenced.
func (f *File) Base() *Base { return f.base }

// Stream reports whether the file is a channel, whose reads may wait for ever.
func (f *File) Stream() bool { return f.ch != nil }

// Latency returns how long operations on the file may wait for the host.
func (f *File) Latency() Latency {
	if f.ch != nil {
		return Unbounded
	}
	return latencyOf(f.at.node)
}

// Durable reports whether writes are to reach storage before they return.
func (f *File) Durable() bool { return f.Flags()&(abi.OSync|abi.ODsync) != 0 }

// Flags returns the access mode and the flags that can change.
func (f *File) Flags() abi.OpenFlags { return abi.OpenFlags(f.flags.Load()) }

// handle returns the handle for flags.
func (f *File) handle(flags abi.OpenFlags) Handle { return *f.handles[appends(flags)].Load() }

// SetFlags replaces the flags that can change.
func (f *File) SetFlags(flags abi.OpenFlags) abi.Errno {
	if flags&^keptFlags != 0 {
		return abi.EINVAL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	invariants.Point("vfs.file")
	next := f.Flags()&^changeableFlags | flags&changeableFlags
	if f.ch == nil && f.handles[appends(next)].Load() == nil {
		h, errno := f.at.node.Open(next)
		if errno != abi.OK {
			return errno
		}
		f.handles[appends(next)].Store(&h)
	}
	f.flags.Store(uint32(next))
	return abi.OK
}

// readable returns the error of reading from f.
func (f *File) readable(flags abi.OpenFlags) abi.Errno {
	switch {
	case f.typ == abi.TypeDirectory:
		return abi.EISDIR
	case flags&abi.ORead == 0:
		return abi.EBADF
	}
	return abi.OK
}

// writable returns the error of writing to f.
func (f *File) writable(flags abi.OpenFlags) abi.Errno {
	if f.typ == abi.TypeDirectory || flags&abi.OWrite == 0 {
		return abi.EBADF
	}
	return abi.OK
}

// Read reads at the offset and moves it. 0, OK is the end. One call moves at
// most [abi.MaxTransfer] bytes.
func (f *File) Read(bufs [][]byte) (int, abi.Errno) {
	flags := f.Flags()
	if errno := f.readable(flags); errno != abi.OK {
		return 0, errno
	}
	bufs = Clamp(bufs)
	if f.ch != nil {
		return f.ch.Read(bufs)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	invariants.Point("vfs.file")
	n, errno := f.handle(flags).ReadAt(bufs, f.off)
	f.off += int64(n)
	return n, errno
}

// Write writes at the offset, or at the end for a file that appends, and moves
// it. One call moves at most [abi.MaxTransfer] bytes.
func (f *File) Write(bufs [][]byte) (int, abi.Errno) {
	flags := f.Flags()
	if errno := f.writable(flags); errno != abi.OK {
		return 0, errno
	}
	bufs = Clamp(bufs)
	if f.ch != nil {
		return f.ch.Write(bufs)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	invariants.Point("vfs.file")
	h := f.handle(flags)
	n, end, errno := h.WriteAt(bufs, f.off)
	if flags&abi.OAppend != 0 && n > 0 {
		f.off = end
	} else {
		f.off += int64(n)
	}
	return n, synced(h, flags, n, errno)
}

// Pread reads at off and leaves the offset alone.
func (f *File) Pread(bufs [][]byte, off int64) (int, abi.Errno) {
	flags := f.Flags()
	if errno := f.readable(flags); errno != abi.OK {
		return 0, errno
	}
	if errno := f.positioned(off); errno != abi.OK {
		return 0, errno
	}
	return f.handle(flags).ReadAt(Clamp(bufs), off)
}

// Pwrite writes at off and leaves the offset alone. A file that appends does so
// here too, as on Linux.
func (f *File) Pwrite(bufs [][]byte, off int64) (int, abi.Errno) {
	flags := f.Flags()
	if errno := f.writable(flags); errno != abi.OK {
		return 0, errno
	}
	if errno := f.positioned(off); errno != abi.OK {
		return 0, errno
	}
	h := f.handle(flags)
	n, _, errno := h.WriteAt(Clamp(bufs), off)
	return n, synced(h, flags, n, errno)
}

// synced completes a write to a file that is to be stored at once.
func synced(h Handle, flags abi.OpenFlags, n int, errno abi.Errno) abi.Errno {
	if errno != abi.OK || n == 0 || flags&(abi.OSync|abi.ODsync) == 0 {
		return errno
	}
	return h.Sync(flags&abi.OSync == 0)
}

// positioned returns the error of an operation at off.
func (f *File) positioned(off int64) abi.Errno {
	switch {
	case f.ch != nil:
		return abi.ESPIPE
	case off < 0:
		return abi.EINVAL
	}
	return abi.OK
}

// Clamp shortens bufs to what one call may move.
func Clamp(bufs [][]byte) [][]byte {
	total := 0
	for i, b := range bufs {
		if total+len(b) > abi.MaxTransfer {
			cut := append([][]byte(nil), bufs[:i]...)
			return append(cut, b[:abi.MaxTransfer-total])
		}
		total += len(b)
	}
	return bufs
}

// SeekTo moves the offset and returns where it is.
func (f *File) SeekTo(off int64, whence uint32) (int64, abi.Errno) {
	switch {
	case f.ch != nil:
		return 0, abi.ESPIPE
	case f.typ == abi.TypeDirectory:
		return 0, abi.EBADF // a listing goes on by cookie
	}
	var from int64
	f.mu.Lock()
	defer f.mu.Unlock()
	invariants.Point("vfs.file")
	switch whence {
	case abi.SeekSet:
	case abi.SeekCur:
		from = f.off
	case abi.SeekEnd:
		st, errno := f.at.node.Stat()
		if errno != abi.OK {
			return 0, errno
		}
		from = st.Size
	default:
		return 0, abi.EINVAL
	}
	if off > 0 && from > math.MaxInt64-off {
		return 0, abi.EOVERFLOW
	}
	if from+off < 0 {
		return 0, abi.EINVAL
	}
	f.off = from + off
	return f.off, abi.OK
}

// Stat describes the file.
func (f *File) Stat() (abi.Stat, abi.Errno) {
	if f.ch != nil {
		return f.ch.Stat(), abi.OK
	}
	return f.at.node.Stat()
}

// StatAs describes the file to a, which is not told of what it may not see.
func (f *File) StatAs(a Access) (abi.Stat, abi.Errno) {
	st, errno := f.Stat()
	if errno == abi.OK && f.ch == nil {
		veil(a, f.at.path, &st)
	}
	return st, errno
}

// Moved reports whether the file is no longer what its path leads to, although it
// exists: it was moved, or a directory above it was, and where it stands now is not
// known. It asks the host, unless that might never answer.
func (f *File) Moved() bool {
	if f.ch != nil || f.at.mount == nil || !f.at.own && f.at.from == nil || f.Latency() == Unbounded {
		return false
	}
	st, errno := f.at.node.Stat()
	if errno != abi.OK {
		return true
	}
	if st.Nlink == 0 {
		return false // it has no name at all
	}
	now, errno := f.ns.Stat(nil, f.ns.origin(), f.at.path, false)
	return errno != abi.OK || now.Dev != st.Dev || now.Ino != st.Ino
}

// veil takes from the description of a directory above something denied what counts
// its entries: on most file systems the links say how many directories are in it, and
// on some the size how many names. One link is how others say that they do not count.
func veil(a Access, path string, st *abi.Stat) {
	if a != nil && st.Type == abi.TypeDirectory && a.Subject().HidesBeneath(path) {
		st.Nlink, st.Size = 1, 0
	}
}

// Truncate sets the size of a file that is open for writing.
func (f *File) Truncate(size int64) abi.Errno {
	flags := f.Flags()
	if f.typ == abi.TypeDirectory || f.ch != nil || flags&abi.OWrite == 0 || size < 0 {
		return abi.EINVAL
	}
	return f.handle(flags).Truncate(size)
}

// Allocate reserves space for [off, off+length) and makes the file at least that
// long. ENOTSUP says that the file system cannot promise it.
func (f *File) Allocate(off, length int64) abi.Errno {
	flags := f.Flags()
	switch {
	case f.ch != nil:
		return abi.ESPIPE
	case f.typ == abi.TypeDirectory, flags&abi.OWrite == 0:
		return abi.EBADF
	case off < 0 || length <= 0:
		return abi.EINVAL
	case off > math.MaxInt64-length:
		return abi.EFBIG
	}
	if h, ok := f.handle(flags).(Allocator); ok {
		return h.Allocate(off, length)
	}
	return abi.ENOTSUP
}

// Advise checks a hint about how the file will be used, and makes no use of it.
func (f *File) Advise(off, length int64) abi.Errno {
	switch {
	case f.ch != nil:
		return abi.ESPIPE
	case off < 0 || length < 0:
		return abi.EINVAL
	}
	return abi.OK
}

// SetTimes sets the times, in ns since 1970, whose pointers are not nil. A file
// that was not opened for writing must be one that a may write.
func (f *File) SetTimes(a Access, atime, mtime *int64) abi.Errno {
	if f.ch != nil {
		return abi.EINVAL
	}
	if f.at.mount == nil {
		return abi.EACCES
	}
	if f.Flags()&abi.OWrite == 0 {
		if errno := a.Decide(abi.ActWrite, asked(f.at.path, f.typ)); errno != abi.OK {
			return errno
		}
	}
	return f.at.node.SetTimes(atime, mtime)
}

// Sync writes the file to storage. What has no storage has nothing to write.
func (f *File) Sync(dataOnly bool) abi.Errno {
	if f.ch != nil {
		return abi.EINVAL
	}
	return f.handle(f.Flags()).Sync(dataOnly)
}
