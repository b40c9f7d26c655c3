//go:build unix

package overlayfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

// bench is an overlay over hostTree, with helpers that fail the test.
type bench struct {
	*testing.T
	fs          *FS
	top         vfs.Dir
	host, store string
}

// more adds to the lower layer.
func newBench(t *testing.T, disk uint64, more ...func(host string) error) *bench {
	t.Helper()
	b := &bench{T: t, host: t.TempDir()}
	hostTree(t, b.host)
	old := time.Unix(1_500_000_000, 123_456_789)
	for _, f := range []string{"b", "a/a", "a/b/a"} {
		if err := os.Chtimes(filepath.Join(b.host, f), old, old); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(b.host, f), 0o751); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(b.host, "c/a"), old, old); err != nil {
		t.Fatal(err)
	}
	for _, f := range more {
		if err := f(b.host); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, b.host)
	b.fs, b.store = over(t, b.host, account(t, disk))
	t.Cleanup(func() { sameList(t, "the lower layer", tree(t, b.host), before) })
	b.top = b.dir(".")
	t.Cleanup(b.top.Close)
	return b
}

func (b *bench) node(p string) vfs.Node {
	b.Helper()
	at, errno := b.fs.Root()
	for name := range strings.SplitSeq(p, "/") {
		if errno != abi.OK {
			break
		}
		if name == "." {
			continue
		}
		var next vfs.Node
		next, errno = at.Lookup(name)
		at.Close()
		at = next
	}
	b.ok("lookup "+p, errno)
	return at
}

func (b *bench) dir(p string) vfs.Dir {
	b.Helper()
	d, ok := b.node(p).(vfs.Dir)
	if !ok {
		b.Fatalf("%s cannot change", p)
	}
	return d
}

func (b *bench) ok(what string, errno abi.Errno) {
	b.Helper()
	if errno != abi.OK {
		b.Fatalf("%s: %s", what, errno)
	}
}

func (b *bench) want(what string, got, want abi.Errno) {
	b.Helper()
	if got != want {
		b.Errorf("%s: %s, want %s", what, got, want)
	}
}

// in does something in a directory.
func (b *bench) in(p string, f func(d vfs.Dir) abi.Errno) {
	b.Helper()
	d := b.dir(p)
	defer d.Close()
	b.ok("in "+p, f(d))
}

func (b *bench) stat(p string) abi.Stat {
	b.Helper()
	n := b.node(p)
	defer n.Close()
	st, errno := n.Stat()
	b.ok("stat "+p, errno)
	return st
}

func (b *bench) holds(p, want string) {
	b.Helper()
	n := b.node(p)
	defer n.Close()
	if got := content1(b, n); got != want {
		b.Errorf("%s holds %q, want %q", p, got, want)
	}
}

func (b *bench) write(p string, off int64, s string) {
	b.Helper()
	n := b.node(p)
	defer n.Close()
	h, errno := n.Open(abi.OWrite)
	b.ok("open "+p, errno)
	_, _, errno = h.WriteAt([][]byte{[]byte(s)}, off)
	b.ok("write "+p, errno)
	b.ok("close "+p, h.Close())
}

func (b *bench) changes(want ...string) []Change {
	b.Helper()
	l := load(b.T, b.store)
	sameList(b, "changes", brief(l.Changes()), want)
	return l.Changes()
}

func TestReadingChangesNothing(t *testing.T) {
	b := newBench(t, 1<<20)
	view(t, b.top, "")
	n := b.node("b")
	h, errno := n.Open(abi.ORead | abi.OWrite)
	b.ok("open for writing", errno)
	b.ok("close", h.Close())
	n.Close()
	b.changes()
	if disk, _ := b.fs.Used(); disk > reserveCost+200 {
		t.Errorf("looking cost %d", disk)
	}
}

