//go:build unix

package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// openTop opens path as a directory that is surely the user's own, following no
// symbolic link in its last component. Errors are *Unavailable.
func openTop(path string, create bool) (*os.File, error) {
	created := false
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, &Unavailable{Path: path, Reason: "cannot be created", Fix: "make its parent directory, or set AGENTOS_STATE", Err: writeError(err)}
		}
		err := os.Mkdir(path, 0o700)
		if created = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
			if _, serr := os.Lstat(path); serr != nil { // an existing one on a read-only file system is fine
				return nil, &Unavailable{Path: path, Reason: "cannot be created", Fix: "set AGENTOS_STATE to a directory of yours", Err: writeError(err)}
			}
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, explainOpen(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := checkTop(path, f, created); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// explainOpen says why a directory could not be opened.
func explainOpen(path string, err error) error {
	u := &Unavailable{Path: path, Reason: "cannot be opened", Err: err}
	fi, lerr := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		u.Reason = "does not exist"
	case lerr == nil && fi.Mode()&fs.ModeSymlink != 0:
		u.Reason, u.Fix, u.Err = "is a symbolic link", "name the directory itself", nil
	case lerr == nil && !fi.IsDir():
		u.Reason, u.Fix, u.Err = "is not a directory", "name a directory", nil
	}
	return u
}

// checkTop checks owner and mode on the handle. Only a directory that this call
// created has its mode corrected (an unusual umask); one that others could enter
// before now may already hold what they put there.
func checkTop(path string, f *os.File, created bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &Unavailable{Path: path, Reason: "cannot be examined", Err: err}
	}
	if euid := os.Geteuid(); int64(st.Uid) != int64(euid) {
		return &Unavailable{Path: path, Reason: fmt.Sprintf("belongs to user %d, and agentos runs as user %d", st.Uid, euid),
			Fix: "set AGENTOS_STATE to a directory of yours"}
	}
	perm := fs.FileMode(st.Mode).Perm()
	if perm == 0o700 {
		return nil
	}
	if created {
		if err := f.Chmod(0o700); err != nil {
			return &Unavailable{Path: path, Reason: "cannot be closed to others", Err: err}
		}
		return nil
	}
	if perm&0o077 != 0 {
		return &Unavailable{Path: path, Reason: fmt.Sprintf("is open to others (mode %04o)", perm), Fix: "chmod 700 " + strconv.Quote(path) + " if you trust what is in it"}
	}
	return nil // stricter than 0700, for example read-only on purpose
}

// deviceAndInode identifies a file for as long as its file system is mounted.
func deviceAndInode(fi fs.FileInfo) (dev, ino uint64) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok { // never on unix
		return 0, 0
	}
	return uint64(st.Dev), uint64(st.Ino) //nolint:unconvert // Dev is 32 bits wide on darwin
}

func isReadOnly(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
