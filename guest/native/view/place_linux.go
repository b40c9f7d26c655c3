package view

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// place is where something is to be mounted: a handle on what is there, or on the
// directory in which it would be.
type place struct {
	guest  string
	parent int // handle on the directory, -1 for the root itself
	name   string
	fd     int // handle on what is there, -1 if nothing is
	stat   unix.Stat_t
	ours   bool // the directory is of the view's own making
	shared bool // the directory is the view's own, but other programs see it
	hidden bool // a mask is over a directory above it
}

func (p *place) missing() bool { return p.fd < 0 }
func (p *place) dir() bool     { return p.stat.Mode&unix.S_IFMT == unix.S_IFDIR }

func (p *place) close() error {
	return errors.Join(release(&p.fd), release(&p.parent))
}

// errElsewhere is a path that a symbolic link leads away from where it was asked
// for. Only links that the view itself made are followed: any other could be
// changed by who writes to the directory.
var errElsewhere = errors.New("a symbolic link is in the way")

// errNothing is a place whose directory does not exist.
var errNothing = errors.New("its directory does not exist")

// maxLinks is how many links of the view a path may pass.
const maxLinks = 16

// locate finds the place of guest path p from the root of the view. With create
// the directories that lead there are made, where the directory above them is the
// view's own.
func (r *Root) locate(p string, create bool) (*place, error) {
	at := &place{guest: p, parent: -1, fd: -1}
	rest, links := elements(p), 0
	var done []string
	cur, err := unix.Openat(r.root, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, hint("open the root", err)
	}
	if err := unix.Fstat(cur, &at.stat); err != nil {
		return nil, errors.Join(hint("fstat", err), unix.Close(cur))
	}
	for len(rest) > 0 {
		name, last := rest[0], len(rest) == 1
		dev := at.stat.Dev
		fd, err := unix.Openat(cur, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) && !last && create && r.made[uint64(dev)] {
			if err = r.mkdir(cur, name, uint64(dev)); err == nil {
				fd, err = unix.Openat(cur, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			}
		}
		switch {
		case errors.Is(err, unix.ENOENT) && last:
			at.parent, at.name, at.ours, at.hidden = cur, name, r.made[uint64(dev)], r.blanks[uint64(dev)]
			at.shared = r.shared[uint64(dev)]
			at.stat = unix.Stat_t{}
			return at, nil
		case errors.Is(err, unix.ENOENT) && r.blanks[uint64(dev)]:
			at.parent, at.name, at.hidden = cur, name, true
			at.stat = unix.Stat_t{}
			return at, nil
		case errors.Is(err, unix.ENOENT) && create && r.shared[uint64(dev)]:
			return nil, errors.Join(failed(p, name, ErrShared), unix.Close(cur))
		case errors.Is(err, unix.ENOENT):
			return nil, errors.Join(&Error{Guest: p, Problem: "/" + strings.Join(append(done, name), "/") + " does not exist", Err: errNothing}, unix.Close(cur))
		case err != nil:
			return nil, errors.Join(failed(p, "open "+name, err), unix.Close(cur))
		}
		if err := unix.Fstat(fd, &at.stat); err != nil {
			return nil, errors.Join(failed(p, "stat "+name, err), unix.Close(fd), unix.Close(cur))
		}
		if at.stat.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := r.follow(cur, fd, name, &at.stat)
			if links++; err == nil && links > maxLinks {
				err = unix.ELOOP
			}
			err = errors.Join(err, unix.Close(fd), unix.Close(cur))
			if err != nil {
				return nil, &Error{Guest: p, Problem: "/" + strings.Join(append(done, name), "/"), Err: err}
			}
			if !path.IsAbs(target) {
				target = "/" + strings.Join(done, "/") + "/" + target
			}
			// done has no links left in it, so dots may be folded as text.
			rest = append(elements(target), rest[1:]...)
			done = nil
			if cur, err = unix.Openat(r.root, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
				return nil, failed(p, "open the root", err)
			}
			if err := unix.Fstat(cur, &at.stat); err != nil {
				return nil, errors.Join(failed(p, "stat the root", err), unix.Close(cur))
			}
			continue
		}
		if last {
			at.parent, at.name, at.fd, at.ours = cur, name, fd, r.made[uint64(dev)]
			return at, nil
		}
		if err := unix.Close(cur); err != nil {
			return nil, errors.Join(err, unix.Close(fd))
		}
		if !at.dir() {
			return nil, errors.Join(failed(p, "/"+strings.Join(append(done, name), "/"), unix.ENOTDIR), unix.Close(fd))
		}
		cur, done, rest = fd, append(done, name), rest[1:]
	}
	at.fd = cur
	return at, nil
}

