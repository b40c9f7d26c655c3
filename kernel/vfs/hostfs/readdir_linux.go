//go:build linux && !hostfs_portable

package hostfs

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

const (
	direntBuf  = 32 << 10 // one fetch from the host
	direntHead = 19       // bytes of a linux_dirent64 before its name
)

// listing is the state of a directory handle, guarded by handle.mu.
type listing struct {
	// rest are host records fetched and not yet returned, which begin after
	// cookie next. Keeping them spares a seek, and on file systems whose
	// positions shift when entries go (tmpfs before Linux 6.6) it is what keeps
	// a sequential listing complete.
	rest []byte
	next uint64
	end  bool // nothing follows rest
}

// Readdir lists the visible entries after cookie.
func (h *handle) Readdir(cookie uint64, maxEnts int) ([]abi.Dirent, abi.Errno) {
	if h.dir == nil {
		return nil, abi.ENOTDIR
	}
	if maxEnts <= 0 {
		return nil, abi.EINVAL
	}
	fd, e := h.use()
	if e != abi.OK {
		return nil, e
	}
	defer h.done()
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.dir
	if cookie == 0 || cookie != l.next {
		l.rest, l.end, l.next = nil, false, cookie
		if _, err := unix.Seek(fd, int64(cookie), unix.SEEK_SET); err != nil {
			l.next = 0
			return nil, Errno(err)
		}
	}
	buf := h.fs.bufs.Get().(*[direntBuf]byte)
	defer h.fs.bufs.Put(buf)
	var out []abi.Dirent
	for len(out) < maxEnts {
		if len(l.rest) > 0 {
			out = h.take(fd, out, maxEnts)
			continue
		}
		// An entry of the fetched size is about the shortest there is; a page of
		// long names just takes another round.
		if len(out) > 0 || l.end {
			break
		}
		n, err := again(func() (int, error) { return unix.Getdents(fd, buf[:min(max(maxEnts*40, 4096), direntBuf)]) })
		if err != nil {
			return nil, Errno(err)
		}
		if n == 0 {
			l.end = true
			break
		}
		l.rest = buf[:n]
		out = h.take(fd, out, maxEnts)
		l.rest = bytes.Clone(l.rest) // buf goes back
	}
	if len(l.rest) == 0 {
		l.rest = nil
	}
	return out, abi.OK
}

// take moves records from rest to out, skipping what guests do not see.
func (h *handle) take(fd int, out []abi.Dirent, maxEnts int) []abi.Dirent {
	l := h.dir
	for len(l.rest) >= direntHead && len(out) < maxEnts {
		rec := l.rest
		size := int(binary.NativeEndian.Uint16(rec[16:]))
		if size < direntHead || size > len(rec) {
			l.rest = nil // not a record: a broken host kernel
			return out
		}
		l.rest = rec[size:]
		ino := binary.NativeEndian.Uint64(rec)
		l.next = binary.NativeEndian.Uint64(rec[8:])
		name := rec[direntHead:size]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if ent, ok := h.entry(fd, ino, rec[18], string(name)); ok {
			ent.Next = l.next
			out = append(out, ent)
		}
	}
	if len(l.rest) < direntHead {
		l.rest = nil
	}
	return out
}

// entry judges one record. What is cheap to tell is told from the record: the
// type of most objects, and that an inode number is nobody's who is hidden.
// Directories may be mount points, so their mount is looked at.
func (h *handle) entry(fd int, ino uint64, dtype byte, name string) (abi.Dirent, bool) {
	if checkName(name) != abi.OK { // "." and "..", and what a hostile FUSE server invents
		return abi.Dirent{}, false
	}
	ent := abi.Dirent{Ino: ino, Name: name}
	switch dtype {
	case unix.DT_REG:
		ent.Type = abi.TypeRegular
	case unix.DT_LNK:
		ent.Type = abi.TypeSymlink
	case unix.DT_FIFO:
		ent.Type = abi.TypeFIFO
	case unix.DT_SOCK:
		ent.Type = abi.TypeSocket
	case unix.DT_CHR, unix.DT_BLK:
		return abi.Dirent{}, false
	default: // DT_DIR, DT_UNKNOWN, and DT_WHT, which is a device by another name
	}
	if ent.Type != abi.TypeUnknown && !h.fs.hidesInode(ino) {
		return ent, true
	}
	in, _, e := h.fs.inspect(fd, name)
	if e != abi.OK {
		// Invisible, or gone since, or not to be told: a name that every
		// operation refuses is no entry.
		return abi.Dirent{}, false
	}
	ent.Type, ent.Ino = in.typ(), in.ino
	return ent, true
}
