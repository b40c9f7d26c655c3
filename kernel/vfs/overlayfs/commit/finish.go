package commit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// writeMode sets the mode and times of something that is otherwise the same. A
// directory waits until everything in it was written.
func (c *committer) writeMode(it *item, now *present) error {
	if it.c.Type == abi.TypeDirectory {
		if final := c.final(it.c); now.st.Mode != final && final&0o700 == 0o700 {
			if err := setMode(now.node, final); err != nil { // what comes into it may need it
				return c.settle(it, Failed, "cannot be given its mode: "+err.Error())
			}
		}
		it.pending = true
		return nil
	}
	o, why := c.setAttributes(it, now)
	return c.settle(it, o, why)
}

// setAttributes sets mode and modification time. A time that the host does not let
// be set is said and no failure, if it is all that differs.
func (c *committer) setAttributes(it *item, now *present) (Outcome, string) {
	c.touched[now.id()] = true
	final := c.final(it.c)
	modeToo := it.c.Type != abi.TypeSymlink && now.st.Mode != final
	if modeToo {
		if err := setMode(now.node, final); err != nil {
			return Failed, "cannot be given its mode: " + err.Error()
		}
	}
	switch errno := now.node.SetTimes(nil, &it.c.Mtime); errno {
	case abi.OK:
	case abi.EPERM, abi.EACCES, abi.ENOTSUP:
		return Committed, "could not be given its time: " + errno.Error()
	default:
		return Failed, "cannot be given its time: " + errno.Error()
	}
	if it.c.Type == abi.TypeSymlink {
		return Committed, ""
	}
	h, errno := now.node.Open(abi.ORead)
	if errno == abi.EACCES {
		return Committed, "" // what may not be read cannot be brought to the disk at once
	}
	if errno == abi.OK {
		errno = h.Sync(false)
		if cerrno := h.Close(); errno == abi.OK {
			errno = cerrno
		}
	}
	if errno != abi.OK {
		return Failed, "cannot be brought to the disk: " + errno.Error()
	}
	return Committed, ""
}

// finishDirectory gives a directory its mode and times, once what is in it is
// there.
func (c *committer) finishDirectory(it *item) error {
	if it.settled || !it.pending {
		return nil
	}
	it.pending = false
	var n vfs.Node
	var errno abi.Errno
	if len(it.parts) == 0 {
		n, errno = c.fs.Root()
	} else {
		n, errno = directory(c.fs, it.parts)
	}
	if errno != abi.OK {
		return c.settle(it, Failed, "cannot be finished: "+errno.Error())
	}
	now, errno := describe(n)
	if errno != abi.OK {
		return c.settle(it, Failed, "cannot be finished: "+errno.Error())
	}
	defer now.close()
	if it.c.Kind != overlayfs.Mode {
		// The host took the umask from its mode when it was made.
		if final := c.final(it.c); now.st.Mode == final|0o700 && final&0o700 != 0o700 {
			if err := setMode(now.node, final); err != nil {
				return c.settle(it, Failed, "cannot be given its mode: "+err.Error())
			}
		}
		switch errno := now.node.SetTimes(nil, &it.c.Mtime); errno {
		case abi.OK:
			return c.settle(it, Committed, "")
		case abi.EPERM, abi.EACCES, abi.ENOTSUP:
			return c.settle(it, Committed, "could not be given its time: "+errno.Error())
		default:
			return c.settle(it, Failed, "cannot be given its time: "+errno.Error())
		}
	}
	o, why := c.setAttributes(it, &now)
	return c.settle(it, o, why)
}

