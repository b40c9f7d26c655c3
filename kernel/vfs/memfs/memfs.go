package memfs

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// What an object costs beyond its data, in bytes. Measured sizes are smaller.
const (
	inodeCost = 512
	entryCost = 256 // and the length of the name
)

// Options of a file system.
type Options struct {
	// Mode is that of the root; 0 is 0777.
	Mode uint32
}

// FS is a file system in memory. It implements [vfs.FileSystem].
type FS struct {
	ledger ledger
	dev    uint64

	mu sync.RWMutex
	// mu guards the names, parents, and link counts of all inodes.
	root *inode
	next uint64 // the last inode number
}

// ledger is what one file system has been charged.
type ledger struct {
	account *limit.Account
	closed  atomic.Bool // written under mu

	mu   sync.Mutex
	held uint64 // guarded by mu
}

// charge takes n bytes, or reports false.
func (l *ledger) charge(n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return false
	}
	if l.account != nil {
		if !l.account.Charge(abi.LimitDisk, n) {
			return false
		}
		if !l.account.Charge(abi.LimitMemory, n) {
			l.account.Uncharge(abi.LimitDisk, n)
			return false
		}
	}
	l.held += n
	return true
}

// uncharge returns n bytes. After close there is nothing left to return.
func (l *ledger) uncharge(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed.Load() {
		l.give(n)
	}
}

// give needs mu.
func (l *ledger) give(n uint64) {
	l.held -= n
	if l.account != nil {
		l.account.Uncharge(abi.LimitDisk, n)
		l.account.Uncharge(abi.LimitMemory, n)
	}
}

func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed.Load() {
		l.give(l.held)
		l.closed.Store(true)
	}
}

// New makes an empty file system that charges account, or nobody if that is nil.
// The root is free, so that New cannot fail.
func New(account *limit.Account, o Options) *FS {
	if o.Mode == 0 {
		o.Mode = 0o777
	}
	fs := &FS{dev: rand.Uint64()}
	fs.ledger.account = account
	fs.root = fs.inode(abi.TypeDirectory, o.Mode, 0)
	fs.root.nlink = 2
	fs.root.parent = fs.root
	return fs
}

// Used returns how many bytes are charged.
func (fs *FS) Used() uint64 {
	fs.ledger.mu.Lock()
	defer fs.ledger.mu.Unlock()
	return fs.ledger.held
}

// Root returns a handle on the root.
func (fs *FS) Root() (vfs.Node, abi.Errno) {
	if fs.ledger.closed.Load() {
		return nil, abi.EIO
	}
	fs.root.refs.Add(1)
	return fs.root, abi.OK
}

// Close returns everything. Operations on handles that are still held fail with
// EIO.
func (fs *FS) Close() error {
	fs.ledger.close()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	*fs.root.dir = directory{names: map[string]*entry{}} // let go of the tree
	return nil
}

// inode makes an object without a name. Its cost is the caller's to charge. It
// needs mu, or to be alone.
func (fs *FS) inode(typ abi.FileType, mode uint32, cost uint64) *inode {
	fs.next++
	n := &inode{fs: fs, typ: typ, ino: fs.next, mode: mode & 0o777, cost: cost}
	now := time.Now().UnixNano()
	n.atime.Store(now)
	n.mtime.Store(now)
	n.ctime.Store(now)
	if typ == abi.TypeDirectory {
		n.dir = newDirectory()
	}
	return n
}

// inode is an object, and the [vfs.Node] on it: refs counts the handles out.
type inode struct {
	fs   *FS
	typ  abi.FileType
	ino  uint64
	mode uint32
	cost uint64 // charged beside the data
	refs atomic.Int64

	atime, mtime, ctime atomic.Int64

	// Guarded by fs.mu.
	nlink  uint64
	parent *inode     // of a directory; nil once it is removed
	dir    *directory // of a directory
	gone   bool       // its space was returned

	target string // of a symbolic link; never changes
	data   content
}

var (
	_ vfs.Dir    = (*inode)(nil)
	_ vfs.Typed  = (*inode)(nil)
	_ vfs.Pather = (*inode)(nil)
)

func (n *inode) Type() abi.FileType { return n.typ }

func (n *inode) MayBlock() bool { return false }

