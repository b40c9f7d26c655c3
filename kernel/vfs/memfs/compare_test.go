package memfs_test

import (
	"testing"

	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// asTheHost are the file systems to compare. The host's own says what is right: the
// same operations must give the same results in memory.
func asTheHost() []fstest.Maker {
	return []fstest.Maker{
		{Name: "memfs", Make: func(testing.TB) vfs.FileSystem { return memfs.New(nil, memfs.Options{}) }},
		{Name: "hostfs", Make: func(t testing.TB) vfs.FileSystem {
			fs, err := hostfs.Open(t.TempDir(), hostfs.Options{Write: true})
			if err != nil {
				t.Fatal(err)
			}
			return fs
		}},
	}
}

func TestAsTheHost(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		fstest.Agree(t, seed, 400, fstest.Caps{}, asTheHost()...)
	}
}

// FuzzAsTheHost takes its input for a sequence of operations.
func FuzzAsTheHost(f *testing.F) {
	for _, code := range fstest.Seeds() {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) { fstest.Replay(t, code, fstest.Caps{}, asTheHost()...) })
}

// Every operation on every kind of object under every way to write its path.
func TestPathsAsTheHost(t *testing.T) { fstest.Paths(t, fstest.Caps{}, asTheHost()...) }
