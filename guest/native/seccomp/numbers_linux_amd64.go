package seccomp

import "golang.org/x/sys/unix"

const (
	// native is how the kernel names the architecture of a call to a filter. The
	// calls of x32 come under the same name, with a bit in the number that no
	// entry of the table has.
	native = unix.AUDIT_ARCH_X86_64
	goarch = "amd64"
)

// here are the calls that arm64 never had.
var here = []number{
	{"access", unix.SYS_ACCESS},
	{"afs_syscall", unix.SYS_AFS_SYSCALL},
	{"alarm", unix.SYS_ALARM},
	{"arch_prctl", unix.SYS_ARCH_PRCTL},
	{"chmod", unix.SYS_CHMOD},
	{"chown", unix.SYS_CHOWN},
	{"creat", unix.SYS_CREAT},
	{"create_module", unix.SYS_CREATE_MODULE},
	{"dup2", unix.SYS_DUP2},
	{"epoll_create", unix.SYS_EPOLL_CREATE},
	{"epoll_ctl_old", unix.SYS_EPOLL_CTL_OLD},
	{"epoll_wait", unix.SYS_EPOLL_WAIT},
	{"epoll_wait_old", unix.SYS_EPOLL_WAIT_OLD},
	{"eventfd", unix.SYS_EVENTFD},
	{"fork", unix.SYS_FORK},
	{"futimesat", unix.SYS_FUTIMESAT},
	{"getdents", unix.SYS_GETDENTS},
	{"getpgrp", unix.SYS_GETPGRP},
	{"getpmsg", unix.SYS_GETPMSG},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS},
	{"get_thread_area", unix.SYS_GET_THREAD_AREA},
	{"inotify_init", unix.SYS_INOTIFY_INIT},
	{"ioperm", unix.SYS_IOPERM},
	{"iopl", unix.SYS_IOPL},
	{"lchown", unix.SYS_LCHOWN},
	{"link", unix.SYS_LINK},
	{"lstat", unix.SYS_LSTAT},
	{"mkdir", unix.SYS_MKDIR},
	{"mknod", unix.SYS_MKNOD},
	{"modify_ldt", unix.SYS_MODIFY_LDT},
	{"open", unix.SYS_OPEN},
	{"pause", unix.SYS_PAUSE},
	{"pipe", unix.SYS_PIPE},
	{"poll", unix.SYS_POLL},
	{"putpmsg", unix.SYS_PUTPMSG},
	{"query_module", unix.SYS_QUERY_MODULE},
	{"readlink", unix.SYS_READLINK},
	{"rename", unix.SYS_RENAME},
	{"rmdir", unix.SYS_RMDIR},
	{"security", unix.SYS_SECURITY},
	{"select", unix.SYS_SELECT},
	{"set_thread_area", unix.SYS_SET_THREAD_AREA},
	{"signalfd", unix.SYS_SIGNALFD},
	{"stat", unix.SYS_STAT},
	{"symlink", unix.SYS_SYMLINK},
	{"sysfs", unix.SYS_SYSFS},
	{"time", unix.SYS_TIME},
	{"tuxcall", unix.SYS_TUXCALL},
	{"unlink", unix.SYS_UNLINK},
	{"uprobe", unix.SYS_UPROBE},
	{"uretprobe", unix.SYS_URETPROBE},
	{"uselib", unix.SYS_USELIB},
	{"ustat", unix.SYS_USTAT},
	{"utime", unix.SYS_UTIME},
	{"utimes", unix.SYS_UTIMES},
	{"vfork", unix.SYS_VFORK},
	{"vserver", unix.SYS_VSERVER},
	{"_sysctl", unix.SYS__SYSCTL},
}
