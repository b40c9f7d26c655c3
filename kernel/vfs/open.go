package vfs

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// createTries bounds how often an open starts again because the name it was
// about to create appeared, or vanished, in between.
const createTries = 8

// Open opens the file or directory at path. The last component is followed if it
// is a symbolic link, unless flags has ONofollow. mode is for a file that is
// created. The caller owns the reference that it gets.
func (ns *Namespace) Open(a Access, base *Base, path string, flags abi.OpenFlags, mode uint32) (*File, abi.Errno) {
	if !ns.enter() {
		return nil, abi.EIO
	}
	defer ns.leave()
	if flags&(abi.OCreate|abi.ODirectory) == abi.OCreate|abi.ODirectory {
		return nil, abi.EINVAL
	}
	if flags&abi.OCreate == 0 {
		return ns.openExisting(a, base, path, flags)
	}
	for range createTries {
		f, again, errno := ns.openCreate(a, base, path, flags, mode)
		if !again {
			return f, errno
		}
	}
	return nil, abi.EAGAIN
}

// acts are what opening with flags does, to a file that exists.
func acts(flags abi.OpenFlags) abi.Action {
	if flags&(abi.OWrite|abi.OTrunc) != 0 {
		return abi.ActWrite
	}
	return abi.ActRead
}

func (ns *Namespace) openExisting(a Access, base *Base, path string, flags abi.OpenFlags) (*File, abi.Errno) {
	var w walker
	w.init(base, a, acts(flags))
	defer w.done()
	s, typ, errno := w.find(path, flags&abi.ONofollow == 0)
	if errno != abi.OK {
		return nil, errno
	}
	return w.open(s, typ, flags)
}

// openCreate is Open with OCreate. again asks to start over.
func (ns *Namespace) openCreate(a Access, base *Base, path string, flags abi.OpenFlags, mode uint32) (f *File, again bool, _ abi.Errno) {
	var w walker
	w.init(base, a, abi.ActCreate)
	defer w.done()
	if errno := checkPath(path); errno != abi.OK {
		return nil, false, errno
	}
	for p := path; ; {
		l, errno := w.along(p)
		if errno != abi.OK {
			return nil, false, errno
		}
		if l.name == "" {
			if flags&abi.OExcl != 0 {
				return nil, false, abi.EEXIST
			}
			return nil, false, abi.EISDIR
		}
		dir := w.top()
		name := join(dir.path, l.name)
		if flags&abi.OExcl != 0 {
			if errno := w.decide(abi.ActCreate, name); errno != abi.OK {
				return nil, false, errno
			}
		}
		s, errno := w.lookup(l.name)
		if errno == abi.ENOENT {
			return w.create(l, name, flags, mode)
		}
		if errno != abi.OK {
			return nil, false, errno
		}
		typ, errno := typeOf(s.node)
		if errno == abi.OK && flags&abi.OExcl != 0 {
			errno = abi.EEXIST
		}
		if errno != abi.OK {
			s.close()
			return nil, false, errno
		}
		if typ == abi.TypeSymlink && (flags&abi.ONofollow == 0 || l.slash) {
			if p, errno = w.follow(p, s, l); errno != abi.OK {
				return nil, false, errno
			}
			continue
		}
		if typ == abi.TypeDirectory || l.slash {
			s.close()
			if typ == abi.TypeDirectory {
				return nil, false, abi.EISDIR
			}
			return nil, false, abi.ENOTDIR
		}
		f, errno = w.open(s, typ, flags)
		return f, errno == abi.ENOENT, errno
	}
}

