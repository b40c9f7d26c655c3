package overlayfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Layer is what a store holds, read after the run that wrote it has ended. It is
// for one goroutine.
type Layer struct {
	root    *os.Root
	end     int64 // of the whole frames of the journal
	cut     int64
	labels  map[string]string
	changes []Change
	known   map[string]bool // the paths of changes
	gone    map[string]bool
}

// Load reads the store in dir. Nothing is written: a torn record at the end of
// the journal, which a crash may leave, is passed over. Errors about the content
// are *[DamagedError].
func Load(dir string) (_ *Layer, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = root.Close() // nothing was written through it
		}
	}()
	f, err := root.Open(journalName)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := newState()
	end, err := replay(f, fi.Size(), s)
	if err != nil {
		return nil, err
	}
	l := &Layer{root: root, end: end, cut: fi.Size() - end, labels: s.labels, known: map[string]bool{}, gone: s.gone}
	if s.labels != nil {
		if l.changes, err = s.changes(l.stat); err != nil {
			return nil, &DamagedError{Offset: end, Err: err}
		}
	}
	for i := range l.changes {
		l.known[l.changes[i].Path] = true
	}
	return l, nil
}

// Close lets go of the store.
func (l *Layer) Close() error { return l.root.Close() }

// Labels returns what the run said about the overlay when it made it, or nil if
// it was killed before it could.
func (l *Layer) Labels() map[string]string { return maps.Clone(l.labels) }

// Cut returns how many bytes at the end of the journal are no whole record.
func (l *Layer) Cut() int64 { return l.cut }

// Changes returns what differs from the lower layer and was not yet reported
// done, in an order in which it can be applied.
func (l *Layer) Changes() []Change {
	var out []Change
	for i := range l.changes {
		if !l.gone[l.changes[i].Path] {
			out = append(out, l.changes[i])
		}
	}
	return out
}

// Open opens the content of a change for reading.
func (l *Layer) Open(c *Change) (*os.File, error) {
	if num, err := strconv.ParseUint(c.Object, 10, 63); err != nil || c.Object != strconv.FormatUint(num, 10) {
		return nil, &fs.PathError{Op: "open", Path: c.Path, Err: errNoContent}
	}
	return l.root.Open(objectsName + "/" + c.Object)
}

var errNoContent = errors.New("the overlay holds no content for it")

// Done records that the lower layer now has the changes of paths, which then are
// none any more, for this Layer and for those loaded later. It is stored before
// Done returns, all or nothing.
func (l *Layer) Done(paths ...string) error {
	b := make([]byte, headSize)
	for _, p := range paths {
		if !l.known[p] {
			return fmt.Errorf("%q is no change", p)
		}
		if !l.gone[p] {
			b = putDone(b, p)
		}
	}
	if len(b) == headSize {
		return nil
	}
	f, err := l.root.OpenFile(journalName, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	j := journal{f: f, size: l.end}
	if l.cut > 0 {
		err = f.Truncate(l.end)
	}
	if err == nil {
		err = j.append(frame(b))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	l.end, l.cut = j.size, 0
	for _, p := range paths {
		l.gone[p] = true
	}
	return nil
}

// stat returns size and time of an object; zeros for one that is lost, which
// Open then says.
func (l *Layer) stat(object uint64) (size int64, mtime int64) {
	fi, err := l.root.Lstat(objectsName + "/" + strconv.FormatUint(object, 10))
	if err != nil || !fi.Mode().IsRegular() {
		return 0, 0
	}
	return fi.Size(), nanos(fi.ModTime())
}

// nanos is t in ns since 1970; what lies outside of that is 0.
func nanos(t time.Time) int64 {
	if y := t.Year(); y < 1678 || y > 2261 {
		return 0
	}
	return t.UnixNano()
}

// point is a path at which the layers may differ.
type point struct {
	base *Base
	node *known // what is there now; nil for nothing, or for the lower layer's own
	kids map[string]*point
}

func (p *point) kid(name string) *point {
	k := p.kids[name]
	if k == nil {
		k = new(point)
		if p.kids == nil {
			p.kids = map[string]*point{}
		}
		p.kids[name] = k
	}
	return k
}

// lister turns a state into changes.
type lister struct {
	stat func(object uint64) (size, mtime int64)
	out  []Change
	// first is the first path of each regular file that has several names.
	first map[uint64]string
	seen  map[uint64]bool // directories that were walked
}

var errTwice = errors.New("a directory is in two places")

// changes compares the tree with the bases.
func (s *state) changes(stat func(uint64) (int64, int64)) ([]Change, error) {
	root := s.nodes[rootNum]
	if root == nil {
		return nil, nil
	}
	l := &lister{stat: stat, first: map[uint64]string{}, seen: map[uint64]bool{}}
	var top point
	for p, b := range s.bases {
		at := &top
		if p != "." {
			for name := range strings.SplitSeq(p, "/") {
				at = at.kid(name)
			}
		}
		at.base = b
	}
	if err := l.plant(&top, root); err != nil {
		return nil, err
	}
	l.walk(".", &top)
	return l.out, nil
}

// plant puts node and everything beneath it at p.
func (l *lister) plant(p *point, node *known) error {
	p.node = node
	if node.names == nil {
		return nil
	}
	if l.seen[node.num] {
		return errTwice
	}
	l.seen[node.num] = true
	for name, n := range node.names {
		if err := l.plant(p.kid(name), n); err != nil {
			return err
		}
	}
	return nil
}

// walk lists the changes at and beneath p.
func (l *lister) walk(at string, p *point) {
	isDir := p.node != nil && p.node.typ == abi.TypeDirectory
	if isDir || p.base == nil {
		l.compare(at, p)
	}
	for _, name := range slices.Sorted(maps.Keys(p.kids)) {
		l.walk(path.Join(at, name), p.kids[name])
	}
	if !isDir && p.base != nil {
		l.compare(at, p) // after what was beneath it, if it was a directory
	}
}

// compare adds the change at one path, if there is one.
func (l *lister) compare(at string, p *point) {
	n, b := p.node, p.base
	switch {
	case n == nil && b == nil:
		return
	case n == nil:
		l.out = append(l.out, Change{Path: at, Kind: Deleted, Type: b.Type, Mode: b.Mode, Mtime: b.Mtime, Size: b.Size, Target: b.Target, Was: b})
		return
	case b == nil && n.merged:
		return // an ancestor of a change
	}
	c := Change{Path: at, Type: n.typ, Mode: n.mode, Mtime: n.mtime, Target: n.target, Was: b}
	if n.typ == abi.TypeRegular {
		if n.object != 0 {
			c.Object = strconv.FormatUint(n.object, 10)
			c.Size, c.Mtime = l.stat(n.object)
			c.From = n.origin
		} else if b != nil {
			c.Size = b.Size
		}
		if first, ok := l.first[n.num]; ok {
			c.Link = first
		} else {
			l.first[n.num] = at
		}
	}
	if b != nil && !n.timed && n.object == 0 {
		c.Mtime = b.Mtime
	}
	switch {
	case b == nil:
		c.Kind = Added
	case !n.same(at, b):
		c.Kind = Modified
	case c.Mode != b.Mode || c.Mtime != b.Mtime:
		c.Kind = Mode
	default:
		return
	}
	l.out = append(l.out, c)
}

// same reports whether the content is what the lower layer has at the path.
func (n *known) same(at string, b *Base) bool {
	switch {
	case n.typ != b.Type:
		return false
	case n.merged, n.typ == abi.TypeDirectory:
		return true
	case n.typ == abi.TypeSymlink:
		return n.target == b.Target
	}
	return n.origin == at
}
