/* Executions in unusual ways. A program that is executed anew must be as confined
 * as the one before: it tries to read the secret, and to reach outside. */
#include "escape.h"
#include <mqueue.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void block(int sig)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, sig);
	sigprocmask(SIG_BLOCK, &s, NULL);
	signal(sig, SIG_DFL);
}

/* role is what the executed copy does. */
int role(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[2], "whoami")) {
		char b[4096] = "", *c = NULL;
		int fd = open("/proc/self/status", O_RDONLY);
		if (fd >= 0 && read(fd, b, sizeof b - 1) > 0) c = strstr(b, "CapEff:");
		printf("uid %d %d caps %.16s\n", getuid(), geteuid(), c ? c + 8 : "unknown");
		return 0;
	}
	if (argc > 4 && !strcmp(argv[2], "secret")) {
		char b[256] = "";
		int fd = open(argv[3], O_RDONLY);
		if (fd >= 0 && read(fd, b, sizeof b) > 0 && strstr(b, argv[4])) { puts("the secret"); return 0; }
		printf("no secret: %s\n", strerror(errno));
		return 0;
	}
	if (argc > 3 && !strcmp(argv[2], "health")) {
		/* Is there some left for the host's own user? The test runs this outside. */
		union sigval v = {0};
		int bad = !strcmp(argv[3], "inotify") ? inotify_init()
			: !strcmp(argv[3], "pty") ? open("/dev/ptmx", O_RDWR | O_NOCTTY)
			: !strcmp(argv[3], "mqueue") ? mq_open("/escape-health", O_CREAT | O_RDWR, 0600, NULL)
			: (block(SIGRTMIN + 1), sigqueue(getpid(), SIGRTMIN + 1, v));
		if (bad < 0) { printf("%s: %s\n", argv[3], strerror(errno)); return 1; }
		mq_unlink("/escape-health");
		return 0;
	}
	if (argc > 3 && !strcmp(argv[2], "wait")) { sleep(atoi(argv[3])); return 0; }
	return 2;
}

static char *job[] = {NULL, "role", "secret", NULL, NULL, NULL};
static char **order(void)
{
	job[0] = (char *)self();
	job[3] = (char *)given("secret");
	job[4] = (char *)given("cookie");
	return job;
}
static int ends[2];
static void result(pid_t p, const char *how)
{
	char b[512] = "";
	int n = 0, m, st;
	close(ends[1]);
	while (n < (int)sizeof b - 1 && (m = read(ends[0], b + n, sizeof b - 1 - n)) > 0) n += m;
	waitpid(p, &st, 0);
	if (strstr(b, "the secret")) escaped("a program executed by %s reads the secret", how);
	held("%s: %s (status %x)", how, *b ? b : "it said nothing", st);
}
static pid_t begin(void)
{
	order();
	TRY("pipe", pipe(ends));
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0) { dup2(ends[1], 1); close(ends[0]); }
	return p;
}
static int copy(int to)
{
	char b[65536];
	ssize_t n;
	int from = TRY("open of this program", open(self(), O_RDONLY));
	while ((n = read(from, b, sizeof b)) > 0)
		if (write(to, b, n) != n) refused("write");
	close(from);
	return to;
}

