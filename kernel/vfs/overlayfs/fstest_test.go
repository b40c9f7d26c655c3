//go:build unix

package overlayfs

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// account makes one that must hold nothing in the end.
func account(t testing.TB, disk uint64) *limit.Account {
	t.Helper()
	a := limit.NewAccount(limit.Caps{abi.LimitDisk: disk})
	t.Cleanup(func() {
		if held := a.Held(); len(held) > 0 {
			t.Errorf("still charged after close: %v", held)
		}
	})
	return a
}

// over makes an overlay over a directory of the host, which is only read, and
// returns the directory of its store.
func over(t testing.TB, host string, a *limit.Account) (*FS, string) {
	t.Helper()
	lower, err := hostfs.Open(host, hostfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "store")
	fs, err := New(lower, store, Options{Account: a, Labels: map[string]string{"host": host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	return fs, store
}

func TestSuite(t *testing.T) {
	darwin := runtime.GOOS == "darwin"
	fstest.Run(t, func(t *testing.T) vfs.FileSystem {
		fs, _ := over(t, t.TempDir(), account(t, 64<<20))
		return fs
	}, fstest.Caps{NoRawNames: darwin})
}

func TestSuiteFull(t *testing.T) {
	fstest.RunFull(t, func(t *testing.T, room int64) vfs.FileSystem {
		fs, _ := over(t, t.TempDir(), account(t, uint64(room)))
		return fs
	}, fstest.Caps{NoRawNames: runtime.GOOS == "darwin"})
}

// Every operation on every kind of object under every way to write its path.
func TestPathsAsMemory(t *testing.T) {
	fstest.Paths(t, fstest.Caps{}, fstest.Maker{Name: "memfs", Make: func(testing.TB) vfs.FileSystem { return memfs.New(nil, memfs.Options{}) }},
		fstest.Maker{Name: "overlayfs", Make: func(t testing.TB) vfs.FileSystem {
			fs, _ := over(t, t.TempDir(), nil)
			return fs
		}})
}

// populate makes the same tree on the host and in memory, of the names that
// Compare uses.
func populate(t *testing.T, host string, mem vfs.FileSystem) {
	t.Helper()
	ns := vfs.NewNamespace(vfs.Options{})
	if err := ns.Mount("/", mem); err != nil {
		t.Fatal(err)
	}
	root, errno := ns.OpenDir("/")
	if errno != abi.OK {
		t.Fatal(errno)
	}
	acc := fstest.NewOpen()
	for _, d := range []string{"a", "a/b", "a/b/c", "c", "c/a"} {
		if err := os.Mkdir(filepath.Join(host, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if errno := ns.Mkdir(acc, root.Base(), d, 0o755); errno != abi.OK {
			t.Fatal(errno)
		}
	}
	for _, f := range []string{"b", "a/a", "a/b/a", "a/b/c/d", "c/b", "c/d"} {
		if err := os.WriteFile(filepath.Join(host, f), []byte(f+f+f), 0o644); err != nil {
			t.Fatal(err)
		}
		g, errno := ns.Open(acc, root.Base(), f, abi.OWrite|abi.OCreate, 0o644)
		if errno != abi.OK {
			t.Fatal(errno)
		}
		if _, errno := g.Write([][]byte{[]byte(f + f + f)}); errno != abi.OK {
			t.Fatal(errno)
		}
		_ = g.Unref() // in memory
	}
	for l, target := range map[string]string{"d": "a/b", "a/c": "../b", "a/b/d": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(host, l)); err != nil {
			t.Fatal(err)
		}
		if errno := ns.Symlink(acc, target, root.Base(), l); errno != abi.OK {
			t.Fatal(errno)
		}
	}
	_ = root.Unref() // only looked through
}

// keeper is a file system that a namespace may close while it is still needed.
type keeper struct{ vfs.FileSystem }

func (keeper) Close() error { return nil }

// The same operations give the same results over a full lower layer as in
// memory, and leave the lower layer as it was.
func TestAsMemory(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		host := t.TempDir()
		mem := memfs.New(nil, memfs.Options{})
		if seed%4 != 0 {
			populate(t, host, keeper{mem})
		}
		before := tree(t, host)
		fs, store := over(t, host, account(t, 1<<30))
		fstest.Compare(t, seed, 400, fstest.Caps{}, fs, mem)
		sameList(t, "the lower layer", tree(t, host), before)
		l := load(t, store)
		if l.Cut() != 0 {
			t.Errorf("seed %d: %d bytes are torn", seed, l.Cut())
		}
		if t.Failed() {
			return
		}
	}
}