// A write copies the file up: times, mode, and identity stay, and what was open
// sees the new content.
func TestCopyUp(t *testing.T) {
	b := newBench(t, 1<<20)
	before := b.stat("a/b/a")
	n := b.node("a/b/a")
	defer n.Close()
	r, errno := n.Open(abi.ORead)
	b.ok("open", errno)
	defer func() { b.ok("close", r.Close()) }()
	at := int64(1_400_000_000_000_000_001)
	b.ok("times", n.SetTimes(&at, nil))
	if st := b.stat("a/b/a"); st.Atime != at || st.Mtime != before.Mtime || st.Ino != before.Ino {
		t.Errorf("was %+v, is %+v", before, st)
	}
	b.changes() // the time of access is no change
	b.write("a/b/a", 1, "XX")
	st := b.stat("a/b/a")
	if st.Ino != before.Ino || st.Dev != before.Dev || st.Mode != 0o751 || st.Nlink != 1 || st.Atime != at || st.Mtime == before.Mtime {
		t.Errorf("was %+v, is %+v", before, st)
	}
	buf := make([]byte, 100)
	k, errno := r.ReadAt([][]byte{buf}, 0)
	if errno != abi.OK || string(buf[:k]) != "aXX"+strings.Repeat("a/b/a", 3)[3:] {
		t.Errorf("a reader from before sees %q, %s", buf[:k], errno)
	}
	c := b.changes("modified regular a/b/a")
	if c[0].Was == nil || c[0].Was.Mtime != before.Mtime || c[0].Was.Size != before.Size || c[0].Was.Ctime != before.Ctime || c[0].Mode != 0o751 {
		t.Errorf("%+v was %+v", c[0], c[0].Was)
	}
	b.in("a/b", func(d vfs.Dir) abi.Errno { return d.Rename("a", d, "z") })
	if st := b.stat("a/b/z"); st.Ino != before.Ino {
		t.Errorf("renamed: %+v", st)
	}
	b.changes("deleted regular a/b/a", "added regular a/b/z")
}

