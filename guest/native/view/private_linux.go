package view

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// openSpace makes the file system that holds all private files, so that one limit
// covers them. It hangs at the first private place, beneath the directory that is
// shown there: only a mount that hangs somewhere can be cloned before Linux 6.15.
func (r *Root) openSpace(at *place) error {
	tree, err := newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, append(quota(r.disk), "mode=0755")...)
	if err != nil {
		return err
	}
	if err := move(tree, at); err != nil {
		return errors.Join(err, unix.Close(tree))
	}
	r.space = tree
	if err := r.own(tree, false); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return hint("fstat", err)
	}
	r.spaceDev = uint64(st.Dev)
	return nil
}

// privateMode returns the mode of a private directory, and whether it is the
// user's own. Those that everyone may use on any system are so here: programs
// check it.
func privateMode(guestPath string) (mode uint32, users bool) {
	switch guestPath {
	case "/tmp", "/var/tmp", "/dev/shm":
		return 0o1777, false
	case "/run":
		return 0o755, true
	}
	return 0o700, true
}

// privateAt mounts an empty directory of the private space.
func (r *Root) privateAt(at *place) error {
	if err := r.ready(at, true); err != nil {
		return err
	}
	if r.space < 0 {
		if err := r.openSpace(at); err != nil {
			return err
		}
	}
	name := strconv.Itoa(r.private)
	r.private++
	mode, users := privateMode(at.guest)
	if err := unix.Mkdirat(r.space, name, mode); err != nil {
		return hint("mkdir", err)
	}
	if users {
		if err := r.give(r.space, name); err != nil {
			return err
		}
	}
	// It has the flags of the space.
	tree, err := unix.OpenTree(r.space, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return hint("open_tree", err)
	}
	return errors.Join(put(&tree, at), release(&tree))
}