static void e_plain(void)
{
	pid_t p = begin();
	if (p == 0) { execv(self(), order()); _exit(99); }
	result(p, "execve");
}
static void e_memfd(void)
{
	int fd = copy(TRY("memfd_create", syscall(SYS_memfd_create, "x", 1)));
	pid_t p = begin();
	if (p == 0) { fexecve(fd, order(), environ); _exit(99); }
	result(p, "fexecve of memory");
}
static void e_memfd_proc(void)
{
	int fd = copy(TRY("memfd_create", syscall(SYS_memfd_create, "x", 0)));
	pid_t p = begin();
	if (p == 0) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		execv(path, order());
		_exit(99);
	}
	result(p, "execve of /proc/self/fd");
}
static void e_at(void)
{
	int fd = TRY("open", open(self(), O_PATH));
	pid_t p = begin();
	if (p == 0) { syscall(SYS_execveat, fd, "", order(), environ, AT_EMPTY_PATH); _exit(99); }
	result(p, "execveat of a path descriptor");
}
static void e_thread_body(void) { execv(self(), order()); _exit(99); }
static void *e_thread_start(void *x) { (void)x; e_thread_body(); return NULL; }
static void e_thread(void)
{
	pid_t p = begin();
	if (p == 0) {
		pthread_t t;
		pthread_create(&t, NULL, e_thread_start, NULL);
		for (;;) pause();
	}
	result(p, "execve in a second thread");
}
static void e_vfork(void)
{
	order();
	TRY("pipe", pipe(ends));
	pid_t p = vfork();
	if (p < 0) refused("vfork");
	if (p == 0) { dup2(ends[1], 1); execv(self(), job); _exit(99); }
	result(p, "vfork");
}
static void e_loader(void)
{
	/* The loader reads the program; nothing executes it. */
	pid_t p = begin();
	if (p == 0) {
		char *a[] = {"/lib64/ld-linux-x86-64.so.2", "/usr/bin/cat", (char *)given("secret"), NULL};
		dup2(1, 2);
		execv(a[0], a);
		_exit(99);
	}
	char b[512] = "";
	close(ends[1]);
	if (read(ends[0], b, sizeof b - 1) < 0) refused("read");
	if (has_cookie(b, sizeof b)) escaped("the loader shows the secret");
	held("%s", b);
}
static void e_empty(void)
{
	/* No argument at all, not even a name. */
	pid_t p = begin();
	if (p == 0) {
		char s[4200], c[128], *none[] = {NULL}, *env[] = {s, c, NULL};
		snprintf(s, sizeof s, "ROLE_SECRET=%s", given("secret"));
		snprintf(c, sizeof c, "ROLE_COOKIE=%s", given("cookie"));
		execve(self(), none, env);
		_exit(99);
	}
	result(p, "execve without arguments");
}
static void e_fault(void)
{
	/* Pointers that lead nowhere must fail and hold up nobody. */
	pid_t p = begin();
	if (p == 0) {
		syscall(SYS_execve, (char *)1, (char **)1, (char **)1);
		syscall(SYS_execve, self(), (char **)~0xfffUL, NULL);
		syscall(SYS_execveat, -1, (char *)-1L, (char **)-1L, (char **)-1L, -1);
		execv(self(), order());
		_exit(99);
	}
	result(p, "execve after three that fault");
}
static void e_huge(void)
{
	/* Two megabytes of arguments, then the one that counts. */
	static char big[100000];
	static char *a[24];
	memset(big, 'A', sizeof big - 1);
	order();
	for (int i = 0; i < 5; i++) a[i] = job[i];
	for (int i = 5; i < 23; i++) a[i] = big;
	pid_t p = begin();
	if (p == 0) { execv(self(), a); _exit(99); }
	result(p, "execve with huge arguments");
}
static void e_bytes(void)
{
	char *a[] = {"\x1b]0;evil\x07\xff\xfe\n\r", "role", "secret", (char *)given("secret"), (char *)given("cookie"), "\xc3\x28", NULL};
	pid_t p = begin();
	if (p == 0) { execve(self(), a, (char *[]){"=", "A", "\xff=\xff", "LD_PRELOAD=/no\nsuch", NULL}); _exit(99); }
	result(p, "execve with hostile bytes");
}
static void e_path(void)
{
	char deep[4090];
	memset(deep, '/', sizeof deep);
	snprintf(deep + sizeof deep - strlen(self()) - 1, strlen(self()) + 1, "%s", self());
	pid_t p = begin();
	if (p == 0) { execv(deep, order()); _exit(99); }
	result(p, "execve by a path of 4089 bytes");
}
static char flip[4096];
static volatile int stop;
static void *flipper(void *x)
{
	(void)x;
	char good[4096], bad[4096];
	snprintf(good, sizeof good, "%s", self());
	snprintf(bad, sizeof bad, "%s", given("setuidhost"));
	while (!stop) { strcpy(flip, good); strcpy(flip, bad); }
	return NULL;
}
/* What is executed changes while the supervisor looks at it. The other program
 * lies outside every grant. */
