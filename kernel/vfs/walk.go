package vfs

import (
	"path"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Bounds of a path, in bytes, and of the symbolic links followed in one walk.
const (
	maxPath  = 4096
	maxName  = 255
	maxLinks = 40
)

// Base is a directory that walks may start at and never leave. It belongs to an
// open [File] and is valid while that is referenced.
type Base struct {
	ns   *Namespace
	tree *point // that at.pt belongs to
	at   spot
}

// Path returns the canonical guest path.
func (b *Base) Path() string { return b.at.path }

// Latency returns how long an operation on a path from b may wait for the host.
func (b *Base) Latency() Latency {
	l := latencyOf(b.at.node)
	if b.tree != b.ns.tree.Load() {
		return max(l, b.ns.Latency()) // something was mounted since, perhaps beneath
	}
	if b.at.pt != nil {
		l = max(l, b.at.pt.latency)
	}
	return l
}

// spot is one directory or file that a walk has reached.
type spot struct {
	node  Node
	mount *mount // whose node it is; nil if synthetic
	pt    *point // its place among the mount points; nil if none is beneath
	path  string // canonical
	from  *File  // the file that owns node, for the base of a walk
	own   bool   // close node when done
	jump  bool   // reached over several components at once
}

func (s *spot) close() {
	if s.own {
		s.node.Close()
	}
}

// walker is one walk. The stack begins with the base and holds every directory
// passed, so that ".." is the way back and not a new question to the host.
type walker struct {
	ns    *Namespace
	tree  *point // of the mount points as the walk began
	a     Access // nil for the kernel itself
	act   abi.Action
	base  *Base
	stack []spot
	links int
	slow  bool // one component at a time
	buf   [10]spot
}

// init prepares a walk from base. The walk ends with done.
func (w *walker) init(base *Base, a Access, act abi.Action) {
	w.ns, w.a, w.act, w.base = base.ns, a, act, base
	w.stack = append(w.buf[:0], base.at)
	w.stack[0].own = false
	if w.tree = w.ns.tree.Load(); w.tree != base.tree {
		w.stack[0].pt = w.ns.at(w.tree, base.at.path) // something was mounted since
	}
}

// done lets go of every handle.
func (w *walker) done() {
	for i := range w.stack {
		w.stack[i].close()
	}
	w.stack = w.stack[:0]
}

// top is the directory that the walk is in.
func (w *walker) top() *spot { return &w.stack[len(w.stack)-1] }

// reset goes back to the base.
func (w *walker) reset() {
	for len(w.stack) > 1 {
		w.pop()
	}
}

func (w *walker) pop() {
	w.top().close()
	w.stack = w.stack[:len(w.stack)-1]
}

// checkPath refuses what no walk can begin with.
func checkPath(p string) abi.Errno {
	switch {
	case p == "":
		return abi.ENOENT
	case len(p) > maxPath:
		return abi.ENAMETOOLONG
	case strings.IndexByte(p, 0) >= 0:
		return abi.EINVAL
	}
	return abi.OK
}

// last is the last component of a path: a name to be looked up or made in the
// directory that the walk is in, or "" if the path ends at that directory itself
// (".", "..", "/"), and then dot tells which.
type last struct {
	name  string
	dot   string
	slash bool // it must be a directory
}

// parent walks all of p but its last component.
func (w *walker) parent(p string) (last, abi.Errno) {
	if errno := checkPath(p); errno != abi.OK {
		return last{}, errno
	}
	return w.along(p)
}

func (w *walker) along(p string) (last, abi.Errno) {
	if p[0] == '/' {
		if w.base.at.path != "/" {
			return last{}, w.outside(p)
		}
		w.reset()
	}
	p = w.hurry(strings.TrimLeft(p, "/"))
	for p != "" {
		name, rest, slash := strings.Cut(p, "/")
		rest = strings.TrimLeft(rest, "/")
		switch {
		case name == ".":
			if rest == "" {
				return last{dot: ".", slash: true}, abi.OK
			}
		case name == "..":
			if len(w.stack) == 1 {
				return last{}, w.outside(join(w.top().path, p))
			}
			w.pop()
			if rest == "" {
				return last{dot: "..", slash: true}, abi.OK
			}
		case len(name) > maxName:
			return last{}, abi.ENAMETOOLONG
		case rest == "":
			return last{name: name, slash: slash}, abi.OK
		default:
			target, errno := w.step(name, rest)
			if errno != abi.OK {
				return last{}, errno
			}
			if target != "" {
				rest = target + "/" + rest
			}
		}
		p = rest
	}
	return last{dot: "/", slash: true}, abi.OK
}

// hurry takes all components of p but the last at once, where nothing between
// has a say and the file system can. It returns what is left to walk.
func (w *walker) hurry(p string) string {
	end := strings.LastIndexByte(strings.TrimRight(p, "/"), '/')
	if end < 0 {
		return p
	}
	s, typ, ok := w.jump(p, p[:end])
	if !ok {
		return p // the slow way finds out what is wrong, and where
	}
	if typ != abi.TypeDirectory {
		s.close()
		return p
	}
	s.jump = true
	w.stack = append(w.stack, s)
	return p[end+1:]
}

// jump looks up rel, a beginning of p, at once. It reports false where that
// cannot be, or failed.
func (w *walker) jump(p, rel string) (spot, abi.FileType, bool) {
	top := w.top()
	dir, ok := top.node.(Pather)
	if w.slow || !ok || top.pt != nil || strings.IndexByte(rel, '/') < 0 || !plain(p) {
		return spot{}, 0, false
	}
	if w.a != nil && (w.a.Subject().HidesBeneath(top.path) || !w.a.Subject().Visible(top.path)) {
		return spot{}, 0, false
	}
	n, errno := dir.LookupPath(rel)
	if errno != abi.OK {
		return spot{}, 0, false
	}
	typ, errno := typeOf(n)
	if errno != abi.OK {
		n.Close()
		return spot{}, 0, false
	}
	return spot{node: n, mount: top.mount, path: join(top.path, rel), own: true}, typ, true
}

// plain reports whether p, apart from slashes at its end, is made of ordinary
// components separated by single slashes.
func plain(p string) bool {
	start := 0
	for i := 0; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		switch name := p[start:i]; {
		case name == "":
			return strings.Trim(p[start:], "/") == "" && start > 0
		case name == ".", name == "..", len(name) > maxName:
			return false
		}
		start = i + 1
	}
	return true
}

