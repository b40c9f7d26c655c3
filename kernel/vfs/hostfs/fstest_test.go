//go:build unix

package hostfs

import (
	"runtime"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
)

// TestSuite runs what every file system passes.
func TestSuite(t *testing.T) {
	darwin := runtime.GOOS == "darwin"
	variants(t, func(t *testing.T, open opener) {
		if !open(t, t.TempDir(), Options{}).reopensObjects() {
			t.Skip("NOT CHECKED: here an object that is renamed cannot be opened any more, which the suite wants")
		}
		fstest.Run(t, func(t *testing.T) vfs.FileSystem {
			return open(t, t.TempDir(), Options{Write: true})
		}, fstest.Caps{NoRawNames: darwin, FoldsCase: darwin, Slow: !strings.HasSuffix(t.Name(), "/full")})
	})
}
