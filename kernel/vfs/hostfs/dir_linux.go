//go:build linux && !hostfs_portable

package hostfs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// beginChange checks what every change of a directory needs and returns its
// descriptor; n.done ends it.
func (n *node) beginChange(names ...string) (int, abi.Errno) {
	for _, name := range names {
		if e := checkName(name); e != abi.OK {
			return -1, e
		}
	}
	if n.typ != abi.TypeDirectory {
		return -1, abi.ENOTDIR
	}
	if !n.fs.write.Load() {
		return -1, abi.EROFS
	}
	return n.use()
}

// exists turns EEXIST into EACCES when what exists is invisible. The guest would
// otherwise be told by turns that it is there and that it is not.
func (fs *FS) exists(dirfd int, name string, err error) abi.Errno {
	e := Errno(err)
	if e == abi.EEXIST {
		if _, hid, _ := fs.inspect(dirfd, name); hid {
			return abi.EACCES
		}
	}
	return e
}

// Create makes a regular file and opens it. Of mode only the permission bits
// count, less the host's umask: a guest makes no set-user-ID files.
func (n *node) Create(name string, mode uint32, flags abi.OpenFlags) (vfs.Node, vfs.Handle, abi.Errno) {
	dirfd, e := n.beginChange(name)
	if e != abi.OK {
		return nil, nil, e
	}
	defer n.done()
	f := hostFlags(flags&^abi.OTrunc) | safeFlags | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW
	fd, err := again(func() (int, error) { return unix.Openat(dirfd, name, f, mode&0o777) })
	if err != nil {
		return nil, nil, n.fs.exists(dirfd, name, err)
	}
	pfd, in, err := n.fs.pinOpen(dirfd, name, fd)
	if err != nil {
		_ = unix.Close(fd) // it is empty
		// Undo. The name may have been given to another file since; there is
		// nothing in the system to remove a name only if it means a given file.
		_ = unix.Unlinkat(dirfd, name, 0)
		return nil, nil, Errno(err)
	}
	return n.child(pfd, &in, name), n.fs.newHandle(fd, flags, false), abi.OK
}

// pinOpen returns an O_PATH handle on the object that fd, just created as name,
// has open.
func (fs *FS) pinOpen(dirfd int, name string, fd int) (int, info, error) {
	in, err := fs.describe(fd, false)
	if err != nil {
		return -1, info{}, err
	}
	if fs.proc == nil {
		pfd, now, _, e := fs.pin(dirfd, name)
		switch {
		case e != abi.OK:
			return -1, info{}, unix.ESTALE
		case now.dev != in.dev || now.ino != in.ino:
			_ = unix.Close(pfd) // an O_PATH handle
			return -1, info{}, unix.ESTALE
		}
		return pfd, in, nil
	}
	if !fs.proc.hold() {
		return -1, info{}, unix.EIO
	}
	defer func() { _ = fs.proc.drop() }() // an O_PATH handle
	link := strconv.Itoa(fd)
	pfd, err := again(func() (int, error) { return unix.Openat(fs.proc.fd, link, unix.O_PATH|unix.O_CLOEXEC, 0) })
	return pfd, in, err
}

// Mkdir makes a directory.
func (n *node) Mkdir(name string, mode uint32) abi.Errno {
	dirfd, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer n.done()
	err := againErr(func() error { return unix.Mkdirat(dirfd, name, mode&0o777) })
	return n.fs.exists(dirfd, name, err)
}

// Symlink makes a symbolic link. Its target is the guest's to choose; lookups
// never follow it.
func (n *node) Symlink(name, target string) abi.Errno {
	dirfd, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer n.done()
	err := againErr(func() error { return unix.Symlinkat(target, dirfd, name) })
	return n.fs.exists(dirfd, name, err)
}

// Remove removes a name.
func (n *node) Remove(name string, dir bool) abi.Errno {
	dirfd, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer n.done()
	in, _, e := n.fs.inspect(dirfd, name)
	if e != abi.OK {
		return e
	}
	flags := 0
	if dir {
		flags = unix.AT_REMOVEDIR
	}
	if e := n.fs.movable(&in); e != abi.OK {
		return e
	}
	return Errno(againErr(func() error { return unix.Unlinkat(dirfd, name, flags) }))
}