// Close lets go of the handle, and of the object if it was the last of it.
func (n *inode) Close() {
	left := n.refs.Add(-1)
	invariants.Check(left >= 0, "memfs: node closed too often")
	if left > 0 {
		return
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.reap()
}

// reap returns the space of an object that has neither a name nor a handle. It
// needs fs.mu for writing.
func (n *inode) reap() {
	if n.nlink > 0 || n.refs.Load() > 0 || n.gone || n == n.fs.root {
		return
	}
	n.gone = true
	n.fs.ledger.uncharge(n.cost + n.data.drop())
}

func (n *inode) Stat() (abi.Stat, abi.Errno) {
	st := abi.Stat{
		Dev: n.fs.dev, Ino: n.ino, Type: n.typ, Mode: n.mode, Size: n.data.length(),
		Atime: n.atime.Load(), Mtime: n.mtime.Load(), Ctime: n.ctime.Load(),
	}
	if n.typ == abi.TypeSymlink {
		st.Size = int64(len(n.target))
	}
	n.fs.mu.RLock()
	defer n.fs.mu.RUnlock()
	st.Nlink = n.nlink
	if n.dir != nil {
		st.Size = int64(len(n.dir.names))
	}
	return st, abi.OK
}

func (n *inode) Readlink() (string, abi.Errno) {
	if n.typ != abi.TypeSymlink {
		return "", abi.EINVAL
	}
	n.accessed()
	return n.target, abi.OK
}

func (n *inode) SetTimes(atime, mtime *int64) abi.Errno {
	if n.fs.ledger.closed.Load() {
		return abi.EIO
	}
	if atime != nil {
		n.atime.Store(*atime)
	}
	if mtime != nil {
		n.mtime.Store(*mtime)
	}
	n.ctime.Store(time.Now().UnixNano())
	return abi.OK
}

// touch notes a change of the content.
func (n *inode) touch() {
	now := time.Now().UnixNano()
	n.mtime.Store(now)
	n.ctime.Store(now)
}

// accessed notes a use of the content. As relatime does: the time of access moves
// once after each change, so that a read does not have to ask the clock.
func (n *inode) accessed() {
	if at := n.atime.Load(); at <= n.mtime.Load() || at <= n.ctime.Load() {
		n.atime.Store(time.Now().UnixNano())
	}
}

// maxName is how long a name can be, in bytes.
const maxName = 255

// checkName refuses what is not a single component, which the namespace's walk
// never passes, and what is too long.
func checkName(name string) abi.Errno {
	switch {
	case len(name) > maxName:
		return abi.ENAMETOOLONG
	case name == "", name == ".", name == "..", strings.IndexByte(name, '/') >= 0, strings.IndexByte(name, 0) >= 0:
		return abi.EINVAL
	}
	return abi.OK
}

func (n *inode) Lookup(name string) (vfs.Node, abi.Errno) {
	if n.dir == nil {
		return nil, abi.ENOTDIR
	}
	if errno := checkName(name); errno != abi.OK {
		return nil, errno
	}
	n.fs.mu.RLock()
	defer n.fs.mu.RUnlock()
	e := n.dir.names[name]
	if e == nil {
		return nil, n.fs.absent()
	}
	e.node.refs.Add(1)
	return e.node, abi.OK
}

// absent is ENOENT, or EIO after Close.
func (fs *FS) absent() abi.Errno {
	if fs.ledger.closed.Load() {
		return abi.EIO
	}
	return abi.ENOENT
}

// LookupPath implements [vfs.Pather].
func (n *inode) LookupPath(rel string) (vfs.Node, abi.Errno) {
	n.fs.mu.RLock()
	defer n.fs.mu.RUnlock()
	at := n
	for rest := rel; rest != ""; {
		var name string
		name, rest = cut(rest)
		if at.dir == nil {
			return nil, abi.ENOTDIR
		}
		if errno := checkName(name); errno != abi.OK {
			return nil, errno
		}
		e := at.dir.names[name]
		if e == nil {
			return nil, n.fs.absent()
		}
		if at = e.node; at.typ == abi.TypeSymlink {
			return nil, abi.ELOOP
		}
	}
	at.refs.Add(1)
	return at, abi.OK
}

// cut splits a relative path after its first component.
func cut(p string) (name, rest string) {
	for i := 0; i < len(p); i++ {
		if p[i] == '/' {
			return p[:i], p[i+1:]
		}
	}
	return p, ""
}

// Open opens a regular file or a directory.
func (n *inode) Open(flags abi.OpenFlags) (vfs.Handle, abi.Errno) {
	if n.fs.ledger.closed.Load() {
		return nil, abi.EIO
	}
	switch n.typ {
	case abi.TypeSymlink:
		return nil, abi.ELOOP
	case abi.TypeDirectory:
		if flags&(abi.OWrite|abi.OTrunc) != 0 {
			return nil, abi.EISDIR
		}
	}
	if flags&(abi.OTrunc|abi.OWrite) == abi.OTrunc {
		return nil, abi.EINVAL
	}
	h := &handle{n: n, flags: flags}
	n.refs.Add(1)
	if flags&abi.OTrunc != 0 {
		if errno := h.Truncate(0); errno != abi.OK {
			_ = h.Close() // nothing was written
			return nil, errno
		}
	}
	return h, abi.OK
}

// handle is an open object.
type handle struct {
	n      *inode
	flags  abi.OpenFlags
	closed atomic.Bool
}

var _ vfs.Allocator = (*handle)(nil)

func (h *handle) Close() abi.Errno {
	if h.closed.CompareAndSwap(false, true) {
		h.n.Close()
	}
	return abi.OK
}

// Sync has nothing to do: there is no storage behind memory.
func (h *handle) Sync(bool) abi.Errno { return abi.OK }

// begin checks that the handle is on a file and was opened with what an operation
// needs.
func (h *handle) begin(need abi.OpenFlags) abi.Errno {
	switch {
	case h.n.typ == abi.TypeDirectory:
		return abi.EISDIR
	case h.flags&need != need:
		return abi.EBADF
	case h.n.fs.ledger.closed.Load():
		return abi.EIO
	}
	return abi.OK
}

// span returns how many bytes bufs hold, and whether there is such a place in a
// file: offsets end at 2^63.
func span(bufs [][]byte, off int64) (total int64, errno abi.Errno) {
	for _, b := range bufs {
		total += int64(len(b))
	}
	if off < 0 || off > math.MaxInt64-total {
		return 0, abi.EINVAL
	}
	return total, abi.OK
}

func (h *handle) ReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	if errno := h.begin(abi.ORead); errno != abi.OK {
		return 0, errno
	}
	total, errno := span(bufs, off)
	if errno != abi.OK || total == 0 {
		return 0, errno
	}
	h.n.accessed()
	return h.n.data.read(bufs, off), abi.OK
}

