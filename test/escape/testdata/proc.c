/* What /proc, /sys and the device files lead to. */
#include "escape.h"
#include <dirent.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

/* each calls what for every process that is not one of ours. */
static int others;
static void each(void (*what)(const char *pid))
{
	DIR *d = opendir("/proc");
	if (!d) refused("/proc");
	struct dirent *e;
	while ((e = readdir(d))) {
		char p[64];
		int ppid = 0;
		long pid = strtol(e->d_name, NULL, 10);
		if (pid <= 0 || pid == getpid() || pid == getppid()) continue;
		snprintf(p, sizeof p, "/proc/%ld/stat", pid);
		FILE *f = fopen(p, "re");
		if (f) { if (fscanf(f, "%*d (%*[^)]) %*c %d", &ppid) != 1) ppid = 0; fclose(f); }
		if (ppid == getpid()) continue;
		others++;
		what(e->d_name);
	}
	closedir(d);
}
#define OF(fmt) char path[512]; snprintf(path, sizeof path, "/proc/%s/" fmt, pid)

static void environ_of(const char *pid) { OF("environ"); if (reads(path)) escaped("the environment of process %s", pid); }
static void root_of(const char *pid)
{
	char path[4200];
	snprintf(path, sizeof path, "/proc/%s/root%s", pid, given("secret"));
	if (reads(path)) escaped("the root of process %s leads to the secret", pid);
}
static void cwd_of(const char *pid)
{
	OF("cwd/secret");
	if (reads(path)) escaped("the working directory of process %s leads to the secret", pid);
}
static void fds_of(const char *pid)
{
	OF("fd");
	DIR *d = opendir(path);
	if (!d) return;
	struct dirent *e;
	while ((e = readdir(d))) {
		char f[1024];
		snprintf(f, sizeof f, "%s/%s", path, e->d_name);
		struct stat st;
		if (e->d_name[0] == '.' || stat(f, &st) < 0 || !S_ISREG(st.st_mode)) continue;
		if (reads(f)) escaped("descriptor %s of process %s is the secret", e->d_name, pid);
	}
	closedir(d);
}
static void mem_of(const char *pid)
{
	OF("mem");
	int fd = open(path, O_RDONLY);
	if (fd < 0) return;
	char b[64];
	if (pread(fd, b, sizeof b, number("address")) == sizeof b && has_cookie(b, sizeof b)) escaped("the memory of process %s", pid);
	close(fd);
}
static void memw_of(const char *pid)
{
	OF("mem");
	int fd = open(path, O_RDWR);
	if (fd >= 0) escaped("the memory of process %s, which is not ours, is open for writing", pid);
}
static void maps_of(const char *pid)
{
	OF("maps");
	char c;
	int fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, &c, 1) == 1) escaped("the addresses of process %s, which is not ours", pid);
	if (fd >= 0) close(fd);
}
static void cmdline_of(const char *pid)
{
	OF("cmdline");
	char b[8192];
	int fd = open(path, O_RDONLY);
	int n = fd >= 0 ? read(fd, b, sizeof b) : 0;
	if (fd >= 0) close(fd);
	if (n > 0 && memmem(b, n, "canary", 6)) escaped("the process outside is seen as %s", pid);
}
static void syscall_of(const char *pid) { OF("syscall"); char c; int fd = open(path, O_RDONLY); if (fd >= 0 && read(fd, &c, 1) == 1) escaped("the registers of process %s", pid); }
static void score_of(const char *pid)
{
	OF("oom_score_adj");
	char b[32];
	if (!strcmp(pid, "1") && !strcmp(given("namespaces"), "yes")) return; /* of our own namespace */
	int fd = open(path, O_RDWR);
	if (fd < 0) return;
	int n = read(fd, b, sizeof b);
	if (n > 0 && pwrite(fd, b, n, 0) == n) escaped("which process dies first is set for %s", pid);
}

