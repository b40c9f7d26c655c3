package hostfs

import (
	"os"

	"golang.org/x/sys/unix"
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
	if inner != nil {
		return "", inner
	}
	switch name := unix.ByteSliceToString(sfs.Fstypename[:]); name {
	case "devfs", "fdesc", "procfs", "routefs":
		return name, nil
	}
	return "", nil
}
