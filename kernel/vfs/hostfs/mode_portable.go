//go:build unix && (!linux || hostfs_portable)

package hostfs

import (
	"os"
	"syscall"

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
	d, e := n.use()
	if e != abi.OK {
		return e
	}
	defer d.drop()
	fi, e := n.now(d)
	if e != abi.OK {
		return e
	}
	bits := os.FileMode(mode & 0o777)
	name := n.name
	if n.typ == abi.TypeDirectory {
		name = "."
		bits |= fi.Mode() & (os.ModeSetgid | os.ModeSticky)
	}
	h, err := openSame(d.r, name, n.info, os.O_RDONLY, n.typ == abi.TypeDirectory)
	if err != nil {
		return Errno(err)
	}
	err = h.Chmod(bits)
	_ = h.Close() // nothing was written through it
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
	d, e := n.use()
	if e != abi.OK {
		return e
	}
	defer d.drop()
	od, e := of.use()
	if e != abi.OK {
		return e
	}
	defer od.drop()
	fi, e := n.now(d)
	if e != abi.OK {
		return e
	}
	ofi, e := of.now(od)
	if e != abi.OK {
		return e
	}
	mine, ok1 := fi.Sys().(*syscall.Stat_t)
	theirs, ok2 := ofi.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 {
		return abi.ENOTSUP
	}
	if mine.Uid == theirs.Uid && mine.Gid == theirs.Gid {
		return abi.OK
	}
	h, err := openSame(d.r, n.name, n.info, os.O_RDONLY, false)
	if err != nil {
		return Errno(err)
	}
	err = h.Chown(int(theirs.Uid), int(theirs.Gid))
	_ = h.Close() // nothing was written through it
	return Errno(err)
}
