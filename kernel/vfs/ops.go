package vfs

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// target is a name in a directory, about to be changed.
type target struct {
	w    walker
	last last
	path string // canonical
	dir  Dir
}

// aim walks to the directory that holds the last component of p. t.w.done must
// be called whatever the result.
func (t *target) aim(a Access, base *Base, p string, act abi.Action) abi.Errno {
	t.w.init(base, a, act)
	var errno abi.Errno
	if t.last, errno = t.w.parent(p); errno != abi.OK {
		return errno
	}
	if t.last.name != "" {
		t.path = join(t.w.top().path, t.last.name)
	}
	return abi.OK
}

// allowed decides act on the target, and then that its directory can change.
// asDir says that a directory is made or removed.
func (t *target) allowed(act abi.Action, asDir bool) abi.Errno {
	p := t.path
	if asDir {
		p += "/"
	}
	if errno := t.w.decide(act, p); errno != abi.OK {
		return errno
	}
	var errno abi.Errno
	t.dir, errno = changeable(t.w.top())
	return errno
}

// held reports whether the name is a mount point or leads to one.
func (t *target) held() bool { return t.w.ns.kid(t.w.top().pt, t.last.name) != nil }

// Stat describes the object at path.
func (ns *Namespace) Stat(a Access, base *Base, path string, follow bool) (abi.Stat, abi.Errno) {
	if !ns.enter() {
		return abi.Stat{}, abi.EIO
	}
	defer ns.leave()
	var w walker
	w.init(base, a, abi.ActRead)
	defer w.done()
	s, _, errno := w.find(path, follow)
	if errno != abi.OK {
		return abi.Stat{}, errno
	}
	defer s.close()
	if errno := w.decide(abi.ActRead, s.path); errno != abi.OK {
		return abi.Stat{}, errno
	}
	if f, ok := s.node.(Finder); ok && s.own {
		if st, ok := f.Found(); ok {
			veil(a, s.path, &st)
			return st, abi.OK
		}
	}
	st, errno := s.node.Stat()
	if errno == abi.OK {
		veil(a, s.path, &st)
	}
	return st, errno
}

// Readlink returns the target of the symbolic link at path.
func (ns *Namespace) Readlink(a Access, base *Base, path string) (string, abi.Errno) {
	if !ns.enter() {
		return "", abi.EIO
	}
	defer ns.leave()
	var w walker
	w.init(base, a, abi.ActRead)
	defer w.done()
	s, typ, errno := w.find(path, false)
	if errno != abi.OK {
		return "", errno
	}
	defer s.close()
	if errno := w.decide(abi.ActRead, s.path); errno != abi.OK {
		return "", errno
	}
	if typ != abi.TypeSymlink {
		return "", abi.EINVAL
	}
	return s.node.Readlink()
}

// SetTimes sets the times, in ns since 1970, whose pointers are not nil.
func (ns *Namespace) SetTimes(a Access, base *Base, path string, follow bool, atime, mtime *int64) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	var w walker
	w.init(base, a, abi.ActWrite)
	defer w.done()
	s, typ, errno := w.find(path, follow)
	if errno != abi.OK {
		return errno
	}
	defer s.close()
	if errno := w.decide(abi.ActWrite, asked(s.path, typ)); errno != abi.OK {
		return errno
	}
	if s.mount == nil {
		return abi.EACCES
	}
	return s.node.SetTimes(atime, mtime)
}

// asked is the form in which a change of an object's own attributes is decided.
func asked(p string, typ abi.FileType) string {
	if typ == abi.TypeDirectory && p != "/" {
		return p + "/"
	}
	return p
}

// Mkdir makes a directory.
func (ns *Namespace) Mkdir(a Access, base *Base, path string, mode uint32) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	var t target
	defer t.w.done()
	if errno := t.aim(a, base, path, abi.ActCreate); errno != abi.OK {
		return errno
	}
	if t.last.name == "" || t.held() {
		return abi.EEXIST
	}
	if t.exists(a) {
		return abi.EEXIST
	}
	if errno := t.allowed(abi.ActCreate, true); errno != abi.OK {
		return errno
	}
	return t.dir.Mkdir(t.last.name, mode)
}

// exists reports whether a directory that may not be made is there already and
// in plain sight. Making it again is then the caller's ordinary way of making
// sure of it, and no denial.
func (t *target) exists(a Access) bool {
	if a == nil {
		return false
	}
	d := a.Subject().Path(abi.ActCreate, t.path+"/")
	if d.Allow || d.Reason != perm.ReadOnly && d.Reason != perm.Ungranted {
		return false
	}
	s, errno := t.w.lookup(t.last.name)
	if errno != abi.OK {
		return false
	}
	s.close()
	return true
}

