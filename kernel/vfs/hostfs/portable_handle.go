//go:build unix && (!linux || hostfs_portable)

package hostfs

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// handle is an object opened for I/O. os.File counts its users itself, and
// closes the descriptor after the last.
type handle struct {
	f     *os.File // nil for a file opened without access
	fs    *FS
	flags abi.OpenFlags

	closed atomic.Bool

	mu   sync.Mutex // guards the host's position: of appends and of listings
	dir  *dirRef    // held; nil unless a directory
	pos  uint64     // how many host entries have been passed
	ents []string   // fetched and not yet passed
}

func (h *handle) begin(need abi.OpenFlags) abi.Errno {
	switch {
	case h.closed.Load():
		return abi.EBADF
	case h.dir != nil:
		return abi.EISDIR
	case h.f == nil || h.flags&need != need:
		return abi.EBADF
	}
	return abi.OK
}

// ReadAt reads at off.
func (h *handle) ReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	if e := h.begin(abi.ORead); e != abi.OK {
		return 0, e
	}
	if off < 0 {
		return 0, abi.EINVAL
	}
	total := 0
	for _, b := range bufs {
		n, err := h.f.ReadAt(b, off+int64(total))
		total += n
		if err == io.EOF {
			return total, abi.OK
		}
		if err != nil {
			if total > 0 {
				return total, abi.OK // the error comes again at the next read
			}
			return 0, Errno(err)
		}
	}
	return total, abi.OK
}

// WriteAt writes at off, or at the end with OAppend.
func (h *handle) WriteAt(bufs [][]byte, off int64) (int, int64, abi.Errno) {
	if e := h.begin(abi.OWrite); e != abi.OK {
		return 0, 0, e
	}
	if h.flags&abi.OAppend != 0 {
		return h.appendTo(bufs)
	}
	if off < 0 {
		return 0, 0, abi.EINVAL
	}
	total := 0
	for _, b := range bufs {
		n, err := h.f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			if total > 0 {
				break // the error comes again at the next write
			}
			return 0, 0, Errno(err)
		}
	}
	return total, off + int64(total), abi.OK
}

// appendTo appends in one write, so that a record stays whole, and returns where
// the data ended.
func (h *handle) appendTo(bufs [][]byte) (int, int64, abi.Errno) {
	var all []byte
	for _, b := range bufs {
		all = append(all, b...)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.f.Write(all)
	if err != nil && n == 0 {
		return 0, 0, Errno(err)
	}
	end, err := h.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, 0, Errno(err)
	}
	return n, end, abi.OK
}

// Readdir lists the visible entries after cookie, which counts host entries.
func (h *handle) Readdir(cookie uint64, maxEnts int) ([]abi.Dirent, abi.Errno) {
	if h.dir == nil {
		return nil, abi.ENOTDIR
	}
	if maxEnts <= 0 {
		return nil, abi.EINVAL
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.dir.hold() {
		return nil, abi.EBADF
	}
	defer h.dir.drop()
	if cookie == 0 || cookie < h.pos {
		if _, err := h.f.Seek(0, io.SeekStart); err != nil {
			return nil, Errno(err)
		}
		h.pos, h.ents = 0, nil
	}
	var out []abi.Dirent
	for len(out) < maxEnts {
		if len(h.ents) == 0 {
			ents, err := h.f.Readdirnames(256)
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, Errno(err)
			}
			if len(ents) == 0 {
				break
			}
			h.ents = ents
		}
		name := h.ents[0]
		h.ents = h.ents[1:]
		h.pos++
		if h.pos <= cookie || checkName(name) != abi.OK {
			continue
		}
		fi, _, e := h.fs.inspect(h.dir, name)
		if e != abi.OK {
			continue // invisible, or gone since
		}
		_, ino := devIno(fi)
		out = append(out, abi.Dirent{Next: h.pos, Ino: ino, Type: typeOf(fi), Name: name})
	}
	return out, abi.OK
}

// Truncate sets the size.
func (h *handle) Truncate(size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	if e := h.begin(abi.OWrite); e != abi.OK {
		return e
	}
	return Errno(h.f.Truncate(size))
}

// Sync writes what has been written to storage, with its metadata.
func (h *handle) Sync(bool) abi.Errno {
	if h.f == nil {
		return abi.OK
	}
	return Errno(h.f.Sync())
}

// Close lets go of the handle.
func (h *handle) Close() abi.Errno {
	if h.closed.Swap(true) {
		return abi.EBADF
	}
	if h.dir != nil {
		h.dir.drop()
	}
	if h.f == nil {
		return abi.OK
	}
	return Errno(h.f.Close())
}
