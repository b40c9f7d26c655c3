package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

// Cookies below dotEntries are our own: the interface lists "." and "..", the
// kernel does not. The kernel's cookie k is the guest's k+dotEntries.
const dotEntries = 2

// fdReaddir fills the guest's buffer with entries, the last of which may be cut
// off. A buffer that is not full means the end of the directory.
func fdReaddir(p *Process, a []uint64) abi.Errno {
	size := min(uint32(a[2]), abi.MaxTransfer)
	buf, ok := p.span(uint32(a[1]), uint64(size))
	if !ok {
		return abi.EFAULT
	}
	used, ok := p.span(uint32(a[4]), 4)
	if !ok {
		return abi.EFAULT
	}
	w := dirWriter{buf: buf}
	cookie := a[3]
	if cookie < dotEntries {
		// The directory's own number also stands for its parent's, which a
		// program has no business to know.
		c := p.onFD(abi.SysFstat, "fd_readdir", a[0], RightFdReaddir)
		p.Host.Enter(c)
		if c.Errno != abi.OK {
			return c.Errno
		}
		if c.Stat.Type != abi.TypeDirectory {
			return abi.ENOTDIR
		}
		for _, name := range []string{".", ".."}[cookie:] {
			cookie++
			w.add(cookie, c.Stat.Ino, name, abi.TypeDirectory)
		}
	}
	kernel := cookie - dotEntries
	for !w.full() {
		c := p.onFD(abi.SysReaddir, "fd_readdir", a[0], RightFdReaddir)
		c.Off = int64(kernel)
		c.Len = int64(min(w.room()/sizeDirent+1, maxEntries))
		p.Host.Enter(c)
		if c.Errno != abi.OK {
			return c.Errno
		}
		ents := c.Ents
		c.Ents = nil
		if len(ents) == 0 {
			break
		}
		for i := range ents {
			e := &ents[i]
			kernel = e.Next
			if !w.add(e.Next+dotEntries, e.Ino, e.Name, e.Type) {
				break
			}
		}
	}
	le.PutUint32(used, uint32(w.n))
	return abi.OK
}

// dirWriter fills a buffer with directory entries.
type dirWriter struct {
	buf []byte
	n   int
}

func (w *dirWriter) room() int  { return len(w.buf) - w.n }
func (w *dirWriter) full() bool { return w.n == len(w.buf) }

// add appends one entry, as much of it as fits, and reports whether there is
// room for more.
func (w *dirWriter) add(next, ino uint64, name string, t abi.FileType) bool {
	var head [sizeDirent]byte
	encodeDirent(head[:], next, ino, name, t)
	w.n += copy(w.buf[w.n:], head[:])
	w.n += copy(w.buf[w.n:], name)
	return !w.full()
}
