/* The same calls by the door of 32-bit programs, int 0x80, and with x32 numbers:
 * a filter that knows one table only is walked around by them. */
#include "escape.h"

#ifdef __x86_64__
#include <linux/keyctl.h>
#include <sys/ipc.h>
#include <sys/vfs.h>

static char *low; /* memory that 32 bits can point at */

static long call32(long nr, long a, long b, long c, long d, long e)
{
	long r;
	/* The sixth argument is in ebp, and 0. */
	__asm__ volatile("mov %%rbp, %%r12\n\txor %%ebp, %%ebp\n\tint $0x80\n\tmov %%r12, %%rbp"
	                 : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "cc", "r8", "r9", "r10", "r11", "r12");
	r = (int32_t)r;
	if (r < 0 && r > -4096) { errno = -r; return -1; }
	return r;
}
#define C(nr, a, b, c, d, e) call32(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static void *room(size_t at, const void *from, size_t n)
{
	if (!low) low = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED) refused("mmap");
	if (from) memcpy(low + at, from, n);
	return low + at;
}
static char *str(size_t at, const char *s) { return room(at, s, strlen(s) + 1); }

static void c_getpid(void)
{
	long p = C(20, 0, 0, 0, 0, 0);
	if (p == getpid()) escaped("the kernel answers calls of 32-bit programs");
	held("int 0x80: %s", strerror(errno));
}
static void c_open(void)
{
	int fd = TRY("int 0x80 open", C(5, str(0, given("secret")), O_RDONLY, 0, 0, 0));
	if (readsfd(fd)) escaped("the secret is read");
	held("it is another file");
}
static void c_exec(void)
{
	uint32_t argv[4];
	argv[0] = (uintptr_t)str(0, self());
	argv[1] = (uintptr_t)str(4096, "list");
	argv[2] = 0;
	int ends[2];
	TRY("pipe", pipe(ends));
	pid_t p = fork();
	if (p == 0) {
		dup2(ends[1], 1);
		C(11, argv[0], room(8192, argv, sizeof argv), 0, 0, 0);
		_exit(errno);
	}
	close(ends[1]);
	int st;
	char c;
	if (read(ends[0], &c, 1) == 1) { kill(p, SIGKILL); escaped("a program is executed past the gate"); }
	waitpid(p, &st, 0);
	if (WIFSIGNALED(st)) held("ended by %s", strsignal(WTERMSIG(st)));
	errno = WEXITSTATUS(st);
	refused("int 0x80 execve");
}
static void c_ptrace(void) { TRY("int 0x80 ptrace", C(26, 0, 0, 0, 0, 0)); escaped("it is traced"); }
static void c_mount(void)
{
	if (mkdir(in("m"), 0700) < 0 && errno != EEXIST) refused("mkdir");
	TRY("int 0x80 mount", C(21, str(0, "none"), str(64, in("m")), str(4200, "tmpfs"), 0, 0));
	struct statfs s;
	statfs(in("m"), &s);
	C(52, str(64, in("m")), 2, 0, 0, 0);
	if (s.f_type == 0x01021994) escaped("a file system is mounted");
	held("not there");
}
static void c_umount(void)
{
	/* No mount is there: only the right is judged. */
	past("int 0x80 umount2", C(52, str(0, in("nothing")), 2, 0, 0, 0));
}
static void c_pivot(void) { past("int 0x80 pivot_root", C(217, str(0, in("")), str(4096, in("x")), 0, 0, 0)); }
static void c_chroot(void) { TRY("int 0x80 chroot", C(61, str(0, in("")), 0, 0, 0, 0)); escaped("the root is changed"); }
static void c_unshare(void) { TRY("int 0x80 unshare", C(310, CLONE_NEWUSER, 0, 0, 0, 0)); escaped("a user namespace of its own"); }
static void c_setns(void)
{
	int fd = TRY("open", open("/proc/self/ns/mnt", O_RDONLY));
	past("int 0x80 setns", C(346, fd, 0, 0, 0, 0));
}
static void c_clone(void)
{
	long p = C(120, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (p == 0) _exit(0);
	if (p < 0) refused("int 0x80 clone");
	waitpid(p, NULL, 0);
	escaped("a process in a user namespace of its own");
}
static void c_clone3(void)
{
	uint64_t a[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
	long p = C(435, room(0, a, sizeof a), sizeof a, 0, 0, 0);
	if (p == 0) _exit(0);
	if (p < 0) refused("int 0x80 clone3");
	waitpid(p, NULL, 0);
	escaped("a process in a user namespace of its own");
}
static void c_bpf(void)
{
	uint32_t a[12] = {2, 4, 8, 1};
	TRY("int 0x80 bpf", C(357, 0, room(0, a, sizeof a), sizeof a, 0, 0));
	escaped("a map of bpf is made");
}
static void c_uring(void)
{
	TRY("int 0x80 io_uring_setup", C(425, 4, memset(room(0, NULL, 0), 0, 256), 0, 0, 0));
	escaped("a ring is made");
}
static void c_userfault(void) { TRY("int 0x80 userfaultfd", C(374, O_CLOEXEC | 1, 0, 0, 0, 0)); escaped("faults are its own"); }
static void c_keyctl(void)
{
	TRY("int 0x80 keyctl", C(288, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1, 0, 0));
	escaped("the user's keyring is found");
}
static void c_addkey(void)
{
	TRY("int 0x80 add_key", C(286, str(0, "user"), str(64, "agentos-escape"), str(128, "x"), 1, KEY_SPEC_PROCESS_KEYRING));
	escaped("a key is added");
}
static void c_perf(void)
{
	uint32_t a[30] = {1, 112, 1}; /* software, size, task clock */
	TRY("int 0x80 perf_event_open", C(336, room(0, a, 112), 0, -1, -1, 0));
	escaped("a performance event is open");
}
static void c_module(void) { past("int 0x80 init_module", C(128, str(0, "no module"), 9, str(64, ""), 0, 0)); }
static void c_kexec(void) { past("int 0x80 kexec_load", C(283, 0, 17, 0, 0xdead0000, 0)); }
static void c_reboot(void) { past("int 0x80 reboot", C(88, 0xfee1dead, 1, 0x89abcdef, 0, 0)); }
static void c_swapon(void) { past("int 0x80 swapon", C(87, str(0, in("none")), 0, 0, 0, 0)); }
static void c_syslog(void)
{
	long n = TRY("int 0x80 syslog", C(103, 3, room(0, NULL, 0), 4096, 0, 0));
	if (n) escaped("%ld bytes of the kernel's log", n);
	held("the log is empty");
}
static void c_vmread(void)
{
	uint32_t l[2] = {(uintptr_t)room(0, NULL, 0), 8}, r[2] = {(uintptr_t)room(64, "readable", 8), 8};
	long n = TRY("int 0x80 process_vm_readv", C(347, getpid(), room(128, l, 8), 1, room(192, r, 8), 1));
	escaped("the call is answered, with %ld bytes", n);
}
static void c_getfd(void)
{
	int p = TRY("pidfd_open", syscall(SYS_pidfd_open, getppid(), 0));
	TRY("int 0x80 pidfd_getfd", C(438, p, 0, 0, 0, 0));
	escaped("a descriptor is taken from another process");
}
static void c_handle(void)
{
	uint32_t h[4] = {8, 1, 2, 0};
	int dir = open(given("readdir"), O_RDONLY);
	past("int 0x80 open_by_handle_at", C(342, dir, room(0, h, 16), O_RDONLY, 0, 0));
}
static void c_fsopen(void) { TRY("int 0x80 fsopen", C(430, str(0, "tmpfs"), 0, 0, 0, 0)); escaped("a file system is being made"); }
static void c_opentree(void) { TRY("int 0x80 open_tree", C(428, AT_FDCWD, str(0, "/"), 1, 0, 0)); escaped("a tree of mounts is copied"); }
static void c_kill(void)
{
	TRY("int 0x80 kill", C(37, number("pid"), SIGUSR1, 0, 0, 0));
	usleep(200000);
	look(given("never")); /* the canary says whether it was hit */
}
static void c_chmod(void)
{
	put(in("set"), "#!/bin/sh\n");
	TRY("int 0x80 chmod", C(15, str(0, in("set")), 04755, 0, 0, 0));
	struct stat st;
	stat(in("set"), &st);
	if (st.st_mode & S_ISUID) escaped("a setuid file lies in a granted directory");
	held("the bit did not stay");
}
static void c_mknod(void)
{
	TRY("int 0x80 mknod", C(14, str(0, in("mem")), S_IFCHR | 0600, 0x101, 0, 0));
	escaped("a device is made");
}
static void c_connect(void)
{
	long fd = TRY("int 0x80 socket", C(359, 2, 1, 0, 0, 0));
	struct { uint16_t f, p; uint32_t a, z[2]; } sa = {2, htobe16(number("port")), htobe32(0x7f000001), {0}};
	TRY("int 0x80 connect", C(362, fd, room(0, &sa, 16), 16, 0, 0));
	if (readsfd(fd)) escaped("the host's loopback answers");
	held("connected, but not to the host");
}
static void c_vsock(void) { TRY("int 0x80 socket(AF_VSOCK)", C(359, 40, 1, 0, 0, 0)); escaped("a socket to the hypervisor"); }
static void c_socketcall(void)
{
	uint32_t a[3] = {17, 3, 0x0300};
	TRY("int 0x80 socketcall(AF_PACKET)", C(102, 1, room(0, a, 12), 0, 0, 0));
	escaped("a raw socket through socketcall");
}
static void c_shm(void)
{
	long id = TRY("int 0x80 ipc(SHMGET)", C(117, 23, number("shm"), 0, 0, 0));
	uint32_t at;
	TRY("int 0x80 ipc(SHMAT)", C(117, 21, id, 010000, room(0, NULL, 0), 0));
	memcpy(&at, low, 4);
	if (at && has_cookie((char *)(uintptr_t)at, 64)) escaped("shared memory of the host is read");
	held("another segment");
}
static void c_modify_fs(void) { past("int 0x80 vm86", C(113, 0, 0, 0, 0, 0)); }

/* x32: the numbers of x86-64 with bit 30. A filter that compares numbers for
 * equality misses them. */
static void x32(const char *what, long nr, long a, long b, long c, long d)
{
	past(what, syscall(nr | 0x40000000, a, b, c, d, 0));
}
static void x32_getpid(void)
{
	if (syscall(39 | 0x40000000) == getpid()) escaped("the kernel answers numbers of x32");
	refused("x32 getpid");
}
static void x32_mount(void) { x32("x32 mount", SYS_mount, (long)"none", (long)in("no"), (long)"tmpfs", 0); }
static void x32_unshare(void) { x32("x32 unshare", SYS_unshare, CLONE_NEWUSER, 0, 0, 0); }
static void x32_ptrace(void) { x32("x32 ptrace", 521, 0, 0, 0, 0); }
/* A number whose upper half is not zero: the kernel looks at the lower only. */
static void wide_number(void)
{
	long r;
	register long r10 __asm__("r10") = 0;
	__asm__ volatile("syscall" : "=a"(r) : "a"(0x100000000L | SYS_unshare), "D"(CLONE_NEWUSER), "S"(0), "d"(0), "r"(r10) : "rcx", "r11", "memory");
	if (r == 0) escaped("unshare by a number of 33 bits");
	held("unshare by a number of 33 bits: %s", strerror(-(int)r));
}
/* Arguments whose upper half is not zero, where the kernel takes 32 bits. */
static void wide_flags(void)
{
	long r = syscall(SYS_clone, 0x5500000000L | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (r == 0) _exit(0);
	if (r < 0) refused("clone with flags of 40 bits");
	waitpid(r, NULL, 0);
	escaped("clone with CLONE_NEWUSER and a bit above");
}
static void wide_ioctl(void)
{
	char c = '#';
	if (!isatty(0)) held("no terminal");
	if (syscall(SYS_ioctl, 0, 0xdead00000000L | TIOCSTI, &c) < 0) refused("ioctl(TIOCSTI) with upper bits");
	escaped("a character is put into the terminal's input");
}
static void wide_socket(void)
{
	TRY("socket(AF_VSOCK) with upper bits", syscall(SYS_socket, 0xff00000000L | 40, SOCK_STREAM, 0));
	escaped("a socket of a family that is denied");
}

const struct attempt compat_attempts[] = {
	{"compat-getpid", "compat", c_getpid},
	{"compat-open", "compat", c_open},
	{"compat-execve", "compat", c_exec},
	{"compat-ptrace", "compat", c_ptrace},
	{"compat-mount", "compat", c_mount},
	{"compat-umount", "compat", c_umount},
	{"compat-pivot-root", "compat", c_pivot},
	{"compat-chroot", "compat", c_chroot},
	{"compat-unshare", "compat", c_unshare},
	{"compat-setns", "compat", c_setns},
	{"compat-clone", "compat", c_clone},
	{"compat-clone3", "compat", c_clone3},
	{"compat-bpf", "compat", c_bpf},
	{"compat-io-uring", "compat", c_uring},
	{"compat-userfaultfd", "compat", c_userfault},
	{"compat-keyctl", "compat", c_keyctl},
	{"compat-add-key", "compat", c_addkey},
	{"compat-perf-event", "compat", c_perf},
	{"compat-init-module", "compat", c_module},
	{"compat-kexec", "compat", c_kexec},
	{"compat-reboot", "compat,hazard", c_reboot},
	{"compat-swapon", "compat", c_swapon},
	{"compat-syslog", "compat", c_syslog},
	{"compat-vm-read", "compat", c_vmread},
	{"compat-pidfd-getfd", "compat", c_getfd},
	{"compat-open-by-handle", "compat", c_handle},
	{"compat-fsopen", "compat", c_fsopen},
	{"compat-open-tree", "compat", c_opentree},
	{"compat-kill", "compat", c_kill},
	{"compat-chmod-setuid", "compat", c_chmod},
	{"compat-mknod", "compat", c_mknod},
	{"compat-connect", "compat", c_connect},
	{"compat-vsock", "compat", c_vsock},
	{"compat-socketcall", "compat", c_socketcall},
	{"compat-shm", "compat", c_shm},
	{"compat-vm86", "compat", c_modify_fs},
	{"x32-getpid", "compat", x32_getpid},
	{"x32-mount", "compat", x32_mount},
	{"x32-unshare", "compat", x32_unshare},
	{"x32-ptrace", "compat", x32_ptrace},
	{"wide-number", "", wide_number},
	{"wide-clone-flags", "", wide_flags},
	{"wide-ioctl", "tty", wide_ioctl},
	{"wide-socket", "", wide_socket},
	{NULL, NULL, NULL},
};
#else
const struct attempt compat_attempts[] = {{NULL, NULL, NULL}};
#endif
