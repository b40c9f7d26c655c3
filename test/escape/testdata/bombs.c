/* Consumption. Each stops by itself at four times the limit that the test set, so
 * that it is harmless where nothing holds it, and says how far it came. */
#include "escape.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <mqueue.h>
#include <time.h>

#define MB (1L << 20)

static void b_fork(void)
{
	long limit = number("pids"), n = 0;
	for (; n < 4 * limit; n++) {
		pid_t p = fork();
		if (p < 0) break;
		if (p == 0) { sleep(3); _exit(0); }
	}
	if (n > limit) escaped("%ld processes, the limit is %ld", n, limit);
	held("%ld processes, then: %s", n, strerror(errno));
}
/* Every child makes children. It counts in shared memory. */
static void b_fork_tree(void)
{
	long limit = number("pids");
	long *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t top = getpid();
	for (int i = 0; i < 14 && __atomic_load_n(n, __ATOMIC_SEQ_CST) < 4 * limit; i++)
		if (fork() == 0) __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
	sleep(1);
	if (getpid() != top) _exit(0);
	if (*n > limit) escaped("%ld processes, the limit is %ld", *n, limit);
	held("%ld processes", *n);
}
static void *idle(void *x) { sleep(3); return x; }
static void b_threads(void)
{
	long limit = number("pids"), n = 0;
	pthread_attr_t a;
	pthread_t t;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	while (n < 4 * limit && pthread_create(&t, &a, idle, NULL) == 0) n++;
	if (n > limit) escaped("%ld threads, the limit is %ld", n, limit);
	held("%ld threads", n);
}
static void over(const char *what, long got, long limit)
{
	if (got >= 2 * limit) escaped("%ld MiB of %s, the limit is %ld", got / MB, what, limit / MB);
	held("%ld MiB of %s, then: %s", got / MB, what, strerror(errno));
}
static void b_memory(void)
{
	long limit = number("memory"), n = 0;
	for (; n < 4 * limit; n += MB) {
		char *p = mmap(NULL, MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) break;
		memset(p, 1, MB);
	}
	over("memory", n, limit);
}
/* Many processes, none of which has much. */
static void b_memory_many(void)
{
	long limit = number("memory");
	long *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 16; i++)
		if (fork() == 0) {
			for (long k = 0; k < limit / 8; k += MB) {
				char *p = mmap(NULL, MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				if (p == MAP_FAILED) break;
				memset(p, 1, MB);
				__atomic_add_fetch(n, MB, __ATOMIC_SEQ_CST);
			}
			sleep(1);
			_exit(0);
		}
	int lost = 0, st;
	while (wait(&st) > 0) lost += WIFSIGNALED(st);
	if (*n >= 2 * limit && !lost) escaped("%ld MiB in 16 processes, the limit is %ld", *n / MB, limit / MB);
	held("%ld MiB, %d processes were ended", *n / MB, lost);
}
static void fill(int fd, const char *what, long limit)
{
	static char b[MB];
	long n = 0;
	memset(b, 1, sizeof b);
	for (; n < 4 * limit; n += MB)
		if (write(fd, b, MB) < 0) break;
	over(what, n, limit);
}
static void b_memfd(void) { fill(TRY("memfd_create", syscall(SYS_memfd_create, "x", 0)), "memory files", number("memory")); }
static void b_shmfs(void)
{
	int fd = TRY("/dev/shm", open("/dev/shm/escape-bomb", O_RDWR | O_CREAT, 0600));
	unlink("/dev/shm/escape-bomb");
	fill(fd, "/dev/shm", number("memory"));
}
static void b_shm(void)
{
	long limit = number("memory"), n = 0;
	for (; n < 4 * limit; n += 8 * MB) {
		int id = shmget(IPC_PRIVATE, 8 * MB, IPC_CREAT | 0600);
		if (id < 0) break;
		char *p = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		if (p == (void *)-1) break;
		memset(p, 1, 8 * MB);
	}
	over("shared segments", n, limit);
}
static void b_pipes(void)
{
	static char b[MB];
	long limit = number("memory"), n = 0;
	int p[2];
	while (n < 4 * limit && pipe(p) == 0) {
		fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
		fcntl(p[1], F_SETFL, O_NONBLOCK);
		for (ssize_t m; (m = write(p[1], b, sizeof b)) > 0;) n += m;
	}
	over("pipes", n, limit);
}
static void b_sockets(void)
{
	static char b[65536];
	long limit = number("memory"), n = 0;
	int s[2];
	while (n < 4 * limit && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0)
		for (ssize_t m; (m = write(s[1], b, sizeof b)) > 0;) n += m;
	over("socket buffers", n, limit);
}
static void b_tables(void)
{
	/* One page in every two megabytes: page tables instead of pages. */
	long limit = number("memory"), n = 0;
	char *p = mmap(NULL, limit * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) refused("mmap");
	madvise(p, limit * 1024, MADV_NOHUGEPAGE);
	for (long i = 0; i < limit * 1024; i += 2 * MB, n += 8192) *(volatile char *)(p + i) = 1;
	over("pages and their tables", n, limit);
}
static void b_mlock(void)
{
	long limit = number("memory");
	char *p = mmap(NULL, 4 * limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) refused("mmap");
	TRY("mlock", mlock(p, 4 * limit));
	escaped("%ld MiB are locked in memory", 4 * limit / MB);
}
static void disk(const char *const *dirs, size_t count)
{
	static char b[MB];
	long limit = number("disk"), n = 0;
	memset(b, 1, sizeof b);
	for (size_t i = 0; i < count; i++) {
		char p[4200];
		snprintf(p, sizeof p, "%s/escape-disk-%d", dirs[i], getpid());
		int fd = open(p, O_RDWR | O_CREAT, 0600);
		unlink(p);
		while (fd >= 0 && n < 4 * limit && write(fd, b, MB) == MB) n += MB;
	}
	over("private disk", n, limit);
}
static void b_disk(void) { const char *d[] = {"/tmp"}; disk(d, 1); }
/* Every private place has the whole limit? Together they must not. */
static void b_disk_all(void)
{
	const char *d[] = {"/tmp", "/var/tmp", "/run", "/dev/shm", given("home")};
	disk(d, COUNT(d));
}
static void b_fallocate(void)
{
	long limit = number("disk");
	int fd = TRY("open", open("/tmp/escape-fallocate", O_RDWR | O_CREAT, 0600));
	unlink("/tmp/escape-fallocate");
	TRY("fallocate", fallocate(fd, 0, 0, 4 * limit));
	escaped("%ld MiB are reserved, the limit is %ld", 4 * limit / MB, limit / MB);
}
static void b_inodes(void)
{
	/* Empty files use no disk, and memory all the same. */
	long n = 0, limit = number("memory") / 1024;
	mkdir("/tmp/escape-inodes", 0700);
	if (chdir("/tmp/escape-inodes") < 0) refused("chdir");
	for (; n < limit; n++) {
		char p[32];
		snprintf(p, sizeof p, "%ld", n);
		int fd = open(p, O_CREAT | O_WRONLY, 0600);
		if (fd < 0) break;
		close(fd);
	}
	int e = errno;
	for (long i = 0; i < n; i++) { char p[32]; snprintf(p, sizeof p, "%ld", i); unlink(p); }
	rmdir("/tmp/escape-inodes");
	errno = e;
	if (n == limit) escaped("%ld files, about as much memory as the limit", n);
	held("%ld files, then: %s", n, strerror(errno));
}
static void b_fds(void)
{
	long limit = number("files"), n = 0;
	while (n < 4 * limit && dup(0) >= 0) n++;
	if (n > limit) escaped("%ld descriptors, the limit is %ld", n, limit);
	held("%ld descriptors, then: %s", n, strerror(errno));
}
/* Files of the whole machine: many processes of many descriptors each. */
static void b_fds_all(void)
{
	long limit = number("files") * number("pids");
	long *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < number("pids"); i++)
		if (fork() == 0) {
			while (*n < 2 * limit && eventfd(0, 0) >= 0) __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
			usleep(300000);
			_exit(0);
		}
	while (wait(NULL) > 0) {}
	if (*n > limit) escaped("%ld open files, the limits allow %ld", *n, limit);
	held("%ld open files", *n);
}
/* Descriptors in flight are nobody's. */
static void b_flight(void)
{
	long limit = number("files"), n = 0;
	int s[2];
	char c[CMSG_SPACE(sizeof(int) * 200)];
	for (; n < 16 * limit; n += 200) {
		if (n % 2000 == 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) < 0) break;
		struct iovec v = {"x", 1};
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * 200);
		for (int i = 0; i < 200; i++) memcpy(CMSG_DATA(h) + i * 4, &s[0], 4);
		if (sendmsg(s[1], &m, 0) < 0) break;
	}
	if (n >= 16 * limit) escaped("%ld descriptors are in flight, the limit is %ld", n, limit);
	held("%ld descriptors in flight, then: %s", n, strerror(errno));
}
/* What the kernel counts for a user and not for a process: the host's own user
 * must be left some. hold tells the test to try while these are held. */
