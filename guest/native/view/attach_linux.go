package view

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// attach puts the parts of t in their places, but for number except.
func (r *Root) attach(t *Trees, except int) ([]Left, error) {
	var left []Left
	for i := range t.parts {
		if i == except {
			continue
		}
		p := &t.parts[i]
		why, err := r.part(p)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				err = failed(p.Guest, "mount", err)
			}
			return nil, err
		}
		if why != "" {
			left = append(left, Left{Guest: p.Guest, Kind: p.Kind, Why: why})
		}
	}
	return left, nil
}

// part puts one part in its place. For a mask it returns why it could not.
func (r *Root) part(p *part) (string, error) {
	mask := p.Kind == guest.Mask || p.Kind == guest.Frozen
	at, err := r.locate(p.Guest, !mask)
	if err != nil {
		switch {
		case mask && (errors.Is(err, errNothing) || errors.Is(err, unix.ENOTDIR)):
			return "it does not exist yet", nil
		case mask && errors.Is(err, errElsewhere):
			return "a symbolic link leads there", nil
		case mask && errors.Is(err, unix.EACCES):
			return "this user may not look there", nil
		case errors.Is(err, errNothing):
			return "", &Error{Guest: p.Guest, Problem: "there is nothing to mount it on, and the directory above is the host's",
				Fix: "create it on the host, or give another guest path: HOST:GUEST", Err: err}
		}
		return "", err
	}
	why, err := r.partAt(p, at)
	return why, errors.Join(err, at.close())
}

func (r *Root) partAt(p *part, at *place) (string, error) {
	switch p.Kind {
	case guest.Bind:
		if err := r.ready(at, p.dir); err != nil {
			return "", err
		}
		if err := move(p.tree, at); err != nil {
			return "", err
		}
		r.suspect = r.suspect || p.dir && mayHaveSubmounts(p.tree)
		return "", release(&p.tree)
	case guest.Private:
		return "", r.privateAt(at)
	case guest.Text:
		data := p.Data
		if p.Guest == machineID && p.Source == sourceDefault {
			data = newMachineID() // the list may be that of several programs
		}
		return "", r.text(at, data)
	case guest.Link:
		return "", r.link(at, p.Data)
	case guest.Devices:
		return "", r.devices(at, p.nodes, r.masks != "")
	case guest.Procs:
		return "", r.procs(at)
	case guest.Mask, guest.Frozen:
		if at.missing() {
			if at.ours || at.shared || at.hidden {
				return "", nil // what the program makes there is its own, or nothing can be
			}
			return "it does not exist yet", nil
		}
		if p.Kind == guest.Mask {
			return "", r.blank(at)
		}
		return "", r.freeze(at, p.Write)
	}
	return "", fmt.Errorf("mount kind %d is not known", p.Kind)
}

// text makes a file with fixed content.
func (r *Root) text(at *place, data string) error {
	if at.missing() && at.ours {
		return r.write(at.parent, at.name, data, 0o444)
	}
	if err := r.ready(at, false); err != nil {
		return err
	}
	name := r.nextStaged()
	if r.stage < 0 {
		return errNoStage
	}
	if err := r.write(r.stage, name, data, 0o444); err != nil {
		return err
	}
	return r.mountStaged(name, at)
}

// link makes a symbolic link.
func (r *Root) link(at *place, target string) error {
	if !at.missing() {
		return &Error{Guest: at.guest, Problem: "a link cannot be put where the view has something"}
	}
	if !at.ours {
		return r.absent(at)
	}
	if err := unix.Symlinkat(target, at.parent, at.name); err != nil {
		return hint("symlink", err)
	}
	return nil
}

// blank mounts something empty and unreadable.
func (r *Root) blank(at *place) error {
	if at.dir() {
		tree, err := newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_RDONLY, "size=4k", "nr_inodes=2", "mode=0000")
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(tree, &st); err != nil {
			return errors.Join(hint("fstat", err), unix.Close(tree))
		}
		r.blanks[uint64(st.Dev)] = true
		return errors.Join(put(&tree, at), release(&tree))
	}
	if r.stage < 0 {
		return errNoStage
	}
	return r.mountStaged(blankName, at)
}

// freeze mounts what is there over itself, read-only. With pinned only its place is
// fixed: a mount point cannot be renamed or removed, nor become a link.
func (r *Root) freeze(at *place, pinned bool) error {
	attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if !pinned {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	tree, err := cloneTree(at.fd, at.dir(), attr)
	if err != nil {
		return err
	}
	return errors.Join(put(&tree, at), release(&tree))
}

// errNoStage is the lack of a directory of the view's own to mount things from.
var errNoStage = errors.New("a root of the program's own needs a /dev for this")

// blankName is the file that hides files.
const blankName = "blank"

// openStage makes a directory, in the view's own directory in, for files that are
// mounted elsewhere.
func (r *Root) openStage(in int, guestPath string) error {
	if r.stage >= 0 {
		return nil
	}
	if err := unix.Mkdirat(in, stageName, 0o700); err != nil {
		return hint("mkdir "+stageName, err)
	}
	fd, err := unix.Openat(in, stageName, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return hint("open "+stageName, err)
	}
	r.stage = fd
	if r.stageIn, err = unix.FcntlInt(uintptr(in), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return hint("dup", err)
	}
	r.stagePath = strings.TrimSuffix(guestPath, "/") + "/" + stageName
	r.staged = append(r.staged, blankName)
	return r.write(fd, blankName, "", 0o000)
}

func (r *Root) nextStaged() string {
	name := fmt.Sprintf("text%d", len(r.staged))
	r.staged = append(r.staged, name)
	return name
}

// mountStaged mounts a file of the stage, read-only.
func (r *Root) mountStaged(name string, at *place) error {
	fd, err := unix.Openat(r.stage, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return hint("open "+name, err)
	}
	tree, err := cloneTree(fd, false, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_RDONLY)
	err = errors.Join(err, unix.Close(fd))
	if err != nil {
		return err
	}
	return errors.Join(put(&tree, at), release(&tree))
}

// closeStage removes the stage. What was mounted from it stays where it is.
func (r *Root) closeStage() error {
	if r.stage < 0 {
		return nil
	}
	for _, name := range r.staged {
		if err := unix.Unlinkat(r.stage, name, 0); err != nil {
			return hint("unlink", err)
		}
	}
	if err := unix.Unlinkat(r.stageIn, stageName, unix.AT_REMOVEDIR); err != nil {
		return hint("rmdir", err)
	}
	return nil
}
