package fstest

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Tracker wraps a file system and watches how it is used: every node and handle
// must be closed exactly once and not used afterwards.
type Tracker struct {
	vfs.FileSystem
	live atomic.Int64

	mu     sync.Mutex
	faults []string // guarded by mu
}

// Track wraps fs, whose nodes must be directories that can change.
func Track(fs vfs.FileSystem) *Tracker { return &Tracker{FileSystem: fs} }

// Live returns how many nodes and handles are out.
func (t *Tracker) Live() int { return int(t.live.Load()) }

// Faults lists the uses of what was closed.
func (t *Tracker) Faults() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.faults...)
}

// Root implements [vfs.FileSystem].
func (t *Tracker) Root() (vfs.Node, abi.Errno) {
	n, errno := t.FileSystem.Root()
	return t.node(n, errno)
}

// life is whether something was closed.
type life struct {
	t      *Tracker
	what   string
	closed atomic.Bool
}

func (t *Tracker) born(what string) *life {
	t.live.Add(1)
	return &life{t: t, what: what}
}

// use notes a use after the end.
func (l *life) use(how string) {
	if l.closed.Load() {
		l.fault(how)
	}
}

func (l *life) fault(how string) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.t.faults = append(l.t.faults, fmt.Sprintf("%s of a closed %s", how, l.what))
}

func (l *life) end() bool {
	if !l.closed.CompareAndSwap(false, true) {
		l.fault("close")
		return false
	}
	l.t.live.Add(-1)
	return true
}

type trackedNode struct {
	vfs.Dir
	*life
}

func (t *Tracker) node(n vfs.Node, errno abi.Errno) (vfs.Node, abi.Errno) {
	if errno != abi.OK {
		return nil, errno
	}
	d, ok := n.(vfs.Dir)
	if !ok {
		n.Close()
		return nil, abi.ENOTSUP
	}
	return trackedNode{d, t.born("node")}, abi.OK
}

func (n trackedNode) Close() {
	if n.end() {
		n.Dir.Close()
	}
}

func (n trackedNode) Type() abi.FileType {
	n.use("type")
	st, errno := n.Dir.Stat()
	if errno != abi.OK {
		return abi.TypeUnknown
	}
	return st.Type
}

func (n trackedNode) Stat() (abi.Stat, abi.Errno) {
	n.use("stat")
	return n.Dir.Stat()
}

func (n trackedNode) Lookup(name string) (vfs.Node, abi.Errno) {
	n.use("lookup")
	m, errno := n.Dir.Lookup(name)
	return n.t.node(m, errno)
}

// LookupPath implements [vfs.Pather] where the file system does.
func (n trackedNode) LookupPath(rel string) (vfs.Node, abi.Errno) {
	n.use("lookup")
	p, ok := n.Dir.(vfs.Pather)
	if !ok {
		return nil, abi.ELOOP
	}
	m, errno := p.LookupPath(rel)
	return n.t.node(m, errno)
}

func (n trackedNode) Readlink() (string, abi.Errno) {
	n.use("readlink")
	return n.Dir.Readlink()
}

func (n trackedNode) SetTimes(atime, mtime *int64) abi.Errno {
	n.use("times")
	return n.Dir.SetTimes(atime, mtime)
}

func (n trackedNode) Open(flags abi.OpenFlags) (vfs.Handle, abi.Errno) {
	n.use("open")
	h, errno := n.Dir.Open(flags)
	if errno != abi.OK {
		return nil, errno
	}
	return trackedHandle{h, n.t.born("handle")}, abi.OK
}

func (n trackedNode) Create(name string, mode uint32, flags abi.OpenFlags) (vfs.Node, vfs.Handle, abi.Errno) {
	n.use("create")
	m, h, errno := n.Dir.Create(name, mode, flags)
	if errno != abi.OK {
		return nil, nil, errno
	}
	made, errno := n.t.node(m, errno)
	return made, trackedHandle{h, n.t.born("handle")}, errno
}

func (n trackedNode) Mkdir(name string, mode uint32) abi.Errno {
	n.use("mkdir")
	return n.Dir.Mkdir(name, mode)
}

func (n trackedNode) Remove(name string, dir bool) abi.Errno {
	n.use("remove")
	return n.Dir.Remove(name, dir)
}

func (n trackedNode) Symlink(name, target string) abi.Errno {
	n.use("symlink")
	return n.Dir.Symlink(name, target)
}

func (n trackedNode) Link(name string, node vfs.Node) abi.Errno {
	n.use("link")
	o, ok := node.(trackedNode)
	if !ok {
		return abi.EXDEV
	}
	o.use("link")
	return n.Dir.Link(name, o.Dir)
}

func (n trackedNode) Rename(name string, newdir vfs.Node, newname string) abi.Errno {
	n.use("rename")
	o, ok := newdir.(trackedNode)
	if !ok {
		return abi.EXDEV
	}
	o.use("rename")
	return n.Dir.Rename(name, o.Dir, newname)
}

type trackedHandle struct {
	vfs.Handle
	*life
}

func (h trackedHandle) Close() abi.Errno {
	if h.end() {
		return h.Handle.Close()
	}
	return abi.EBADF
}

func (h trackedHandle) ReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	h.use("read")
	return h.Handle.ReadAt(bufs, off)
}

func (h trackedHandle) WriteAt(bufs [][]byte, off int64) (int, int64, abi.Errno) {
	h.use("write")
	return h.Handle.WriteAt(bufs, off)
}

func (h trackedHandle) Readdir(cookie uint64, max int) ([]abi.Dirent, abi.Errno) {
	h.use("readdir")
	return h.Handle.Readdir(cookie, max)
}

func (h trackedHandle) Truncate(size int64) abi.Errno {
	h.use("truncate")
	return h.Handle.Truncate(size)
}

// Allocate implements [vfs.Allocator] where the file system does.
func (h trackedHandle) Allocate(off, length int64) abi.Errno {
	h.use("allocate")
	if a, ok := h.Handle.(vfs.Allocator); ok {
		return a.Allocate(off, length)
	}
	return abi.ENOTSUP
}