// step enters the directory name. If it is a symbolic link instead, step returns
// its target, which is relative to where the walk is now. rest is what follows,
// for the record.
func (w *walker) step(name, rest string) (target string, _ abi.Errno) {
	next, errno := w.lookup(name)
	if errno != abi.OK {
		if errno == abi.ENOENT {
			w.missing(path.Join(join(w.top().path, name), rest))
		}
		return "", errno
	}
	typ, errno := typeOf(next.node)
	switch {
	case errno != abi.OK:
	case typ == abi.TypeDirectory:
		w.stack = append(w.stack, next)
		return "", abi.OK
	case typ == abi.TypeSymlink:
		target, errno = w.link(next.node)
	default:
		errno = abi.ENOTDIR
	}
	next.close()
	return target, errno
}

// link reads the target of a symbolic link and, if it is absolute, moves the
// walk back to the base: the target must lie beneath it.
func (w *walker) link(n Node) (string, abi.Errno) {
	if w.links++; w.links > maxLinks {
		return "", abi.ELOOP
	}
	target, errno := n.Readlink()
	if errno != abi.OK {
		return "", errno
	}
	if errno := checkPath(target); errno != abi.OK {
		return "", errno
	}
	if target[0] != '/' {
		return target, abi.OK
	}
	rel, ok := w.ns.within(w.base.at.path, target)
	if !ok {
		return "", w.outside(target)
	}
	w.reset()
	return rel, abi.OK
}

// lookup finds one name in the directory that the walk is in. The caller owns
// what it returns.
func (w *walker) lookup(name string) (spot, abi.Errno) {
	dir := w.top()
	p := join(dir.path, name)
	if w.a != nil && !w.a.Subject().Visible(p) {
		return spot{}, w.refuse(w.act, p)
	}
	if kid := w.ns.kid(dir.pt, name); kid != nil {
		return w.mounted(dir, kid, name)
	}
	n, errno := dir.node.Lookup(name)
	if errno != abi.OK {
		return spot{}, errno
	}
	return spot{node: n, mount: dir.mount, path: p, own: true}, abi.OK
}