// create makes a file that was not there a moment ago.
func (w *walker) create(l last, name string, flags abi.OpenFlags, mode uint32) (f *File, again bool, _ abi.Errno) {
	if l.slash {
		return nil, false, abi.EISDIR
	}
	if flags&abi.OExcl == 0 {
		if errno := w.decide(abi.ActCreate, name); errno != abi.OK {
			return nil, false, errno
		}
	}
	if m, ok := w.a.(Mover); ok && flags&abi.OWrite != 0 && m.Policed() {
		// What the rules of a path say of creating says nothing of what is written then.
		if errno := w.decide(abi.ActWrite, name); errno != abi.OK {
			return nil, false, errno
		}
	}
	dir, errno := changeable(w.top())
	if errno != abi.OK {
		return nil, false, errno
	}
	n, h, errno := dir.Create(l.name, mode, flags&^(abi.OCreate|abi.OExcl|abi.OTrunc))
	if errno != abi.OK {
		return nil, errno == abi.EEXIST && flags&abi.OExcl == 0, errno
	}
	return newFile(spot{node: n, mount: w.top().mount, path: name, own: true}, h, abi.TypeRegular, flags), false, abi.OK
}

// changeable returns the directory of a spot as one that can change.
func changeable(s *spot) (Dir, abi.Errno) {
	if s.mount == nil {
		return nil, abi.EACCES
	}
	if d, ok := s.node.(Dir); ok {
		return d, abi.OK
	}
	return nil, abi.EROFS
}

// open decides on what a walk has found and opens it. It takes over s.
func (w *walker) open(s spot, typ abi.FileType, flags abi.OpenFlags) (*File, abi.Errno) {
	h, errno := w.openNode(s, typ, flags)
	if errno != abi.OK {
		s.close()
		return nil, errno
	}
	if !s.own {
		// The node belongs to the mount or to the file that the walk began at,
		// and must not be closed before this file is.
		switch {
		case s.from != nil:
			s.from.Ref()
		case !w.ns.enter():
			_ = h.Close() // nothing was written through it
			return nil, abi.EIO
		}
	}
	f := newFile(s, h, typ, flags)
	f.ns = w.ns
	if typ == abi.TypeDirectory {
		f.base = &Base{ns: w.ns, tree: w.tree, at: s}
		f.base.at.from, f.base.at.own = f, false
	}
	return f, abi.OK
}

func (w *walker) openNode(s spot, typ abi.FileType, flags abi.OpenFlags) (Handle, abi.Errno) {
	switch typ {
	case abi.TypeSymlink:
		return nil, abi.ELOOP
	case abi.TypeDirectory:
		if flags&(abi.OWrite|abi.OTrunc) != 0 {
			return nil, abi.EISDIR
		}
		if errno := w.decide(abi.ActList, s.path); errno != abi.OK {
			return nil, errno
		}
		return s.node.Open(flags & abi.ORead)
	}
	if flags&abi.ODirectory != 0 {
		return nil, abi.ENOTDIR
	}
	if flags&abi.ORead != 0 || flags&(abi.OWrite|abi.OTrunc) == 0 {
		if errno := w.decide(abi.ActRead, s.path); errno != abi.OK {
			return nil, errno
		}
	}
	if flags&(abi.OWrite|abi.OTrunc) != 0 {
		if errno := w.decide(abi.ActWrite, s.path); errno != abi.OK {
			return nil, errno
		}
	}
	if flags&abi.OTrunc != 0 {
		flags |= abi.OWrite // to truncate is to write, though the file may then only be read
	}
	return s.node.Open(flags &^ (abi.OCreate | abi.OExcl))
}

// OpenDir opens a directory for the kernel itself, unasked: a pre-opened
// directory, or the working directory.
func (ns *Namespace) OpenDir(guest string) (*File, abi.Errno) {
	if guest == "" || guest[0] != '/' {
		return nil, abi.EINVAL
	}
	if !ns.enter() {
		return nil, abi.EIO
	}
	defer ns.leave()
	return ns.openExisting(nil, ns.origin(), guest, abi.ORead|abi.ODirectory)
}

// origin is the root of the namespace, as a place to walk from.
func (ns *Namespace) origin() *Base {
	tree := ns.tree.Load()
	s := spot{node: synthetic{ns, tree}, pt: tree, path: "/"}
	if m := tree.mount; m != nil {
		s.node, s.mount = m.root, m
		if len(tree.kids) == 0 {
			s.pt = nil
		}
	}
	return &Base{ns: ns, tree: tree, at: s}
}
