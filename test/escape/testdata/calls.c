/* Calls that a program confined here has no use for, each made so that something
 * comes of it where it is allowed. */
#include "escape.h"
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <sys/fanotify.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>

static volatile uint64_t word = 0x0badcafe;

static pid_t still(void)
{
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0) { word = 0x5eed5eed; for (;;) pause(); }
	usleep(20000);
	return p;
}

static void ptrace_child(void)
{
	pid_t p = still();
	if (ptrace(PTRACE_ATTACH, p, 0, 0) < 0) { int e = errno; kill(p, SIGKILL); errno = e; refused("PTRACE_ATTACH"); }
	waitpid(p, NULL, 0);
	errno = 0;
	long v = ptrace(PTRACE_PEEKDATA, p, &word, 0);
	kill(p, SIGKILL);
	if ((uint32_t)v == 0x5eed5eed) escaped("the memory of another process is read by ptrace");
	refused("PTRACE_PEEKDATA");
}

static void ptrace_seize_child(void)
{
	pid_t p = still();
	long rc = ptrace(PTRACE_SEIZE, p, 0, 0);
	int e = errno;
	kill(p, SIGKILL);
	errno = e;
	if (rc < 0) refused("PTRACE_SEIZE");
	escaped("another process is seized");
}

static void ptrace_traceme(void)
{
	pid_t p = fork();
	if (p == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0) _exit(errno);
		raise(SIGSTOP);
		_exit(0);
	}
	int st;
	waitpid(p, &st, WUNTRACED);
	if (WIFEXITED(st)) { errno = WEXITSTATUS(st); if (errno) refused("PTRACE_TRACEME"); held("not traced"); }
	errno = 0;
	long v = ptrace(PTRACE_PEEKDATA, p, &word, 0);
	int e = errno;
	kill(p, SIGKILL);
	errno = e;
	if (v == 0x0badcafe) escaped("a child is traced and its memory read");
	refused("PTRACE_PEEKDATA");
}

static void ptrace_pid(pid_t p, const char *who)
{
	TRY("PTRACE_SEIZE", ptrace(PTRACE_SEIZE, p, 0, 0));
	escaped("process %d, %s, is traced", p, who);
}

static void ptrace_outside(void)
{
	pid_t p = number("pid");
	TRY("PTRACE_ATTACH", ptrace(PTRACE_ATTACH, p, 0, 0));
	waitpid(p, NULL, __WALL);
	char buf[16];
	for (int i = 0; i < 2; i++) {
		long v = ptrace(PTRACE_PEEKDATA, p, number("address") + i * 8, 0);
		memcpy(buf + i * 8, &v, 8);
	}
	ptrace(PTRACE_DETACH, p, 0, 0);
	if (!memcmp(buf, given("cookie"), 16)) escaped("the memory of process %d outside is read", p);
	held("process %d is not the one outside", p);
}

/* The pids that the launcher itself has in here. */
static void ptrace_first(void) { ptrace_pid(1, "the first"); }
static void ptrace_parent(void)
{
	/* The parent of an attempt is our own; its parent is the launcher's. */
	char buf[512];
	int fd = open("/proc/self/stat", O_RDONLY);
	(void)fd;
	snprintf(buf, sizeof buf, "/proc/%d/stat", getppid());
	FILE *f = fopen(buf, "r");
	int ppid = 0;
	if (!f || fscanf(f, "%*d (%*[^)]) %*c %d", &ppid) != 1 || ppid == 0) held("the launcher has no pid here");
	ptrace_pid(ppid, "which started us");
}

static void vm_read_outside(void)
{
	char buf[64] = "";
	struct iovec l = {buf, sizeof buf}, r = {(void *)number("address"), sizeof buf};
	TRY("process_vm_readv", process_vm_readv(number("pid"), &l, 1, &r, 1, 0));
	if (has_cookie(buf, sizeof buf)) escaped("the memory of the process outside is read");
	held("it is not the process outside");
}

static void vm_write_outside(void)
{
	uint64_t bad = 0x0bad0bad;
	struct iovec l = {&bad, 8}, r = {(void *)(number("address") + 64), 8};
	TRY("process_vm_writev", process_vm_writev(number("pid"), &l, 1, &r, 1, 0));
	escaped("the memory of process %ld is written", number("pid"));
}