// Rmdir removes an empty directory.
func (ns *Namespace) Rmdir(a Access, base *Base, path string) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	var t target
	defer t.w.done()
	if errno := t.aim(a, base, path, abi.ActDelete); errno != abi.OK {
		return errno
	}
	switch {
	case t.last.dot == ".":
		return abi.EINVAL
	case t.last.dot == "..":
		return abi.ENOTEMPTY
	case t.last.dot != "" || t.held():
		return abi.EBUSY
	}
	if errno := t.allowed(abi.ActDelete, true); errno != abi.OK {
		return t.absent(errno)
	}
	if a != nil && a.Subject().HidesBeneath(t.path) {
		return t.rmdirAboveDenied()
	}
	return t.dir.Remove(t.last.name, true)
}

// rmdirAboveDenied refuses to remove a directory beneath which something is denied.
// Whether it is empty would say whether that is there.
func (t *target) rmdirAboveDenied() abi.Errno {
	switch _, typ, errno := t.object(); {
	case errno != abi.OK:
		return errno
	case typ != abi.TypeDirectory:
		return abi.ENOTDIR
	}
	return t.pinned(abi.ActDelete)
}

// aboveDenied decides on removing or replacing, as what is no directory, a name
// beneath which something is denied. A file system that hides it keeps the directories
// and links that lead to it, and only while it is there; so the answer is given here.
func (t *target) aboveDenied(act abi.Action) abi.Errno {
	if t.w.a == nil || !t.w.a.Subject().HidesBeneath(t.path) {
		return abi.OK
	}
	switch _, typ, errno := t.object(); {
	case errno == abi.ENOENT:
		return abi.OK
	case errno != abi.OK:
		return errno
	case typ == abi.TypeDirectory:
		return abi.EISDIR
	case typ == abi.TypeSymlink:
		return t.pinned(act)
	}
	return abi.OK
}

// absent turns a refusal to change into ENOENT where the name may be read and is
// not there, as POSIX orders the two.
func (t *target) absent(errno abi.Errno) abi.Errno {
	if t.w.a == nil || !t.w.a.Subject().Path(abi.ActRead, t.path).Allow {
		return errno
	}
	if d := t.w.a.Subject().Path(abi.ActDelete, t.path); d.Reason == perm.Protected {
		return errno
	}
	s, e := t.w.lookup(t.last.name)
	if e == abi.OK {
		s.close()
		return errno
	}
	if e == abi.ENOENT {
		return e
	}
	return errno
}

// Unlink removes a name that is not a directory's.
func (ns *Namespace) Unlink(a Access, base *Base, path string) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	var t target
	defer t.w.done()
	if errno := t.aim(a, base, path, abi.ActDelete); errno != abi.OK {
		return errno
	}
	if t.last.name == "" {
		return abi.EISDIR
	}
	if t.held() {
		return abi.EBUSY
	}
	if errno := t.allowed(abi.ActDelete, false); errno != abi.OK {
		return t.absent(errno)
	}
	if errno := t.aboveDenied(abi.ActDelete); errno != abi.OK {
		return errno
	}
	if t.last.slash {
		// A name with a slash is a directory's, and those are not unlinked.
		_, typ, errno := t.object()
		switch {
		case errno != abi.OK:
			return errno
		case typ == abi.TypeDirectory:
			return abi.EISDIR
		}
		return abi.ENOTDIR
	}
	return t.dir.Remove(t.last.name, false)
}

// object looks at what the name is now. The spot is for identification only: its
// node is closed.
func (t *target) object() (spot, abi.FileType, abi.Errno) {
	s, errno := t.w.lookup(t.last.name)
	if errno != abi.OK {
		return spot{}, 0, errno
	}
	defer s.close()
	typ, errno := typeOf(s.node)
	return s, typ, errno
}

