package vfs

import "github.com/agentos-kernel/agentos/kernel/abi"

// Mover is an Access with rules that go by the paths of things, wherever they come
// from: moving something could then lead it out of a rule, or into one. All else is
// held by [perm.Subject.Pinned].
type Mover interface {
	// Policed reports whether there are such rules.
	Policed() bool
	// Moved decides on giving what is at one canonical path another, and records a
	// refusal.
	Moved(from, to string) abi.Errno
}

// maxMoved bounds what is looked at beneath a directory that is moved.
const maxMoved = 1024

// moved decides on giving the object n at from the path to. What is beneath a
// directory goes with it. Of one with too much beneath it is answered that it cannot be
// moved as a whole, as between file systems: programs then move it in parts.
func (w *walker) moved(n Node, typ abi.FileType, from, to string) abi.Errno {
	m, ok := w.a.(Mover)
	if !ok || !m.Policed() {
		return abi.OK
	}
	if errno := m.Moved(from, to); errno != abi.OK || typ != abi.TypeDirectory {
		return errno
	}
	left := maxMoved
	return movedBeneath(m, n, from, to, &left)
}

func movedBeneath(m Mover, dir Node, from, to string, left *int) (errno abi.Errno) {
	h, errno := dir.Open(abi.ORead)
	if errno != abi.OK {
		return errno
	}
	defer func() { _ = h.Close() }() // nothing was written through it
	for cookie := uint64(0); ; {
		ents, errno := h.Readdir(cookie, 256)
		if errno != abi.OK || len(ents) == 0 {
			return errno
		}
		for _, e := range ents {
			if *left--; *left < 0 {
				return abi.EXDEV
			}
			cookie = e.Next
			if errno := movedEntry(m, dir, e.Name, join(from, e.Name), join(to, e.Name), left); errno != abi.OK {
				return errno
			}
		}
	}
}

func movedEntry(m Mover, dir Node, name, from, to string, left *int) abi.Errno {
	if errno := m.Moved(from, to); errno != abi.OK {
		return errno
	}
	n, errno := dir.Lookup(name)
	if errno == abi.ENOENT {
		return abi.OK // gone meanwhile
	}
	if errno != abi.OK {
		return errno
	}
	defer n.Close()
	if typ, errno := typeOf(n); errno != abi.OK || typ != abi.TypeDirectory {
		return errno
	}
	return movedBeneath(m, n, from, to, left)
}

// goes decides on the whole of a rename from t to another name.
func (t *target) goes(to *target, typ abi.FileType) abi.Errno {
	if m, ok := t.w.a.(Mover); !ok || !m.Policed() || t.path == to.path {
		return abi.OK
	}
	s, errno := t.w.lookup(t.last.name)
	if errno != abi.OK {
		return errno
	}
	defer s.close()
	if errno := to.replaced(); errno != abi.OK {
		return errno
	}
	return t.w.moved(s.node, typ, t.path, to.path)
}

// replaced decides on what a rename does to an object that has the name already.
func (t *target) replaced() abi.Errno {
	switch _, _, errno := t.object(); errno {
	case abi.OK:
		return t.w.decide(abi.ActDelete, t.path)
	case abi.ENOENT:
		return abi.OK
	default:
		return errno
	}
}