static void vm_read_child(void)
{
	pid_t p = still();
	uint64_t got = 0;
	struct iovec l = {&got, 8}, r = {(void *)&word, 8};
	long n = process_vm_readv(p, &l, 1, &r, 1, 0);
	int e = errno;
	kill(p, SIGKILL);
	errno = e;
	if (n < 0) refused("process_vm_readv");
	if (got == 0x5eed5eed) escaped("the memory of another process is read");
	held("nothing was read");
}

static void bpf_map(void)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
	TRY("bpf(MAP_CREATE)", syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a));
	escaped("a map of bpf is made");
}

static void bpf_prog(void)
{
	struct bpf_insn prog[] = {{.code = 0xb7}, {.code = 0x95}};
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (uintptr_t)prog, .insn_cnt = 2, .license = (uintptr_t)"GPL"};
	TRY("bpf(PROG_LOAD)", syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof a));
	escaped("a program of bpf is loaded");
}

static void uring_setup(void)
{
	struct io_uring_params p = {0};
	TRY("io_uring_setup", syscall(SYS_io_uring_setup, 4, &p));
	escaped("a ring is made: its operations pass no filter");
}

/* A file opened by the ring's own thread. */
static void uring_open(void)
{
	struct io_uring_params p = {0};
	int ring = TRY("io_uring_setup", syscall(SYS_io_uring_setup, 4, &p));
	size_t sq = p.sq_off.array + p.sq_entries * 4, cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	char *s = mmap(0, sq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	char *c = mmap(0, cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (s == MAP_FAILED || c == MAP_FAILED || e == MAP_FAILED) refused("mmap of the ring");
	memset(e, 0, sizeof *e);
	e->opcode = IORING_OP_OPENAT;
	e->fd = AT_FDCWD;
	e->addr = (uintptr_t)given("secret");
	((unsigned *)(s + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(s + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	TRY("io_uring_enter", syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0));
	struct io_uring_cqe *done = (void *)(c + p.cq_off.cqes);
	if (readsfd(done->res)) escaped("the secret is opened through a ring");
	held("the ring opened nothing: %s", strerror(-done->res));
}

static void userfault(void)
{
	TRY("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC | 1));
	escaped("faults are handled by the program");
}

static void key_add(void)
{
	long k = TRY("add_key", syscall(SYS_add_key, "user", "agentos-escape", "x", 1, KEY_SPEC_PROCESS_KEYRING));
	escaped("key %ld is added", k);
}

static void key_read(void)
{
	char buf[64] = "";
	long id = number("key");
	if (!id) held("the host has no keyrings");
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
	long n = syscall(SYS_keyctl, KEYCTL_READ, id, buf, sizeof buf);
	if (n < 0) {
		long k = TRY("KEYCTL_SEARCH", syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", "agentos-escape-canary", 0));
		TRY("KEYCTL_READ", syscall(SYS_keyctl, KEYCTL_READ, k, buf, sizeof buf));
	}
	if (has_cookie(buf, sizeof buf)) escaped("a key of the user's is read");
	held("another key");
}

static void key_request(void)
{
	TRY("request_key", syscall(SYS_request_key, "user", "agentos-escape-canary", 0, KEY_SPEC_PROCESS_KEYRING));
	escaped("a key of the user's is found");
}

static void perf(void)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof a, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};
	TRY("perf_event_open", syscall(SYS_perf_event_open, &a, 0, -1, -1, 0));
	escaped("a performance event is open");
}

static void module_init(void) { past("init_module", syscall(SYS_init_module, "no module", 9, "")); }
static void module_finit(void)
{
	put(in("m.ko"), "no module");
	past("finit_module", syscall(SYS_finit_module, open(in("m.ko"), O_RDONLY), "", 0));
}
static void module_delete(void) { past("delete_module", syscall(SYS_delete_module, "agentos_no_such_module", O_NONBLOCK)); }
static void kexec(void) { past("kexec_load", syscall(SYS_kexec_load, 0, 17, 0, 0xdead0000)); }
static void kexec_file(void)
{
#ifdef SYS_kexec_file_load
	past("kexec_file_load", syscall(SYS_kexec_file_load, -1, -1, 0, 0, 0));
#else
	held("no such call here");
#endif
}
/* The magic is wrong on purpose; the check of the right comes before. */
static void rebootcall(void) { past("reboot", syscall(SYS_reboot, 0xfee1dead, 1, 0x89abcdef, 0)); }
static void swap_on(void) { past("swapon", swapon(in("no-such-file"), 0)); }
static void swap_off(void) { past("swapoff", swapoff(in("no-such-file"))); }
static void acct_on(void) { past("acct", acct(in("no-such-file"))); }
static void quota(void)
{
	struct dqblk d;
	past("quotactl", quotactl(QCMD(Q_GETQUOTA, USRQUOTA), "/dev/null", 0, (caddr_t)&d));
}

static void kernel_log(void)
{
	char buf[4096];
	long n = TRY("syslog", klogctl(3, buf, sizeof buf));
	if (n > 0) escaped("%ld bytes of the kernel's log", n);
	held("the log is empty");
}

static void clock_set(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	TRY("clock_settime", clock_settime(CLOCK_REALTIME, &ts));
	escaped("the host's clock is set");
}

static void day_set(void)
{
	struct timeval tv;
	gettimeofday(&tv, NULL);
	TRY("settimeofday", settimeofday(&tv, NULL));
	escaped("the host's clock is set");
}

static void clock_tune(void)
{
	struct timex x = {.modes = 0};
	TRY("adjtimex", adjtimex(&x));
	struct timex y = {.modes = ADJ_TICK, .tick = x.tick};
	TRY("adjtimex(ADJ_TICK)", adjtimex(&y));
	escaped("the host's clock is tuned");
}

static void hostname(void)
{
	char name[128];
	TRY("gethostname", gethostname(name, sizeof name));
	TRY("sethostname", sethostname(name, strlen(name)));
	escaped("the name of the host may be set");
}

static void handle_open(void)
{
	struct { struct file_handle h; unsigned char room[64]; } f = {.h.handle_bytes = 64};
	int mount, dir = open(given("readdir"), O_RDONLY | O_DIRECTORY);
	/* The handle of a granted directory, or one made by guessing: type 1 is
	 * inode and generation, and inode 2 is the root of an ext4. */
	if (name_to_handle_at(dir, "", &f.h, &mount, AT_EMPTY_PATH) < 0) {
		f.h.handle_bytes = 8;
		f.h.handle_type = 1;
		memset(f.h.f_handle, 0, 8);
	}
	for (uint32_t ino = 1; ino < 400; ino++) {
		if (ino > 1) {
			f.h.handle_bytes = 8;
			f.h.handle_type = 1;
			memcpy(f.h.f_handle, &ino, 4);
			memset(f.h.f_handle + 4, 0, 4);
		}
		int fd = open_by_handle_at(dir, &f.h, O_RDONLY | O_DIRECTORY);
		if (fd < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES)) refused("open_by_handle_at");
		if (fd >= 0 && readsat(fd, given("secret") + 1)) escaped("the root of the host by its inode, and the secret");
		if (fd >= 0) { int ok = ino > 1; close(fd); if (ok) escaped("inode %u of the file system is opened by number", ino); }
	}
	held("no handle was accepted");
}

static void fd_steal(void)
{
	int p = syscall(SYS_pidfd_open, number("pid"), 0);
	if (p < 0) refused("pidfd_open");
	int fd = TRY("pidfd_getfd", syscall(SYS_pidfd_getfd, p, number("fd"), 0));
	lseek(fd, 0, SEEK_SET);
	if (readsfd(fd)) escaped("a descriptor of the process outside is taken");
	held("another process's descriptor");
}

static void fd_steal_parent(void)
{
	int p = TRY("pidfd_open", syscall(SYS_pidfd_open, getppid(), 0));
	TRY("pidfd_getfd", syscall(SYS_pidfd_getfd, p, 0, 0));
	escaped("a descriptor is taken from another process");
}

static void fanotify(void)
{
	int fd = TRY("fanotify_init", fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY));
	(void)fd;
	escaped("events of the file system are listened to");
}

static void compare(void)
{
	long rc = syscall(SYS_kcmp, getpid(), getppid(), 0, 0, 0);
	if (rc < 0) refused("kcmp");
	escaped("objects of the kernel are compared by address");
}

static void pages_move(void)
{
	unsigned long none = 1;
	past("migrate_pages", syscall(SYS_migrate_pages, number("pid"), 1, &none, &none));
}

static void io_port(void)
{
#ifdef SYS_iopl
	TRY("iopl", syscall(SYS_iopl, 3));
	escaped("the ports of the machine are open");
#else
	held("no such call here");
#endif
}

static void hangup(void) { past("vhangup", vhangup()); }

static void madvise_outside(void)
{
	int p = TRY("pidfd_open", syscall(SYS_pidfd_open, number("pid"), 0));
	struct iovec v = {(void *)number("address"), 4096};
	past("process_madvise", syscall(SYS_process_madvise, p, &v, 1, 20 /* COLD */, 0));
}

static void limit_outside(void)
{
	struct rlimit64 r = {0}, got = {0};
	pid_t p = number("pid");
	TRY("prlimit64", syscall(SYS_prlimit64, p, RLIMIT_CORE, NULL, &got));
	r = got;
	r.rlim_cur = got.rlim_max ? got.rlim_cur : 0;
	TRY("prlimit64", syscall(SYS_prlimit64, p, RLIMIT_CORE, &r, NULL));
	escaped("a limit of process %d is set", p);
}

static void limit_raise(void)
{
	static const int which[] = {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_SIGPENDING, RLIMIT_RTPRIO};
	for (size_t i = 0; i < COUNT(which); i++) {
		struct rlimit r;
		if (getrlimit(which[i], &r) < 0 || r.rlim_max == RLIM_INFINITY) continue;
		r.rlim_max++;
		if (setrlimit(which[i], &r) == 0) escaped("limit %d is raised to %lu", which[i], (unsigned long)r.rlim_max);
	}
	refused("setrlimit");
}

static void priority_outside(void)
{
	pid_t p = number("pid");
	TRY("setpriority", setpriority(PRIO_PROCESS, p, 1));
	escaped("the priority of process %d is changed", p);
}

static void affinity_outside(void)
{
	cpu_set_t s;
	pid_t p = number("pid");
	TRY("sched_getaffinity", sched_getaffinity(p, sizeof s, &s));
	TRY("sched_setaffinity", sched_setaffinity(p, sizeof s, &s));
	escaped("the processors of process %d are set", p);
}

static void realtime(void)
{
	struct sched_param sp = {.sched_priority = 1};
	TRY("sched_setscheduler", sched_setscheduler(0, SCHED_FIFO, &sp));
	sp.sched_priority = 0;
	sched_setscheduler(0, SCHED_OTHER, &sp);
	escaped("it runs before everything else on the machine");
}

static void nice_negative(void)
{
	TRY("setpriority", setpriority(PRIO_PROCESS, 0, -20));
	escaped("it runs at nice -20");
}

static void io_realtime(void)
{
	TRY("ioprio_set", syscall(SYS_ioprio_set, 1, 0, 1 << 13));
	escaped("its reads and writes go before everybody's");
}

static void caps_raise(void)
{
	struct { uint32_t version; int pid; } h = {0x20080522, 0};
	struct { uint32_t e, p, i; } d[2] = {{1u << 21, 1u << 21, 0}, {0, 0, 0}};
	TRY("capset", syscall(SYS_capset, &h, d));
	escaped("cap_sys_admin is held");
}

static void caps_held(void)
{
	struct { uint32_t version; int pid; } h = {0x20080522, 0};
	struct { uint32_t e, p, i; } d[2] = {{0}};
	TRY("capget", syscall(SYS_capget, &h, d));
	if (d[0].p || d[1].p || d[0].e || d[1].e) escaped("capabilities %08x%08x are held", d[1].p, d[0].p);
	held("no capability");
}

static void caps_bounding(void)
{
	int n = 0;
	for (int c = 0; c < 64; c++)
		if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1) n++;
	if (n && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) escaped("%d capabilities may come back by an execution", n);
	held("%d in the bounding set, and an execution gives none", n);
}

static void privs_new(void)
{
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) < 0) refused("PR_SET_NO_NEW_PRIVS");
	escaped("an execution may give privileges");
}