// Symlink makes a symbolic link at path. Its target is not looked at: following
// it is decided when it is followed. An absolute one that could not be followed
// from base, whatever is there, is refused like leaving it.
func (ns *Namespace) Symlink(a Access, to string, base *Base, path string) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	if errno := checkPath(to); errno != abi.OK {
		return errno
	}
	var t target
	defer t.w.done()
	if errno := t.aim(a, base, path, abi.ActCreate); errno != abi.OK {
		return errno
	}
	if t.last.name == "" || t.held() {
		return abi.EEXIST
	}
	if errno := t.allowed(abi.ActCreate, false); errno != abi.OK {
		return errno
	}
	if t.last.slash {
		switch _, typ, errno := t.object(); {
		case errno != abi.OK:
			return errno
		case typ != abi.TypeDirectory:
			return abi.ENOTDIR
		}
		return abi.EEXIST
	}
	if to[0] == '/' && a != nil {
		if _, ok := ns.within(base.at.path, to); !ok {
			return abi.EPERM
		}
	}
	return t.dir.Symlink(t.last.name, to)
}

// Link gives the object at oldPath another name. Since the new name may allow
// what the old one does not, the old one must allow changing the object.
func (ns *Namespace) Link(a Access, oldBase *Base, oldPath string, follow bool, newBase *Base, newPath string) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	var old walker
	old.init(oldBase, a, abi.ActWrite)
	defer old.done()
	s, typ, errno := old.find(oldPath, follow)
	if errno != abi.OK {
		return errno
	}
	defer s.close()
	if errno := old.decide(abi.ActWrite, s.path); errno != abi.OK {
		return errno
	}
	var t target
	defer t.w.done()
	if errno := t.aim(a, newBase, newPath, abi.ActCreate); errno != abi.OK {
		return errno
	}
	if t.last.name == "" || t.held() {
		return abi.EEXIST
	}
	if errno := t.allowed(abi.ActCreate, false); errno != abi.OK {
		return errno
	}
	if typ == abi.TypeDirectory {
		return abi.EPERM
	}
	if t.last.slash {
		if _, _, errno := t.object(); errno != abi.OK {
			return errno
		}
		return abi.EEXIST
	}
	if s.mount != t.w.top().mount || !s.own && s.from == nil {
		return abi.EXDEV
	}
	if errno := t.w.moved(s.node, typ, s.path, t.path); errno != abi.OK {
		return errno
	}
	return t.dir.Link(t.last.name, s.node)
}

// Rename moves an object to another name, replacing what POSIX says may be
// replaced. Nothing that a rule, a mount, or a protected name stands on can be
// moved from under it.
func (ns *Namespace) Rename(a Access, oldBase *Base, oldPath string, newBase *Base, newPath string) abi.Errno {
	if !ns.enter() {
		return abi.EIO
	}
	defer ns.leave()
	var from, to target
	defer from.w.done()
	defer to.w.done()
	if errno := from.aim(a, oldBase, oldPath, abi.ActDelete); errno != abi.OK {
		return errno
	}
	if errno := to.aim(a, newBase, newPath, abi.ActCreate); errno != abi.OK {
		return errno
	}
	if from.last.name == "" || to.last.name == "" || from.held() || to.held() {
		return abi.EBUSY
	}
	if errno := from.allowed(abi.ActDelete, false); errno != abi.OK {
		return from.absent(errno)
	}
	if errno := to.allowed(abi.ActCreate, false); errno != abi.OK {
		return errno
	}
	_, typ, errno := from.object()
	if errno != abi.OK {
		if errno == abi.ENOENT {
			from.w.missing(from.path)
		}
		return errno
	}
	if typ != abi.TypeDirectory && (from.last.slash || to.last.slash) {
		return abi.ENOTDIR
	}
	if typ == abi.TypeDirectory {
		if errno := from.pinned(abi.ActDelete); errno != abi.OK {
			return errno
		}
		if errno := to.pinned(abi.ActCreate); errno != abi.OK {
			return errno
		}
	} else {
		if errno := from.aboveDenied(abi.ActDelete); errno != abi.OK {
			return errno
		}
		if errno := to.aboveDenied(abi.ActCreate); errno != abi.OK {
			return errno
		}
	}
	if from.w.top().mount != to.w.top().mount {
		return abi.EXDEV
	}
	if errno := from.goes(&to, typ); errno != abi.OK {
		return errno
	}
	return from.dir.Rename(from.last.name, to.w.top().node, to.last.name)
}

// pinned refuses to move a directory out of or into a place that a rule beneath
// it is about.
func (t *target) pinned(act abi.Action) abi.Errno {
	if t.w.a == nil {
		return abi.OK
	}
	p, ok := t.w.a.Subject().Pinned(t.path)
	if !ok {
		return abi.OK
	}
	if errno := t.w.decide(act, p); errno != abi.OK {
		return errno
	}
	return abi.EBUSY
}
