package overlayfs

import (
	"slices"
	"sort"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// directory holds the names of one directory that departed from the lower layer,
// and what else of it there are handles on. FS.mu guards it.
type directory struct {
	names map[string]*entry
	order []*entry // by seq, removed ones among them until there are too many
	dead  int      // how many of order are removed
	seq   uint64   // the last cookie given out
	live  map[string]*inode
}

// entry is one name. Without a node it hides what the lower layer has.
type entry struct {
	name string
	seq  uint64
	node *inode
	over bool // the lower layer has the name too, and lists it
	dead bool
}

func newDirectory() *directory {
	return &directory{names: map[string]*entry{}, live: map[string]*inode{}}
}

// liveKids returns what has not entered and has a handle or something beneath
// it.
func (d *directory) liveKids() (kids []*inode) {
	if d == nil {
		return nil
	}
	for _, c := range d.live {
		kids = append(kids, c)
	}
	return kids
}

// idle reports whether there is nothing beneath that liveKids would return.
func (d *directory) idle() bool { return d == nil || len(d.live) == 0 }

// set gives name to node, or, if that is nil, hides it.
func (d *directory) set(name string, node *inode, over bool) {
	delete(d.live, name)
	if e := d.names[name]; e != nil {
		e.node = node
		return
	}
	d.seq++
	e := &entry{name: name, seq: d.seq, node: node, over: over}
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

// forget takes an entry of n away and returns what it cost.
func (n *inode) forget(name string) {
	n.dir.remove(n.dir.names[name])
	n.fs.ledger.uncharge(0, entryCost+uint64(len(name)))
}

// upper is set in the cookies of what the lower layer does not list; its own
// are offsets, which are not negative.
const upper = 1 << 63

// list returns at most max entries after cookie. Those that the lower layer
// lists are left out unless all is set.
func (d *directory) list(cookie uint64, max int, all bool) (out []abi.Dirent) {
	i := sort.Search(len(d.order), func(i int) bool { return d.order[i].seq > cookie })
	for _, e := range d.order[i:] {
		if len(out) == max {
			break
		}
		if e.node != nil && (all || !e.over) {
			out = append(out, abi.Dirent{Next: upper | e.seq, Ino: e.node.ino, Type: e.node.typ, Name: e.name})
		}
	}
	return out
}

// Readdir lists first, in the lower layer's order, what it has a name for, then
// what is only in the store, in the order in which it came. A name keeps its
// place when its object departs from the lower layer.
func (h *handle) Readdir(cookie uint64, max int) ([]abi.Dirent, abi.Errno) {
	n := h.n
	switch {
	case n.typ != abi.TypeDirectory:
		return nil, abi.ENOTDIR
	case h.closed.Load():
		return nil, abi.EBADF
	case n.fs.ledger.closed.Load():
		return nil, abi.EIO
	case max <= 0:
		return nil, abi.EINVAL
	}
	if n.listed() {
		return nil, abi.ENOENT
	}
	for cookie&upper == 0 && h.low != nil {
		ents, errno := h.low.Readdir(cookie, max)
		if errno != abi.OK {
			return nil, errno
		}
		if len(ents) == 0 {
			break
		}
		cookie = ents[len(ents)-1].Next
		if ents = n.shown(ents); len(ents) > 0 {
			return ents, abi.OK
		}
	}
	if cookie&upper == 0 {
		cookie = 0
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.dir.list(cookie&^upper, max, h.low == nil), abi.OK
}

// listed notes that n is listed. It reports whether n was removed.
func (n *inode) listed() (removed bool) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if !n.merged {
		n.accessed()
	}
	return n.removed
}

// shown leaves out of the lower layer's entries what is hidden, and tells of the
// rest what they are now.
func (n *inode) shown(ents []abi.Dirent) []abi.Dirent {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	out := ents[:0]
	for _, ent := range ents {
		e := n.dir.names[ent.Name]
		switch {
		case e == nil && !n.merged, e != nil && (e.node == nil || !e.over):
			continue
		case e != nil:
			ent.Ino, ent.Type = e.node.ino, e.node.typ
		}
		out = append(out, ent)
	}
	return out
}