#define SCAN(fn, of) static void fn(void) { each(of); held("none of %d processes", others); }
SCAN(p_environ, environ_of)
SCAN(p_root, root_of)
SCAN(p_cwd, cwd_of)
SCAN(p_fd, fds_of)
SCAN(p_mem, mem_of)
SCAN(p_memw, memw_of)
SCAN(p_maps, maps_of)
SCAN(p_cmdline, cmdline_of)
SCAN(p_syscall, syscall_of)
SCAN(p_score, score_of)

static void p_exe(void)
{
	/* The launcher's own program, to be changed through a link of the kernel. */
	struct stat st;
	struct statvfs fs;
	const char *who[] = {"1", "self"};
	for (size_t i = 0; i < COUNT(who); i++) {
		char p[64];
		snprintf(p, sizeof p, "/proc/%s/exe", who[i]);
		int fd = open(p, O_WRONLY | O_APPEND);
		if (fd >= 0 && fstat(fd, &st) == 0) escaped("the program of %s is open for writing", who[i]);
		/* Busy now, perhaps not when the file is opened again later. */
		int r = open(p, O_PATH);
		snprintf(p, sizeof p, "/proc/self/fd/%d", r);
		fd = r >= 0 ? open(p, O_WRONLY | O_APPEND) : -1;
		if (fd >= 0) escaped("the program of %s is open for writing", who[i]);
		/* The kernel looks at whether it is busy first, and at the mount later. */
		int busy = errno == ETXTBSY;
		if (i == 1 && busy && fstatvfs(r, &fs) == 0 && !(fs.f_flag & ST_RDONLY)) escaped("the program itself could be overwritten when it has ended: only its being busy stops it");
	}
	held("no program is writable: %s", strerror(errno));
}

static void p_score_self(void)
{
	char b[32] = "";
	int fd = TRY("oom_score_adj", open("/proc/self/oom_score_adj", O_RDWR));
	if (write(fd, "-1000", 5) < 0) refused("oom_score_adj");
	pread(fd, b, sizeof b - 1, 0);
	if (!strncmp(b, "-1000", 5)) escaped("the kernel will not end it when memory is short");
	held("%s", b);
}