func TestCrossLayer(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(b *bench)
		want []string
	}{
		{"truncate copies nothing", func(b *bench) {
			n := b.node("b")
			defer n.Close()
			h, errno := n.Open(abi.OWrite | abi.OTrunc)
			b.ok("open", errno)
			b.ok("close", h.Close())
			b.holds("b", "")
		}, []string{"modified regular b"}},
		{"set times", func(b *bench) {
			m := int64(1_300_000_000_000_000_007)
			n := b.node("a/a")
			defer n.Close()
			b.ok("times", n.SetTimes(nil, &m))
			if st := b.stat("a/a"); st.Mtime != m || st.Mode != 0o751 {
				b.Errorf("%+v", st)
			}
			b.holds("a/a", "a/aa/aa/a")
		}, []string{"mode regular a/a"}},
		{"whiteout", func(b *bench) {
			b.in("a", func(d vfs.Dir) abi.Errno { return d.Remove("a", false) })
			d := b.dir("a")
			defer d.Close()
			_, errno := d.Lookup("a")
			b.want("lookup", errno, abi.ENOENT)
			b.want("again", d.Remove("a", false), abi.ENOENT)
		}, []string{"deleted regular a/a"}},
		{"came and went", func(b *bench) {
			b.ok("mkdir", b.top.Mkdir("new", 0o755))
			b.ok("symlink", b.top.Symlink("new2", "x"))
			b.ok("rmdir", b.top.Remove("new", true))
			b.ok("unlink", b.top.Remove("new2", false))
		}, nil},
		{"there and back", func(b *bench) {
			b.ok("away", b.top.Rename("a", b.top, "z"))
			b.holds("z/b/c/d", "a/b/c/da/b/c/da/b/c/d")
			b.ok("back", b.top.Rename("z", b.top, "a"))
		}, nil},
		{"opaque", func(b *bench) {
			b.in("c/a", func(d vfs.Dir) abi.Errno { return abi.OK })
			b.want("not empty", b.top.Remove("c", true), abi.ENOTEMPTY)
			b.in("c", func(d vfs.Dir) abi.Errno { return d.Remove("a", true) })
			b.in("c", func(d vfs.Dir) abi.Errno { return d.Remove("b", false) })
			b.in("c", func(d vfs.Dir) abi.Errno { return d.Remove("d", false) })
			b.ok("rmdir", b.top.Remove("c", true))
			b.ok("mkdir", b.top.Mkdir("c", 0o755))
			d := b.dir("c")
			defer d.Close()
			for _, name := range []string{"a", "b", "d"} {
				_, errno := d.Lookup(name)
				b.want("lookup "+name, errno, abi.ENOENT)
			}
			h, errno := d.Open(abi.ORead)
			b.ok("open", errno)
			if ents, errno := h.Readdir(0, 10); errno != abi.OK || len(ents) != 0 {
				b.Errorf("lists %v, %s", ents, errno)
			}
			b.ok("close", h.Close())
			b.ok("mkdir", d.Mkdir("d", 0o755))
		}, []string{"mode directory c", "deleted directory c/a", "deleted regular c/b", "modified directory c/d"}},
		{"rename over", func(b *bench) { b.ok("rename", b.top.Rename("b", b.top, "d")) },
			[]string{"deleted regular b", "modified regular d < b"}},
		{"rename a directory over an empty one", func(b *bench) {
			d := b.dir("c")
			defer d.Close()
			b.ok("rename", b.top.Rename("a", d, "a"))
			b.holds("c/a/b/a", "a/b/aa/b/aa/b/a")
		}, []string{"deleted regular a/a", "deleted regular a/b/a", "deleted regular a/b/c/d", "deleted directory a/b/c",
			"deleted directory a/b", "deleted symlink a/c -> ../b", "deleted directory a", "mode directory c/a",
			"added regular c/a/a < a/a", "added directory c/a/b", "added regular c/a/b/a < a/b/a", "added directory c/a/b/c",
			"added regular c/a/b/c/d < a/b/c/d", "added symlink c/a/c -> ../b"}},
		{"hard link", func(b *bench) {
			n := b.node("b")
			defer n.Close()
			b.ok("link", b.top.Link("e", n))
			if x, y := b.stat("b"), b.stat("e"); x.Ino != y.Ino || x.Dev != y.Dev || x.Nlink != 2 || x.Mtime != 1_500_000_000_123_456_789 {
				b.Errorf("%+v and %+v", x, y)
			}
			b.changes("added regular e = b < b")
			b.write("e", 0, "both")
			b.holds("b", "both")
			b.ok("unlink", b.top.Remove("b", false))
			b.holds("e", "both")
		}, []string{"deleted regular b", "added regular e"}},
		{"link to a symlink", func(b *bench) {
			n := b.node("d")
			defer n.Close()
			b.ok("link", b.top.Link("e", n))
		}, []string{"added symlink e -> a/b"}},
		{"unlinked while open", func(b *bench) {
			n := b.node("b")
			defer n.Close()
			h, errno := n.Open(abi.ORead | abi.OWrite)
			b.ok("open", errno)
			b.ok("unlink", b.top.Remove("b", false))
			_, _, errno = h.WriteAt([][]byte{[]byte("X")}, 1)
			b.ok("write", errno)
			if got := content1(b, n); got != "bXb" {
				b.Errorf("holds %q", got)
			}
			if st, errno := n.Stat(); errno != abi.OK || st.Nlink != 0 {
				b.Errorf("%+v, %s", st, errno)
			}
			b.want("link", b.top.Link("e", n), abi.ENOENT)
			b.ok("close", h.Close())
		}, []string{"deleted regular b"}},
		{"a handle follows a rename", func(b *bench) {
			n := b.node("a/b")
			defer n.Close()
			b.ok("rename", b.top.Rename("a", b.top, "z"))
			b.ok("mkdir", n.(vfs.Dir).Mkdir("new", 0o755))
			b.in("z/b/new", func(vfs.Dir) abi.Errno { return abi.OK })
			b.want("into itself", b.top.Rename("z", n, "y"), abi.EINVAL)
			b.ok("back", b.top.Rename("z", b.top, "a"))
		}, []string{"added directory a/b/new"}},
		{"raw names", func(b *bench) {
			if err := os.WriteFile(filepath.Join(b.TempDir(), "\xff"), nil, 0o600); err != nil {
				b.Skip("NOT CHECKED: this host's names must be UTF-8")
			}
			b.ok("mkdir", b.top.Mkdir("\xff\n", 0o755))
			b.ok("rename", b.top.Rename("b", b.top, "\xfe"))
		}, []string{"deleted regular b", "added regular \xfe < b", "added directory \xff\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, 8<<20)
			test.do(b)
			b.changes(test.want...)
		})
	}
}

// Hard links that the lower layer has part ways when one name is written, and do
// not look the same any more.
func TestLinkedInLower(t *testing.T) {
	b := &bench{T: t, host: t.TempDir()}
	hostTree(t, b.host)
	if err := os.Link(filepath.Join(b.host, "b"), filepath.Join(b.host, "twin")); err != nil {
		t.Fatal(err)
	}
	b.fs, b.store = over(t, b.host, account(t, 1<<20))
	b.top = b.dir(".")
	defer b.top.Close()
	b.ok("two names of one file", b.top.Rename("b", b.top, "twin"))
	b.write("b", 0, "X")
	b.holds("b", "Xbb")
	b.holds("twin", "bbb")
	x, y := b.stat("b"), b.stat("twin")
	if x.Ino == y.Ino && x.Dev == y.Dev || x.Nlink != 1 {
		t.Errorf("%+v and %+v", x, y)
	}
}

