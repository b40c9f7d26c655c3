//go:build linux && !hostfs_portable

package hostfs

import (
	"os"
	"slices"
	"strings"
)

// localTypes are the file systems, as mountinfo names them, that wait for nothing
// but this machine's own memory and disks. What is not listed, be it a network
// file system, FUSE, or an automounter, may wait for somebody who never answers.
// The operating system's own windows are among them: no grant shows them, but
// they lie beneath a grant of the root.
var localTypes = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "nilfs2", "reiserfs", "ufs",
	"tmpfs", "ramfs", "rootfs", "devtmpfs", "overlay", "aufs", "squashfs", "erofs", "iso9660", "udf",
	"vfat", "msdos", "exfat", "ntfs3", "hfsplus",
	"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "hugetlbfs", "debugfs", "tracefs", "securityfs", "bpf",
	"pstore", "configfs", "efivarfs", "fusectl", "nsfs", "selinuxfs", "binfmt_misc", "resctrl",
}

// allLocal reports whether the root, which fd means, and whatever is mounted
// beneath it are local storage. Where the host does not say, they are not.
func (fs *FS) allLocal(fd int) bool {
	top, err := mountOf(fd)
	if err != nil || !slices.Contains(localTypes, top.fsType) {
		return false
	}
	at, err := fs.pathOf(fd)
	if err != nil {
		return false
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	return localBeneath(string(data), at)
}

// localBeneath reports whether every mount strictly beneath dir is local.
func localBeneath(mountinfo, dir string) bool {
	for line := range strings.Lines(mountinfo) {
		m, _, ok := parseMount(line)
		if ok && m.point != dir && under(m.point, dir) && !slices.Contains(localTypes, m.fsType) {
			return false
		}
	}
	return true
}
