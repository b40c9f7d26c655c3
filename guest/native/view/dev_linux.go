package view

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// deviceLinks are the entries of /dev that lead elsewhere.
var deviceLinks = []struct{ name, target string }{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// ttyGroup owns terminals everywhere by convention. A user namespace may lack it.
const ttyGroup = "gid=5"

// devices makes a /dev: the host's harmless devices, terminals of the program's
// own, and shared memory in its private space.
//
// A template has the part that is the same for all programs; they have the rest.
func (r *Root) devices(at *place, nodes []node, have bool) error {
	if !have {
		if err := r.deviceTree(at, nodes); err != nil {
			return err
		}
	}
	if r.sharing {
		return nil
	}
	inside := strings.TrimSuffix(at.guest, "/") + "/"
	if err := r.terminals(inside + "pts"); err != nil {
		return err
	}
	shm, err := r.locate(inside+"shm", true)
	if err != nil {
		return err
	}
	return errors.Join(r.privateAt(shm), shm.close())
}

// deviceTree mounts a directory with the devices, and places for the rest.
func (r *Root) deviceTree(at *place, nodes []node) error {
	if err := r.ready(at, true); err != nil {
		return err
	}
	tree, err := newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "size=64k", "nr_inodes=128", "mode=0755")
	if err != nil {
		return err
	}
	if err := move(tree, at); err != nil {
		return errors.Join(err, unix.Close(tree))
	}
	r.closing = append(r.closing, tree)
	if err := r.own(tree, true); err != nil {
		return err
	}
	if err := r.openStage(tree, at.guest); err != nil {
		return err
	}
	inside := strings.TrimSuffix(at.guest, "/") + "/"
	for i := range nodes {
		id, err := mountID(nodes[i].tree)
		if err != nil {
			return err
		}
		r.windows[id] = true
		if err := r.mountIn(tree, inside, nodes[i].name, false, &nodes[i].tree); err != nil {
			return err
		}
	}
	for _, l := range deviceLinks {
		if err := unix.Symlinkat(l.target, tree, l.name); err != nil {
			return hint("symlink "+l.name, err)
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := unix.Mkdirat(tree, name, 0o755); err != nil {
			return hint("mkdir "+name, err)
		}
	}
	return nil
}

// terminals mounts a file system for terminals.
func (r *Root) terminals(guestPath string) error {
	at, err := r.locate(guestPath, false)
	if err != nil {
		return err
	}
	pts, err := newPTS()
	if err != nil {
		return errors.Join(err, at.close())
	}
	id, err := mountID(pts)
	if err == nil {
		r.windows[id] = true
		err = put(&pts, at)
	}
	return errors.Join(err, release(&pts), at.close())
}

// mountIn moves a tree to the new entry name of dir, which is the view's own.
func (r *Root) mountIn(dir int, inside, name string, isDir bool, tree *int) error {
	p := &place{guest: inside + name, parent: dir, name: name, fd: -1, ours: true}
	if err := r.ready(p, isDir); err != nil {
		return err
	}
	return errors.Join(put(tree, p), release(&p.fd))
}

// newPTS makes a file system for terminals that no one else has.
func newPTS() (int, error) {
	// The host has some thousand terminals for everybody.
	options := []string{"newinstance", "ptmxmode=0666", "mode=0620", "max=256"}
	attr := unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	tree, err := newFS("devpts", attr, append(options, ttyGroup)...)
	if errors.Is(err, unix.EINVAL) {
		tree, err = newFS("devpts", attr, options...)
	}
	return tree, err
}