// A change that there is no space for leaves everything as it was.
func TestFull(t *testing.T) {
	b := newBench(t, 40_000, func(host string) error {
		err := os.Mkdir(filepath.Join(host, "big"), 0o755)
		for i := range 5 {
			err = errors.Join(err, os.WriteFile(filepath.Join(host, "big", strconv.Itoa(i)), bytes.Repeat([]byte("x"), 10_000), 0o600))
		}
		return err
	})
	disk, memory := b.fs.Used()
	b.want("rename", b.top.Rename("big", b.top, "bigger"), abi.ENOSPC)
	if d, m := b.fs.Used(); d != disk || m != memory {
		t.Errorf("a refused rename cost %d and %d", d-disk, m-memory)
	}
	if ents, err := os.ReadDir(filepath.Join(b.store, objectsName)); err != nil || len(ents) != 0 {
		t.Errorf("a refused rename left %v, %v", ents, err)
	}
	b.changes()
	n, h, errno := b.top.Create("f", 0o600, abi.OWrite)
	b.ok("create", errno)
	k, _, errno := h.WriteAt([][]byte{make([]byte, 100_000)}, 0)
	if errno != abi.OK || k == 0 || k%blockSize != 0 || k >= 40_000 {
		t.Errorf("wrote %d, %s", k, errno)
	}
	if _, _, errno := h.WriteAt([][]byte{{1}}, int64(k)); errno != abi.ENOSPC {
		t.Errorf("write to a full overlay: %s", errno)
	}
	b.ok("close", h.Close())
	n.Close()
	for errno = abi.OK; errno == abi.OK; { // the last bytes
		errno = b.top.Symlink(strconv.Itoa(time.Now().Nanosecond()), "x")
	}
	b.want("symlink", errno, abi.ENOSPC)
	b.ok("unlink when full", b.top.Remove("f", false))
	b.ok("mkdir", b.top.Mkdir("there is space again", 0o755))
}

// Holes cost nothing, also those of a file that is copied up.
func TestHoles(t *testing.T) {
	b := newBench(t, 1<<20, func(host string) error { return os.Truncate(filepath.Join(host, "b"), 20<<20) })
	b.write("b", 10<<20, "mid")
	if disk, _ := b.fs.Used(); disk > reserveCost+20_000 {
		t.Errorf("holes cost %d", disk)
	}
	if st := b.stat("b"); st.Size != 20<<20 {
		t.Errorf("%+v", st)
	}
	n := b.node("b")
	defer n.Close()
	h, errno := n.Open(abi.ORead | abi.OWrite)
	b.ok("open", errno)
	before, _ := b.fs.Used()
	b.ok("truncate", h.Truncate(0))
	if disk, _ := b.fs.Used(); before-disk != 2*blockSize {
		t.Errorf("truncating returned %d", before-disk)
	}
	a := h.(vfs.Allocator)
	b.want("allocate too much", a.Allocate(0, 1<<40), abi.ENOSPC)
	if errno := a.Allocate(1000, 200_000); errno == abi.OK {
		if disk, _ := b.fs.Used(); disk < 200_000 {
			t.Errorf("an allocation cost %d", disk)
		}
	} else if errno != abi.ENOTSUP {
		t.Errorf("allocate: %s", errno)
	}
	b.ok("close", h.Close())
}

