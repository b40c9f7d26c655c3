package gobuild

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree returns when everything beneath a directory is on the disk, and whatever
// else its file system had to write.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}
