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
		caps := fstest.Caps{NoRawNames: darwin, FoldsCase: darwin, Slow: !strings.HasSuffix(t.Name(), "/full")}
		caps.NoReopen, caps.ByName = open(t, t.TempDir(), Options{}).findsByName()
		caps.NoLinkTimes = caps.ByName
		fstest.Run(t, func(t *testing.T) vfs.FileSystem {
			return open(t, t.TempDir(), Options{Write: true})
		}, caps)
	})
}
