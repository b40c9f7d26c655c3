package commit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// refused says why a change is of a kind that is never committed; "" if it is
// not.
func (c *committer) refused(it *item) string {
	switch it.c.Type {
	case abi.TypeRegular, abi.TypeDirectory:
		return ""
	case abi.TypeSymlink:
		if it.c.Kind == overlayfs.Mode || len(it.parts) == 0 {
			return ""
		}
		return c.leaves(it.parts[:len(it.parts)-1], it.c.Target)
	}
	return "is neither a file, a directory, nor a symbolic link"
}

// unnamed says why a change must be named itself and is not; "" if it need not
// or is.
func (c *committer) unnamed(it *item) string {
	ch := it.c
	asDir := ch.Type == abi.TypeDirectory && (ch.Kind == overlayfs.Added || ch.Kind == overlayfs.Deleted)
	if p := perm.ProtectedBeneath(c.o.Root, ch.Path, asDir); p != "" && len(it.parts) > 0 {
		// Naming the protected path, or something in it, is consent.
		if !slices.ContainsFunc(c.o.Named, func(n string) bool { return under(n, p) && under(ch.Path, n) }) {
			return "is protected: it makes other programs run code"
		}
	}
	if ch.Type != abi.TypeRegular || ch.Kind == overlayfs.Deleted || c.final(ch)&0o111 == 0 || slices.Contains(c.o.Named, ch.Path) {
		return ""
	}
	if ch.Kind == overlayfs.Mode && ch.Was != nil && ch.Was.Mode&0o111 != 0 {
		return "" // it was executable, and what it says is the same
	}
	return "is executable"
}

// parent opens the directory that holds the item. If there is none it settles the
// item, unless a dry run would have made it: then both results are nil.
func (c *committer) parent(it *item) (vfs.Dir, error) {
	dir, errno := directory(c.fs, it.parts[:len(it.parts)-1])
	if errno == abi.OK {
		return dir, nil
	}
	if errno != abi.ENOENT && errno != abi.ENOTDIR {
		return nil, c.settle(it, Failed, "cannot be reached: "+errno.Error())
	}
	for i := 1; i < len(it.parts); i++ {
		above := c.all[strings.Join(it.parts[:i], "/")]
		if above == nil || !makesDirectory(above.c) || !slices.Contains(c.todo, above) {
			continue
		}
		switch {
		case !above.settled && !above.pending:
		case above.settled && !above.outcome.Done():
			return nil, c.settle(it, Blocked, "waits for "+above.c.Path+", which was not committed")
		case c.dry:
			return nil, nil
		}
	}
	if errno == abi.ENOTDIR {
		return nil, c.settle(it, Conflict, "lies in something that is not a directory on the host any more")
	}
	return nil, c.settle(it, Conflict, "lies in a directory that is gone from the host")
}

// write deals with an item that is there after the run.
func (c *committer) write(it *item) error {
	if len(it.parts) == 0 {
		return c.writeRoot(it)
	}
	if why := c.refused(it); why != "" {
		return c.settle(it, Refused, why)
	}
	dir, err := c.parent(it)
	if err != nil || it.settled {
		return err
	}
	var now present
	name := it.parts[len(it.parts)-1]
	if dir != nil {
		defer dir.Close()
		var errno abi.Errno
		if now, errno = lookAt(dir, name); errno != abi.OK {
			return c.settle(it, Failed, "cannot be looked at: "+errno.Error())
		}
		defer now.close()
	}
	return c.writeOver(it, dir, name, &now)
}

// writeRoot deals with the root itself, of which only mode and times can change.
func (c *committer) writeRoot(it *item) error {
	if it.c.Type != abi.TypeDirectory || it.c.Kind != overlayfs.Mode {
		return c.settle(it, Refused, "is the granted directory itself")
	}
	n, errno := c.fs.Root()
	if errno != abi.OK {
		return c.settle(it, Failed, "cannot be opened: "+errno.Error())
	}
	now, errno := describe(n)
	if errno != abi.OK {
		return c.settle(it, Failed, "cannot be looked at: "+errno.Error())
	}
	defer now.close()
	return c.writeOver(it, nil, "", &now)
}

