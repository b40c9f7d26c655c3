/* Programs that run as somebody else, and such programs made. */
#include "escape.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/xattr.h>

/* output runs a program and gives what it says. */
static const char *output(char *const argv[])
{
	static char b[8192];
	int p[2], n = 0, m;
	TRY("pipe", pipe(p));
	pid_t child = fork();
	if (child < 0) refused("fork");
	if (child == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(p[1], 1);
		dup2(p[1], 2);
		close(p[0]);
		execv(argv[0], argv);
		dprintf(1, "execv: %s", strerror(errno));
		_exit(127);
	}
	close(p[1]);
	while (n < (int)sizeof b - 1 && (m = read(p[0], b + n, sizeof b - 1 - n)) > 0) n += m;
	b[n] = 0;
	waitpid(child, NULL, 0);
	return b;
}

/* The test left copies of this program in the read grant: one that belongs to
 * another user and is setuid, one with file capabilities. */
static void s_given(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/setuid", given("readdir"));
	char *argv[] = {p, "role", "whoami", NULL};
	const char *o = output(argv);
	int real = -1, effective = -1;
	if (sscanf(o, "uid %d %d", &real, &effective) == 2 && real != effective) escaped("user %d runs as %d by a setuid file", real, effective);
	held("%s", o);
}
static void s_caps(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/capable", given("readdir"));
	char *argv[] = {p, "role", "whoami", NULL};
	const char *o = output(argv);
	unsigned long long caps = 0;
	if (sscanf(o, "uid %*d %*d caps %llx", &caps) == 1 && caps >> 21 & 1) escaped("capabilities %llx by a file", caps);
	held("%s", o);
}
static void s_system(void)
{
	/* A program of the system that is setuid, judged by what it may do: user 0
	 * and capabilities from one that is neither. */
	char *su[] = {"/usr/bin/su", "-c", "id -u; cat /proc/self/status", "root", NULL};
	const char *o = output(su);
	if (!strncmp(o, "0\n", 2) && !strstr(o, "CapEff:\t0000000000000000")) escaped("su gives a shell of user 0 with capabilities");
	held("su: %.80s", o);
}
static void s_mount(void)
{
	mkdir(in("m"), 0755);
	char *argv[] = {"/usr/bin/mount", "-t", "tmpfs", "none", (char *)in("m"), NULL};
	const char *o = output(argv);
	char *away[] = {"/usr/bin/umount", (char *)in("m"), NULL};
	if (!*o) { output(away); escaped("mount mounts"); }
	held("mount: %.80s", o);
}
static void s_sudo(void)
{
	char *argv[] = {"/usr/bin/sudo", "-n", "id", "-u", NULL};
	const char *o = output(argv);
	if (!strcmp(o, "0\n") && getuid()) escaped("sudo gives user 0");
	held("sudo: %.80s", o);
}
/* pkexec without any argument once read past its own (CVE-2021-4034). */
static void s_pkexec(void)
{
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0) {
		char *none[] = {NULL}, *env[] = {"lol", "PATH=GCONV_PATH=.", "CHARSET=x", "SHELL=x", NULL};
		execve("/usr/bin/pkexec", none, env);
		_exit(99);
	}
	int st;
	waitpid(p, &st, 0);
	if (getuid() && geteuid() == 0) escaped("pkexec");
	held("pkexec ended with %x", st);
}

