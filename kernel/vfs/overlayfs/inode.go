package overlayfs

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// inode is an object of the merged view, and the [vfs.Node] on it. One that has
// not departed from the lower layer lives while there is a handle on it, so that
// all handles on it see it depart.
type inode struct {
	fs  *FS
	typ abi.FileType

	// Guarded by fs.mu.
	refs     int    // handles out
	num      uint64 // in the journal; 0 for none yet
	entered  bool   // the journal knows it
	merged   bool   // the lower layer's object at the same path shows through
	based    bool   // the journal has what the lower layer had there
	removed  bool   // it has no name any more
	gone     bool   // its space was returned
	lower    vfs.Node
	dev, ino uint64
	parent   *inode // of a directory, and of what has not entered
	name     string // in parent
	nlink    uint64 // names of what is no directory, once it is not merged
	subs     int64  // directories in it, more than the lower layer has
	mode     uint32
	target   string
	timed    bool // atime and mtime are its own
	atime    int64
	mtime    int64
	ctime    int64
	dir      *directory
	origin   string // path in the lower layer that has the same content

	dated atomic.Bool // it is merged and timed: reading moves a time that is not the host's
	data  content
}

var (
	_ vfs.Dir   = (*inode)(nil)
	_ vfs.Typed = (*inode)(nil)
)

// wrap makes an inode for an object of the lower layer, of which it takes over
// the handle.
func (fs *FS) wrap(l vfs.Node, typ abi.FileType) *inode {
	n := &inode{fs: fs, typ: typ, merged: true, lower: l}
	if typ == abi.TypeDirectory {
		n.dir = newDirectory()
	}
	return n
}

// fresh makes an inode that the lower layer has nothing of. It needs fs.mu.
func (fs *FS) fresh(typ abi.FileType, mode uint32) *inode {
	now := time.Now().UnixNano()
	n := &inode{fs: fs, typ: typ, mode: mode & 0o777, nlink: 1, timed: true, atime: now, mtime: now, ctime: now}
	fs.number(n)
	n.dev, n.ino = fs.dev, n.num
	if typ == abi.TypeDirectory {
		n.dir = newDirectory()
	}
	return n
}

// number gives n a number in the journal. It needs fs.mu.
func (fs *FS) number(n *inode) uint64 {
	if n.num == 0 {
		fs.next++
		n.num = fs.next
	}
	return n.num
}

func (n *inode) Type() abi.FileType { return n.typ }

// MayBlock is always true: both layers are the host's.
func (n *inode) MayBlock() bool { return true }

// hold takes a handle on n and, with the first, what n needs of the lower layer,
// from its directory's. It needs fs.mu.
func (n *inode) hold() {
	n.refs++
	if n.lower != nil || !n.merged || n.parent == nil || n.parent.lower == nil {
		return
	}
	l, errno := n.parent.lower.Lookup(n.name)
	if errno != abi.OK {
		return // changed on the host since: n has nothing of it now
	}
	if typ, errno := typeOf(l); errno != abi.OK || typ != n.typ {
		l.Close()
		return
	}
	n.lower = l
}

// Close lets go of the handle.
func (n *inode) Close() {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.drop()
}

// drop gives up a handle, and n itself if that was what kept it. It needs fs.mu.
func (n *inode) drop() {
	n.refs--
	invariants.Check(n.refs >= 0, "overlayfs: node closed too often")
	n.settle()
}

// settle lets go of what nothing needs any more. It needs fs.mu.
func (n *inode) settle() {
	if n.refs > 0 {
		return
	}
	if n.lower != nil && n != n.fs.root {
		n.lower.Close()
		n.lower = nil
	}
	for at := n; at != nil && at.refs == 0 && !at.entered && !at.removed && at.dir.idle(); {
		up := at.parent
		if up == nil || up.dir.live[at.name] != at {
			break
		}
		delete(up.dir.live, at.name)
		at.parent = nil
		at = up
	}
	n.data.rest()
	if n.gone || !n.removed {
		return
	}
	n.gone = true
	n.data.discard(n.fs)
	if n.entered {
		n.fs.ledger.uncharge(0, inodeCost+uint64(len(n.target)))
	}
}