static void e_race(void)
{
	pthread_t t;
	char b[512] = "";
	strcpy(flip, self());
	pthread_create(&t, NULL, flipper, NULL);
	for (int i = 0; i < 200; i++) {
		TRY("pipe", pipe(ends));
		pid_t p = vfork();
		if (p < 0) refused("vfork");
		if (p == 0) { dup2(ends[1], 1); execl(flip, "x", "outside-was-run", NULL); _exit(99); }
		close(ends[1]);
		ssize_t n = read(ends[0], b, sizeof b - 1);
		b[n > 0 ? n : 0] = 0;
		close(ends[0]);
		waitpid(p, NULL, 0);
		if (strstr(b, "outside-was-run")) escaped("a program outside every grant is executed");
	}
	stop = 1;
	held("200 executions, none of the program outside");
}
static void e_outside(void)
{
	pid_t p = begin();
	char b[512] = "";
	if (p == 0) { execl(given("setuidhost"), "x", "outside-was-run", NULL); _exit(99); }
	close(ends[1]);
	if (read(ends[0], b, sizeof b - 1) < 0) refused("read");
	if (strstr(b, "outside-was-run")) escaped("a program outside every grant is executed");
	held("it was not executed");
}
static void e_interpreter(void)
{
	/* An interpreter that lies outside. */
	char s[4300];
	snprintf(s, sizeof s, "#!%s outside-was-run\n", given("setuidhost"));
	put(in("script"), s);
	chmod(in("script"), 0755);
	pid_t p = begin();
	if (p == 0) { execl(in("script"), "x", NULL); _exit(99); }
	char b[512] = "";
	close(ends[1]);
	if (read(ends[0], b, sizeof b - 1) < 0) refused("read");
	if (strstr(b, "outside-was-run")) escaped("an interpreter outside every grant is executed");
	held("it was not executed");
}
static void e_environment(void)
{
	for (char **e = environ; *e; e++)
		if (strstr(*e, given("cookie")) || strstr(*e, "AGENTOS_ESCAPE")) escaped("the launcher's environment came along: %.20s", *e);
	held("nothing of the launcher's environment");
}
static void e_preload(void)
{
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "LD_", 3) || !strncmp(*e, "PYTHON", 6) || !strncmp(*e, "BASH_ENV", 8) || !strncmp(*e, "GCONV", 5)) escaped("%.30s of the launcher", *e);
	held("none of the variables that load code");
}
static void e_auxv(void)
{
	/* The name that the kernel executed tells of the host if it is not the
	 * program's own. */
	char b[4096];
	ssize_t n = readlink("/proc/self/exe", b, sizeof b - 1);
	if (n < 0) refused("/proc/self/exe");
	b[n] = 0;
	if (strcmp(b, self())) escaped("the program has a second name: %s", b);
	held("its own name");
}
static void e_core(void)
{
	/* A dump by the host's handler runs as the host's root. */
	struct rlimit r;
	char b[256] = "|";
	TRY("getrlimit", getrlimit(RLIMIT_CORE, &r));
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_CORE, &r);
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY);
	if (fd >= 0 && read(fd, b, sizeof b) < 0) b[0] = '|';
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0) { if (chdir(given("dir")) == 0) abort(); _exit(1); }
	int st;
	waitpid(p, &st, 0);
	if (WCOREDUMP(st) && b[0] == '|') escaped("the host's handler of cores ran");
	held("ended by signal %d, %s", WTERMSIG(st), WCOREDUMP(st) ? "the core is a file" : "without a core");
}
static void e_code(void)
{
	/* Code made at run time asks the kernel directly. */
#ifdef __x86_64__
	static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x0f, 0x05, 0xc3};
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED) refused("mmap");
	memcpy(m, code, sizeof code);
	long rc = ((long (*)(long, long, long))m)(SYS_unshare, CLONE_NEWUSER, 0);
	if (rc == 0) escaped("unshare by code made at run time");
	held("unshare by code made at run time: %s", strerror(-rc));
#else
	held("not written for this processor");
#endif
}

const struct attempt exec_attempts[] = {
	{"exec-plain", "", e_plain},
	{"exec-memfd", "", e_memfd},
	{"exec-memfd-proc", "", e_memfd_proc},
	{"exec-at", "", e_at},
	{"exec-thread", "", e_thread},
	{"exec-vfork", "", e_vfork},
	{"exec-loader", "", e_loader},
	{"exec-empty-argv", "", e_empty},
	{"exec-fault", "", e_fault},
	{"exec-huge-argv", "", e_huge},
	{"exec-hostile-bytes", "", e_bytes},
	{"exec-long-path", "", e_path},
	{"exec-race", "", e_race},
	{"exec-outside", "", e_outside},
	{"exec-interpreter", "", e_interpreter},
	{"env-inherited", "", e_environment},
	{"env-preload", "", e_preload},
	{"exec-name", "", e_auxv},
	{"core-dump", "hazard", e_core},
	{"code-at-run-time", "", e_code},
	{NULL, NULL, NULL},
};
