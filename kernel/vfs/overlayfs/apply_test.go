//go:build unix

package overlayfs

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// apply makes changes to a directory of the host, strictly in order and without
// help, and fails at the first that cannot be.
func apply(t testing.TB, l *Layer, changes []Change, dir string) {
	t.Helper()
	for _, c := range changes {
		at := filepath.Join(dir, c.Path)
		fi, err := os.Lstat(at)
		if (c.Was != nil) != (err == nil) {
			t.Fatalf("%s %s: was %+v, lstat says %v", c.Kind, c.Path, c.Was, err)
		}
		if err == nil && c.Kind != Mode && (c.Type != abi.TypeDirectory || c.Kind == Deleted || !fi.IsDir()) {
			if err := os.Remove(at); err != nil { // fails for a directory that is not empty
				t.Fatalf("%s %s: %v", c.Kind, c.Path, err)
			}
		}
		if c.Kind == Deleted {
			continue
		}
		if c.Kind != Mode {
			switch {
			case c.Link != "":
				err = os.Link(filepath.Join(dir, c.Link), at)
			case c.Type == abi.TypeDirectory:
				if err = os.Mkdir(at, 0o755); os.IsExist(err) {
					err = nil
				}
			case c.Type == abi.TypeSymlink:
				err = os.Symlink(c.Target, at)
			case c.Type == abi.TypeRegular:
				var f *os.File
				if f, err = l.Open(&c); err == nil {
					var b []byte
					b, err = io.ReadAll(f)
					_ = f.Close() // only read
					if int64(len(b)) != c.Size {
						t.Errorf("%s has %d bytes of %d", c.Path, len(b), c.Size)
					}
					if err == nil {
						err = os.WriteFile(at, b, 0o644)
					}
				}
			default:
				t.Fatalf("a change to a %s", c.Type)
			}
			if err != nil {
				t.Fatalf("%s %s: %v", c.Kind, c.Path, err)
			}
		}
		if c.Type == abi.TypeRegular {
			if err := os.Chtimes(at, time.Time{}, time.Unix(0, c.Mtime)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// view renders what is beneath a node, and the times of files.
func view(t testing.TB, n vfs.Node, at string) (out []string) {
	t.Helper()
	st, errno := n.Stat()
	if errno != abi.OK {
		t.Fatalf("%s: %s", at, errno)
	}
	switch st.Type {
	case abi.TypeRegular:
		return []string{fmt.Sprintf("%s %d %q", at, st.Mtime, content1(t, n))}
	case abi.TypeSymlink:
		target, errno := n.Readlink()
		return []string{fmt.Sprintf("%s -> %s %s", at, target, errno)}
	}
	out = append(out, at+"/")
	h, errno := n.Open(abi.ORead)
	if errno != abi.OK {
		t.Fatalf("%s: %s", at, errno)
	}
	defer func() { _ = h.Close() }() // only read
	var names []string
	if errno := each(h, func(e abi.Dirent) abi.Errno { names = append(names, e.Name); return abi.OK }); errno != abi.OK {
		t.Fatal(errno)
	}
	slices.Sort(names)
	for _, name := range names {
		c, errno := n.Lookup(name)
		if errno != abi.OK {
			t.Fatalf("%s/%s is listed: %s", at, name, errno)
		}
		out = append(out, view(t, c, at+"/"+name)...)
		c.Close()
	}
	return out
}

func content1(t testing.TB, n vfs.Node) string {
	t.Helper()
	h, errno := n.Open(abi.ORead)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer func() { _ = h.Close() }() // only read
	var out []byte
	for {
		buf := make([]byte, 4096)
		k, errno := h.ReadAt([][]byte{buf}, int64(len(out)))
		if errno != abi.OK {
			t.Fatal(errno)
		}
		if k == 0 {
			return string(out)
		}
		out = append(out, buf[:k]...)
	}
}

// hostTree fills a directory with a tree of few names.
func hostTree(t testing.TB, dir string) {
	t.Helper()
	for _, d := range []string{"a/b/c", "c/a"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"b", "a/a", "a/b/a", "a/b/c/d", "c/b", "c/d"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(strings.Repeat(f, 3)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for l, target := range map[string]string{"d": "a/b", "a/c": "../b"} {
		if err := os.Symlink(target, filepath.Join(dir, l)); err != nil {
			t.Fatal(err)
		}
	}
}

// step does one random change. That it fails is as good as that it does not.
func step(t testing.TB, fs *FS, rng *rand.Rand) {
	t.Helper()
	names := []string{"a", "b", "c", "d"}
	walk := func() (vfs.Dir, func()) {
		at, errno := fs.Root()
		if errno != abi.OK {
			t.Fatal(errno)
		}
		for rng.IntN(3) > 0 {
			next, errno := at.Lookup(names[rng.IntN(4)])
			if errno != abi.OK {
				break
			}
			if next.(vfs.Typed).Type() != abi.TypeDirectory {
				next.Close()
				break
			}
			at.Close()
			at = next
		}
		return at.(vfs.Dir), at.Close
	}
	d, done := walk()
	defer done()
	e, done := walk()
	defer done()
	name, other := names[rng.IntN(4)], names[rng.IntN(4)]
	errno := abi.OK
	switch rng.IntN(9) {
	case 0:
		errno = d.Mkdir(name, 0o755)
	case 1:
		errno = d.Remove(name, true)
	case 2:
		errno = d.Remove(name, false)
	case 3, 4:
		errno = d.Rename(name, e, other)
	case 5:
		errno = d.Symlink(name, other)
	case 6:
		n, err := d.Lookup(name)
		if err == abi.OK {
			errno = e.Link(other, n)
			n.Close()
		}
	case 7:
		n, err := d.Lookup(name)
		if err == abi.OK {
			at := rng.Int64N(1 << 60)
			errno = n.SetTimes(nil, &at)
			n.Close()
		}
	case 8:
		n, h, err := d.Create(name, 0o644, abi.OWrite)
		if err == abi.EEXIST {
			if n, errno = d.Lookup(name); errno == abi.OK {
				h, err = n.Open(abi.OWrite)
				if err != abi.OK {
					n.Close()
				}
			}
		}
		if err == abi.OK && errno == abi.OK {
			_, _, errno = h.WriteAt([][]byte{[]byte(fmt.Sprint(rng.Uint32()))}, rng.Int64N(20))
			_ = h.Close() // its errors are its writes'
			n.Close()
		}
	}
	switch errno {
	case abi.OK, abi.EEXIST, abi.ENOENT, abi.ENOTEMPTY, abi.EISDIR, abi.ENOTDIR, abi.EINVAL, abi.EPERM:
	default:
		t.Fatalf("%s", errno)
	}
}

// Changes, applied in order to the lower layer, make of it what the guest saw.
func TestChangesMakeTheView(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		host := t.TempDir()
		hostTree(t, host)
		fs, store := over(t, host, account(t, 1<<30))
		rng := rand.New(rand.NewPCG(seed, 7))
		for range 5 + rng.IntN(120) {
			step(t, fs, rng)
		}
		root, _ := fs.Root()
		want := view(t, root, "")
		root.Close()
		if err := fs.Close(); err != nil {
			t.Fatal(err)
		}
		l := load(t, store)
		apply(t, l, l.Changes(), host)
		again, _ := over(t, host, nil)
		root, _ = again.Root()
		sameList(t, fmt.Sprintf("seed %d", seed), view(t, root, ""), want)
		root.Close()
		if t.Failed() {
			for _, s := range brief(l.Changes()) {
				t.Log(s)
			}
			return
		}
	}
}

// Wherever a crash cuts the journal, it loads, and comes to the state after some
// whole change.
func TestCutAnywhere(t *testing.T) {
	host := t.TempDir()
	hostTree(t, host)
	fs, store := over(t, host, nil)
	rng := rand.New(rand.NewPCG(3, 7))
	journal := filepath.Join(store, journalName)
	states := map[int64][]string{0: nil}
	note := func() int64 {
		fi, err := os.Stat(journal)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Load(store)
		if err != nil {
			t.Fatal(err)
		}
		states[fi.Size()] = brief(l.Changes())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	for note() < 4000 {
		step(t, fs, rng)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for n := range len(whole) + 1 {
		if at, ok := states[int64(n)]; ok {
			want = at
		}
		if err := os.WriteFile(journal, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Load(store)
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		end := int64(n) - l.Cut()
		if _, ok := states[end]; !ok {
			// A step that is several changes, or a write that comes with one.
			if _, err := replay(strings.NewReader(string(whole[:end])), end, newState()); err != nil {
				t.Fatal(err)
			}
		} else if l.Cut() == 0 {
			sameList(t, fmt.Sprintf("cut at %d", n), brief(l.Changes()), want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	// A byte that is wrong ends it as well.
	for n := range whole {
		b := slices.Clone(whole)
		b[n] ^= 0x40
		end, err := replay(strings.NewReader(string(b)), int64(len(b)), newState())
		if err != nil || end > int64(n) {
			t.Fatalf("byte %d changed: read up to %d, %v", n, end, err)
		}
	}
}

func FuzzReplay(f *testing.F) {
	head := ops(putHeader(nil, map[string]string{"k": "v"}, []string{"k"}), dirRecord(rootNum, true))
	f.Add(head[headSize:])
	f.Add(slices.Concat(head[headSize:], putBase(nil, "a/b", &Base{Type: abi.TypeSymlink, Target: "x"}), dirRecord(2, false),
		putName(nil, rootNum, "a", 2), putDone(nil, "a/b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newState()
		framed := frame(append(make([]byte, headSize), b...))
		_, err := replay(strings.NewReader(string(framed)), int64(len(framed)), s)
		if err != nil {
			return
		}
		list, err := s.changes(func(uint64) (int64, int64) { return 0, 0 })
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, c := range list {
			if !validPath(c.Path) || seen[c.Path] || c.Mode > 0o777 {
				t.Fatalf("%+v", c)
			}
			seen[c.Path] = true
		}
	})
}
