//go:build linux && !hostfs_portable

package hostfs

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// resolve is how every lookup resolves. A lookup is one component, so most of
// it can only matter if that is ever got wrong.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS

var (
	_ vfs.FileSystem = (*FS)(nil)
	_ vfs.Dir        = (*node)(nil)
	_ vfs.Handle     = (*handle)(nil)
	_ TryReader      = (*handle)(nil)
	_ vfs.Typed      = (*node)(nil)
	_ vfs.Pather     = (*node)(nil)
	_ vfs.Prompter   = (*node)(nil)
	_ vfs.Finder     = (*node)(nil)
	_ vfs.Allocator  = (*handle)(nil)
)

// node is an O_PATH handle that has been judged visible.
type node struct {
	ref
	fs       *FS
	typ      abi.FileType // an object never changes its type
	home     bool         // on the same mount as the root
	dev, ino uint64
	found    info   // as of the lookup; zero for the root
	parent   *desc  // held; nil with /proc, and for the root
	name     string // in parent
	own      desc   // what ref.d points to, unless it is shared
}

// Lookup opens one entry of a directory, judges it, and returns a handle on it.
func (n *node) Lookup(name string) (vfs.Node, abi.Errno) {
	if e := checkName(name); e != abi.OK {
		return nil, e
	}
	if n.typ != abi.TypeDirectory {
		return nil, abi.ENOTDIR
	}
	dirfd, e := n.use()
	if e != abi.OK {
		return nil, e
	}
	defer n.done()
	fd, in, _, e := n.fs.pin(dirfd, name)
	if e != abi.OK {
		return nil, e
	}
	return n.child(fd, &in, name), abi.OK
}

// child wraps the O_PATH handle fd, the entry name of n, which is in use.
func (n *node) child(fd int, in *info, name string) *node {
	c := &node{fs: n.fs, typ: in.typ(), home: n.fs.atHome(in), dev: in.dev, ino: in.ino, found: *in}
	c.own.fd = fd
	c.own.n.Store(1)
	c.d = &c.own
	if !n.fs.has.proc && n.d.hold() {
		c.parent, c.name = n.d, name
	}
	return c
}

// pin opens an O_PATH handle on one entry of a directory and judges it. What is
// not visible does not exist: ENOENT, and hid tells it from what is absent.
func (fs *FS) pin(dirfd int, name string) (fd int, in info, hid bool, errno abi.Errno) {
	fd, err := fs.openEntry(dirfd, name)
	if err != nil {
		return -1, info{}, false, Errno(err)
	}
	in, err = fs.describe(fd, false)
	shown := false
	if err != nil {
		errno = Errno(err)
	} else if shown, errno = fs.visible(fd, &in); errno == abi.OK && !shown {
		hid, errno = true, abi.ENOENT
	}
	if errno != abi.OK {
		_ = unix.Close(fd) // an O_PATH handle
		return -1, info{}, hid, errno
	}
	return fd, in, false, abi.OK
}

func (fs *FS) openEntry(dirfd int, name string) (int, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if !fs.has.openat2 {
		return again(func() (int, error) { return unix.Openat(dirfd, name, flags, 0) })
	}
	how := unix.OpenHow{Flags: flags, Resolve: resolve}
	return again(func() (int, error) { return unix.Openat2(dirfd, name, &how) })
}

// visible judges an object.
func (fs *FS) visible(fd int, in *info) (bool, abi.Errno) {
	switch in.typ() {
	case abi.TypeCharDevice, abi.TypeBlockDevice, abi.TypeUnknown:
		return false, abi.OK
	}
	if fs.isHidden(in.dev, in.ino) {
		return false, abi.OK
	}
	return fs.mountVisible(fd, in)
}

