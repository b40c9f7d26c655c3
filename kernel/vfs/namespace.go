package vfs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Access is who asks: what decides on paths and remembers refusals. A process
// implements it.
type Access interface {
	// Subject answers pure questions, unrecorded.
	Subject() *perm.Subject
	// Decide decides act on a canonical path and records a refusal. A trailing
	// slash asks about a directory as such; see [perm.Subject.Path].
	Decide(act abi.Action, canonical string) abi.Errno
	// Hidden is told of a path that was looked for and is not in the view,
	// although the host may have it.
	Hidden(canonical string)
}

// Options of a Namespace.
type Options struct {
	// FoldCase finds mount points without regard to case, for hosts whose file
	// systems do.
	FoldCase bool
}

// Namespace is the mounts of one process. Directories that lead to a mount and
// exist in no file system are synthetic: they can be listed and not changed.
//
// Walks run concurrently, with each other and with Mount: the tree of mount points is
// copied before it is changed, and a walk goes on in the one that it began with. What
// is mounted stays until the namespace is closed.
type Namespace struct {
	dev  uint64
	born int64
	fold bool

	// users counts the operations under way, plus one until Close: the handles
	// on the roots are closed by whoever leaves last.
	users  atomic.Int64
	closed atomic.Bool

	tree atomic.Pointer[point] // of mount points; exchanged under mu, never changed

	mu     sync.Mutex
	mounts []*mount
	points uint64
}

// mount is one mounted file system.
type mount struct {
	fs   FileSystem
	root Node
}

// point is a place in the tree of mount points.
type point struct {
	path  string // canonical
	ino   uint64
	mount *mount // nil if nothing is mounted here
	kids  map[string]*point
	order []*point // kids, in the order in which they are listed
	// latency is the greatest of what is mounted here or beneath.
	latency Latency
}

// NewNamespace makes an empty namespace: a synthetic root.
func NewNamespace(o Options) *Namespace {
	ns := &Namespace{dev: rand.Uint64(), born: time.Now().UnixNano(), fold: o.FoldCase}
	ns.users.Store(1)
	ns.tree.Store(ns.point("/"))
	return ns
}

// point makes a place. It needs mu, or to be alone.
func (ns *Namespace) point(p string) *point {
	ns.points++
	return &point{path: p, ino: ns.points, kids: map[string]*point{}}
}

// Mount puts fs at an absolute guest path, "/" included, and takes ownership of
// it whether or not it succeeds. What was there before is hidden.
func (ns *Namespace) Mount(guest string, fs FileSystem) (err error) {
	var root Node
	defer func() {
		if err == nil {
			return
		}
		if root != nil {
			root.Close()
		}
		err = errors.Join(err, fs.Close())
	}()
	if !path.IsAbs(guest) || len(guest) > maxPath || strings.IndexByte(guest, 0) >= 0 {
		return fmt.Errorf("mount %q: the guest path must be absolute", guest)
	}
	var errno abi.Errno
	if root, errno = fs.Root(); errno != abi.OK {
		return fmt.Errorf("mount %s: %w", guest, errno)
	}
	guest = path.Clean(guest)
	if typ, errno := typeOf(root); errno != abi.OK {
		return fmt.Errorf("mount %s: %w", guest, errno)
	} else if guest == "/" && typ != abi.TypeDirectory {
		return fmt.Errorf("mount /: %w", abi.ENOTDIR)
	}
	m := &mount{fs: fs, root: root}
	latency := latencyOf(root)
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.closed.Load() {
		return fmt.Errorf("mount %s: the namespace is closed", guest)
	}
	tree := ns.tree.Load().copy()
	at := tree
	at.latency = max(at.latency, latency)
	for _, name := range strings.FieldsFunc(guest, func(r rune) bool { return r == '/' }) {
		kid := at.kids[ns.key(name)]
		if kid == nil {
			kid = ns.point(join(at.path, name))
			at.order = append(at.order, kid)
		} else {
			i := slices.Index(at.order, kid)
			kid = kid.copy()
			at.order[i] = kid
		}
		at.kids[ns.key(name)] = kid
		at = kid
		at.latency = max(at.latency, latency)
	}
	if at.mount != nil {
		return fmt.Errorf("mount %s: something is mounted there already", guest)
	}
	at.mount = m
	ns.mounts = append(ns.mounts, m)
	ns.tree.Store(tree)
	return nil
}

// copy returns a place of its own with the same places beneath it.
func (pt *point) copy() *point {
	c := *pt
	c.kids, c.order = maps.Clone(pt.kids), slices.Clone(pt.order)
	return &c
}

// at returns the place of a canonical path if something is mounted beneath it, else
// nil.
func (ns *Namespace) at(tree *point, canonical string) *point {
	pt := tree
	for _, name := range strings.FieldsFunc(canonical, func(r rune) bool { return r == '/' }) {
		if pt = ns.kid(pt, name); pt == nil {
			return nil
		}
	}
	if len(pt.kids) == 0 {
		return nil
	}
	return pt
}

