/* Ways to be there when the run has ended. The test looks for processes that carry
 * the run's cookie in their arguments, and at the heart beat that they write. */
#include "escape.h"
#include <pthread.h>
#include <sys/ptrace.h>

/* beat goes on for a while, as somebody who wants to stay would. */
static void beat(void)
{
	for (int i = 0; i < 100; i++) {
		int fd = open(in("beat"), O_WRONLY | O_CREAT | O_APPEND, 0644);
		if (fd >= 0) { if (write(fd, ".", 1) < 0) break; close(fd); }
		usleep(100000);
	}
	_exit(0);
}
/* left says that the rest is to be seen by the host. The rest must be under way
 * first. */
static void left(void)
{
	usleep(150000);
	look(given("never"));
}
static void deaf(void)
{
	for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
}
static pid_t start(void)
{
	pid_t p = fork();
	if (p < 0) refused("fork");
	return p;
}

static void v_child(void) { if (!start()) beat(); left(); }
static void v_daemon(void)
{
	if (!start()) {
		setsid();
		if (start()) _exit(0);
		if (chdir("/") < 0) _exit(1);
		deaf();
		for (int fd = 0; fd < 1024; fd++) close(fd);
		beat();
	}
	left();
}
static void v_pipes(void) { if (!start()) { setsid(); deaf(); beat(); } left(); }
static void v_stopped(void) { if (!start()) { setsid(); raise(SIGSTOP); beat(); } left(); }
static void v_traced(void)
{
	if (!start()) {
		if (!start()) { if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0) _exit(0); raise(SIGSTOP); beat(); }
		setsid();
		deaf();
		beat();
	}
	left();
}
static void v_subreaper(void)
{
	if (!start()) {
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		if (!start()) { if (!start()) beat(); _exit(0); }
		setsid();
		deaf();
		beat();
	}
	left();
}
static void v_vfork(void)
{
	if (!start()) {
		setsid();
		if (vfork() == 0) { char n[] = "10"; execl(self(), self(), "role", "wait", n, given("dir"), NULL); _exit(0); }
		beat();
	}
	left();
}
static void *beater(void *x) { (void)x; beat(); return NULL; }
static void v_leader(void)
{
	/* The first thread is gone, the process is not. */
	if (!start()) {
		pthread_t t;
		deaf();
		pthread_create(&t, NULL, beater, NULL);
		syscall(SYS_exit, 0);
	}
	left();
}
static void v_many(void)
{
	/* A family whose members die young and leave a child each: whoever looks for
	 * them by their numbers is always late. */
	for (int i = 0; i < 8; i++)
		if (!start()) {
			setsid();
			deaf();
			for (int k = 0; k < 400; k++) {
				pid_t p = fork();
				if (p > 0) _exit(0);
				setsid();
				usleep(5000);
				int fd = open(in("beat"), O_WRONLY | O_CREAT | O_APPEND, 0644);
				if (fd >= 0 && write(fd, ".", 1) == 1) close(fd);
			}
			_exit(0);
		}
	left();
}
static void v_sibling(void)
{
	if (!start()) {
		long p = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (p == 0) { setsid(); deaf(); beat(); }
		_exit(0);
	}
	left();
}
static void v_signalless(void)
{
	/* A child whose end is told to nobody. */
	long p = syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (p < 0) refused("clone");
	if (p == 0) { setsid(); deaf(); beat(); }
	left();
}
static void v_memfd(void)
{
	if (!start()) {
		char b[65536];
		ssize_t n;
		int from = open(self(), O_RDONLY), fd = syscall(SYS_memfd_create, "x", 1);
		while ((n = read(from, b, sizeof b)) > 0) if (write(fd, b, n) != n) _exit(1);
		setsid();
		fexecve(fd, (char *[]){"x", "role", "wait", "10", (char *)given("dir"), NULL}, environ);
		_exit(0);
	}
	left();
}

const struct attempt survive_attempts[] = {
	{"survive-child", "survive", v_child},
	{"survive-daemon", "survive", v_daemon},
	{"survive-pipes-held", "survive", v_pipes},
	{"survive-stopped", "survive", v_stopped},
	{"survive-traced", "survive", v_traced},
	{"survive-subreaper", "survive", v_subreaper},
	{"survive-vfork", "survive", v_vfork},
	{"survive-leader-gone", "survive", v_leader},
	{"survive-family", "survive", v_many},
	{"survive-sibling", "survive", v_sibling},
	{"survive-no-signal", "survive", v_signalless},
	{"survive-memfd", "survive", v_memfd},
	{NULL, NULL, NULL},
};