// LookupPath looks up several components at once. That skips what Lookup would
// ask of each, so it is only done where the answers are known beforehand: on the
// root's own mount (whose file system has been judged), without crossing into
// another, following no link, and with nothing hidden beneath the root. What it
// cannot do is ELOOP, which sends the walk one by one.
func (n *node) LookupPath(rel string) (vfs.Node, abi.Errno) {
	if n.typ != abi.TypeDirectory {
		return nil, abi.ENOTDIR
	}
	if !n.home || !n.fs.direct || len(rel) >= unix.PathMax {
		return nil, abi.ELOOP
	}
	for c := range strings.SplitSeq(rel, "/") {
		if e := checkName(c); e != abi.OK {
			return nil, e
		}
	}
	dirfd, e := n.use()
	if e != abi.OK {
		return nil, e
	}
	defer n.done()
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: resolve | unix.RESOLVE_NO_XDEV,
	}
	fd, err := again(func() (int, error) { return unix.Openat2(dirfd, rel, &how) })
	switch err {
	case nil:
	case unix.EXDEV, unix.EAGAIN:
		return nil, abi.ELOOP
	default:
		return nil, Errno(err)
	}
	in, err := n.fs.describe(fd, false)
	e = abi.OK
	switch {
	case err != nil:
		e = Errno(err)
	case !n.fs.atHome(&in) || in.typ() == abi.TypeSymlink:
		e = abi.ELOOP
	default:
		var shown bool
		if shown, e = n.fs.visible(fd, &in); e == abi.OK && !shown {
			e = abi.ENOENT
		}
	}
	if e != abi.OK {
		_ = unix.Close(fd) // an O_PATH handle
		return nil, e
	}
	return n.child(fd, &in, ""), abi.OK
}

// Type returns the type, which never changes.
func (n *node) Type() abi.FileType { return n.typ }

// inspect judges one entry without keeping a handle on it. Results are those of
// pin.
func (fs *FS) inspect(dirfd int, name string) (in info, hid bool, errno abi.Errno) {
	if fs.has.statx {
		in, err := statx(dirfd, name, statxFlags|unix.AT_STATX_DONT_SYNC)
		if err != nil {
			return info{}, false, Errno(err)
		}
		if fs.mounts.known(&in) {
			switch shown, errno := fs.visible(-1, &in); {
			case errno != abi.OK:
				return info{}, false, errno
			case !shown:
				return info{}, true, abi.ENOENT
			}
			return in, false, abi.OK
		}
	}
	fd, in, hid, errno := fs.pin(dirfd, name)
	if errno == abi.OK {
		_ = unix.Close(fd) // an O_PATH handle
	}
	return in, hid, errno
}

// Stat describes the object.
func (n *node) Stat() (abi.Stat, abi.Errno) {
	fd, e := n.use()
	if e != abi.OK {
		return abi.Stat{}, e
	}
	defer n.done()
	in, err := n.fs.describe(fd, true)
	if err != nil {
		return abi.Stat{}, Errno(err)
	}
	return in.stat(), abi.OK
}

// Found returns what the lookup was told, on local storage: elsewhere attributes
// are looked up without asking the server.
func (n *node) Found() (abi.Stat, bool) {
	if n.found.ino == 0 || !n.fs.prompt {
		return abi.Stat{}, false
	}
	return n.found.stat(), true
}

// Readlink returns the target of a symbolic link, uninterpreted.
func (n *node) Readlink() (string, abi.Errno) {
	if n.typ != abi.TypeSymlink {
		return "", abi.EINVAL
	}
	fd, e := n.use()
	if e != abi.OK {
		return "", e
	}
	defer n.done()
	// Linux bounds a target by PATH_MAX; a file system that returns more is
	// broken or hostile.
	var buf [unix.PathMax + 1]byte
	k, err := again(func() (int, error) { return unix.Readlinkat(fd, "", buf[:]) })
	if err != nil {
		return "", Errno(err)
	}
	if k == len(buf) {
		return "", abi.ENAMETOOLONG
	}
	return string(buf[:k]), abi.OK
}

// Open opens the pinned object itself, whatever its name now leads to.
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
		// Opening a FIFO would wait for, or wake, whoever is at its other end;
		// a socket cannot be opened.
		return nil, abi.ENXIO
	}
	if changes && !n.fs.write.Load() {
		return nil, abi.EROFS
	}
	// The host would truncate a file that it opened for reading only.
	if flags&(abi.OTrunc|abi.OWrite) == abi.OTrunc {
		return nil, abi.EINVAL
	}
	fd, e := n.use()
	if e != abi.OK {
		return nil, e
	}
	defer n.done()
	if changes {
		in, err := n.fs.describe(fd, true)
		if err != nil {
			return nil, Errno(err)
		}
		// A kernel running as root may write such files without losing the bit.
		if in.privileged() {
			return nil, abi.EACCES
		}
	}
	if n.typ == abi.TypeRegular && flags&(abi.ORead|abi.OWrite) == 0 {
		if !n.d.hold() { // cannot fail: this operation holds it
			return nil, abi.EBADF
		}
		return &handle{ref: ref{d: n.d}, fs: n.fs, flags: flags}, abi.OK
	}
	nfd, err := n.reopen(fd, hostFlags(flags))
	if err != nil {
		return nil, Errno(err)
	}
	return n.fs.newHandle(nfd, flags, n.typ == abi.TypeDirectory), abi.OK
}