// typeOf returns the type of an object of the lower layer.
func typeOf(n vfs.Node) (abi.FileType, abi.Errno) {
	if t, ok := n.(vfs.Typed); ok {
		return t.Type(), abi.OK
	}
	st, errno := n.Stat()
	return st.Type, errno
}

// path returns where n is, relative to the root. Of what has several names, it
// is where it was found. It needs fs.mu.
func (n *inode) path() string {
	if n == n.fs.root {
		return "."
	}
	var parts []string
	for at := n; at != n.fs.root && at != nil; at = at.parent {
		parts = append(parts, at.name)
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, "/")
}

// below returns the path of a name in n.
func (n *inode) below(name string) (string, abi.Errno) {
	p := name
	if n != n.fs.root {
		p = n.path() + "/" + name
	}
	if len(p) > maxPath {
		return "", abi.ENAMETOOLONG
	}
	return p, abi.OK
}

// Stat describes the object.
func (n *inode) Stat() (abi.Stat, abi.Errno) {
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.ledger.closed.Load() {
		return abi.Stat{}, abi.EIO
	}
	return n.stat()
}

// stat is Stat under fs.mu.
func (n *inode) stat() (abi.Stat, abi.Errno) {
	st := abi.Stat{Type: n.typ, Mode: n.mode, Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime, Nlink: n.nlink}
	switch {
	case n.data.has():
		up, errno := n.data.stat(n.fs)
		if errno != abi.OK {
			return st, errno
		}
		st.Size, st.Atime, st.Mtime, st.Ctime = up.Size, up.Atime, up.Mtime, max(up.Ctime, n.ctime)
	case n.merged && n.lower == nil:
		if n.typ != abi.TypeDirectory {
			return st, abi.ESTALE // gone from the host
		}
		st.Nlink = 2
	case n.merged:
		low, errno := n.lower.Stat()
		if errno != abi.OK {
			return st, errno
		}
		st.Mode, st.Nlink, st.Size = low.Mode&0o777, low.Nlink, low.Size
		if !n.timed {
			st.Atime, st.Mtime = low.Atime, max(low.Mtime, n.mtime)
		}
		st.Ctime = max(low.Ctime, n.ctime)
		if n.ino == 0 {
			n.dev, n.ino = low.Dev, low.Ino
		}
		if n.typ != abi.TypeDirectory && n.removed && st.Nlink > 0 {
			st.Nlink--
		}
	case n.typ == abi.TypeSymlink:
		st.Size = int64(len(n.target))
	case n.typ == abi.TypeDirectory:
		st.Nlink, st.Size = 2, int64(len(n.dir.names))
	}
	if n.typ == abi.TypeDirectory {
		if st.Nlink > 1 { // some file systems do not count
			st.Nlink = uint64(max(2, int64(st.Nlink)+n.subs))
		}
		if n.removed {
			st.Nlink = 0
		}
	}
	st.Dev, st.Ino = n.dev, n.ino
	return st, abi.OK
}

