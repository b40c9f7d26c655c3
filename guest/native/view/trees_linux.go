package view

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// Trees is a list of mounts whose parts of the host are cloned into trees that
// hang nowhere yet. They can be moved into any mount namespace of the same user
// namespace.
type Trees struct {
	parts []part
}

// part is one mount of the list.
type part struct {
	guest.Mount
	tree  int // of a Bind: the detached tree, -1 once it was moved
	dir   bool
	dev   uint64 // of a Bind: what was cloned
	ino   uint64
	nodes []node // of Devices
}

// node is one device of the host, detached like a tree.
type node struct {
	name string
	tree int
}

// devices are the character devices that a program has, with their numbers: a file
// of that name that is something else is not lent.
var devices = []struct {
	name         string
	major, minor uint32
	must         bool
}{
	{"null", 1, 3, true},
	{"zero", 1, 5, true},
	{"full", 1, 7, false},
	{"random", 1, 8, false},
	{"urandom", 1, 9, true},
	{"tty", 5, 0, false},
}

// Prepare clones what mounts lend of the host. It may be called from any
// goroutine that is in the host's mount namespace, which it does not change. The
// handles in mounts stay the caller's. A bind without a handle is opened by its
// path, which must have no symbolic links. Errors are *[Error]s.
func Prepare(mounts []guest.Mount) (*Trees, error) {
	t := new(Trees)
	for _, m := range mounts {
		p := part{Mount: m, tree: -1}
		var err error
		switch m.Kind {
		case guest.Bind:
			err = p.clone()
			if m.Optional && m.File == nil && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES)) {
				continue
			}
		case guest.Devices:
			err = p.devices()
		case guest.Private, guest.Text, guest.Link, guest.Procs, guest.Mask, guest.Frozen:
		}
		t.parts = append(t.parts, p)
		if err != nil {
			if cerr := t.Close(); cerr != nil {
				err = errors.Join(err, cerr)
			}
			return nil, err
		}
	}
	runtime.KeepAlive(mounts)
	return t, nil
}

// Close gives back the trees that were not moved anywhere.
func (t *Trees) Close() error {
	var errs []error
	for i := range t.parts {
		p := &t.parts[i]
		errs = append(errs, release(&p.tree))
		for j := range p.nodes {
			errs = append(errs, release(&p.nodes[j].tree))
		}
	}
	return errors.Join(errs...)
}

// release closes *fd once.
func release(fd *int) error {
	if *fd < 0 {
		return nil
	}
	err := unix.Close(*fd)
	*fd = -1
	return err
}

// clone makes the tree of a Bind.
func (p *part) clone() error {
	if p.File != nil {
		return p.cloneHandle(int(p.File.Fd()))
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, p.Host, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return failed(p.Guest, "open "+p.Host, err)
	}
	return errors.Join(p.cloneHandle(fd), unix.Close(fd))
}

// cloneHandle is clone for a handle, which stays the caller's.
func (p *part) cloneHandle(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return failed(p.Guest, "stat "+p.Host, err)
	}
	p.dev, p.ino = uint64(st.Dev), st.Ino
	var err error
	if p.dir, err = lendable(fd, &p.Mount); err != nil {
		return err
	}
	attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if !p.Write {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	p.tree, err = cloneTree(fd, p.dir, attr)
	if err != nil {
		return failed(p.Guest, "clone the mount of "+p.Host, err)
	}
	return nil
}

// lendable refuses what is never lent, and reports whether it is a directory.
func lendable(fd int, m *guest.Mount) (dir bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, failed(m.Guest, "stat "+m.Host, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		dir = true
	case unix.S_IFCHR, unix.S_IFBLK:
		return false, &Error{Guest: m.Guest, Problem: m.Host + " is a device", Fix: "the harmless devices are in /dev of every program; others are not lent"}
	case unix.S_IFLNK:
		return false, &Error{Guest: m.Guest, Problem: m.Host + " is a symbolic link", Fix: "grant what it leads to"}
	}
	name, err := forbiddenHandle(fd)
	if err != nil {
		return false, failed(m.Guest, "look at "+m.Host, err)
	}
	if name != "" {
		return false, &Error{Guest: m.Guest, Problem: fmt.Sprintf("%s is on a file system of the operating system's kernel (%s)", m.Host, name),
			Fix: "it is never lent to a program"}
	}
	return dir, nil
}

// cloneTree makes a detached, private copy of the mounts at and, for a directory,
// beneath fd, and adds attr to each.
func cloneTree(fd int, dir bool, attr uint64) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	set := uint(unix.AT_EMPTY_PATH)
	if dir {
		flags |= unix.AT_RECURSIVE
		set |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(fd, "", flags)
	if err != nil {
		return -1, hint("open_tree", err)
	}
	if err := unix.MountSetattr(tree, "", set, &unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE}); err != nil {
		err = hint("mount_setattr", err)
		if cerr := unix.Close(tree); cerr != nil {
			err = errors.Join(err, cerr)
		}
		return -1, err
	}
	return tree, nil
}

// devices clones the harmless devices of the host, each one checked to be what its
// name says. In a user namespace no device can be made, so they are always lent.
func (p *part) devices() error {
	for _, d := range devices {
		fd, err := unix.Openat2(unix.AT_FDCWD, "/dev/"+d.name, &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS})
		if errors.Is(err, unix.ENOENT) && !d.must {
			continue
		}
		if err != nil {
			return failed(p.Guest, "open /dev/"+d.name, err)
		}
		tree, err := cloneDevice(fd, d.major, d.minor)
		if cerr := unix.Close(fd); err == nil {
			err = cerr
		}
		if err != nil {
			return failed(p.Guest, "/dev/"+d.name, err)
		}
		p.nodes = append(p.nodes, node{d.name, tree})
	}
	return nil
}

func cloneDevice(fd int, major, minor uint32) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, hint("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(uint64(st.Rdev)) != major || unix.Minor(uint64(st.Rdev)) != minor {
		return -1, fmt.Errorf("is not the character device %d:%d", major, minor)
	}
	return cloneTree(fd, false, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
}
