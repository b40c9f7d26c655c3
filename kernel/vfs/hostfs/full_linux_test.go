//go:build linux && !hostfs_portable

package hostfs

import (
	"fmt"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

func TestFull(t *testing.T) { inner(t, innerOptions{mounts: true}) }

// TestInnerFull fills small file systems in memory, in a mount namespace of its
// own.
func TestInnerFull(t *testing.T) {
	onlyInner(t, "TestFull")
	fstest.RunFull(t, func(t *testing.T, room int64) vfs.FileSystem {
		dir := t.TempDir()
		mount(t, "tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=600", room))
		fs, err := Open(dir, Options{Write: true})
		check(t, err)
		return fs
	}, fstest.Caps{})
}

func TestTmpfs(t *testing.T) { inner(t, innerOptions{mounts: true}) }

// TestInnerTmpfs runs what every file system passes on another kind of the host's.
func TestInnerTmpfs(t *testing.T) {
	onlyInner(t, "TestTmpfs")
	small := func(t testing.TB) vfs.FileSystem {
		dir := t.TempDir()
		mount(t, "tmpfs", dir, "tmpfs", 0, "size=64m")
		fs, err := Open(dir, Options{Write: true})
		check(t, err)
		return fs
	}
	fstest.Run(t, func(t *testing.T) vfs.FileSystem { return small(t) }, fstest.Caps{})
	for seed := range uint64(10) {
		fstest.Agree(t, seed+9000, 300, fstest.Caps{},
			fstest.Maker{Name: "tmpfs", Make: small},
			fstest.Maker{Name: "memfs", Make: func(testing.TB) vfs.FileSystem { return memfs.New(nil, memfs.Options{}) }})
	}
}
