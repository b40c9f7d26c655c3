//go:build linux && !hostfs_portable

package hostfs

import "testing"

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

// reopensObjects reports whether a handle on a file opens that file, whatever
// has become of its name.
func (fs *FS) reopensObjects() bool { return fs.has.proc }
