package overlayfs

import (
	"time"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// free checks that a name in n can be given to something new. It needs fs.mu.
func (n *inode) free(name string) abi.Errno {
	if n.typ != abi.TypeDirectory {
		return abi.ENOTDIR
	}
	if !validName(name) {
		return nameErrno(name)
	}
	c, errno := n.find(name)
	switch {
	case errno == abi.OK:
		c.drop()
		return abi.EEXIST
	case errno != abi.ENOENT:
		return errno
	case n.removed:
		return abi.ENOENT
	}
	_, errno = n.below(name)
	return errno
}

// place gives name in n to c, which has its record in t. It needs fs.mu.
func (t *tx) place(n *inode, name string, c *inode) abi.Errno {
	if errno := t.enter(n); errno != abi.OK {
		return errno
	}
	if errno := t.needName(name); errno != abi.OK {
		return errno
	}
	t.name(n, name, c.num)
	t.then(func() {
		if n.dir.names[name] != nil {
			t.fs.ledger.uncharge(0, entryCost+uint64(len(name))) // the entry is there
		}
		n.dir.set(name, c, false)
		if c.typ == abi.TypeDirectory {
			c.parent, c.name = n, name
			n.subs++
		}
		n.touch()
	})
	return abi.OK
}

// add puts c, which is new, into n. It returns with a handle on c taken.
func (n *inode) add(t *tx, name string, c *inode, extra uint64) abi.Errno {
	errno := t.need(0, inodeCost+extra)
	if errno == abi.OK {
		t.put(putNode(nil, c.record()))
		errno = t.place(n, name, c)
	}
	if errno != abi.OK {
		return t.fail(errno)
	}
	t.then(func() {
		c.entered = true
		c.refs++
	})
	return t.commit()
}

// Create makes a regular file.
func (n *inode) Create(name string, mode uint32, flags abi.OpenFlags) (vfs.Node, vfs.Handle, abi.Errno) {
	c, errno := n.create(name, mode)
	if errno != abi.OK {
		return nil, nil, errno
	}
	h, errno := c.Open(flags)
	if errno != abi.OK {
		c.Close()
		return nil, nil, errno
	}
	return c, h, abi.OK
}

func (n *inode) create(name string, mode uint32) (*inode, abi.Errno) {
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	if errno := n.free(name); errno != abi.OK {
		return nil, errno
	}
	c := fs.fresh(abi.TypeRegular, mode)
	c.timed = false
	if errno := c.data.create(fs); errno != abi.OK {
		return nil, errno
	}
	c.data.ready.Store(true)
	t := fs.change()
	t.undo = append(t.undo, func() { c.data.discard(fs) })
	return c, n.add(t, name, c, 0)
}

// Mkdir makes a directory. Nothing of the lower layer shows in it.
func (n *inode) Mkdir(name string, mode uint32) abi.Errno {
	return n.make(name, abi.TypeDirectory, mode, "")
}

// Symlink makes a symbolic link.
func (n *inode) Symlink(name, target string) abi.Errno {
	switch {
	case target == "":
		return abi.ENOENT
	case len(target) > maxTarget:
		return abi.ENAMETOOLONG
	}
	return n.make(name, abi.TypeSymlink, 0o777, target)
}

func (n *inode) make(name string, typ abi.FileType, mode uint32, target string) abi.Errno {
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	if errno := n.free(name); errno != abi.OK {
		return errno
	}
	c := fs.fresh(typ, mode)
	c.target = target
	errno := n.add(fs.change(), name, c, uint64(len(target)))
	if errno == abi.OK {
		c.drop()
	}
	return errno
}

// Link gives old another name. It is copied from the lower layer first, so that
// both names are one file.
func (n *inode) Link(name string, old vfs.Node) abi.Errno {
	c, ok := old.(*inode)
	if !ok || c.fs != n.fs {
		return abi.EXDEV
	}
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	if n.typ != abi.TypeDirectory {
		return abi.ENOTDIR
	}
	if c.typ == abi.TypeDirectory {
		return abi.EPERM
	}
	if errno := n.free(name); errno != abi.OK {
		return errno
	}
	if c.removed {
		return abi.ENOENT
	}
	if c == fs.root {
		return abi.EXDEV
	}
	t := fs.change()
	errno := t.take(c)
	if errno == abi.OK {
		errno = t.place(n, name, c)
	}
	if errno != abi.OK {
		return t.fail(errno)
	}
	t.then(func() {
		c.nlink++
		c.changed()
	})
	return t.commit()
}

// take makes c one that can have any name: it is in the journal and needs
// nothing of the lower layer.
func (t *tx) take(c *inode) abi.Errno {
	if errno := t.base(c); errno != abi.OK {
		return errno
	}
	if errno := t.enter(c); errno != abi.OK {
		return errno
	}
	return t.own(c, c.path(), maxSize)
}

// Remove removes a name.
func (n *inode) Remove(name string, dir bool) abi.Errno {
	if n.typ != abi.TypeDirectory {
		return abi.ENOTDIR
	}
	if !validName(name) {
		return nameErrno(name)
	}
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	c, errno := n.find(name)
	if errno != abi.OK {
		return errno
	}
	defer c.drop()
	switch {
	case dir && c.typ != abi.TypeDirectory:
		return abi.ENOTDIR
	case !dir && c.typ == abi.TypeDirectory:
		return abi.EISDIR
	case dir:
		if errno := c.empty(); errno != abi.OK {
			return errno
		}
	}
	t := fs.change()
	errno = t.base(c)
	if errno == abi.OK {
		errno = t.enter(n)
	}
	if errno == abi.OK {
		t.prepaid = len(t.ops) == headSize // only the name goes
		errno = t.vacate(n, name, c)
	}
	if errno != abi.OK {
		return t.fail(errno)
	}
	t.then(func() {
		n.touch()
		c.lose()
	})
	return t.commit()
}

// vacate takes the name of c in n away. It needs fs.mu.
func (t *tx) vacate(n *inode, name string, c *inode) abi.Errno {
	hide := n.dir.names[name] == nil && !t.entering[c] // a whiteout to be remembered
	if hide {
		if errno := t.needName(name); errno != abi.OK {
			return errno
		}
	}
	t.name(n, name, 0)
	t.then(func() {
		if e := n.dir.names[name]; e != nil && !(e.over && n.merged) {
			n.forget(name)
		} else {
			n.dir.set(name, nil, true)
		}
		if c.typ == abi.TypeDirectory {
			n.subs--
		}
	})
	return abi.OK
}

// changed notes that the names of n changed. The host is told too: it moves the
// time of access with the next read after a change. It needs fs.mu.
func (n *inode) changed() {
	n.ctime = time.Now().UnixNano()
	if !n.data.has() || n.nlink == 0 && n.refs <= 1 {
		return
	}
	if st, errno := n.data.stat(n.fs); errno == abi.OK {
		_ = n.data.setTimes(n.fs, &st.Atime, nil) // n.ctime tells it as well
	}
}

// lose is what happens to an object when it loses a name. It needs fs.mu, and a
// handle on n.
func (n *inode) lose() {
	defer n.changed()
	if n.typ == abi.TypeDirectory {
		for _, kid := range n.dir.liveKids() {
			kid.detach()
		}
		for name := range n.dir.names { // whiteouts
			n.forget(name)
		}
		n.merged = false // and nothing is in it any more
	} else if !n.merged {
		if n.nlink--; n.nlink > 0 {
			return
		}
	}
	n.removed, n.parent = true, nil
}

// empty returns ENOTEMPTY if a directory has something in it. It needs fs.mu.
func (n *inode) empty() abi.Errno {
	return n.eachName(func(name string) abi.Errno {
		if e := n.dir.names[name]; e != nil && e.node == nil {
			return abi.OK
		}
		return abi.ENOTEMPTY
	})
}

// Rename moves a name. What comes from the lower layer is copied first, a
// directory with everything in it.
func (n *inode) Rename(name string, newdir vfs.Node, newname string) abi.Errno {
	to, ok := newdir.(*inode)
	if !ok || to.fs != n.fs {
		return abi.EXDEV
	}
	if n.typ != abi.TypeDirectory || to.typ != abi.TypeDirectory {
		return abi.ENOTDIR
	}
	for _, s := range []string{name, newname} {
		if !validName(s) {
			return nameErrno(s)
		}
	}
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	c, errno := n.find(name)
	if errno != abi.OK {
		return errno
	}
	defer c.drop()
	if to.removed {
		return abi.ENOENT
	}
	if c.typ == abi.TypeDirectory && within(to, c) {
		return abi.EINVAL
	}
	over, errno := to.find(newname)
	switch errno {
	case abi.OK:
		defer over.drop()
		if over == c || over.merged && c.merged && over.dev == c.dev && over.ino == c.ino {
			return abi.OK // two names of one file: both stay
		}
		if errno := n.replaceable(c, over); errno != abi.OK {
			return errno
		}
	case abi.ENOENT:
		over = nil
	default:
		return errno
	}
	return n.move(name, c, to, newname, over)
}

// replaceable reports why c, in n, cannot take the place of over.
func (n *inode) replaceable(c, over *inode) abi.Errno {
	switch {
	case over.typ == abi.TypeDirectory && within(n, over):
		return abi.ENOTEMPTY // it holds what is to replace it
	case c.typ != abi.TypeDirectory && over.typ == abi.TypeDirectory:
		return abi.EISDIR
	case c.typ == abi.TypeDirectory && over.typ != abi.TypeDirectory:
		return abi.ENOTDIR
	case over.typ == abi.TypeDirectory:
		return over.empty()
	}
	return abi.OK
}

// move is Rename, decided. It needs fs.mu.
func (n *inode) move(name string, c, to *inode, newname string, over *inode) abi.Errno {
	t := n.fs.change()
	t.reserve = !c.merged // moving is not making
	p, errno := to.below(newname)
	if errno == abi.OK && len(p)+c.reach() > maxPath {
		errno = abi.ENAMETOOLONG
	}
	if errno == abi.OK {
		errno = t.take(c)
	}
	if errno == abi.OK && over != nil {
		if errno = t.base(over); errno == abi.OK {
			errno = t.enter(to)
		}
		if errno == abi.OK {
			errno = t.vacate(to, newname, over)
		}
		t.then(over.lose)
	}
	if errno == abi.OK {
		errno = t.vacate(n, name, c)
	}
	if errno == abi.OK {
		errno = t.place(to, newname, c)
	}
	if errno != abi.OK {
		return t.fail(errno)
	}
	t.then(func() {
		n.touch()
		c.changed()
	})
	return t.commit()
}

// reach returns how long the longest path beneath n is that has entered.
func (n *inode) reach() int {
	if n.dir == nil {
		return 0
	}
	longest := 0
	for name, e := range n.dir.names {
		if e.node != nil {
			longest = max(longest, 1+len(name)+e.node.reach())
		}
	}
	return longest
}

// within reports whether dir is top or beneath it. It needs fs.mu.
func within(dir, top *inode) bool {
	for ; dir != nil; dir = dir.parent {
		if dir == top {
			return true
		}
	}
	return false
}
