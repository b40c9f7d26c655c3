package pseudofs

import "golang.org/x/sys/unix"

// table follows include/uapi/linux/magic.h and the super.c of each file system that
// magic.h leaves out: the number that fstatfs tells, and the name that mountinfo
// tells. Those without a number share it with a file system that holds data.
var table = [...]struct {
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

// Name returns the name of the kernel file system with this number of fstatfs, or ""
// if it holds data, as far as the number tells.
func Name(magic uint32) string {
	for i := range table {
		if table[i].magic != 0 && table[i].magic == magic {
			return table[i].name
		}
	}
	return ""
}

// Is reports whether a type of mountinfo is that of a kernel file system.
func Is(fstype string) bool {
	for i := range table {
		if table[i].name == fstype {
			return true
		}
	}
	return false
}