/* same writes to a knob what it already says. */
static void same(const char *path)
{
	char b[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int n = fd >= 0 ? read(fd, b, sizeof b) : -1;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) refused(path);
	if (n <= 0) { n = 1; b[0] = '\n'; }
	if (write(fd, b, n) < 0) refused(path);
	escaped("%s can be written", path);
}
static void s_core(void) { same("/proc/sys/kernel/core_pattern"); }
static void s_modprobe(void) { same("/proc/sys/kernel/modprobe"); }
static void s_hotplug(void) { same("/proc/sys/kernel/hotplug"); }
static void s_random(void) { same("/proc/sys/kernel/randomize_va_space"); }
static void s_panic(void) { same("/proc/sys/kernel/panic"); }
static void s_hostname(void) { same("/proc/sys/kernel/hostname"); }
static void s_overcommit(void) { same("/proc/sys/vm/overcommit_memory"); }
static void s_symlinks(void) { same("/proc/sys/fs/protected_symlinks"); }
static void s_ptrace(void) { same("/proc/sys/kernel/yama/ptrace_scope"); }
static void s_lastpid(void) { same("/proc/sys/kernel/ns_last_pid"); }
static void s_userns(void) { same("/proc/sys/user/max_user_namespaces"); }
static void s_forward(void) { same("/proc/sys/net/ipv4/ip_forward"); }
static void s_binfmt(void)
{
	int fd = open("/proc/sys/fs/binfmt_misc/register", O_WRONLY);
	if (fd < 0) refused("binfmt_misc");
	escaped("the host executes what is registered here");
}
static void s_sysrq(void)
{
	int fd = TRY("/proc/sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY));
	if (write(fd, "h", 1) < 0) refused("sysrq-trigger"); /* prints its help */
	escaped("keys of the magic kind can be pressed");
}
static void s_irq(void) { same("/proc/irq/default_smp_affinity"); }

static void readable(const char *path)
{
	char b[16];
	int fd = TRY(path, open(path, O_RDONLY | O_NONBLOCK));
	long n = pread(fd, b, sizeof b, 0);
	if (n < 0 && errno == ESPIPE) n = read(fd, b, sizeof b);
	if (n < 0) refused(path);
	if (n == 0) held("%s is empty", path);
	escaped("%s can be read", path);
}
static void r_kcore(void) { readable("/proc/kcore"); }
static void r_kmsg(void) { readable("/proc/kmsg"); }
static void r_keys(void) { readable("/proc/keys"); }
static void r_timers(void) { readable("/proc/timer_list"); }
static void r_iomem(void) { readable("/proc/iomem"); }
static void r_kallsyms(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	unsigned long a;
	if (!f) refused("/proc/kallsyms");
	while (fscanf(f, "%lx%*[^\n]", &a) == 1)
		if (a) escaped("addresses of the kernel: %lx", a);
	held("addresses are all zero");
}
static void r_sysfs(void)
{
	DIR *d = opendir("/sys/kernel");
	if (!d) refused("/sys/kernel");
	escaped("the kernel's own directory in /sys is there");
}
static void w_uevent(void) { same("/sys/kernel/uevent_helper"); }
static void w_power(void)
{
	int fd = TRY("/sys/power/state", open("/sys/power/state", O_WRONLY));
	(void)fd;
	escaped("the machine can be put to sleep");
}
static void w_cgroup(void)
{
	/* Out of one's own cgroup into the one above all. */
	const char *roots[] = {"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"};
	for (size_t i = 0; i < COUNT(roots); i++) {
		int fd = open(roots[i], O_WRONLY);
		if (fd >= 0 && write(fd, "0", 1) == 1) escaped("out of its limits by %s", roots[i]);
	}
	refused("/sys/fs/cgroup");
}
static void w_release(void)
{
	const char *p[] = {"/sys/fs/cgroup/systemd/release_agent", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/pids/release_agent"};
	for (size_t i = 0; i < COUNT(p); i++) {
		int fd = open(p[i], O_WRONLY);
		if (fd >= 0) escaped("%s: the host would run our program", p[i]);
	}
	refused("release_agent");
}

static void device(const char *path, int how)
{
	struct stat st;
	int fd = TRY(path, open(path, how | O_NONBLOCK | O_NOCTTY));
	if (fstat(fd, &st) < 0 || !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) held("%s is no device", path);
	escaped("%s is open", path);
}
static void d_mem(void) { device("/dev/mem", O_RDONLY); }
static void d_kmsg(void) { device("/dev/kmsg", O_RDWR); }
static void d_fuse(void) { device("/dev/fuse", O_RDWR); }
static void d_kvm(void) { device("/dev/kvm", O_RDWR); }
static void d_loop(void) { device("/dev/loop-control", O_RDWR); }
static void d_tun(void) { device("/dev/net/tun", O_RDWR); }
static void d_vsock(void) { device("/dev/vsock", O_RDONLY); }
static void d_userfault(void) { device("/dev/userfaultfd", O_RDWR); }
static void d_console(void) { device("/dev/console", O_RDWR); }
static void d_tty1(void) { device("/dev/tty1", O_RDWR); }
static void d_disk(void)
{
	struct stat st;
	const char *disks[] = {"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/dm-0", "/dev/loop0", "/dev/zram0"};
	for (size_t i = 0; i < COUNT(disks); i++) {
		int fd = open(disks[i], O_RDONLY);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode)) escaped("the disk %s is open", disks[i]);
	}
	refused("every disk");
}
static void d_list(void)
{
	static const char *fine[] = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "fd", "stdin", "stdout", "stderr", "shm", "core", "mqueue"};
	DIR *d = opendir("/dev");
	if (!d) refused("/dev");
	struct dirent *e;
	while ((e = readdir(d))) {
		size_t i = 0;
		if (e->d_name[0] == '.') continue;
		while (i < COUNT(fine) && strcmp(e->d_name, fine[i])) i++;
		if (i == COUNT(fine)) escaped("/dev/%s is more than a program needs", e->d_name);
	}
	held("only the devices that every program needs");
}
static void d_make(const char *name, mode_t kind, dev_t dev)
{
	const char *where[] = {in(name), "/tmp/escape-node", "/dev/shm/escape-node", "/dev/escape-node", "/run/escape-node"};
	for (size_t i = 0; i < COUNT(where); i++)
		if (mknod(where[i], kind | 0600, dev) == 0) {
			int fd = open(where[i], O_RDONLY | O_NONBLOCK);
			int e = errno;
			unlink(where[i]);
			if (fd >= 0) escaped("a device of number %u:%u is made and open", major(dev), minor(dev));
			escaped("a device of number %u:%u is made (%s)", major(dev), minor(dev), strerror(e));
		}
	refused("mknod");
}
static void d_make_disk(void)
{
	struct stat st;
	stat(given("readdir"), &st);
	d_make("disk", S_IFBLK, st.st_dev);
}
static void d_make_mem(void) { d_make("mem", S_IFCHR, makedev(1, 1)); }
static void d_make_kmsg(void) { d_make("kmsg", S_IFCHR, makedev(1, 11)); }
static void d_granted(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/node", given("readdir")); /* made by the test, if it may */
	device(p, O_RDONLY);
}

