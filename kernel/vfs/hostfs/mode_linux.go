//go:build linux && !hostfs_portable

package hostfs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// SetMode sets the permission bits of a file or directory. Of a file every other
// mode bit goes; a directory keeps its set-group-ID and sticky bits, which say
// whose its entries are and give nobody another identity.
func (n *node) SetMode(mode uint32) abi.Errno {
	if !n.fs.write.Load() {
		return abi.EROFS
	}
	if n.typ != abi.TypeRegular && n.typ != abi.TypeDirectory {
		return abi.EINVAL
	}
	fd, e := n.use()
	if e != abi.OK {
		return e
	}
	defer n.done()
	mode &= 0o777
	if n.typ == abi.TypeDirectory {
		in, err := n.fs.describe(fd, true)
		if err != nil {
			return Errno(err)
		}
		mode |= in.mode & (unix.S_ISGID | unix.S_ISVTX)
	}
	if p := n.fs.proc; p != nil {
		if !p.hold() {
			return abi.EIO
		}
		defer func() { _ = p.drop() }() // an O_PATH handle
		return Errno(againErr(func() error { return unix.Fchmodat(p.fd, strconv.Itoa(fd), mode, 0) }))
	}
	nfd, err := n.reopen(fd, unix.O_RDONLY)
	if err != nil {
		return Errno(err)
	}
	err = againErr(func() error { return unix.Fchmod(nfd, mode) })
	_ = unix.Close(nfd) // nothing was written through it
	return Errno(err)
}

// SetOwner gives a file the owner and group of another object of the same file
// system. Where they are the same already the host is not asked.
func (n *node) SetOwner(like vfs.Node) abi.Errno {
	of, ok := like.(*node)
	if !ok || of.fs != n.fs {
		return abi.EXDEV
	}
	if !n.fs.write.Load() {
		return abi.EROFS
	}
	if n.typ != abi.TypeRegular {
		return abi.EINVAL
	}
	fd, e := n.use()
	if e != abi.OK {
		return e
	}
	defer n.done()
	ofd, e := of.use()
	if e != abi.OK {
		return e
	}
	defer of.done()
	var mine, theirs unix.Stat_t
	if err := againErr(func() error { return unix.Fstat(fd, &mine) }); err != nil {
		return Errno(err)
	}
	if err := againErr(func() error { return unix.Fstat(ofd, &theirs) }); err != nil {
		return Errno(err)
	}
	if mine.Uid == theirs.Uid && mine.Gid == theirs.Gid {
		return abi.OK
	}
	return Errno(againErr(func() error {
		return unix.Fchownat(fd, "", int(theirs.Uid), int(theirs.Gid), unix.AT_EMPTY_PATH)
	}))
}
