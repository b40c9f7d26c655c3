package memfs_test

import (
	"testing"

	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// The host's own file system says what is right: the same operations must give
// the same results here.
func TestAsTheHost(t *testing.T) {
	seeds := uint64(15)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		host, err := hostfs.Open(t.TempDir(), hostfs.Options{Write: true})
		if err != nil {
			t.Fatal(err)
		}
		fstest.Compare(t, seed, 400, fstest.Caps{}, memfs.New(nil, memfs.Options{}), host)
	}
}