// Covered returns the mount point that shows an absolute guest path, and whether
// something is mounted beneath that path.
func (ns *Namespace) Covered(guest string) (point string, covered, beneath bool) {
	pt := ns.tree.Load()
	if pt.mount != nil {
		point, covered = pt.path, true
	}
	for _, name := range strings.FieldsFunc(guest, func(r rune) bool { return r == '/' }) {
		if pt = ns.kid(pt, name); pt == nil {
			return point, covered, false
		}
		if pt.mount != nil {
			point, covered = pt.path, true
		}
	}
	return point, covered, len(pt.kids) > 0
}

// key is the comparable form of a name.
func (ns *Namespace) key(name string) string {
	if !ns.fold {
		return name
	}
	return strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, name)
}

// kid returns the place named name beneath pt, or nil.
func (ns *Namespace) kid(pt *point, name string) *point {
	if pt == nil || len(pt.kids) == 0 {
		return nil
	}
	return pt.kids[ns.key(name)]
}

// within returns what is left of an absolute path beneath base, if the way from
// the root to base is fixed: base is the root or a mount point. Any other
// directory may have been moved since its path was known. Only the first
// components are compared, and none of them may be dots: what ".." means depends
// on what is walked.
func (ns *Namespace) within(base, target string) (rel string, ok bool) {
	at, rest := ns.tree.Load(), strings.TrimLeft(target, "/")
	for at.path != base {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if at = ns.kid(at, name); at == nil {
			return "", false
		}
		rest = strings.TrimLeft(rest, "/")
	}
	if at.mount == nil && base != "/" {
		return "", false
	}
	if rest == "" {
		rest = "."
	}
	return rest, true
}

// Len returns how many file systems are mounted.
func (ns *Namespace) Len() int {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return len(ns.mounts)
}

// Latency returns how long an operation on any path may wait for the host.
// [Base.Latency] is the finer question.
func (ns *Namespace) Latency() Latency { return ns.tree.Load().latency }

// Close closes every file system. Walks fail with EIO from then on; one that is
// under way on another goroutine finishes safely. It is idempotent.
func (ns *Namespace) Close() error {
	mounts, first := ns.shut()
	if !first {
		return nil
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		errs = append(errs, m.fs.Close())
	}
	ns.leave()
	return errors.Join(errs...)
}

func (ns *Namespace) shut() (mounts []*mount, first bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	invariants.Point("vfs.namespace")
	return slices.Clone(ns.mounts), ns.closed.CompareAndSwap(false, true)
}

// enter begins an operation; it reports false once the namespace is closed.
func (ns *Namespace) enter() bool {
	for {
		n := ns.users.Load()
		if n == 0 || ns.closed.Load() {
			return false
		}
		if ns.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave ends what enter began.
func (ns *Namespace) leave() {
	if ns.users.Add(-1) > 0 {
		return
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, m := range ns.mounts {
		m.root.Close()
	}
	ns.mounts = nil
}

// typeOf returns the type of a node.
func typeOf(n Node) (abi.FileType, abi.Errno) {
	if t, ok := n.(Typed); ok {
		return t.Type(), abi.OK
	}
	st, errno := n.Stat()
	return st.Type, errno
}

// join appends a component to a canonical path.
func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// synthetic is the node of a directory that exists only because something is
// mounted beneath it. What is mounted there is listed by [File.Readdir].
type synthetic struct {
	ns *Namespace
	pt *point
}

// noData is the open handle of a synthetic directory: it has no entries of its
// own.
type noData struct{}

var (
	_ Node   = synthetic{}
	_ Typed  = synthetic{}
	_ Handle = noData{}
)

func (s synthetic) Stat() (abi.Stat, abi.Errno) {
	t := s.ns.born
	return abi.Stat{Dev: s.ns.dev, Ino: s.pt.ino, Type: abi.TypeDirectory, Mode: 0o555,
		Nlink: 2 + uint64(len(s.pt.order)), Atime: t, Mtime: t, Ctime: t}, abi.OK
}

func (s synthetic) Type() abi.FileType                     { return abi.TypeDirectory }
func (s synthetic) Lookup(string) (Node, abi.Errno)        { return nil, abi.ENOENT }
func (s synthetic) Readlink() (string, abi.Errno)          { return "", abi.EINVAL }
func (s synthetic) Open(abi.OpenFlags) (Handle, abi.Errno) { return noData{}, abi.OK }
func (s synthetic) SetTimes(_, _ *int64) abi.Errno         { return abi.EROFS }
func (s synthetic) MayBlock() bool                         { return false }
func (s synthetic) Close()                                 {}

func (noData) ReadAt([][]byte, int64) (int, abi.Errno)         { return 0, abi.EISDIR }
func (noData) WriteAt([][]byte, int64) (int, int64, abi.Errno) { return 0, 0, abi.EISDIR }
func (noData) Readdir(uint64, int) ([]abi.Dirent, abi.Errno)   { return nil, abi.OK }
func (noData) Truncate(int64) abi.Errno                        { return abi.EISDIR }
func (noData) Sync(bool) abi.Errno                             { return abi.OK }
func (noData) Close() abi.Errno                                { return abi.OK }