static void bit(const char *how, const char *name, int bits)
{
	struct stat st;
	if (stat(in(name), &st) == 0 && st.st_mode & bits) escaped("%s leaves mode %o, owner %d, in a granted directory", how, st.st_mode & 07777, st.st_uid);
	held("%s: the bit did not stay", how);
}
static void s_chmod(void) { put(in("s"), "#!/bin/sh\n"); TRY("chmod 4755", chmod(in("s"), 04755)); bit("chmod", "s", S_ISUID); }
static void s_chmod_gid(void) { put(in("s"), "#!/bin/sh\n"); TRY("chmod 2755", chmod(in("s"), 02755)); bit("chmod", "s", S_ISGID); }
static void s_fchmod(void)
{
	put(in("s"), "#!/bin/sh\n");
	int fd = TRY("open", open(in("s"), O_RDWR));
	TRY("fchmod 4755", fchmod(fd, 04755));
	bit("fchmod", "s", S_ISUID);
}
static void s_fchmodat(void) { put(in("s"), "#!/bin/sh\n"); TRY("fchmodat 4755", fchmodat(AT_FDCWD, in("s"), 04755, 0)); bit("fchmodat", "s", S_ISUID); }
static void s_fchmodat2(void) { put(in("s"), "#!/bin/sh\n"); TRY("fchmodat2 4755", syscall(452, AT_FDCWD, in("s"), 04755, 0)); bit("fchmodat2", "s", S_ISUID); }
static void s_wide(void)
{
	put(in("s"), "#!/bin/sh\n");
	TRY("fchmodat with upper bits", syscall(SYS_fchmodat, AT_FDCWD, in("s"), 0x7700000000L | 04755));
	bit("fchmodat with upper bits", "s", S_ISUID);
}
static void s_open(void) { unlink(in("s")); TRY("open 04755", open(in("s"), O_CREAT | O_WRONLY, 04755)); bit("open", "s", S_ISUID); }
static void s_openat2(void)
{
	unlink(in("s"));
	struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 04755};
	TRY("openat2 04755", syscall(SYS_openat2, AT_FDCWD, in("s"), &how, sizeof how));
	bit("openat2", "s", S_ISUID);
}
static void s_creat(void)
{
	unlink(in("s"));
#ifdef SYS_creat
	TRY("creat 04755", syscall(SYS_creat, in("s"), 04755));
#else
	TRY("openat 04755", syscall(SYS_openat, AT_FDCWD, in("s"), O_CREAT | O_WRONLY, 04755));
#endif
	bit("creat", "s", S_ISUID);
}
static void s_mknod(void) { unlink(in("s")); TRY("mknod 04755", mknod(in("s"), S_IFREG | 04755, 0)); bit("mknod", "s", S_ISUID); }
static void s_tmpfile(void)
{
	int fd = TRY("O_TMPFILE 04755", open(given("dir"), O_TMPFILE | O_WRONLY, 04755));
	char p[64];
	snprintf(p, sizeof p, "/proc/self/fd/%d", fd);
	unlink(in("s"));
	TRY("linkat", linkat(AT_FDCWD, p, AT_FDCWD, in("s"), AT_SYMLINK_FOLLOW));
	bit("O_TMPFILE", "s", S_ISUID);
}
static void s_rename(void)
{
	/* A setuid file that is there already, brought where others find it. */
	char p[4200];
	snprintf(p, sizeof p, "%s/setuid", given("readdir"));
	unlink(in("s"));
	if (rename(p, in("s")) < 0 && link(p, in("s")) < 0) refused("rename and link of a setuid file");
	bit("link", "s", S_ISUID);
}
static void s_unix(void)
{
	/* A socket is made with the mode that is left by the mask; its owner can be
	 * set at bind by fchmod of the socket first. */
	int s = TRY("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	fchmod(s, 06777);
	struct { sa_family_t f; char p[108]; } a = {AF_UNIX, ""};
	snprintf(a.p, sizeof a.p, "%.100s", in("u"));
	unlink(a.p);
	TRY("bind", bind(s, (void *)&a, sizeof a));
	bit("a socket", "u", S_ISUID);
}
static void s_chown(void)
{
	put(in("s"), "#!/bin/sh\n");
	int to = getuid() ? 0 : 1;
	TRY("chown", chown(in("s"), to, to));
	escaped("a file is given to user %d", to);
}
static void s_xattr(void)
{
	/* cap_sys_admin, effective, for every user of the host. */
	uint32_t v[5] = {0x02000001, 1u << 21, 0, 0, 0};
	put(in("s"), "#!/bin/sh\n");
	TRY("setxattr(security.capability)", setxattr(in("s"), "security.capability", v, sizeof v, 0));
	escaped("a file with capabilities lies in a granted directory");
}
static void s_xattr3(void)
{
	/* The third version is of a user namespace's own root. */
	uint32_t v[6] = {0x03000001, 1u << 21, 0, 0, 0, 0};
	put(in("s"), "#!/bin/sh\n");
	TRY("setxattr(security.capability, 3)", setxattr(in("s"), "security.capability", v, sizeof v, 0));
	escaped("a file with capabilities lies in a granted directory");
}
static void s_trusted(void)
{
	put(in("s"), "x");
	TRY("setxattr(trusted.)", setxattr(in("s"), "trusted.overlay.opaque", "y", 1, 0));
	escaped("an attribute that only the machine's root may set");
}
static void s_securebits(void)
{
	TRY("PR_SET_SECUREBITS", prctl(PR_SET_SECUREBITS, 1, 0, 0, 0));
	escaped("user 0 and capabilities are kept apart by the program's wish");
}

const struct attempt setid_attempts[] = {
	{"setuid-in-grant", "", s_given},
	{"capable-in-grant", "", s_caps},
	{"setuid-su", "hazard", s_system},
	{"setuid-mount", "hazard", s_mount},
	{"setuid-sudo", "", s_sudo},
	{"setuid-pkexec", "", s_pkexec},
	{"setuid-by-chmod", "", s_chmod},
	{"setgid-by-chmod", "", s_chmod_gid},
	{"setuid-by-fchmod", "", s_fchmod},
	{"setuid-by-fchmodat", "", s_fchmodat},
	{"setuid-by-fchmodat2", "", s_fchmodat2},
	{"setuid-by-wide-mode", "", s_wide},
	{"setuid-by-open", "", s_open},
	{"setuid-by-openat2", "", s_openat2},
	{"setuid-by-creat", "", s_creat},
	{"setuid-by-mknod", "", s_mknod},
	{"setuid-by-tmpfile", "", s_tmpfile},
	{"setuid-by-rename", "", s_rename},
	{"setuid-by-socket", "", s_unix},
	{"chown", "", s_chown},
	{"capable-by-xattr", "", s_xattr},
	{"capable-by-xattr3", "", s_xattr3},
	{"xattr-trusted", "", s_trusted},
	{"securebits", "", s_securebits},
	{NULL, NULL, NULL},
};