const struct attempt proc_attempts[] = {
	{"proc-environ", "", p_environ},
	{"proc-root", "", p_root},
	{"proc-cwd", "", p_cwd},
	{"proc-fd", "", p_fd},
	{"proc-mem", "", p_mem},
	{"proc-mem-write", "", p_memw},
	{"proc-maps", "", p_maps},
	{"proc-cmdline", "", p_cmdline},
	{"proc-syscall", "", p_syscall},
	{"proc-oom-score", "", p_score},
	{"proc-oom-score-self", "", p_score_self},
	{"proc-exe-overwrite", "", p_exe},
	{"sysctl-core-pattern", "hazard", s_core},
	{"sysctl-modprobe", "hazard", s_modprobe},
	{"sysctl-hotplug", "hazard", s_hotplug},
	{"sysctl-randomize", "hazard", s_random},
	{"sysctl-panic", "hazard", s_panic},
	{"sysctl-hostname", "hazard", s_hostname},
	{"sysctl-overcommit", "hazard", s_overcommit},
	{"sysctl-symlinks", "hazard", s_symlinks},
	{"sysctl-ptrace-scope", "hazard", s_ptrace},
	{"sysctl-last-pid", "hazard", s_lastpid},
	{"sysctl-user-namespaces", "hazard", s_userns},
	{"sysctl-ip-forward", "hazard", s_forward},
	{"binfmt-register", "", s_binfmt},
	{"sysrq", "hazard", s_sysrq},
	{"irq-affinity", "hazard", s_irq},
	{"proc-kcore", "", r_kcore},
	{"proc-kmsg", "", r_kmsg},
	{"proc-keys", "", r_keys},
	{"proc-timer-list", "", r_timers},
	{"proc-iomem", "", r_iomem},
	{"proc-kallsyms", "", r_kallsyms},
	{"sys-kernel", "", r_sysfs},
	{"uevent-helper", "hazard", w_uevent},
	{"power-state", "", w_power},
	{"cgroup-leave", "", w_cgroup},
	{"cgroup-release-agent", "", w_release},
	{"dev-mem", "", d_mem},
	{"dev-kmsg", "", d_kmsg},
	{"dev-fuse", "", d_fuse},
	{"dev-kvm", "", d_kvm},
	{"dev-loop-control", "", d_loop},
	{"dev-tun", "", d_tun},
	{"dev-vsock", "", d_vsock},
	{"dev-userfaultfd", "", d_userfault},
	{"dev-console", "", d_console},
	{"dev-tty1", "", d_tty1},
	{"dev-disk", "", d_disk},
	{"dev-list", "", d_list},
	{"mknod-disk", "", d_make_disk},
	{"mknod-mem", "", d_make_mem},
	{"mknod-kmsg", "", d_make_kmsg},
	{"dev-in-grant", "", d_granted},
	{NULL, NULL, NULL},
};
