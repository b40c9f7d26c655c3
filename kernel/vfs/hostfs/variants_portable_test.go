//go:build unix && (!linux || hostfs_portable)

package hostfs

import "testing"

// variants runs f; there is one way only.
func variants(t *testing.T, f func(t *testing.T, open opener)) {
	f(t, func(t *testing.T, path string, opts Options) *FS {
		t.Helper()
		fs, err := Open(path, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := fs.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return fs
	})
}

// findsByName reports whether a file that was renamed cannot be opened any more,
// and whether it cannot be described either.
func (f *FS) findsByName() (opens, stats bool) { return true, true }