/* A filter of one's own that allows everything must not undo the one above. */
static void filter_loosen(void)
{
	struct sock_filter f[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
	struct sock_fprog p = {1, f};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	TRY("seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p));
	if (mkdir(in("m"), 0700) < 0 && errno != EEXIST) refused("mkdir");
	TRY("mount after a filter that allows", mount("none", in("m"), "tmpfs", 0, NULL));
	umount2(in("m"), MNT_DETACH);
	escaped("a filter that allows undid the one before it");
}

static void filter_listen(void)
{
	struct sock_filter f[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
	struct sock_fprog p = {1, f};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	TRY("seccomp(NEW_LISTENER)", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p));
	escaped("it answers its own calls in place of the supervisor");
}

static void filter_off(void)
{
	/* Speculation and personality, which past bypasses went through. */
	errno = 0;
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) escaped("no filter is on");
	held("a filter is on");
}

static void uid_zero(void)
{
	if (getuid() == 0) {
		TRY("setresuid to another user", setresuid(1, 1, 1));
		escaped("it became another user");
	}
	TRY("setresuid", setresuid(0, 0, 0));
	escaped("it is user 0");
}

static void groups_set(void)
{
	gid_t g[] = {0, 4, 6};
	TRY("setgroups", setgroups(3, g));
	escaped("it is in the groups of the disk and the log");
}

static void filesystem_uid(void)
{
	syscall(SYS_setfsuid, getuid() ? 0 : 1);
	if (syscall(SYS_setfsuid, -1) == (getuid() ? 0 : 1)) escaped("files are opened as another user");
	held("setfsuid did nothing");
}

const struct attempt calls_attempts[] = {
	{"ptrace-child", "", ptrace_child},
	{"ptrace-seize-child", "", ptrace_seize_child},
	{"ptrace-traceme", "", ptrace_traceme},
	{"ptrace-outside", "", ptrace_outside},
	{"ptrace-pid1", "hazard", ptrace_first},
	{"ptrace-launcher", "hazard", ptrace_parent},
	{"vm-read-outside", "", vm_read_outside},
	{"vm-write-outside", "", vm_write_outside},
	{"vm-read-child", "", vm_read_child},
	{"bpf-map", "", bpf_map},
	{"bpf-program", "", bpf_prog},
	{"io-uring", "", uring_setup},
	{"io-uring-open", "", uring_open},
	{"userfaultfd", "", userfault},
	{"key-add", "", key_add},
	{"key-read", "", key_read},
	{"key-request", "", key_request},
	{"perf-event", "", perf},
	{"module-init", "", module_init},
	{"module-finit", "", module_finit},
	{"module-delete", "", module_delete},
	{"kexec", "", kexec},
	{"kexec-file", "", kexec_file},
	{"reboot", "hazard", rebootcall},
	{"swapon", "", swap_on},
	{"swapoff", "", swap_off},
	{"acct", "", acct_on},
	{"quotactl", "", quota},
	{"syslog", "", kernel_log},
	{"clock-settime", "hazard", clock_set},
	{"settimeofday", "hazard", day_set},
	{"adjtimex", "hazard", clock_tune},
	{"sethostname", "hazard", hostname},
	{"open-by-handle", "", handle_open},
	{"pidfd-getfd-outside", "", fd_steal},
	{"pidfd-getfd-parent", "", fd_steal_parent},
	{"fanotify", "", fanotify},
	{"kcmp", "", compare},
	{"migrate-pages-outside", "", pages_move},
	{"iopl", "", io_port},
	{"vhangup", "hazard", hangup},
	{"process-madvise-outside", "", madvise_outside},
	{"prlimit-outside", "", limit_outside},
	{"rlimit-raise", "", limit_raise},
	{"setpriority-outside", "", priority_outside},
	{"affinity-outside", "", affinity_outside},
	{"realtime", "hazard", realtime},
	{"nice-negative", "", nice_negative},
	{"ioprio-realtime", "", io_realtime},
	{"capabilities-raise", "", caps_raise},
	{"capabilities-held", "", caps_held},
	{"capabilities-bounding", "", caps_bounding},
	{"no-new-privs", "", privs_new},
	{"seccomp-loosen", "", filter_loosen},
	{"seccomp-listener", "", filter_listen},
	{"seccomp-off", "", filter_off},
	{"uid-change", "", uid_zero},
	{"setgroups", "", groups_set},
	{"setfsuid", "", filesystem_uid},
	{NULL, NULL, NULL},
};
