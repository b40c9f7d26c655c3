package overlayfs

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

// tx is one change of the tree: what it costs is charged and what it copies is
// copied first, then the journal is told all of it in one frame, and then memory
// follows. Whatever fails before leaves nothing behind. It needs fs.mu.
type tx struct {
	fs         *FS
	ops        []byte
	disk, heap uint64 // charged
	reserve    bool   // may take from FS.spare
	spent      uint64 // taken from it
	prepaid    bool   // the frame was paid for by what it takes away
	todo       []func()
	undo       []func()
	entering   map[*inode]bool
	basing     map[*inode]bool
}

// change begins a change.
func (fs *FS) change() *tx {
	return &tx{fs: fs, ops: append(fs.scratch[:0], make([]byte, headSize)...)}
}

func (t *tx) put(op []byte) { t.ops = append(t.ops, op...) }
func (t *tx) name(dir *inode, name string, node uint64) {
	t.ops = putName(t.ops, t.fs.number(dir), name, node)
}
func (t *tx) then(f func())                  { t.todo = append(t.todo, f) }
func (t *tx) fail(errno abi.Errno) abi.Errno { t.rollback(); return errno }
func (t *tx) took(m map[*inode]bool, n *inode) map[*inode]bool {
	if m == nil {
		m = map[*inode]bool{}
	}
	m[n] = true
	return m
}

// need charges what the change takes.
func (t *tx) need(disk, heap uint64) abi.Errno {
	if !t.fs.ledger.charge(disk, heap) {
		if !t.reserve || disk > t.fs.spare || !t.fs.ledger.charge(0, heap) {
			return t.fs.full()
		}
		t.fs.spare -= disk
		t.spent += disk
		t.heap += heap
		return abi.OK
	}
	t.disk += disk
	t.heap += heap
	return abi.OK
}

// refill charges what was taken from the reserve, if there is space again.
func (fs *FS) refill() {
	if d := reserveCost - fs.spare; d > 0 && fs.ledger.charge(d, 0) {
		fs.spare = reserveCost
	}
}

// full is why a charge was refused.
func (fs *FS) full() abi.Errno {
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	return abi.ENOSPC
}

// needName charges a name, and its removal one day.
func (t *tx) needName(name string) abi.Errno {
	return t.need(undoCost+uint64(len(name)), entryCost+uint64(len(name)))
}

// rollback takes back what was done so far.
func (t *tx) rollback() {
	for _, f := range t.undo {
		f()
	}
	t.fs.ledger.uncharge(t.disk, t.heap)
	t.fs.spare += t.spent
}

// commit writes the frame and does what is to do then.
func (t *tx) commit() abi.Errno {
	fs := t.fs
	if !t.prepaid {
		if errno := t.need(uint64(len(t.ops)), 0); errno != abi.OK {
			return t.fail(errno)
		}
	}
	if fs.ledger.closed.Load() {
		return t.fail(abi.EIO)
	}
	if len(t.ops) > headSize {
		if err := fs.journal.append(frame(t.ops)); err != nil {
			return t.fail(hostfs.Errno(err))
		}
	}
	if cap(t.ops) <= 64<<10 {
		fs.scratch = t.ops
	}
	for _, f := range t.todo {
		f()
	}
	if !t.reserve {
		fs.refill()
	}
	return abi.OK
}

// base records what the lower layer has where n is, unless the journal has it.
func (t *tx) base(n *inode) abi.Errno {
	if n.based || n.removed || !n.merged || n.lower == nil || t.basing[n] {
		return abi.OK
	}
	p := n.path()
	if len(p) > maxPath {
		return abi.ENAMETOOLONG
	}
	st, errno := n.lower.Stat()
	if errno != abi.OK {
		return errno
	}
	b := &Base{Type: st.Type, Mode: st.Mode & 0o777, Nlink: st.Nlink, Size: st.Size, Mtime: st.Mtime, Ctime: st.Ctime}
	if st.Type == abi.TypeSymlink {
		if b.Target, errno = n.lower.Readlink(); errno != abi.OK {
			return errno
		}
	}
	t.ops = putBase(t.ops, p, b)
	t.basing = t.took(t.basing, n)
	t.then(func() { n.based = true })
	return abi.OK
}

// enter gives n, and the directories that it is in, to the journal.
func (t *tx) enter(n *inode) abi.Errno {
	if n.entered || t.entering[n] {
		return abi.OK
	}
	dir, name := n.parent, n.name
	if n.removed || dir == nil {
		return abi.ENOENT
	}
	if _, errno := dir.below(name); errno != abi.OK {
		return errno
	}
	if errno := t.enter(dir); errno != abi.OK {
		return errno
	}
	if n.lower != nil {
		st, errno := n.lower.Stat()
		if errno != abi.OK {
			return errno
		}
		n.mode = st.Mode & 0o777
	}
	if errno := t.need(0, inodeCost); errno != abi.OK {
		return errno
	}
	if errno := t.needName(name); errno != abi.OK {
		return errno
	}
	t.ops = putNode(t.ops, n.record())
	t.name(dir, name, n.num)
	t.entering = t.took(t.entering, n)
	t.then(func() {
		n.entered, n.parent, n.name = true, dir, name
		dir.dir.set(name, n, true)
	})
	return abi.OK
}

