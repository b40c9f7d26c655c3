package statedir

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// chmodDirectory sets mode 0700 on the directory name in parent, and on nothing
// that a symbolic link points to. Kernels before 6.6 have no call for that; there it
// goes through a handle that needs no permission on the directory itself.
func chmodDirectory(parent int, name string) error {
	if unix.Fchmodat(parent, name, 0o700, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return nil
	}
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700)
	return errors.Join(err, unix.Close(fd))
}