// mounted is lookup for a name at or beneath which something is mounted.
func (w *walker) mounted(dir *spot, kid *point, name string) (spot, abi.Errno) {
	beneath := kid
	if len(kid.kids) == 0 {
		beneath = nil
	}
	if m := kid.mount; m != nil {
		return spot{node: m.root, mount: m, pt: beneath, path: kid.path}, abi.OK
	}
	if dir.mount != nil {
		// On the way to a mount a real directory shows through, and nothing else.
		if n, errno := dir.node.Lookup(name); errno == abi.OK {
			if typ, errno := typeOf(n); errno == abi.OK && typ == abi.TypeDirectory {
				return spot{node: n, mount: dir.mount, pt: beneath, path: kid.path, own: true}, abi.OK
			}
			n.Close()
		}
	}
	return spot{node: synthetic{w.ns, kid}, pt: kid, path: kid.path}, abi.OK
}

// find walks to the object that p names. follow says whether a symbolic link in
// the last component is followed; before a trailing slash it always is. The
// caller owns what it returns.
func (w *walker) find(p string, follow bool) (spot, abi.FileType, abi.Errno) {
	if errno := checkPath(p); errno != abi.OK {
		return spot{}, 0, errno
	}
	if p[0] != '/' && p[len(p)-1] != '/' {
		// No link is in it, so it does not matter whether one is followed.
		if s, typ, ok := w.jump(p, p); ok {
			return s, typ, abi.OK
		}
	}
	for {
		l, errno := w.along(p)
		if errno != abi.OK {
			return spot{}, 0, errno
		}
		if l.name == "" {
			s := *w.top()
			w.top().own = false // it is the caller's now
			return s, abi.TypeDirectory, abi.OK
		}
		s, errno := w.lookup(l.name)
		if errno != abi.OK {
			if errno == abi.ENOENT {
				w.missing(join(w.top().path, l.name))
			}
			return spot{}, 0, errno
		}
		typ, errno := typeOf(s.node)
		if errno != abi.OK {
			s.close()
			return spot{}, 0, errno
		}
		if typ != abi.TypeSymlink || !follow && !l.slash {
			if l.slash && typ != abi.TypeDirectory {
				s.close()
				return spot{}, 0, abi.ENOTDIR
			}
			return s, typ, abi.OK
		}
		next, errno := w.follow(p, s, l)
		if errno != abi.OK {
			return spot{}, 0, errno
		}
		p = next
	}
}

// follow turns a symbolic link in the last component of p into the path to go on
// with. It closes s.
func (w *walker) follow(p string, s spot, l last) (string, abi.Errno) {
	if w.top().jump {
		// The directories on the way were not kept, and the target may lead
		// back through them: again, slowly.
		s.close()
		w.slow = true
		w.pop()
		return p, abi.OK
	}
	target, errno := w.link(s.node)
	s.close()
	if errno == abi.OK && l.slash {
		target += "/"
	}
	return target, errno
}

// outside refuses to leave the base: the same answer whatever is there. The path
// that was meant is reported as hidden if the view has no place for it.
func (w *walker) outside(p string) abi.Errno {
	if w.a != nil {
		w.missing(path.Clean("/" + p))
	}
	return abi.EPERM
}

// missing reports a path that was not found, if it is not part of the host's
// files that the process may see: there, not found is the truth.
func (w *walker) missing(p string) {
	if w.a == nil {
		return
	}
	if covered, host := w.a.Subject().Covered(p); !covered || !host {
		w.a.Hidden(p)
	}
}

// refuse asks for a decision that must not allow.
func (w *walker) refuse(act abi.Action, p string) abi.Errno {
	if errno := w.a.Decide(act, p); errno != abi.OK {
		return errno
	}
	return abi.EACCES // the rules changed meanwhile, or the process is ending
}

// decide asks whether act is allowed on p.
func (w *walker) decide(act abi.Action, p string) abi.Errno {
	if w.a == nil {
		return abi.OK
	}
	return w.a.Decide(act, p)
}