// remove deals with an item that the run deleted.
func (c *committer) remove(it *item) error {
	if len(it.parts) == 0 {
		return c.settle(it, Refused, "is the granted directory itself")
	}
	dir, errno := directory(c.fs, it.parts[:len(it.parts)-1])
	switch errno {
	case abi.OK:
	case abi.ENOENT, abi.ENOTDIR:
		return c.settle(it, Already, "")
	default:
		return c.settle(it, Failed, "cannot be reached: "+errno.Error())
	}
	defer dir.Close()
	name := it.parts[len(it.parts)-1]
	now, errno := lookAt(dir, name)
	if errno != abi.OK {
		return c.settle(it, Failed, "cannot be looked at: "+errno.Error())
	}
	defer now.close()
	if now.node == nil {
		return c.settle(it, Already, "")
	}
	if why := c.conflict(it, &now); why != "" {
		return c.settle(it, Conflict, why)
	}
	if why := c.unnamed(it); why != "" {
		return c.settle(it, Unnamed, why)
	}
	if c.dry {
		return c.settle(it, Committed, "")
	}
	if now.st.Type == abi.TypeDirectory {
		o, why := c.removeDirectory(it, dir, name)
		c.soil(it)
		return c.settle(it, o, why)
	}
	if errno := dir.Remove(name, false); errno != abi.OK {
		return c.settle(it, Failed, "cannot be removed: "+errno.Error())
	}
	c.touched[now.id()] = true
	c.soil(it)
	return c.settle(it, Committed, "")
}

// removeDirectory removes an empty directory. What is still in it was either not
// committed or is nothing that the run has seen.
func (c *committer) removeDirectory(it *item, dir vfs.Dir, name string) (Outcome, string) {
	switch errno := dir.Remove(name, true); errno {
	case abi.OK:
		return Committed, ""
	case abi.ENOTEMPTY, abi.EEXIST:
		for p, other := range c.all {
			if other.c.Kind == overlayfs.Deleted && p != it.c.Path && under(p, it.c.Path) && !(other.settled && other.outcome.Done()) {
				return Blocked, "waits for what is in it, which was not committed"
			}
		}
		return Conflict, "holds something on the host that the run has not seen"
	default:
		return Failed, "cannot be removed from the host: " + errno.Error()
	}
}

// Clean removes the temporary files that a killed commit of the run left beside
// the changes that it had not journaled.
func Clean(ctx context.Context, fs vfs.FileSystem, src Source, run string) error {
	if !validRun(run) {
		return fmt.Errorf("%q cannot name temporary files", run)
	}
	seen := map[string]bool{}
	var errs []error
	for _, ch := range src.Changes() {
		parent := path.Dir(ch.Path)
		if !valid(ch.Path) || seen[parent] {
			continue
		}
		seen[parent] = true
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		if errno := cleanDirectory(fs, components(parent), temporaryPrefix(run)); errno != abi.OK {
			errs = append(errs, fmt.Errorf("%s: temporary files of an earlier commit: %w", parent, errno))
		}
	}
	return errors.Join(errs...)
}

// cleanDirectory removes the entries of one directory that have the prefix. A
// directory that is gone or may not be listed has none that are known.
func cleanDirectory(fs vfs.FileSystem, parts []string, prefix string) abi.Errno {
	dir, errno := directory(fs, parts)
	switch errno {
	case abi.OK:
	case abi.ENOENT, abi.ENOTDIR, abi.EACCES:
		return abi.OK
	default:
		return errno
	}
	defer dir.Close()
	h, errno := dir.Open(abi.ORead)
	if errno == abi.EACCES {
		return abi.OK
	}
	if errno != abi.OK {
		return errno
	}
	defer func() { _ = h.Close() }() // nothing was written through it
	var left []string
	for cookie := uint64(0); ; {
		list, errno := h.Readdir(cookie, 256)
		if errno != abi.OK {
			return errno
		}
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			if strings.HasPrefix(e.Name, prefix) && (e.Type == abi.TypeRegular || e.Type == abi.TypeSymlink) {
				left = append(left, e.Name)
			}
			cookie = e.Next
		}
	}
	for _, name := range left {
		if errno := dir.Remove(name, false); errno != abi.OK && errno != abi.ENOENT {
			return errno
		}
	}
	return abi.OK
}