static void hold(long n, const char *what)
{
	put(in("holding"), what);
	sleep(2);
	look(given("never"));
	(void)n;
}
static void b_inotify(void)
{
	long n = 0;
	for (int k = 0; k < 40 && n < 4096; k++)
		if (fork() == 0) {
			while (inotify_init() >= 0) {}
			sleep(4);
			_exit(0);
		}
	usleep(300000);
	hold(n, "inotify");
}
static void b_ptys(void)
{
	for (int k = 0; k < 40; k++)
		if (fork() == 0) {
			while (open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0) {}
			sleep(4);
			_exit(0);
		}
	usleep(300000);
	hold(0, "pty");
}
static void b_queues(void)
{
	char name[32];
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "/escape-%d-%d", getpid(), i);
		mqd_t q = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
		mq_unlink(name);
		if (q == (mqd_t)-1) break;
	}
	hold(0, "mqueue");
}
static void b_signals(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	union sigval v = {0};
	for (long i = 0; i < 300000 && sigqueue(getpid(), SIGRTMIN, v) == 0; i++) {}
	hold(0, "sigqueue");
}
static void spill(int fd)
{
	static char b[65536];
	long limit = number("output"), n = 0;
	memset(b, 'x', sizeof b);
	for (ssize_t m; n < 4 * limit && (m = write(fd, b, sizeof b)) > 0;) n += m;
	usleep(200000);
	over("output", n, limit);
}
static void b_stdout(void) { spill(1); }
static void b_stderr(void) { spill(2); }
static void b_spin(void)
{
	/* Alone and by children that die at once: the sum counts. */
	struct rusage r;
	for (;;) {
		if (fork() == 0) { for (volatile long i = 0; i < 30000000; i++) {} _exit(0); }
		wait(NULL);
		getrusage(RUSAGE_CHILDREN, &r);
		if (r.ru_utime.tv_sec >= 4 * number("cpu")) escaped("%ld s of processor, the limit is %ld", (long)r.ru_utime.tv_sec, number("cpu"));
	}
}
static void b_sleep(void)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (time_t end = time(NULL) + number("wall") * 3; time(NULL) < end;) sleep(1);
	escaped("it ran three times as long as it may");
}

