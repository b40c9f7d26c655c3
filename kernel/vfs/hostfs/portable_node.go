//go:build unix && (!linux || hostfs_portable)

package hostfs

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

var (
	_ vfs.FileSystem = (*FS)(nil)
	_ vfs.Dir        = (*node)(nil)
	_ vfs.Typed      = (*node)(nil)
	_ vfs.Handle     = (*handle)(nil)
)

// node is an object that has been judged visible: a directory by its own root,
// anything else by its directory, name, and identity.
type node struct {
	fs     *FS
	typ    abi.FileType
	info   fs.FileInfo // its identity
	dir    *dirRef     // held; nil unless a directory
	parent *dirRef     // held; nil for a directory
	name   string      // in parent
	closed atomic.Bool
}

// use begins an operation. done ends it.
func (n *node) use() (*dirRef, abi.Errno) {
	d := n.dir
	if d == nil {
		d = n.parent
	}
	if n.closed.Load() || !d.hold() {
		return nil, abi.EBADF
	}
	return d, abi.OK
}

// Close lets go of the handle. Closing twice does nothing.
func (n *node) Close() {
	if n.closed.Swap(true) {
		return
	}
	if n.dir != nil {
		n.dir.drop()
	} else {
		n.parent.drop()
	}
}

// MayBlock is always true: any host file system may have to wait.
func (n *node) MayBlock() bool { return true }

// Type returns the type, which never changes.
func (n *node) Type() abi.FileType { return n.typ }

// inspect judges one entry of a directory. hid tells what is invisible from what
// is absent.
func (f *FS) inspect(d *dirRef, name string) (fi fs.FileInfo, hid bool, errno abi.Errno) {
	fi, err := d.r.Lstat(name)
	if err != nil {
		return nil, false, Errno(err)
	}
	switch typeOf(fi) {
	case abi.TypeCharDevice, abi.TypeBlockDevice, abi.TypeUnknown:
		return nil, true, abi.ENOENT
	}
	if f.isHidden(fi) {
		return nil, true, abi.ENOENT
	}
	return fi, false, abi.OK
}

// Lookup finds one entry of a directory.
func (n *node) Lookup(name string) (vfs.Node, abi.Errno) {
	if e := checkName(name); e != abi.OK {
		return nil, e
	}
	if n.typ != abi.TypeDirectory {
		return nil, abi.ENOTDIR
	}
	d, e := n.use()
	if e != abi.OK {
		return nil, e
	}
	defer d.drop()
	// Between looking at a name and opening it, it may come to mean another
	// object; then it is looked at again.
	for range 100 {
		c, e := n.fs.enter(d, name)
		if e != abi.ESTALE {
			if e != abi.OK {
				return nil, e
			}
			return c, abi.OK
		}
	}
	return nil, abi.EAGAIN
}

// enter is one try of Lookup. ESTALE asks for another.
func (f *FS) enter(d *dirRef, name string) (*node, abi.Errno) {
	fi, _, e := f.inspect(d, name)
	if e != abi.OK {
		return nil, e
	}
	c := &node{fs: f, typ: typeOf(fi), info: fi}
	if c.typ != abi.TypeDirectory {
		if !d.hold() { // cannot fail: this operation holds it
			return nil, abi.EBADF
		}
		c.parent, c.name = d, name
		return c, abi.OK
	}
	r, err := d.r.OpenRoot(name)
	if err != nil {
		if now, err := d.r.Lstat(name); err == nil && !os.SameFile(now, fi) {
			return nil, abi.ESTALE
		}
		return nil, Errno(err)
	}
	c.dir = newDirRef(r)
	h, err := openSame(r, ".", fi, os.O_RDONLY, true)
	if err == nil {
		var kernelFS string
		kernelFS, err = forbiddenHere(h)
		_ = h.Close() // nothing was written through it
		if err == nil && kernelFS != "" {
			err = unix.ENOENT
		}
	}
	if err != nil {
		c.dir.drop()
		return nil, Errno(err)
	}
	return c, abi.OK
}

// now describes the object as it is, if it still has its name.
func (n *node) now(d *dirRef) (fs.FileInfo, abi.Errno) {
	name := n.name
	if n.dir != nil {
		name = "."
	}
	fi, err := d.r.Lstat(name)
	if err != nil {
		return nil, Errno(err)
	}
	if !os.SameFile(fi, n.info) {
		return nil, abi.ESTALE
	}
	return fi, abi.OK
}

// Stat describes the object.
func (n *node) Stat() (abi.Stat, abi.Errno) {
	d, e := n.use()
	if e != abi.OK {
		return abi.Stat{}, e
	}
	defer d.drop()
	fi, e := n.now(d)
	if e != abi.OK {
		return abi.Stat{}, e
	}
	return statOf(fi), abi.OK
}