// A grant of a single file is a mount of it.
func TestSingleFile(t *testing.T) {
	host := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(host, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	fs, store := over(t, host, account(t, 1<<20))
	n, errno := fs.Root()
	if errno != abi.OK {
		t.Fatal(errno)
	}
	h, errno := n.Open(abi.ORead | abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	if _, _, errno := h.WriteAt([][]byte{[]byte("new")}, 3); errno != abi.OK {
		t.Fatal(errno)
	}
	if got := content1(t, n); got != "oldnew" {
		t.Errorf("holds %q", got)
	}
	_ = h.Close() // written
	n.Close()
	if b, err := os.ReadFile(host); err != nil || string(b) != "old" {
		t.Errorf("the lower layer holds %q, %v", b, err)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	l := load(t, store)
	sameList(t, "changes", brief(l.Changes()), []string{"modified regular ."})
}

// A store is made once.
func TestNoSecondRun(t *testing.T) {
	host := t.TempDir()
	fs, store := over(t, host, nil)
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	lower, err := hostfs.Open(host, hostfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lower.Close() }() // only read
	if fs, err := New(lower, store, Options{}); err == nil {
		t.Error("a store was used again")
		_ = fs.Close() // it failed already
	}
}

// What is neither a file, a directory, nor a symbolic link can be deleted and
// not moved.
func TestFIFO(t *testing.T) {
	b := newBench(t, 1<<20, func(host string) error {
		d := filepath.Join(host, "pipes")
		return errors.Join(os.Mkdir(d, 0o755), syscall.Mkfifo(filepath.Join(d, "p"), 0o600))
	})
	b.want("rename what holds it", b.top.Rename("pipes", b.top, "q"), abi.EXDEV)
	b.changes()
	n := b.node("pipes/p")
	if _, errno := n.Open(abi.ORead); errno != abi.ENXIO {
		t.Errorf("open: %s", errno)
	}
	n.Close()
	b.in("pipes", func(d vfs.Dir) abi.Errno { return d.Remove("p", false) })
	b.changes("deleted fifo pipes/p")
}

// A listing that goes on while what it lists departs sees each name once.
func TestListWhileDeparting(t *testing.T) {
	seen := map[string]int{}
	b := newBench(t, 8<<20, func(host string) error {
		d := filepath.Join(host, "many")
		err := os.Mkdir(d, 0o755)
		for i := range 60 {
			seen["f"+strconv.Itoa(i)] = 0
			err = errors.Join(err, os.WriteFile(filepath.Join(d, "f"+strconv.Itoa(i)), nil, 0o600))
		}
		return err
	})
	dir := b.dir("many")
	defer dir.Close()
	h, errno := dir.Open(abi.ORead)
	b.ok("open", errno)
	defer func() { b.ok("close", h.Close()) }()
	cookie := uint64(0)
	for round := 0; ; round++ {
		ents, errno := h.Readdir(cookie, 4)
		b.ok("readdir", errno)
		if len(ents) == 0 {
			break
		}
		for _, e := range ents {
			seen[e.Name]++
		}
		cookie = ents[len(ents)-1].Next
		b.write("many/f"+strconv.Itoa(round*7%60), 0, "x")
		switch round {
		case 3:
			b.ok("mkdir", dir.Mkdir("new", 0o755))
			seen["new"] = 0
		case 6:
			b.ok("rename", b.top.Rename("many", b.top, "all"))
			b.ok("and back", b.top.Rename("all", b.top, "many"))
		}
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s was listed %d times", name, n)
		}
	}
}

// Many at once, over a full lower layer.
func TestConcurrent(t *testing.T) {
	b := newBench(t, 64<<20)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := range 60 {
				d, errno := b.top.Lookup([]string{"a", "c"}[(g+i)%2])
				if errno != abi.OK {
					continue
				}
				dir := d.(vfs.Dir)
				n, errno := d.Lookup([]string{"a", "b", "d"}[i%3])
				if errno == abi.OK {
					if h, errno := n.Open(abi.ORead | abi.OWrite); errno == abi.OK {
						_, _, _ = h.WriteAt([][]byte{[]byte("x")}, int64(g)) // may be full, or a directory
						_, _ = h.ReadAt([][]byte{make([]byte, 10)}, 0)
						_ = h.Close() // as above
					}
					_, _ = n.Stat() // may be gone
					n.Close()
				}
				switch (g + i) % 5 {
				case 0:
					_ = dir.Rename("b", b.top, "x") // any outcome will do
				case 1:
					_ = b.top.Rename("x", dir, "b") // likewise
				case 2:
					_ = b.top.Rename("a", b.top, "y") // likewise
				case 3:
					_ = b.top.Rename("y", b.top, "a") // likewise
				default:
					_ = dir.Remove("d", false) // likewise
				}
				d.Close()
			}
		})
	}
	wg.Wait()
	root, errno := b.fs.Root()
	b.ok("root", errno)
	want := view(t, root, "")
	root.Close()
	if err := b.fs.Close(); err != nil {
		t.Fatal(err)
	}
	l := load(t, b.store)
	to := t.TempDir()
	hostTree(t, to)
	apply(t, l, l.Changes(), to)
	if len(want) == 0 {
		t.Error("nothing is left")
	}
}
