package commit

import (
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// directory walks to the directory that parts lead to and returns a handle on
// it, which the caller closes. A component that is not a directory is ENOTDIR: a
// symbolic link is never followed.
func directory(fs vfs.FileSystem, parts []string) (vfs.Dir, abi.Errno) {
	at, errno := fs.Root()
	for _, name := range parts {
		if errno != abi.OK {
			return nil, errno
		}
		var next vfs.Node
		next, errno = at.Lookup(name)
		at.Close()
		if errno != abi.OK {
			return nil, errno
		}
		at = next
		var st abi.Stat
		if st, errno = at.Stat(); errno == abi.OK && st.Type != abi.TypeDirectory {
			errno = abi.ENOTDIR
		}
		if errno != abi.OK {
			at.Close()
		}
	}
	if errno != abi.OK {
		return nil, errno
	}
	d, ok := at.(vfs.Dir)
	if !ok {
		at.Close()
		return nil, abi.ENOTDIR
	}
	return d, abi.OK
}

// present is what the host has at a path. The zero value is nothing.
type present struct {
	node   vfs.Node // nil for nothing; the holder closes it
	st     abi.Stat
	target string // of a symbolic link
}

func (p *present) close() {
	if p.node != nil {
		p.node.Close()
	}
}

func (p *present) is(t abi.FileType) bool { return p.node != nil && p.st.Type == t }

func (p *present) id() identity { return identity{p.st.Dev, p.st.Ino} }

// describe looks at a node, which it takes over.
func describe(n vfs.Node) (present, abi.Errno) {
	p := present{node: n}
	var errno abi.Errno
	p.st, errno = n.Stat()
	if errno == abi.OK && p.st.Type == abi.TypeSymlink {
		p.target, errno = n.Readlink()
	}
	if errno != abi.OK {
		n.Close()
		return present{}, errno
	}
	return p, abi.OK
}

// lookAt returns what an entry of a directory is; what is not there, or not
// visible, is nothing.
func lookAt(dir vfs.Dir, name string) (present, abi.Errno) {
	n, errno := dir.Lookup(name)
	if errno == abi.ENOENT {
		return present{}, abi.OK
	}
	if errno != abi.OK {
		return present{}, errno
	}
	p, errno := describe(n)
	if errno == abi.ENOENT || errno == abi.ESTALE { // gone meanwhile
		return present{}, abi.OK
	}
	return p, errno
}

// final are the permission bits that a change ends with.
func (c *committer) final(ch *overlayfs.Change) uint32 {
	if ch.Kind == overlayfs.Added {
		return ch.Mode & 0o777 &^ c.o.Umask
	}
	return ch.Mode & 0o777
}

// changed says how the host departs from what it had when the run began; ""
// if it does not. What a change of type finds gone is no conflict: nothing would
// be lost, and a commit that was killed in between leaves it so.
func (c *committer) changed(ch *overlayfs.Change, now *present) string {
	was := ch.Was
	switch {
	case was == nil && now.node == nil:
		return ""
	case was == nil:
		return "is there on the host now, and was not when the run began"
	case now.node == nil && ch.Kind == overlayfs.Modified && ch.Type != was.Type:
		return ""
	case now.node == nil:
		return "is gone from the host since the run began"
	case now.st.Type != was.Type:
		return "is of another type on the host since the run began"
	}
	const since = "was changed on the host since the run began"
	switch was.Type {
	case abi.TypeRegular:
		if now.st.Size != was.Size || now.st.Mtime != was.Mtime || now.st.Mode != was.Mode&0o777 || c.ctimeTells(was, now) {
			return since
		}
	case abi.TypeSymlink:
		if now.target != was.Target {
			return since
		}
	}
	return ""
}

// ctimeTells reports whether the change time gives away what size, mode, and
// modification time do not. It moves when another name of the file comes or goes
// too, and then says nothing: this commit, or one that was killed, may have taken
// the name.
func (c *committer) ctimeTells(was *overlayfs.Base, now *present) bool {
	switch {
	case was.Ctime == 0, now.st.Ctime == was.Ctime, c.touched[now.id()]:
		return false
	}
	return was.Nlink == 0 || was.Nlink == now.st.Nlink
}

// changedMode is changed for a change of mode or times alone. Either may be the
// new one already, as a commit that was killed between the two leaves it.
func (c *committer) changedMode(ch *overlayfs.Change, now *present) string {
	was := ch.Was
	if was == nil || now.node == nil || now.st.Type != was.Type {
		return c.changed(ch, now)
	}
	final := c.final(ch)
	half := now.st.Mode == final && final != was.Mode&0o777 || now.st.Mtime == ch.Mtime && ch.Mtime != was.Mtime
	modeOK := now.st.Mode == was.Mode&0o777 || now.st.Mode == final
	const since = "was changed on the host since the run began"
	switch was.Type {
	case abi.TypeRegular:
		timeOK := now.st.Mtime == was.Mtime || now.st.Mtime == ch.Mtime
		if !half {
			return c.changed(ch, now)
		}
		if !modeOK || !timeOK || now.st.Size != was.Size {
			return since
		}
	case abi.TypeDirectory: // its times move with what is in it
		if !modeOK && now.st.Mode != final|0o700 {
			return since
		}
	default:
		return c.changed(ch, now)
	}
	return ""
}

// leaves says why a symbolic link of that target in the directory dir could lead
// out of the root; "" if it cannot. Links of the host on its way are followed in
// thought.
func (c *committer) leaves(dir []string, target string) string {
	const out = "is a symbolic link that leaves the directory"
	at := append([]string(nil), dir...)
	todo := strings.Split(target, "/")
	if target == "" || target[0] == '/' {
		return out
	}
	missing := false
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if missing {
				return "is a symbolic link through something that is not there, so that it may leave the directory"
			}
			if len(at) == 0 {
				return out
			}
			at = at[:len(at)-1]
			continue
		}
		if !missing {
			t, there := c.linkAt(at, name)
			missing = !there
			if t != "" {
				if links++; links > 40 {
					return "is a symbolic link in a circle"
				}
				if t[0] == '/' {
					return out
				}
				todo = append(strings.Split(t, "/"), todo...)
				continue
			}
		}
		at = append(at, name)
	}
	return ""
}

// linkAt returns the target of the entry if it is a symbolic link, and whether
// there is anything.
func (c *committer) linkAt(dir []string, name string) (target string, there bool) {
	d, errno := directory(c.fs, dir)
	if errno != abi.OK {
		return "", false
	}
	defer d.Close()
	p, errno := lookAt(d, name)
	if errno != abi.OK || p.node == nil {
		return "", false
	}
	defer p.close()
	return p.target, true
}

// OpenFile opens a regular file of the host for reading, following no symbolic link.
func OpenFile(fs vfs.FileSystem, rel string) (vfs.Handle, abi.Errno) {
	if !valid(rel) || rel == "." {
		return nil, abi.EISDIR
	}
	parts := components(rel)
	dir, errno := directory(fs, parts[:len(parts)-1])
	if errno != abi.OK {
		return nil, errno
	}
	defer dir.Close()
	n, errno := dir.Lookup(parts[len(parts)-1])
	if errno != abi.OK {
		return nil, errno
	}
	defer n.Close()
	st, errno := n.Stat()
	switch {
	case errno != abi.OK:
		return nil, errno
	case st.Type == abi.TypeDirectory:
		return nil, abi.EISDIR
	case st.Type != abi.TypeRegular:
		return nil, abi.ELOOP
	}
	return n.Open(abi.ORead)
}
