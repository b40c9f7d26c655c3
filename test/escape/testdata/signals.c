/* Signals to those outside. Signals are chosen that do no harm by default; the
 * canary tells the test of each that reaches it. */
#include "escape.h"

/* after leaves the verdict to the canary: never is a path that does not exist. */
static void after(void)
{
	usleep(250000);
	look(given("never"));
}
static pid_t target(void) { return number("pid"); }

static void s_kill(void) { TRY("kill", kill(target(), SIGUSR1)); after(); }
static void s_zero(void)
{
	TRY("kill(pid, 0)", kill(target(), 0));
	/* A process of ours may have that number; then it is in our /proc too and
	 * is not the canary. */
	char p[64], b[4096];
	snprintf(p, sizeof p, "/proc/%d/cmdline", target());
	int fd = open(p, O_RDONLY), n = fd >= 0 ? read(fd, b, sizeof b) : -1;
	if (n > 0 && !memmem(b, n, "canary", 6)) held("another process has that number");
	escaped("process %d outside is known to exist", target());
}
static void s_all(void) { TRY("kill(-1)", kill(-1, SIGURG)); after(); }
static void s_group(void) { TRY("kill(0)", kill(0, SIGURG)); after(); }
static void s_group_of(void) { TRY("kill(-pgrp)", kill(-number("pgrp"), SIGURG)); after(); }
static void s_tkill(void) { TRY("tkill", syscall(SYS_tkill, target(), SIGUSR1)); after(); }
static void s_tgkill(void) { TRY("tgkill", syscall(SYS_tgkill, target(), target(), SIGUSR1)); after(); }
static void s_queue(void)
{
	siginfo_t i = {.si_code = SI_QUEUE};
	TRY("rt_sigqueueinfo", syscall(SYS_rt_sigqueueinfo, target(), SIGUSR2, &i));
	after();
}
static void s_tgqueue(void)
{
	siginfo_t i = {.si_code = SI_QUEUE};
	TRY("rt_tgsigqueueinfo", syscall(SYS_rt_tgsigqueueinfo, target(), target(), SIGUSR2, &i));
	after();
}
static void s_pidfd(void)
{
	int fd = TRY("pidfd_open", syscall(SYS_pidfd_open, target(), 0));
	TRY("pidfd_send_signal", syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
	after();
}
static void s_procfd(void)
{
	char p[64];
	snprintf(p, sizeof p, "/proc/%d", target());
	int fd = TRY(p, open(p, O_DIRECTORY));
	TRY("pidfd_send_signal", syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
	after();
}
/* The kernel sends the signal itself, when a pipe has something to read. */
static void owner(int whom)
{
	int p[2];
	TRY("pipe", pipe(p));
	fcntl(p[0], F_SETSIG, SIGURG);
	TRY("F_SETOWN", fcntl(p[0], F_SETOWN, whom));
	fcntl(p[0], F_SETFL, O_ASYNC);
	TRY("write", write(p[1], "x", 1));
	after();
}
static void s_owner(void) { owner(target()); }
static void s_owner_group(void) { owner(-number("pgrp")); }
static void s_owner_ex(void)
{
	int p[2];
	struct { int type, pid; } o = {1, target()};
	TRY("pipe", pipe(p));
	fcntl(p[0], 10 /* F_SETSIG */, SIGURG);
	TRY("F_SETOWN_EX", fcntl(p[0], 15, &o));
	fcntl(p[0], F_SETFL, O_ASYNC);
	TRY("write", write(p[1], "x", 1));
	after();
}
static void s_siocspgrp(void)
{
	int s[2], whom = target();
	TRY("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	fcntl(s[0], F_SETSIG, SIGURG);
	TRY("SIOCSPGRP", ioctl(s[0], 0x8902, &whom));
	fcntl(s[0], F_SETFL, O_ASYNC);
	TRY("write", write(s[1], "x", 1));
	after();
}
static void s_timer(void)
{
	struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	*(int *)((char *)&e + offsetof(struct sigevent, _sigev_un)) = target();
	int id;
	TRY("timer_create", syscall(SYS_timer_create, CLOCK_MONOTONIC, &e, &id));
	struct { struct timespec i, v; } t = {{0}, {0, 1000}};
	syscall(SYS_timer_settime, id, 0, &t, NULL);
	after();
}
static void s_setpgid(void)
{
	TRY("setpgid", setpgid(0, number("pgrp")));
	if (getpgrp() == number("pgrp")) escaped("it is in a group of processes outside");
	held("a group of that number inside");
}
static void s_getsid(void)
{
	/* A group or session whose leader is outside shows as 0. */
	if (getpgrp() == 0) escaped("its process group is one of outside");
	if (getsid(0) == 0) escaped("its session is one of outside");
	held("group and session are of inside");
}
static void s_scan(void)
{
	int n = 0;
	for (int p = 1; p < 40000; p++)
		if (p != getpid() && p != getppid() && kill(p, 0) == 0 && ++n > 32) escaped("more than %d processes can be signalled", n);
	held("%d processes", n);
}
static void s_first(void)
{
	/* Pid 1 of the program's own namespace keeps it together. */
	kill(1, SIGSTOP);
	kill(1, SIGKILL);
	kill(1, SIGURG);
	after();
}
static void s_waits(void)
{
	int st;
	if (waitpid(-number("pgrp"), &st, WNOHANG) >= 0) escaped("a child of outside is waited for");
	refused("waitpid");
}

const struct attempt signals_attempts[] = {
	{"kill-pid", "", s_kill},
	{"kill-probe", "", s_zero},
	{"kill-everybody", "hazard", s_all},
	{"kill-own-group", "", s_group},
	{"kill-group", "", s_group_of},
	{"tkill", "", s_tkill},
	{"tgkill", "", s_tgkill},
	{"sigqueue", "", s_queue},
	{"tgsigqueue", "", s_tgqueue},
	{"pidfd-signal", "", s_pidfd},
	{"proc-signal", "", s_procfd},
	{"owner-signal", "", s_owner},
	{"owner-group-signal", "", s_owner_group},
	{"owner-ex-signal", "", s_owner_ex},
	{"socket-owner-signal", "", s_siocspgrp},
	{"timer-signal", "", s_timer},
	{"setpgid-outside", "", s_setpgid},
	{"session-outside", "", s_getsid},
	{"kill-scan", "", s_scan},
	{"kill-pid1", "hazard", s_first},
	{"wait-outside", "", s_waits},
	{NULL, NULL, NULL},
};
