package view

import (
	"fmt"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// forbidden are the file systems whose files are not data but switches and windows
// of the operating system's kernel, by the number that fstatfs tells and the name
// that mountinfo tells. The WASM domain refuses the same. Those without a number
// share it with a file system that holds data.
var forbidden = []struct {
	magic uint32
	name  string
}{
	{unix.PROC_SUPER_MAGIC, "proc"},
	{unix.SYSFS_MAGIC, "sysfs"},
	{unix.CGROUP_SUPER_MAGIC, "cgroup"},
	{unix.CGROUP2_SUPER_MAGIC, "cgroup2"},
	{0, "cpuset"},
	{unix.DEVPTS_SUPER_MAGIC, "devpts"},
	{0, "devtmpfs"},
	{unix.DEBUGFS_MAGIC, "debugfs"},
	{unix.TRACEFS_MAGIC, "tracefs"},
	{unix.SECURITYFS_MAGIC, "securityfs"},
	{unix.BPF_FS_MAGIC, "bpf"},
	{0x62656570, "configfs"},
	{unix.EFIVARFS_MAGIC, "efivarfs"},
	{unix.BINFMTFS_MAGIC, "binfmt_misc"},
	{unix.PSTOREFS_MAGIC, "pstore"},
	{0x19800202, "mqueue"},
	{unix.NSFS_MAGIC, "nsfs"},
	{unix.PID_FS_MAGIC, "pidfs"},
	{unix.SELINUX_MAGIC, "selinuxfs"},
	{unix.SMACK_MAGIC, "smackfs"},
	{unix.AAFS_MAGIC, "apparmorfs"},
	{0x65735543, "fusectl"},
	{unix.RDTGROUP_SUPER_MAGIC, "resctrl"},
	{unix.HUGETLBFS_MAGIC, "hugetlbfs"},
	{unix.XENFS_SUPER_MAGIC, "xenfs"},
	{unix.BINDERFS_SUPER_MAGIC, "binder"},
	{unix.USBDEVICE_SUPER_MAGIC, "usbfs"},
	{unix.OPENPROM_SUPER_MAGIC, "openpromfs"},
	{0x6e667364, "nfsd"},
	{0x67596969, "rpc_pipefs"},
	{0xa647361, "functionfs"},
	{0xaee71ee7, "gadgetfs"},
	{0x23c9b64e, "spufs"},
	{0x6f70726f, "oprofilefs"},
	{0x66726f6d, "ibmasmfs"},
	{unix.PIPEFS_MAGIC, "pipefs"},
	{unix.SOCKFS_MAGIC, "sockfs"},
	{unix.ANON_INODE_FS_MAGIC, "anon_inodefs"},
	{unix.BDEVFS_MAGIC, "bdev"},
	{unix.DEVMEM_MAGIC, "devmem"},
	{unix.DMA_BUF_MAGIC, "dmabuf"},
	{unix.DAXFS_MAGIC, "dax"},
	{unix.SECRETMEM_MAGIC, "secretmem"},
	{unix.GUEST_MEMFD_MAGIC, "guest_memfd"},
	{unix.MTD_INODE_FS_MAGIC, "mtd_inodefs"},
	{unix.FUTEXFS_SUPER_MAGIC, "futexfs"},
}

func forbiddenType(name string) bool {
	for i := range forbidden {
		if forbidden[i].name == name {
			return true
		}
	}
	return false
}

// forbiddenHandle returns the name of the file system that fd lies on if it must
// not be lent, or "".
func forbiddenHandle(fd int) (string, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return "", hint("fstatfs", err)
	}
	magic := uint32(st.Type)
	for i := range forbidden {
		if forbidden[i].magic != 0 && forbidden[i].magic == magic {
			return forbidden[i].name, nil
		}
	}
	if magic != unix.TMPFS_MAGIC && magic != unix.RAMFS_MAGIC {
		return "", nil
	}
	// The directory of device nodes tells the number of a tmpfs; only the mount
	// tells its name.
	id, err := mountID(fd)
	if err != nil {
		return "", err
	}
	list, err := mountsOf(unix.AT_FDCWD, "/proc/thread-self/mountinfo")
	if err != nil {
		return "", err
	}
	for _, m := range list {
		if m.id == id {
			if forbiddenType(m.fstype) {
				return m.fstype, nil
			}
			return "", nil
		}
	}
	return "", fmt.Errorf("mount %d is not among this process's mounts", id)
}

// Lendable refuses what is never lent to a program: a handle on a device, on a symbolic
// link, or on a file system of the operating system's kernel. The error is an *[Error].
func Lendable(fd int, m *guest.Mount) error {
	_, err := lendable(fd, m)
	return err
}

// Windows returns where file systems of the operating system's kernel are mounted, as
// this process sees it.
func Windows() ([]string, error) {
	list, err := mountsOf(unix.AT_FDCWD, "/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, m := range list {
		if forbiddenType(m.fstype) {
			paths = append(paths, m.path)
		}
	}
	return paths, nil
}