// Link gives other another name, name.
func (n *node) Link(name string, other vfs.Node) abi.Errno {
	src, ok := other.(*node)
	if !ok || src.fs != n.fs {
		return abi.EXDEV
	}
	if src.typ == abi.TypeDirectory {
		return abi.EPERM
	}
	dirfd, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer n.done()
	fd, e := src.use()
	if e != abi.OK {
		return e
	}
	defer src.done()
	if p := n.fs.proc; p != nil {
		if !p.hold() {
			return abi.EIO
		}
		defer func() { _ = p.drop() }() // an O_PATH handle
		err := againErr(func() error {
			return unix.Linkat(p.fd, strconv.Itoa(fd), dirfd, name, unix.AT_SYMLINK_FOLLOW)
		})
		return n.fs.exists(dirfd, name, err)
	}
	return n.linkByName(dirfd, name, src)
}

// linkByName is Link on hosts without /proc: it links what has src's name and
// takes the link back if that was not src.
func (n *node) linkByName(dirfd int, name string, src *node) abi.Errno {
	if src.parent == nil {
		return abi.EXDEV // a granted file: nothing in this file system is beside it
	}
	if !src.parent.hold() {
		return abi.EIO // the handle is being closed
	}
	defer func() { _ = src.parent.drop() }() // an O_PATH handle
	if in, _, e := n.fs.inspect(src.parent.fd, src.name); e != abi.OK || in.dev != src.dev || in.ino != src.ino {
		return abi.ESTALE
	}
	if err := againErr(func() error { return unix.Linkat(src.parent.fd, src.name, dirfd, name, 0) }); err != nil {
		return n.fs.exists(dirfd, name, err)
	}
	if in, _, e := n.fs.inspect(dirfd, name); e != abi.OK || in.dev != src.dev || in.ino != src.ino {
		if err := unix.Unlinkat(dirfd, name, 0); err != nil {
			return Errno(err)
		}
		return abi.ESTALE
	}
	return abi.OK
}

// Rename moves a name. What is invisible is neither moved nor replaced, and what
// leads to a hidden object stays where it is. Between these checks and the
// rename a guest cannot bring such an object to either name, since every way to
// move one goes through them.
func (n *node) Rename(name string, newdir vfs.Node, newname string) abi.Errno {
	dst, ok := newdir.(*node)
	if !ok || dst.fs != n.fs {
		return abi.EXDEV
	}
	dirfd, e := n.beginChange(name, newname)
	if e != abi.OK {
		return e
	}
	defer n.done()
	if dst.typ != abi.TypeDirectory {
		return abi.ENOTDIR
	}
	newfd, e := dst.use()
	if e != abi.OK {
		return e
	}
	defer dst.done()
	src, _, e := n.fs.inspect(dirfd, name)
	if e != abi.OK {
		return e
	}
	if e := n.fs.movable(&src); e != abi.OK {
		return e
	}
	old, hid, e := n.fs.inspect(newfd, newname)
	switch {
	case hid:
		return abi.EACCES
	case e == abi.OK:
		if e := n.fs.movable(&old); e != abi.OK {
			return e
		}
	case e != abi.ENOENT:
		return e
	default:
		// Nothing is there to be replaced, and what comes in between is not
		// replaced unseen.
		err := againErr(func() error { return unix.Renameat2(dirfd, name, newfd, newname, unix.RENAME_NOREPLACE) })
		switch err {
		case unix.EEXIST:
			if _, hid, _ := n.fs.inspect(newfd, newname); hid {
				return abi.EACCES
			}
		case unix.EINVAL, unix.ENOSYS, unix.EPERM:
			// A file system, kernel, or filter without it; or the guest's own
			// mistake, which comes up again.
		default:
			return Errno(err)
		}
	}
	return Errno(againErr(func() error { return unix.Renameat(dirfd, name, newfd, newname) }))
}
