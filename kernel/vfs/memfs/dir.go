package memfs

import (
	"slices"
	"sort"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// directory holds the names of one directory. FS.mu guards it.
type directory struct {
	names map[string]*entry
	order []*entry // by seq, removed ones among them until there are too many
	dead  int      // how many of order are removed
	seq   uint64   // the last cookie given out
}

// entry is one name. seq is its cookie.
type entry struct {
	name string
	seq  uint64
	node *inode
	dead bool
}

func newDirectory() *directory { return &directory{names: map[string]*entry{}} }

// add gives node the name, which must be free.
func (d *directory) add(name string, node *inode) {
	d.seq++
	e := &entry{name: name, seq: d.seq, node: node}
	d.names[name] = e
	d.order = append(d.order, e)
}

// remove takes a name away.
func (d *directory) remove(e *entry) {
	delete(d.names, e.name)
	e.dead, e.node = true, nil
	if d.dead++; d.dead > 16 && d.dead > len(d.order)/2 {
		d.order = slices.DeleteFunc(d.order, func(e *entry) bool { return e.dead })
		d.dead = 0
	}
}

// list returns at most max entries whose cookie is greater.
func (d *directory) list(cookie uint64, max int) []abi.Dirent {
	i := sort.Search(len(d.order), func(i int) bool { return d.order[i].seq > cookie })
	out := make([]abi.Dirent, 0, min(max, len(d.order)-i))
	for _, e := range d.order[i:] {
		if len(out) == max {
			break
		}
		if !e.dead {
			out = append(out, abi.Dirent{Next: e.seq, Ino: e.node.ino, Type: e.node.typ, Name: e.name})
		}
	}
	return out
}

// make gives a new object a name in n. It returns the object with one handle
// taken, which the caller owns.
func (n *inode) make(name string, typ abi.FileType, mode uint32, extra uint64, fill func(*inode)) (*inode, abi.Errno) {
	fs := n.fs
	if n.dir == nil {
		return nil, abi.ENOTDIR
	}
	if errno := checkName(name); errno != abi.OK {
		return nil, errno
	}
	cost := uint64(inodeCost) + extra
	held := entryCost + uint64(len(name))
	if fs.ledger.closed.Load() {
		return nil, abi.EIO
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("memfs.fs")
	if n.dir.names[name] != nil {
		return nil, abi.EEXIST
	}
	if n.parent == nil {
		return nil, abi.ENOENT // the directory itself was removed
	}
	if !fs.ledger.charge(cost + held) {
		return nil, abi.ENOSPC
	}
	node := fs.inode(typ, mode, cost)
	node.nlink = 1
	if typ == abi.TypeDirectory {
		node.nlink = 2
		node.parent = n
		n.nlink++
	}
	if fill != nil {
		fill(node)
	}
	node.refs.Add(1)
	n.dir.add(name, node)
	n.touch()
	return node, abi.OK
}

// Create implements [vfs.Dir].
func (n *inode) Create(name string, mode uint32, flags abi.OpenFlags) (vfs.Node, vfs.Handle, abi.Errno) {
	node, errno := n.make(name, abi.TypeRegular, mode, 0, nil)
	if errno != abi.OK {
		return nil, nil, errno
	}
	h, errno := node.Open(flags)
	if errno != abi.OK {
		node.Close()
		return nil, nil, errno
	}
	return node, h, abi.OK
}

// Mkdir implements [vfs.Dir].
func (n *inode) Mkdir(name string, mode uint32) abi.Errno {
	node, errno := n.make(name, abi.TypeDirectory, mode, 0, nil)
	if errno == abi.OK {
		node.Close()
	}
	return errno
}

// maxTarget is how long the target of a symbolic link can be, in bytes: the
// host's PATH_MAX holds a NUL as well.
const maxTarget = 4095

// Symlink implements [vfs.Dir].
func (n *inode) Symlink(name, target string) abi.Errno {
	switch {
	case target == "":
		return abi.ENOENT
	case len(target) > maxTarget:
		return abi.ENAMETOOLONG
	}
	node, errno := n.make(name, abi.TypeSymlink, 0o777, uint64(len(target)), func(l *inode) { l.target = target })
	if errno == abi.OK {
		node.Close()
	}
	return errno
}

// Link implements [vfs.Dir].
func (n *inode) Link(name string, old vfs.Node) abi.Errno {
	node, ok := old.(*inode)
	if !ok || node.fs != n.fs {
		return abi.EXDEV
	}
	fs := n.fs
	switch {
	case n.dir == nil:
		return abi.ENOTDIR
	case node.dir != nil:
		return abi.EPERM
	}
	if errno := checkName(name); errno != abi.OK {
		return errno
	}
	held := entryCost + uint64(len(name))
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("memfs.fs")
	switch {
	case n.dir.names[name] != nil:
		return abi.EEXIST
	case n.parent == nil, node.nlink == 0:
		return abi.ENOENT
	case !fs.ledger.charge(held):
		return abi.ENOSPC
	}
	node.nlink++
	n.dir.add(name, node)
	n.touch()
	node.ctime.Store(n.ctime.Load())
	return abi.OK
}

// Remove implements [vfs.Dir].
func (n *inode) Remove(name string, dir bool) abi.Errno {
	if n.dir == nil {
		return abi.ENOTDIR
	}
	if errno := checkName(name); errno != abi.OK {
		return errno
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	invariants.Point("memfs.fs")
	e := n.dir.names[name]
	if e == nil {
		return n.fs.absent()
	}
	switch {
	case dir && e.node.dir == nil:
		return abi.ENOTDIR
	case !dir && e.node.dir != nil:
		return abi.EISDIR
	case dir && len(e.node.dir.names) > 0:
		return abi.ENOTEMPTY
	}
	n.touch()
	n.drop(e)
	n.fs.ledger.uncharge(entryCost + uint64(len(name)))
	return abi.OK
}

// drop takes a name out of n, whose times have been moved, and lets go of what it
// named. What the name cost is the caller's to return. It needs fs.mu.
func (n *inode) drop(e *entry) {
	node := e.node
	n.dir.remove(e)
	if node.dir != nil {
		node.nlink, node.parent = 0, nil
		n.nlink--
	} else {
		node.nlink--
	}
	node.ctime.Store(n.ctime.Load())
	node.reap()
}

// Rename implements [vfs.Dir].
func (n *inode) Rename(name string, newdir vfs.Node, newname string) abi.Errno {
	to, ok := newdir.(*inode)
	if !ok || to.fs != n.fs {
		return abi.EXDEV
	}
	if n.dir == nil || to.dir == nil {
		return abi.ENOTDIR
	}
	for _, name := range []string{name, newname} {
		if errno := checkName(name); errno != abi.OK {
			return errno
		}
	}
	fs := n.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("memfs.fs")
	e := n.dir.names[name]
	if e == nil {
		return fs.absent()
	}
	node := e.node
	if to.parent == nil {
		return abi.ENOENT
	}
	if node.dir != nil && within(to, node) {
		return abi.EINVAL
	}
	over := to.dir.names[newname]
	if over != nil {
		switch {
		case over.node == node:
			return abi.OK // two names of one file: both stay
		case over.node.dir != nil && within(n, over.node):
			return abi.ENOTEMPTY // it holds what is to replace it
		case node.dir == nil && over.node.dir != nil:
			return abi.EISDIR
		case node.dir != nil && over.node.dir == nil:
			return abi.ENOTDIR
		case over.node.dir != nil && len(over.node.dir.names) > 0:
			return abi.ENOTEMPTY
		}
	}
	// What is replaced has paid for its name already, and on a full file system a
	// name that is not longer needs no space either. A longer one is paid for
	// before anything changes.
	freed, paid := entryCost+uint64(len(name)), entryCost+uint64(len(newname))
	switch {
	case over != nil:
		paid = 0
	case paid > freed && !fs.ledger.charge(paid-freed):
		if fs.ledger.closed.Load() {
			return abi.EIO
		}
		return abi.ENOSPC
	}
	n.touch()
	to.touch()
	if over != nil {
		to.drop(over)
	}
	n.dir.remove(e)
	if freed > paid {
		fs.ledger.uncharge(freed - paid)
	}
	to.dir.add(newname, node)
	if node.dir != nil && n != to {
		node.parent = to
		n.nlink--
		to.nlink++
	}
	node.ctime.Store(to.ctime.Load())
	return abi.OK
}

// within reports whether dir is top or beneath it. It needs fs.mu.
func within(dir, top *inode) bool {
	for ; ; dir = dir.parent {
		if dir == top {
			return true
		}
		if dir.parent == nil || dir.parent == dir {
			return false
		}
	}
}
