package vfs

import "github.com/agentos-kernel/agentos/kernel/abi"

// Readdir returns at most max entries after cookie, which is 0 or the Next of an
// entry; none means the end. "." and ".." are not among them. What is mounted
// here comes first, then what the file system holds and neither a mount nor a
// deny hides.
//
// Cookies: one for each mount, and what is greater is the file system's own
// cookie plus that many.
func (f *File) Readdir(a Access, cookie uint64, max int) ([]abi.Dirent, abi.Errno) {
	if f.typ != abi.TypeDirectory {
		return nil, abi.ENOTDIR
	}
	if f.Flags()&abi.ORead == 0 {
		return nil, abi.EBADF
	}
	if max <= 0 {
		return nil, abi.EINVAL
	}
	var kids []*point
	if f.at.pt != nil {
		kids = f.at.pt.order
	}
	own := uint64(len(kids))
	out := make([]abi.Dirent, 0, min(max, 64))
	for ; cookie < own && len(out) < max; cookie++ {
		e, ok, errno := f.mounted(a, kids[cookie], cookie+1)
		if errno != abi.OK {
			return nil, errno
		}
		if ok {
			out = append(out, e)
		}
	}
	h := f.handle(f.Flags())
	for len(out) < max {
		ents, errno := h.Readdir(cookie-own, max-len(out))
		if errno != abi.OK {
			return nil, errno
		}
		if len(ents) == 0 {
			break
		}
		cookie = ents[len(ents)-1].Next + own
		for _, e := range ents {
			if f.shows(a, e.Name) {
				e.Next += own
				out = append(out, e)
			}
		}
	}
	return out, abi.OK
}

// mounted returns the entry of a mount, or of the way to one. It is false if that
// is denied.
func (f *File) mounted(a Access, kid *point, next uint64) (abi.Dirent, bool, abi.Errno) {
	if a != nil && !a.Subject().Visible(kid.path) {
		return abi.Dirent{}, false, abi.OK
	}
	e := abi.Dirent{Next: next, Ino: kid.ino, Type: abi.TypeDirectory, Name: kid.path[len(kid.path)-nameLen(kid.path):]}
	if kid.mount != nil && f.ns.enter() {
		defer f.ns.leave()
		st, errno := kid.mount.root.Stat()
		if errno != abi.OK {
			return e, true, errno
		}
		e.Ino, e.Type = st.Ino, st.Type
	}
	return e, true, abi.OK
}

// nameLen returns the length of the last component of a canonical path.
func nameLen(p string) int {
	for i := len(p); i > 0; i-- {
		if p[i-1] == '/' {
			return len(p) - i
		}
	}
	return len(p)
}

// shows reports whether an entry of the file system is part of the listing.
func (f *File) shows(a Access, name string) bool {
	if f.ns.kid(f.at.pt, name) != nil {
		return false // listed as what is mounted there
	}
	return a == nil || a.Subject().Visible(join(f.at.path, name))
}