// elements splits a guest path.
func elements(p string) []string {
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// follow returns the target of the link at name, if the view made it.
func (r *Root) follow(dir, fd int, name string, st *unix.Stat_t) (string, error) {
	if !r.trusted[uint64(st.Dev)] {
		return "", errElsewhere
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", hint("readlink", err)
	}
	return string(b[:n]), nil
}

// mkdir makes a directory of the view. In the private space it is the user's.
func (r *Root) mkdir(dir int, name string, dev uint64) error {
	if err := unix.Mkdirat(dir, name, 0o755); err != nil {
		return hint("mkdir "+name, err)
	}
	if r.spaceDev != 0 && dev == r.spaceDev {
		return r.give(dir, name)
	}
	return nil
}

// give makes name in dir the user's.
func (r *Root) give(dir int, name string) error {
	if r.user.UID == unix.Geteuid() && r.user.GID == unix.Getegid() {
		return nil
	}
	if err := unix.Fchownat(dir, name, r.user.UID, r.user.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return hint("chown "+name, err)
	}
	return nil
}

// ready makes sure that there is something at the place that a directory, or a
// file, can be mounted on.
func (r *Root) ready(p *place, dir bool) error {
	if !p.missing() {
		if p.dir() != dir {
			return &Error{Guest: p.guest, Problem: fmt.Sprintf("a %s cannot be put where the view has a %s", kindOf(dir), kindOf(!dir)), Fix: "give another guest path: HOST:GUEST"}
		}
		return nil
	}
	if !p.ours {
		return r.absent(p)
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.parent, &st); err != nil {
		return failed(p.guest, "stat", err)
	}
	if dir {
		if err := r.mkdir(p.parent, p.name, uint64(st.Dev)); err != nil {
			return failed(p.guest, "make the place", err)
		}
	} else if err := r.write(p.parent, p.name, "", 0o644); err != nil {
		return failed(p.guest, "make the place", err)
	}
	fd, err := unix.Openat(p.parent, p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed(p.guest, "open the place", err)
	}
	p.fd = fd
	if err := unix.Fstat(fd, &p.stat); err != nil {
		return failed(p.guest, "stat the place", err)
	}
	return nil
}

// absent is the error for a place that only the host could provide.
func (r *Root) absent(p *place) error {
	if p.shared {
		return failed(p.guest, p.name, ErrShared)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(p.parent, &st); err != nil {
		return failed(p.guest, "fstatfs", err)
	}
	if p.hidden {
		return &Error{Guest: p.guest, Problem: "what is above it is denied", Fix: "a denial beats every grant: narrow the one or the other"}
	}
	e := &Error{Guest: p.guest, Fix: "create it on the host, or give another guest path: HOST:GUEST"}
	if st.Flags&unix.ST_RDONLY != 0 {
		e.Problem = "there is nothing to mount it on, and the directory that would hold it is lent read-only"
	} else {
		e.Problem = "there is nothing to mount it on, and to create it would change the host"
	}
	return e
}

func kindOf(dir bool) string {
	if dir {
		return "directory"
	}
	return "file"
}

// write makes a file with content.
func (r *Root) write(dir int, name, data string, mode uint32) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return hint("create "+name, err)
	}
	for b := []byte(data); len(b) > 0; {
		n, err := unix.Write(fd, b)
		if err != nil {
			return errors.Join(hint("write "+name, err), unix.Close(fd))
		}
		b = b[n:]
	}
	return unix.Close(fd)
}

// move moves a detached tree to the place.
func move(tree int, p *place) error {
	if err := unix.MoveMount(tree, "", p.fd, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return hint("move_mount", err)
	}
	return nil
}

// put moves a detached tree to the place and closes it.
func put(tree *int, p *place) error {
	if err := move(*tree, p); err != nil {
		return err
	}
	return release(tree)
}
