//go:build linux && !hostfs_portable

package hostfs

import (
	"testing"

	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// variants runs f with all that this host offers, and with each thing that an
// older host lacks taken away.
func variants(t *testing.T, f func(t *testing.T, open opener)) {
	for _, v := range []struct {
		name string
		has  features
	}{
		{"full", features{true, true, true}},
		{"no_openat2", features{false, true, true}},
		{"no_statx", features{true, false, true}},
		{"no_proc", features{true, true, false}},
		{"bare", features{}},
	} {
		t.Run(v.name, func(t *testing.T) {
			f(t, func(t *testing.T, path string, opts Options) *FS {
				t.Helper()
				fs, err := open(path, opts, v.has)
				if err != nil {
					t.Fatal(err)
				}
				if fs.has != v.has {
					t.Logf("this host lacks %+v of %+v: that variant ran without", fs.has, v.has)
				}
				t.Cleanup(func() {
					if err := fs.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
				return fs
			})
		})
	}
}

// findsByName reports whether a file that was renamed cannot be opened any more,
// and whether it cannot be described either.
func (fs *FS) findsByName() (opens, stats bool) { return !fs.has.proc, false }

// TestVariantsAgree compares the ways to reach the host with each other, and with
// a file system in memory.
func TestVariantsAgree(t *testing.T) {
	makers := []fstest.Maker{{Name: "memfs", Make: func(testing.TB) vfs.FileSystem { return memfs.New(nil, memfs.Options{}) }}}
	for name, has := range map[string]features{"full": {true, true, true}, "no_openat2": {false, true, true}, "no_statx": {true, false, true}} {
		makers = append(makers, fstest.Maker{Name: name, Make: func(t testing.TB) vfs.FileSystem {
			fs, err := open(t.TempDir(), Options{Write: true}, has)
			check(t, err)
			return fs
		}})
	}
	for seed := range uint64(8) {
		fstest.Agree(t, seed+5000, 300, fstest.Caps{}, makers...)
	}
}
