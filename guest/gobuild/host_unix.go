//go:build unix

package gobuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileID tells a file from one that took its place.
func fileID(fi fs.FileInfo) string {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return ""
}

// foreign reports whether a file belongs neither to the user, nor to root, nor to the
// owner of a directory.
func foreign(fi, dir fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	owner, also := dir.Sys().(*syscall.Stat_t)
	return ok && also && st.Uid != 0 && int(st.Uid) != os.Geteuid() && st.Uid != owner.Uid
}

// tryLock takes the lock of an open file, which goes with it. It reports false if it
// is held.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}