// own makes n independent of the lower layer: what it has there is copied. from
// is the path that the content then is the same as. Of a file, at most limit
// bytes are copied.
func (t *tx) own(n *inode, from string, limit int64) abi.Errno {
	if !n.merged {
		return abi.OK
	}
	if n.lower == nil && n.typ != abi.TypeDirectory {
		return abi.ESTALE
	}
	switch n.typ {
	case abi.TypeRegular:
		return t.ownFile(n, from, limit)
	case abi.TypeSymlink:
		return t.ownLink(n)
	case abi.TypeDirectory:
		return t.ownDir(n)
	}
	return abi.EXDEV // a socket or a FIFO belongs to whoever made it
}

func (t *tx) ownFile(n *inode, from string, limit int64) abi.Errno {
	st, errno := n.stat()
	if errno != abi.OK {
		return errno
	}
	low, errno := n.lower.Stat()
	if errno != abi.OK {
		return errno
	}
	c := new(content)
	t.undo = append(t.undo, func() { c.discard(t.fs) })
	if errno := c.copyIn(t.fs, n.lower, min(low.Size, limit)); errno != abi.OK {
		return errno
	}
	if errno := c.setTimes(t.fs, &st.Atime, &st.Mtime); errno != abi.OK {
		return errno
	}
	c.rest()
	r := n.record()
	r.merged, r.object, r.origin, r.timed, r.mode = false, c.num, from, false, st.Mode
	t.ops = putNode(t.ops, r)
	t.then(func() {
		n.merged, n.mode, n.timed, n.origin = false, st.Mode, false, from
		if !n.removed {
			n.nlink = 1
		}
		n.dated.Store(false)
		n.data.adopt(c, from == "")
		if low.Nlink > 1 { // the other names stay with the lower layer's object
			n.dev, n.ino = t.fs.dev, n.num
		}
	})
	return abi.OK
}

func (t *tx) ownLink(n *inode) abi.Errno {
	st, errno := n.stat()
	if errno != abi.OK {
		return errno
	}
	target, errno := n.lower.Readlink()
	if errno != abi.OK {
		return errno
	}
	if errno := t.need(0, uint64(len(target))); errno != abi.OK {
		return errno
	}
	r := n.record()
	r.merged, r.target, r.timed, r.atime, r.mtime = false, target, true, st.Atime, st.Mtime
	t.ops = putNode(t.ops, r)
	t.then(func() {
		n.merged, n.nlink, n.target, n.timed, n.atime, n.mtime, n.ctime = false, 1, target, true, st.Atime, st.Mtime, st.Ctime
	})
	return abi.OK
}

// ownDir copies a directory with everything beneath it.
func (t *tx) ownDir(n *inode) abi.Errno {
	st, errno := n.stat()
	if errno != abi.OK {
		return errno
	}
	seen := map[string]bool{} // the host may list a name twice while it changes
	if errno := n.eachName(func(name string) abi.Errno {
		if seen[name] {
			return abi.OK
		}
		seen[name] = true
		c, errno := n.find(name)
		if errno == abi.ENOENT {
			return abi.OK // a whiteout, or gone since
		}
		if errno != abi.OK {
			return errno
		}
		defer c.drop()
		if !c.merged {
			return abi.OK
		}
		if errno := t.base(c); errno != abi.OK {
			return errno
		}
		if errno := t.enter(c); errno != abi.OK {
			return errno
		}
		return t.own(c, c.path(), maxSize)
	}); errno != abi.OK {
		return errno
	}
	r := n.record()
	r.merged, r.timed, r.atime, r.mtime, r.mode = false, true, st.Atime, st.Mtime, st.Mode
	t.ops = putNode(t.ops, r)
	t.then(func() {
		for _, c := range n.dir.liveKids() {
			c.detach()
		}
		n.merged, n.timed, n.atime, n.mtime, n.ctime, n.mode, n.subs = false, true, st.Atime, st.Mtime, st.Ctime, st.Mode, 0
		for name, e := range n.dir.names {
			switch {
			case e.node == nil:
				n.forget(name)
			case e.node.typ == abi.TypeDirectory:
				n.subs++
			}
		}
	})
	return abi.OK
}

// eachName calls f for each name in n, of either layer, once at least.
func (n *inode) eachName(f func(name string) abi.Errno) abi.Errno {
	for name := range n.dir.names {
		if errno := f(name); errno != abi.OK {
			return errno
		}
	}
	if !n.merged || n.lower == nil {
		return abi.OK
	}
	h, errno := n.lower.Open(abi.ORead)
	if errno != abi.OK {
		return errno
	}
	defer func() { _ = h.Close() }() // only read
	return each(h, func(e abi.Dirent) abi.Errno {
		if n.fs.ledger.closed.Load() {
			return abi.EIO
		}
		if n.dir.names[e.Name] != nil {
			return abi.OK
		}
		return f(e.Name)
	})
}

// each calls f for each entry of an open directory.
func each(h vfs.Handle, f func(e abi.Dirent) abi.Errno) abi.Errno {
	cookie := uint64(0)
	for {
		ents, errno := h.Readdir(cookie, 256)
		if errno != abi.OK || len(ents) == 0 {
			return errno
		}
		for _, e := range ents {
			if errno := f(e); errno != abi.OK {
				return errno
			}
		}
		cookie = ents[len(ents)-1].Next
	}
}