// writeOver decides, with what the host has there now, and does it.
func (c *committer) writeOver(it *item, dir vfs.Dir, name string, now *present) error {
	has, err := c.has(it, now)
	if err != nil {
		return c.settle(it, Failed, "cannot be compared: "+err.Error())
	}
	if has {
		return c.settle(it, Already, "")
	}
	if it.pending { // a directory that is there, to be finished
		return nil
	}
	if why := c.conflict(it, now); why != "" {
		return c.settle(it, Conflict, why)
	}
	if why := c.unnamed(it); why != "" {
		return c.settle(it, Unnamed, why)
	}
	if c.dry {
		return c.settle(it, Committed, "")
	}
	if it.c.Kind == overlayfs.Mode {
		return c.writeMode(it, now)
	}
	switch it.c.Type {
	case abi.TypeDirectory:
		return c.makeDirectory(it, dir, name, now)
	case abi.TypeSymlink:
		return c.replace(it, dir, name, now, func(tmp string) error { return errnoError(dir.Symlink(tmp, it.c.Target)) })
	}
	if to := c.linkable(it); to != nil {
		defer to.Close()
		linked := true
		err := c.replace(it, dir, name, now, func(tmp string) error {
			errno := dir.Link(tmp, to)
			switch errno {
			case abi.EPERM, abi.ENOTSUP, abi.EXDEV, abi.EMLINK: // a file system without hard links, or with too many
				linked = false
				return c.fill(it, dir, tmp, now)
			}
			return errnoError(errno)
		})
		if !linked && it.outcome == Committed {
			it.why = "was written as a file of its own: the host cannot link it to " + it.c.Link
		}
		return err
	}
	return c.replace(it, dir, name, now, func(tmp string) error { return c.fill(it, dir, tmp, now) })
}

// conflict is why the host stands against a change, "" if it does not or may be
// overridden.
func (c *committer) conflict(it *item, now *present) string {
	why := ""
	if it.c.Kind == overlayfs.Mode {
		why = c.changedMode(it.c, now)
	} else {
		why = c.changed(it.c, now)
	}
	if why == "" || !c.o.Force {
		return why
	}
	if it.c.Kind == overlayfs.Mode && !now.is(it.c.Type) {
		return why // there is nothing to set the mode of
	}
	return ""
}

// has reports whether the host already has what is to be written. A directory that
// is there but lacks its mode or times is marked as pending.
func (c *committer) has(it *item, now *present) (bool, error) {
	ch := it.c
	if !now.is(ch.Type) {
		return false, nil
	}
	final := c.final(ch)
	switch ch.Type {
	case abi.TypeDirectory:
		if ch.Kind == overlayfs.Mode {
			return now.st.Mode == final && now.st.Mtime == ch.Mtime, nil
		}
		// Whoever made it has made the same; its mode is left as it is, unless
		// it is the one that a killed commit gave it for the time being.
		it.pending = now.st.Mode == final|0o700 && final&0o700 != 0o700 && !c.dry
		return !it.pending, nil
	case abi.TypeSymlink:
		return now.target == ch.Target && (ch.Kind != overlayfs.Mode || now.st.Mtime == ch.Mtime), nil
	}
	if ch.Kind == overlayfs.Mode {
		return now.st.Mode == final && now.st.Mtime == ch.Mtime, nil
	}
	if now.st.Mode != final || now.st.Size != ch.Size {
		return false, nil
	}
	return c.sameContent(now.node, it)
}

// makeDirectory makes a directory, in the place of something else if need be. Its
// owner may do everything in it until it is finished.
func (c *committer) makeDirectory(it *item, dir vfs.Dir, name string, now *present) error {
	if now.is(abi.TypeDirectory) { // forced
		it.pending = true
		return nil
	}
	if now.node != nil {
		if errno := dir.Remove(name, false); errno != abi.OK {
			return c.settle(it, Failed, "cannot be removed from the host: "+errno.Error())
		}
		c.touched[now.id()] = true
	}
	if errno := dir.Mkdir(name, it.c.Mode&0o777|0o700); errno != abi.OK {
		return c.settle(it, Failed, "cannot be made on the host: "+errno.Error())
	}
	c.soil(it)
	it.pending = true
	return nil
}

// replace makes the new object under a temporary name and renames it into place.
func (c *committer) replace(it *item, dir vfs.Dir, name string, now *present, build func(tmp string) error) error {
	tmp := c.temporaryName()
	if err := build(tmp); err != nil {
		return c.settle(it, Failed, "cannot be written: "+err.Error()+undo(dir, tmp))
	}
	outcome, why := c.rename(it, dir, tmp, name, now)
	if outcome != Committed {
		why += undo(dir, tmp)
	} else {
		why = it.why
	}
	return c.settle(it, outcome, why)
}

