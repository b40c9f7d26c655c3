//go:build unix && (!linux || hostfs_portable)

package hostfs

import (
	"os"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// SetMode sets the permission bits of a file or directory. Of a file every other
// mode bit goes; a directory keeps its set-group-ID and sticky bits, which say
// whose its entries are and give nobody another identity.
func (n *node) SetMode(mode uint32) abi.Errno {
	if !n.fs.write {
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