func (h *handle) WriteAt(bufs [][]byte, off int64) (int, int64, abi.Errno) {
	if errno := h.begin(abi.OWrite); errno != abi.OK {
		return 0, 0, errno
	}
	n := h.n
	if h.flags&abi.OAppend != 0 {
		off = 0 // is not looked at
	}
	if _, errno := span(bufs, off); errno != abi.OK {
		return 0, 0, errno
	}
	if h.flags&abi.OAppend != 0 {
		off = appendAt
	}
	count, end, errno := n.data.write(&n.fs.ledger, bufs, off)
	if count > 0 {
		n.touch()
	}
	return count, end, errno
}

func (h *handle) Truncate(size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	if errno := h.begin(abi.OWrite); errno != abi.OK {
		return errno
	}
	if errno := h.n.data.truncate(&h.n.fs.ledger, size); errno != abi.OK {
		return errno
	}
	h.n.touch()
	return abi.OK
}

// Allocate implements [vfs.Allocator].
func (h *handle) Allocate(off, length int64) abi.Errno {
	if errno := h.begin(abi.OWrite); errno != abi.OK {
		return errno
	}
	if off < 0 || length <= 0 {
		return abi.EINVAL
	}
	errno := h.n.data.allocate(&h.n.fs.ledger, off, length)
	if errno == abi.OK {
		h.n.touch()
	}
	return errno
}

func (h *handle) Readdir(cookie uint64, max int) ([]abi.Dirent, abi.Errno) {
	n := h.n
	switch {
	case n.dir == nil:
		return nil, abi.ENOTDIR
	case max <= 0:
		return nil, abi.EINVAL
	case n.fs.ledger.closed.Load():
		return nil, abi.EIO
	}
	n.fs.mu.RLock()
	defer n.fs.mu.RUnlock()
	if n.parent == nil {
		return nil, abi.ENOENT // it was removed
	}
	n.accessed()
	return n.dir.list(cookie, max), abi.OK
}