// rename puts tmp in the place of name, if that still is what was looked at.
func (c *committer) rename(it *item, dir vfs.Dir, tmp, name string, now *present) (Outcome, string) {
	again, errno := lookAt(dir, name)
	if errno != abi.OK {
		return Failed, "cannot be looked at: " + errno.Error()
	}
	defer again.close()
	if again.id() != now.id() || again.st.Mtime != now.st.Mtime || again.st.Size != now.st.Size || again.st.Ctime != now.st.Ctime {
		return Conflict, "was changed on the host while it was committed"
	}
	if now.is(abi.TypeDirectory) {
		if o, why := c.removeDirectory(it, dir, name); o != Committed {
			return o, why
		}
	}
	if errno := dir.Rename(tmp, dir, name); errno != abi.OK {
		return Failed, "cannot be put in its place: " + errno.Error()
	}
	if now.node != nil {
		c.touched[now.id()] = true
	}
	c.soil(it)
	return Committed, ""
}

// fill writes a new file with the captured content, complete and synced. It belongs
// to whom the file that it replaces belongs to, if the host lets it be given.
func (c *committer) fill(it *item, dir vfs.Dir, tmp string, now *present) (err error) {
	f, err := c.src.Open(it.c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, h, errno := dir.Create(tmp, 0o600, abi.OWrite)
	if errno != abi.OK {
		return errno
	}
	defer n.Close()
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, errnoError(h.Close()))
		}
	}()
	size := int64(0)
	for {
		k, rerr := f.Read(c.buf)
		for done := 0; done < k; {
			w, _, errno := h.WriteAt([][]byte{c.buf[done:k]}, size)
			if errno != abi.OK {
				return errno
			}
			if w == 0 {
				return io.ErrShortWrite
			}
			done, size = done+w, size+int64(w)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return rerr
		}
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
	}
	if size != it.c.Size {
		return errors.New("the captured content is damaged: it is not as long as it was")
	}
	if o, ok := n.(owner); ok && now.is(abi.TypeRegular) {
		switch errno := o.SetOwner(now.node); errno {
		case abi.OK:
		case abi.EPERM:
			it.why = "belongs to you now: its owner or group could not be kept"
		default:
			return errno
		}
	}
	if err := setMode(n, c.final(it.c)); err != nil {
		return err
	}
	if errno := n.SetTimes(nil, &it.c.Mtime); errno != abi.OK {
		return errno
	}
	if errno := h.Sync(false); errno != abi.OK {
		return errno
	}
	closed = true
	return errnoError(h.Close())
}

// linkable returns the host's file that the item is a hard link of, if it holds
// what it should, committed just now or before; nil otherwise, and then the item becomes a file of its own.
func (c *committer) linkable(it *item) vfs.Node {
	if it.c.Link == "" || !valid(it.c.Link) || it.c.Link == "." {
		return nil
	}
	parts := components(it.c.Link)
	dir, errno := directory(c.fs, parts[:len(parts)-1])
	if errno != abi.OK {
		return nil
	}
	defer dir.Close()
	p, errno := lookAt(dir, parts[len(parts)-1])
	if errno != abi.OK || p.node == nil {
		return nil
	}
	if p.is(abi.TypeRegular) && p.st.Mode == c.final(it.c) {
		if same, err := c.sameContent(p.node, it); err == nil && same {
			return p.node
		}
	}
	p.close()
	return nil
}

// setMode sets permission bits.
func setMode(n vfs.Node, mode uint32) error {
	m, ok := n.(moder)
	if !ok {
		return abi.ENOTSUP
	}
	return errnoError(m.SetMode(mode))
}

// syncDirectory brings a directory's names to the disk. One that may not be read
// cannot be opened for that, and one that is gone has none.
func syncDirectory(fs vfs.FileSystem, parts []string) error {
	dir, errno := directory(fs, parts)
	if errno == abi.ENOENT || errno == abi.ENOTDIR {
		return nil
	}
	if errno != abi.OK {
		return errno
	}
	defer dir.Close()
	h, errno := dir.Open(abi.ORead)
	if errno == abi.EACCES {
		return nil
	}
	if errno != abi.OK {
		return errno
	}
	err := errnoError(h.Sync(false))
	return errors.Join(err, errnoError(h.Close()))
}

// errnoError turns OK into nil.
func errnoError(e abi.Errno) error {
	if e == abi.OK {
		return nil
	}
	return e
}

// undo removes a temporary file; what it returns is added to a sentence.
func undo(dir vfs.Dir, tmp string) string {
	if errno := dir.Remove(tmp, false); errno != abi.OK && errno != abi.ENOENT {
		return "; " + tmp + " beside it cannot be removed: " + errno.Error()
	}
	return ""
}

// temporaryPrefix begins the names of a run's temporary files.
func temporaryPrefix(run string) string { return ".agentos-" + run + "-" }

func (c *committer) temporaryName() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand does not fail
	}
	return temporaryPrefix(c.o.Run) + hex.EncodeToString(b[:])
}
