//go:build unix && (!linux || hostfs_portable)

package hostfs

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// beginChange checks what every change of a directory needs and returns it,
// held.
func (n *node) beginChange(names ...string) (*dirRef, abi.Errno) {
	for _, name := range names {
		if e := checkName(name); e != abi.OK {
			return nil, e
		}
	}
	if n.typ != abi.TypeDirectory {
		return nil, abi.ENOTDIR
	}
	if !n.fs.write.Load() {
		return nil, abi.EROFS
	}
	return n.use()
}

// exists turns EEXIST into EACCES when what exists is invisible.
func (f *FS) exists(d *dirRef, name string, err error) abi.Errno {
	e := Errno(err)
	if e == abi.EEXIST {
		if _, hid, _ := f.inspect(d, name); hid {
			return abi.EACCES
		}
	}
	return e
}

// Create makes a regular file and opens it.
func (n *node) Create(name string, mode uint32, flags abi.OpenFlags) (vfs.Node, vfs.Handle, abi.Errno) {
	d, e := n.beginChange(name)
	if e != abi.OK {
		return nil, nil, e
	}
	defer d.drop()
	hf := hostFlags(flags&^abi.OTrunc) | os.O_CREATE | os.O_EXCL | unix.O_NONBLOCK | unix.O_NOCTTY
	h, err := d.r.OpenFile(name, hf, os.FileMode(mode&0o777))
	if err != nil {
		return nil, nil, n.fs.exists(d, name, err)
	}
	fi, err := h.Stat()
	if err != nil || !d.hold() {
		_ = h.Close()        // it is empty
		_ = d.r.Remove(name) // undo, as far as a name can say what to undo
		return nil, nil, abi.EIO
	}
	c := &node{fs: n.fs, typ: abi.TypeRegular, info: fi, parent: d, name: name}
	return c, &handle{f: h, fs: n.fs, flags: flags}, abi.OK
}

// Mkdir makes a directory.
func (n *node) Mkdir(name string, mode uint32) abi.Errno {
	d, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer d.drop()
	return n.fs.exists(d, name, d.r.Mkdir(name, os.FileMode(mode&0o777)))
}

// Symlink makes a symbolic link.
func (n *node) Symlink(name, target string) abi.Errno {
	d, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer d.drop()
	return n.fs.exists(d, name, withDir(d, func(fd int) error { return unix.Symlinkat(target, fd, name) }))
}

// Remove removes a name.
func (n *node) Remove(name string, dir bool) abi.Errno {
	d, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer d.drop()
	fi, _, e := n.fs.inspect(d, name)
	if e != abi.OK {
		return e
	}
	if e := n.fs.movable(fi); e != abi.OK {
		return e
	}
	flags := 0
	if dir {
		flags = unix.AT_REMOVEDIR
	}
	return Errno(withDir(d, func(fd int) error { return unix.Unlinkat(fd, name, flags) }))
}

// Link gives other another name, and takes it back if what it named by then was
// not other.
func (n *node) Link(name string, other vfs.Node) abi.Errno {
	src, ok := other.(*node)
	if !ok || src.fs != n.fs {
		return abi.EXDEV
	}
	if src.typ == abi.TypeDirectory {
		return abi.EPERM
	}
	d, e := n.beginChange(name)
	if e != abi.OK {
		return e
	}
	defer d.drop()
	from, e := src.use()
	if e != abi.OK {
		return e
	}
	defer from.drop()
	if _, e := src.now(from); e != abi.OK {
		return e
	}
	err := withDir(from, func(sfd int) error {
		return withDir(d, func(fd int) error { return unix.Linkat(sfd, src.name, fd, name, 0) })
	})
	if err != nil {
		return n.fs.exists(d, name, err)
	}
	if fi, _, e := n.fs.inspect(d, name); e != abi.OK || !os.SameFile(fi, src.info) {
		if err := d.r.Remove(name); err != nil {
			return Errno(err)
		}
		return abi.ESTALE
	}
	return abi.OK
}

// Rename moves a name. What is invisible is neither moved nor replaced, and what
// leads to a hidden object stays where it is.
func (n *node) Rename(name string, newdir vfs.Node, newname string) abi.Errno {
	dst, ok := newdir.(*node)
	if !ok || dst.fs != n.fs {
		return abi.EXDEV
	}
	d, e := n.beginChange(name, newname)
	if e != abi.OK {
		return e
	}
	defer d.drop()
	if dst.typ != abi.TypeDirectory {
		return abi.ENOTDIR
	}
	to, e := dst.use()
	if e != abi.OK {
		return e
	}
	defer to.drop()
	src, _, e := n.fs.inspect(d, name)
	if e != abi.OK {
		return e
	}
	if e := n.fs.movable(src); e != abi.OK {
		return e
	}
	old, hid, e := n.fs.inspect(to, newname)
	switch {
	case hid:
		return abi.EACCES
	case e == abi.OK:
		if e := n.fs.movable(old); e != abi.OK {
			return e
		}
	case e != abi.ENOENT:
		return e
	}
	return Errno(withDir(d, func(sfd int) error {
		return withDir(to, func(dfd int) error { return unix.Renameat(sfd, name, dfd, newname) })
	}))
}
