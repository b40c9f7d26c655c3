//go:build hostfs_portable

package hostfs

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/internal/pseudofs"
)

// forbiddenHere returns the name of the file system that f is on if that belongs
// to the operating system's kernel.
func forbiddenHere(f *os.File) (string, error) {
	c, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	var sfs unix.Statfs_t
	var inner error
	if err := c.Control(func(fd uintptr) { inner = unix.Fstatfs(int(fd), &sfs) }); err != nil {
		return "", err
	}
	return pseudofs.Name(uint32(sfs.Type)), inner
}
