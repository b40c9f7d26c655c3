//go:build linux && !hostfs_portable

package hostfs

import (
	"errors"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// hidden is an object that no guest may see, replace, or move.
type hidden struct {
	id    ID
	d     *desc  // O_PATH handle on it, or on a file's directory; nil without a path or for a vanished object
	links []ID   // symbolic links on the way to it: whoever moved one could put another object in its place
	dev   string // its file system as mountinfo names it, "" if not known
	root  string // its path within that file system
}

// hide takes over the objects to hide.
func (fs *FS) hide(ids []ID) error {
	for _, id := range ids {
		h := hidden{id: id}
		if id.path == "" {
			fs.hidden = append(fs.hidden, h)
			continue
		}
		fd, err := openPath(id.path)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			// Gone since: nothing is there to protect but the identity.
			fs.hidden = append(fs.hidden, h)
			continue
		}
		if err != nil {
			return err
		}
		err = fs.pinHidden(&h, fd)
		fs.hidden = append(fs.hidden, h) // Close closes h.d, also after an error
		if err != nil {
			return err
		}
	}
	return nil
}

// pinHidden fills in what can be known of a hidden object that fd has open.
func (fs *FS) pinHidden(h *hidden, fd int) error {
	h.d = newDesc(fd)
	in, err := fs.describe(fd, true)
	if err != nil {
		return err
	}
	if !h.id.Is(in.dev, in.ino) {
		return unix.ESTALE // replaced between Identify and Open
	}
	if h.links, err = linksOn(h.id.path); err != nil {
		return err
	}
	if fs.proc != nil {
		if h.dev, h.root, err = fs.placeOf(fd); err != nil {
			return err
		}
	}
	if in.typ() != abi.TypeDirectory {
		dir, err := fs.dirOfFile(fd, h.id.path)
		if err != nil {
			return err
		}
		_ = h.d.drop() // an O_PATH handle
		h.d = newDesc(dir)
	}
	return nil
}

// nothingHiddenBeneath reports whether it is certain that no hidden object lies
// beneath the root on the root's own mount. Nothing a guest can do brings one
// there, since what leads to a hidden object does not move.
func (fs *FS) nothingHiddenBeneath() bool {
	if !fs.has.openat2 || fs.proc == nil || fs.rootInfo.mountKind != mountUnique {
		return false
	}
	if len(fs.hidden) == 0 {
		return true
	}
	dev, root, err := fs.placeOf(fs.root.fd)
	if err != nil || root == "" {
		return false
	}
	for i := range fs.hidden {
		h := &fs.hidden[i]
		if h.root == "" || h.dev == dev && under(h.root, root) {
			return false
		}
	}
	return true
}

// isHidden reports whether an object is one of the hidden.
func (fs *FS) isHidden(dev, ino uint64) bool {
	for i := range fs.hidden {
		if fs.hidden[i].id.Is(dev, ino) {
			return true
		}
	}
	return false
}

// hidesInode reports whether a directory entry with this inode number might be
// hidden; its device has to be asked for.
func (fs *FS) hidesInode(ino uint64) bool {
	for i := range fs.hidden {
		if fs.hidden[i].id.Ino == ino {
			return true
		}
	}
	return false
}

// movable refuses with EACCES to move, replace, or remove what a hidden object's
// path leads through. Were an ancestor moved, a guest could put a state
// directory of its own making in the old place for the next kernel to trust.
func (fs *FS) movable(in *info) abi.Errno {
	switch in.typ() {
	case abi.TypeSymlink:
		for i := range fs.hidden {
			for _, l := range fs.hidden[i].links {
				if l.Is(in.dev, in.ino) {
					return abi.EACCES
				}
			}
		}
	case abi.TypeDirectory:
		for i := range fs.hidden {
			d := fs.hidden[i].d
			if d == nil {
				continue
			}
			if !d.hold() {
				return abi.EIO // the file system has been closed
			}
			above := false
			err := climb(d.fd, func(dev, ino uint64) bool {
				above = dev == in.dev && ino == in.ino
				return above
			})
			_ = d.drop() // an O_PATH handle
			if err != nil {
				return Errno(err)
			}
			if above {
				return abi.EACCES
			}
		}
	}
	return abi.OK
}

// insideHidden reports whether the object fd is, or lies below, a hidden object
// on the path by which it was reached.
func (fs *FS) insideHidden(fd int) (inside bool, err error) {
	if len(fs.hidden) == 0 {
		return false, nil
	}
	start := fd
	if fs.rootInfo.typ() != abi.TypeDirectory {
		if fs.isHidden(fs.rootInfo.dev, fs.rootInfo.ino) {
			return true, nil
		}
		dir, err := fs.dirOfFile(fd, fs.path)
		if err != nil {
			return false, err
		}
		defer func() { _ = unix.Close(dir) }() // an O_PATH handle
		start = dir
	}
	err = climb(start, func(dev, ino uint64) bool {
		inside = fs.isHidden(dev, ino)
		return inside
	})
	return inside, err
}

// dirOfFile opens the directory that a file, opened by path name, is in.
func (fs *FS) dirOfFile(fd int, name string) (int, error) {
	real, err := fs.pathOf(fd)
	if err != nil {
		if real, err = realPath(name); err != nil {
			return -1, err
		}
	}
	return openPath(path.Dir(real))
}

// climb visits a directory and its ancestors up to the root of what this process
// sees, until visit returns true. A file counts by itself.
func climb(fd int, visit func(dev, ino uint64) bool) error {
	at, err := fstat(fd)
	if err != nil {
		return err
	}
	cur, own := fd, false
	defer func() {
		if own {
			_ = unix.Close(cur) // an O_PATH handle
		}
	}()
	for !visit(at.dev, at.ino) && at.typ() == abi.TypeDirectory {
		up, err := again(func() (int, error) {
			return unix.Openat(cur, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return err
		}
		if own {
			_ = unix.Close(cur) // an O_PATH handle
		}
		cur, own = up, true
		above, err := fstat(cur)
		if err != nil {
			return err
		}
		if above.dev == at.dev && above.ino == at.ino {
			return nil // the root is its own parent
		}
		at = above
	}
	return nil
}

// pathOf returns the path by which the host knows the handle fd.
func (fs *FS) pathOf(fd int) (string, error) {
	if fs.proc == nil || !fs.proc.hold() {
		return "", unix.ENOSYS
	}
	defer func() { _ = fs.proc.drop() }() // an O_PATH handle
	var buf [unix.PathMax + 1]byte
	n, err := again(func() (int, error) { return unix.Readlinkat(fs.proc.fd, strconv.Itoa(fd), buf[:]) })
	if err != nil {
		return "", err
	}
	if n == len(buf) || n == 0 || buf[0] != '/' {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
