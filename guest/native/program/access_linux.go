package program

import (
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// open opens a regular file of the host without waiting for anything.
func open(p string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(p) // opening a device can do something
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, syscall.EINVAL
	}
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, info, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = syscall.EINVAL
	}
	if err != nil {
		_ = f.Close() // only looked at
		return nil, info, err
	}
	return f, info, nil
}

// identify returns which file info is of.
func identify(info fs.FileInfo) ID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return ID{Dev: st.Dev, Ino: st.Ino}
	}
	return ID{}
}

// mayExecute reports why the host's kernel would not execute a file for a guest,
// which has no capabilities whoever the caller is; nil if it would.
func mayExecute(f *os.File, p string, info fs.FileInfo) *Error {
	const plus = "make it executable: chmod +x "
	var fsys unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fsys); err == nil && fsys.Flags&unix.ST_NOEXEC != 0 {
		return &Error{Kind: NotExecutable, Problem: "is on a file system that is mounted noexec", Fix: "copy it to one that is not"}
	}
	if info.Mode()&0o111 == 0 {
		return &Error{Kind: NotExecutable, Problem: "is not executable", Fix: plus + quote(p)}
	}
	err := unix.Faccessat(unix.AT_FDCWD, p, unix.X_OK, unix.AT_EACCESS)
	st, ok := info.Sys().(*syscall.Stat_t)
	if err == nil && (!ok || allowed(st)) {
		return nil
	}
	if err == nil {
		if n, xerr := unix.Getxattr(p, "system.posix_acl_access", nil); xerr == nil && n > 0 {
			return nil // the list decides, and only the kernel reads it
		}
	}
	return &Error{Kind: NotExecutable, Problem: "may not be executed by this user", Fix: plus + quote(p), Err: err}
}

// allowed decides by the mode bits alone, as the kernel does for one without
// capabilities.
func allowed(st *syscall.Stat_t) bool {
	if int(st.Uid) == os.Geteuid() {
		return st.Mode&0o100 != 0
	}
	groups, err := os.Getgroups()
	if err != nil {
		return true // not known; the kernel will say
	}
	if int(st.Gid) == os.Getegid() || slices.Contains(groups, int(st.Gid)) {
		return st.Mode&0o010 != 0
	}
	return st.Mode&0o001 != 0
}

// privileged says which privilege a program would get on the host by being
// executed, "" for none.
func privileged(p string, info fs.FileInfo) string {
	switch {
	case info.Mode()&fs.ModeSetuid != 0:
		return "set-user-id"
	case info.Mode()&fs.ModeSetgid != 0 && info.Mode()&0o010 != 0:
		return "set-group-id"
	}
	if n, err := unix.Getxattr(p, "security.capability", nil); err == nil && n > 0 {
		return "file capabilities"
	}
	return ""
}