// Readlink returns the target of a symbolic link.
func (n *inode) Readlink() (string, abi.Errno) {
	if n.typ != abi.TypeSymlink {
		return "", abi.EINVAL
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	switch {
	case n.fs.ledger.closed.Load():
		return "", abi.EIO
	case !n.merged:
		n.accessed()
		return n.target, abi.OK
	case n.lower == nil:
		return "", abi.ESTALE
	}
	if n.timed {
		n.accessed()
	}
	return n.lower.Readlink()
}

// accessed notes a use of what the host keeps no times of, as memfs does: once
// after each change. It needs fs.mu.
func (n *inode) accessed() {
	if n.atime <= n.mtime || n.atime <= n.ctime {
		n.atime = time.Now().UnixNano()
	}
}

// touch notes a change of the names in n. It needs fs.mu.
func (n *inode) touch() {
	now := time.Now().UnixNano()
	n.mtime, n.ctime = now, now
}

// Lookup returns a handle on one entry.
func (n *inode) Lookup(name string) (vfs.Node, abi.Errno) {
	if n.typ != abi.TypeDirectory {
		return nil, abi.ENOTDIR
	}
	if !validName(name) {
		return nil, nameErrno(name)
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	c, errno := n.find(name)
	if errno != abi.OK {
		return nil, errno
	}
	return c, abi.OK
}

func nameErrno(name string) abi.Errno {
	if len(name) > maxName {
		return abi.ENAMETOOLONG
	}
	return abi.EINVAL
}

// find returns what a name in n means, with a handle taken. It needs fs.mu.
func (n *inode) find(name string) (*inode, abi.Errno) {
	if n.fs.ledger.closed.Load() {
		return nil, abi.EIO
	}
	if e := n.dir.names[name]; e != nil {
		if e.node == nil {
			return nil, abi.ENOENT
		}
		e.node.hold()
		return e.node, abi.OK
	}
	if !n.merged || n.lower == nil {
		return nil, abi.ENOENT
	}
	l, errno := n.lower.Lookup(name)
	if errno != abi.OK {
		return nil, errno
	}
	st, errno := l.Stat()
	if errno != abi.OK {
		l.Close()
		return nil, errno
	}
	if c := n.dir.live[name]; c != nil {
		if c.dev == st.Dev && c.ino == st.Ino && c.typ == st.Type {
			if c.lower == nil {
				c.lower = l
			} else {
				l.Close()
			}
			c.refs++
			return c, abi.OK
		}
		c.detach() // the host has put something else there
	}
	c := n.fs.wrap(l, st.Type)
	c.dev, c.ino, c.parent, c.name, c.refs = st.Dev, st.Ino, n, name, 1
	n.dir.live[name] = c
	return c, abi.OK
}

// detach takes the name from what has not entered. What its handles do is seen
// by them alone from now on. It needs fs.mu.
func (n *inode) detach() {
	for _, c := range n.dir.liveKids() {
		c.detach()
	}
	if n.parent != nil && n.parent.dir.live[n.name] == n {
		delete(n.parent.dir.live, n.name)
	}
	n.removed, n.parent = true, nil
}

// SetTimes sets the times that are given. Of a file that is the lower layer's,
// the content is not copied.
func (n *inode) SetTimes(atime, mtime *int64) abi.Errno {
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	if n.data.has() {
		return n.data.setTimes(fs, atime, mtime)
	}
	st, errno := n.stat()
	if errno != abi.OK {
		return errno
	}
	if atime == nil && mtime == nil {
		n.ctime = time.Now().UnixNano()
		return abi.OK
	}
	if atime != nil {
		st.Atime = *atime
	}
	if mtime != nil {
		st.Mtime = *mtime
	}
	set := func() {
		n.timed, n.atime, n.mtime, n.ctime, n.mode = true, st.Atime, st.Mtime, time.Now().UnixNano(), st.Mode
		n.dated.Store(n.merged)
	}
	if n.removed {
		set()
		return abi.OK
	}
	t := fs.change()
	if errno = t.base(n); errno == abi.OK {
		errno = t.enter(n)
	}
	if errno != abi.OK {
		return t.fail(errno)
	}
	r := n.record()
	r.timed, r.atime, r.mtime, r.mode = true, st.Atime, st.Mtime, st.Mode
	t.put(putNode(nil, r))
	t.then(set)
	return t.commit()
}

// record is what the journal is told about n. It needs fs.mu.
func (n *inode) record() *record {
	return &record{num: n.fs.number(n), typ: n.typ, mode: n.mode, merged: n.merged, object: n.data.num, origin: n.origin,
		target: n.target, timed: n.timed, atime: n.atime, mtime: n.mtime}
}