// hostFlags translates access, OAppend, OTrunc, and the sync flags.
func hostFlags(flags abi.OpenFlags) int {
	f := unix.O_RDONLY
	switch flags & (abi.ORead | abi.OWrite) {
	case abi.OWrite:
		f = unix.O_WRONLY
	case abi.ORead | abi.OWrite:
		f = unix.O_RDWR
	}
	if flags&abi.OAppend != 0 {
		f |= unix.O_APPEND
	}
	if flags&abi.OTrunc != 0 {
		f |= unix.O_TRUNC
	}
	switch {
	case flags&(abi.OSync|abi.ORsync) != 0:
		f |= unix.O_SYNC
	case flags&abi.ODsync != 0:
		f |= unix.O_DSYNC
	}
	return f
}

const safeFlags = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// reopen opens the object behind the O_PATH handle fd for I/O. Its type has been
// checked, and the handle cannot come to mean another object.
func (n *node) reopen(fd, flags int) (int, error) {
	if p := n.fs.proc; p != nil {
		if !p.hold() {
			return -1, unix.EIO // the file system has been closed
		}
		defer func() { _ = p.drop() }() // an O_PATH handle
		// Following the link in /proc/self/fd opens the object, not a path.
		name := strconv.Itoa(fd)
		return again(func() (int, error) { return unix.Openat(p.fd, name, flags|safeFlags, 0) })
	}
	if n.typ == abi.TypeDirectory {
		return again(func() (int, error) { return unix.Openat(fd, ".", flags|safeFlags|unix.O_DIRECTORY, 0) })
	}
	return n.reopenByName(flags)
}

// reopenByName is for hosts without /proc: the name is opened again, and what
// comes is compared with what was pinned before anything is done to it.
func (n *node) reopenByName(flags int) (int, error) {
	trunc := flags&unix.O_TRUNC != 0
	flags = flags&^unix.O_TRUNC | safeFlags
	var nfd int
	var err error
	if n.parent == nil { // the root, a granted file
		nfd, err = again(func() (int, error) { return unix.Open(n.fs.path, flags, 0) })
	} else {
		if !n.parent.hold() {
			return -1, unix.EIO // the handle is being closed
		}
		defer func() { _ = n.parent.drop() }() // an O_PATH handle
		nfd, err = again(func() (int, error) { return unix.Openat(n.parent.fd, n.name, flags|unix.O_NOFOLLOW, 0) })
	}
	if err != nil {
		return -1, err
	}
	in, err := fstat(nfd)
	switch {
	case err != nil:
	case in.dev != n.dev || in.ino != n.ino:
		err = unix.ESTALE
	case trunc:
		err = againErr(func() error { return unix.Ftruncate(nfd, 0) })
	}
	if err != nil {
		_ = unix.Close(nfd) // nothing was written through it
		return -1, err
	}
	return nfd, nil
}

// SetTimes sets the times that are given.
func (n *node) SetTimes(atime, mtime *int64) abi.Errno {
	if !n.fs.write.Load() {
		return abi.EROFS
	}
	fd, e := n.use()
	if e != abi.OK {
		return e
	}
	defer n.done()
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if atime != nil {
		ts[0] = unix.NsecToTimespec(*atime)
	}
	if mtime != nil {
		ts[1] = unix.NsecToTimespec(*mtime)
	}
	err := againErr(func() error { return unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH) })
	if err == unix.EINVAL && n.fs.proc != nil { // before Linux 5.8
		if !n.fs.proc.hold() {
			return abi.EIO
		}
		defer func() { _ = n.fs.proc.drop() }() // an O_PATH handle
		err = againErr(func() error { return unix.UtimesNanoAt(n.fs.proc.fd, strconv.Itoa(fd), ts, 0) })
	}
	return Errno(err)
}

// MayBlock is always true: any host file system may have to wait for a disk or
// a network. See [TryReader].
func (n *node) MayBlock() bool { return true }

// Prompt reports whether what may have to be waited for is local storage.
func (n *node) Prompt() bool { return n.fs.prompt }

// Close lets go of the handle. Closing twice does nothing.
func (n *node) Close() {
	if n.closed.Load() {
		return
	}
	if n.giveUp() != abi.EBADF && n.parent != nil {
		_ = n.parent.drop() // an O_PATH handle
	}
}