func statOf(fi fs.FileInfo) abi.Stat {
	dev, ino := devIno(fi)
	s := abi.Stat{
		Dev: guestDev(dev), Ino: ino, Type: typeOf(fi), Mode: uint32(fi.Mode().Perm()),
		Size: fi.Size(), Mtime: fi.ModTime().UnixNano(), Nlink: 1,
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.Nlink = uint64(st.Nlink) //nolint:unconvert // its type differs from system to system
		s.Atime, s.Ctime = statTimes(st)
	}
	return s
}

// Readlink returns the target of a symbolic link, uninterpreted.
func (n *node) Readlink() (string, abi.Errno) {
	if n.typ != abi.TypeSymlink {
		return "", abi.EINVAL
	}
	d, e := n.use()
	if e != abi.OK {
		return "", e
	}
	defer d.drop()
	if _, e := n.now(d); e != abi.OK {
		return "", e
	}
	target, err := d.r.Readlink(n.name)
	return target, Errno(err)
}

// Open opens the object.
func (n *node) Open(flags abi.OpenFlags) (vfs.Handle, abi.Errno) {
	changes := flags&(abi.OWrite|abi.OTrunc) != 0
	switch n.typ {
	case abi.TypeRegular:
	case abi.TypeDirectory:
		if changes {
			return nil, abi.EISDIR
		}
	case abi.TypeSymlink:
		return nil, abi.ELOOP
	default:
		return nil, abi.ENXIO
	}
	if changes && !n.fs.write.Load() {
		return nil, abi.EROFS
	}
	if flags&(abi.OTrunc|abi.OWrite) == abi.OTrunc {
		return nil, abi.EINVAL
	}
	d, e := n.use()
	if e != abi.OK {
		return nil, e
	}
	defer d.drop()
	fi, e := n.now(d)
	if e != abi.OK {
		return nil, e
	}
	if changes && privileged(fi) {
		return nil, abi.EACCES
	}
	if n.typ == abi.TypeDirectory {
		h, err := openSame(d.r, ".", n.info, os.O_RDONLY, true)
		if err != nil {
			return nil, Errno(err)
		}
		if !d.hold() { // cannot fail: this operation holds it
			return nil, abi.EBADF
		}
		return &handle{f: h, fs: n.fs, flags: flags, dir: d}, abi.OK
	}
	if flags&(abi.ORead|abi.OWrite) == 0 {
		return &handle{fs: n.fs, flags: flags}, abi.OK
	}
	h, err := openSame(d.r, n.name, n.info, hostFlags(flags), false)
	if err != nil {
		return nil, Errno(err)
	}
	return &handle{f: h, fs: n.fs, flags: flags}, abi.OK
}

func privileged(fi fs.FileInfo) bool {
	return fi.Mode()&fs.ModeSetuid != 0 || fi.Mode()&fs.ModeSetgid != 0 && fi.Mode()&0o010 != 0
}

// hostFlags translates access, OAppend, OTrunc, and the sync flags.
func hostFlags(flags abi.OpenFlags) int {
	f := os.O_RDONLY
	switch flags & (abi.ORead | abi.OWrite) {
	case abi.OWrite:
		f = os.O_WRONLY
	case abi.ORead | abi.OWrite:
		f = os.O_RDWR
	}
	if flags&abi.OAppend != 0 {
		f |= os.O_APPEND
	}
	if flags&abi.OTrunc != 0 {
		f |= os.O_TRUNC
	}
	if flags&(abi.OSync|abi.ORsync|abi.ODsync) != 0 {
		f |= os.O_SYNC
	}
	return f
}

// SetTimes sets the times that are given. A symbolic link's own are out of
// reach of os.Root.
func (n *node) SetTimes(atime, mtime *int64) abi.Errno {
	if !n.fs.write.Load() {
		return abi.EROFS
	}
	if n.typ == abi.TypeSymlink {
		return abi.ENOTSUP
	}
	d, e := n.use()
	if e != abi.OK {
		return e
	}
	defer d.drop()
	if _, e := n.now(d); e != abi.OK {
		return e
	}
	var a, m time.Time // a zero time is left alone
	if atime != nil {
		a = time.Unix(0, *atime)
	}
	if mtime != nil {
		m = time.Unix(0, *mtime)
	}
	if atime == nil && mtime == nil {
		return abi.OK
	}
	name := n.name
	if n.dir != nil {
		name = "."
	}
	return Errno(d.r.Chtimes(name, a, m))
}

// withDir runs f with a descriptor of d, for what os.Root has no method for:
// operations on two directories.
func withDir(d *dirRef, f func(fd int) error) error {
	h, err := d.r.Open(".")
	if err != nil {
		return err
	}
	c, err := h.SyscallConn()
	if err == nil {
		var inner error
		err = errors.Join(c.Control(func(fd uintptr) { inner = f(int(fd)) }))
		if err == nil {
			err = inner
		}
	}
	_ = h.Close() // nothing was written through it
	return err
}