const struct attempt bombs_attempts[] = {
	{"bomb-fork", "bomb", b_fork},
	{"bomb-fork-tree", "bomb", b_fork_tree},
	{"bomb-threads", "bomb", b_threads},
	{"bomb-memory", "bomb", b_memory},
	{"bomb-memory-many", "bomb", b_memory_many},
	{"bomb-memfd", "bomb", b_memfd},
	{"bomb-dev-shm", "bomb", b_shmfs},
	{"bomb-sysv-shm", "bomb", b_shm},
	{"bomb-pipes", "bomb", b_pipes},
	{"bomb-sockets", "bomb", b_sockets},
	{"bomb-page-tables", "bomb", b_tables},
	{"bomb-mlock", "bomb", b_mlock},
	{"bomb-disk", "bomb", b_disk},
	{"bomb-disk-everywhere", "bomb", b_disk_all},
	{"bomb-fallocate", "bomb", b_fallocate},
	{"bomb-inodes", "bomb", b_inodes},
	{"bomb-descriptors", "bomb", b_fds},
	{"bomb-descriptors-many", "bomb", b_fds_all},
	{"bomb-descriptors-in-flight", "bomb", b_flight},
	{"bomb-inotify", "bomb", b_inotify},
	{"bomb-ptys", "bomb", b_ptys},
	{"bomb-queues", "bomb", b_queues},
	{"bomb-signals", "bomb", b_signals},
	{"bomb-stdout", "bomb", b_stdout},
	{"bomb-stderr", "bomb", b_stderr},
	{"bomb-cpu", "bomb,cpu", b_spin},
	{"bomb-time", "bomb,wall", b_sleep},
	{NULL, NULL, NULL},
};
