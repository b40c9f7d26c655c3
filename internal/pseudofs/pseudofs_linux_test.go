package pseudofs

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestTable(t *testing.T) {
	numbers, names := map[uint32]string{}, map[string]bool{}
	for _, f := range table {
		if f.name == "" || names[f.name] || f.magic != 0 && numbers[f.magic] != "" {
			t.Errorf("bad or repeated row %#x %q (%q)", f.magic, f.name, numbers[f.magic])
		}
		numbers[f.magic], names[f.name] = f.name, true
		if f.magic != 0 && Name(f.magic) != f.name || !Is(f.name) {
			t.Errorf("%q is not found", f.name)
		}
	}
	for _, f := range table {
		// Only these two are told by their name alone.
		if (f.magic == 0) != (f.name == "cpuset" || f.name == "devtmpfs") {
			t.Errorf("%q has the number %#x", f.name, f.magic)
		}
	}
	for _, data := range []uint32{0, unix.EXT4_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.V9FS_MAGIC} {
		if n := Name(data); n != "" {
			t.Errorf("%#x is forbidden as %s", data, n)
		}
	}
	for _, data := range []string{"", "ext4", "tmpfs", "overlay", "fuse", "nfs4"} {
		if Is(data) {
			t.Errorf("%s is forbidden", data)
		}
	}
}
