/* Files that no grant covers: read, found, linked to, written. */
#include "escape.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/un.h>
#include <sys/xattr.h>

static const char *secret(void) { return given("secret"); }

static void f_open(void)
{
	int fd = TRY("open", open(secret(), O_RDONLY));
	if (readsfd(fd)) escaped("the secret is read");
	held("another file");
}
static void f_home(void)
{
	if (reads(given("homesecret"))) escaped("a file of the home directory is read");
	refused("open");
}
static void f_openat2(void)
{
	struct open_how how = {.flags = O_RDONLY};
	int fd = TRY("openat2", syscall(SYS_openat2, AT_FDCWD, secret(), &how, sizeof how));
	if (readsfd(fd)) escaped("the secret is read");
	held("another file");
}
static void f_stat(void)
{
	struct stat st;
	TRY("stat", stat(secret(), &st));
	escaped("the secret has %ld bytes", (long)st.st_size);
}
static void f_access(void) { TRY("access", access(secret(), F_OK)); escaped("the secret exists"); }
static void f_tell(void)
{
	/* What exists and what does not must look the same. */
	char no[4200];
	snprintf(no, sizeof no, "%s-that-never-was", secret());
	int a = access(secret(), F_OK) ? errno : 0, b = access(no, F_OK) ? errno : 0;
	if (a != b) escaped("error %d for a hidden file, %d for one that does not exist", a, b);
	held("both: %s", strerror(a));
}
static void f_parent(void)
{
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", secret());
	*strrchr(dir, '/') = 0;
	DIR *d = opendir(dir);
	if (!d) refused("opendir");
	struct dirent *e;
	while ((e = readdir(d)))
		if (!strcmp(e->d_name, "secret")) escaped("the directory outside is listed");
	held("an empty directory");
}
static void f_above(void)
{
	/* The directories that lead to a grant are there, and nothing beside it. */
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", given("readdir"));
	*strrchr(dir, '/') = 0;
	DIR *d = opendir(dir);
	if (!d) refused("opendir");
	struct dirent *e;
	while ((e = readdir(d)))
		if (!strcmp(e->d_name, "outside") || !strcmp(e->d_name, "state")) escaped("%s, beside a grant, is listed", e->d_name);
	held("only what is granted");
}
static void f_shadow(void)
{
	char b[4096];
	int fd = TRY("/etc/shadow", open("/etc/shadow", O_RDONLY));
	if (read(fd, b, sizeof b) > 0) escaped("/etc/shadow is read");
	held("it is empty");
}
static void f_passwd(void)
{
	/* The host's own list of users, told by a user that only the host knows. */
	struct stat st;
	TRY("stat", stat("/etc/passwd", &st));
	if (st.st_ino == (ino_t)strtoul(given("passwd"), NULL, 10)) escaped("/etc/passwd is the host's");
	held("another list");
}
static void f_ssh(void)
{
	DIR *d = opendir("/root");
	struct dirent *e;
	if (!d) refused("/root");
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' || (e->d_name[1] && e->d_name[1] != '.')) escaped("/root has %s", e->d_name);
	held("/root is empty");
}
static void f_var(void)
{
	const char *places[] = {"/var/log", "/var/lib", "/run/systemd", "/run/docker.sock", "/run/dbus", "/boot", "/srv", "/mnt", "/media", "/opt", "/sys/class"};
	for (size_t i = 0; i < COUNT(places); i++) {
		int n = 0;
		DIR *d = opendir(places[i]);
		if (!d) continue;
		struct dirent *e;
		while ((e = readdir(d))) if (e->d_name[0] != '.') n++;
		closedir(d);
		if (n) escaped("%s has %d entries", places[i], n);
	}
	held("none of the host's own places");
}
static void f_state(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/canary", given("state"));
	if (reads(p)) escaped("the kernel's own state is read");
	if (open(given("state"), O_RDONLY | O_DIRECTORY) >= 0) escaped("the kernel's state directory is open");
	refused("the state directory");
}
static void f_state_socket(void)
{
	char p[4300];
	snprintf(p, sizeof p, "%s/runs", given("state"));
	DIR *d = opendir(p);
	if (!d) refused("the state directory");
	struct dirent *e;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') escaped("run %s and its control socket are in reach", e->d_name);
	held("no run");
}
static void f_cwd(void)
{
	/* The launcher's working directory is no grant. */
	if (reads("cwd-canary") || reads("../secret") || reads("secret")) escaped("the working directory is the launcher's");
	char b[4096];
	if (!getcwd(b, sizeof b)) refused("getcwd");
	if (b[0] != '/') escaped("the working directory is outside the root: %s", b);
	held("it is %s", b);
}
static void f_fds(void)
{
	/* Whatever is open besides 0, 1, 2 was leaked to us. */
	for (int fd = 3; fd < 1024; fd++) {
		struct stat st;
		char link[64], to[4096];
		if (fd == verdict_fd || fstat(fd, &st) < 0) continue;
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, to, sizeof to - 1);
		to[n > 0 ? n : 0] = 0;
		if (S_ISDIR(st.st_mode) && (readsat(fd, given("secret") + 1) || readsat(fd, "secret"))) escaped("descriptor %d leads to the secret", fd);
		lseek(fd, 0, SEEK_SET);
		if (S_ISREG(st.st_mode) && readsfd(fd)) escaped("descriptor %d is the secret", fd);
		escaped("descriptor %d was left open: mode %o, %s", fd, st.st_mode, to);
	}
	held("none but the first three");
}
static void f_stdin(void)
{
	/* Standard input was opened for reading, from a file that no grant covers. */
	int fd = open("/proc/self/fd/0", O_RDWR);
	if (fd < 0) fd = open("/dev/stdin", O_RDWR);
	if (fd < 0) refused("opening standard input for writing");
	struct stat st;
	fstat(fd, &st);
	if (!S_ISREG(st.st_mode)) held("standard input is no file");
	if (pwrite(fd, "BROKEN", 6, 0) == 6) escaped("the file behind standard input is written");
	refused("write");
}
static void f_link(void)
{
	unlink(in("hard"));
	TRY("link", link(secret(), in("hard")));
	if (reads(in("hard"))) escaped("a hard link leads to the secret");
	held("the link leads elsewhere");
}
static void f_link_fd(void)
{
	int fd = TRY("open", open(secret(), O_PATH));
	char p[64];
	snprintf(p, sizeof p, "/proc/self/fd/%d", fd);
	TRY("linkat", linkat(AT_FDCWD, p, AT_FDCWD, in("hard2"), AT_SYMLINK_FOLLOW));
	escaped("a hard link to an open file");
}
static void f_symlink(void)
{
	unlink(in("soft"));
	TRY("symlink", symlink(secret(), in("soft")));
	if (reads(in("soft"))) escaped("a symbolic link leads to the secret");
	refused("open");
}
static void f_symlink_rel(void)
{
	char up[4200] = "";
	unlink(in("soft"));
	for (int i = 0; i < 30; i++) strcat(up, "../");
	strcat(up, secret() + 1);
	TRY("symlink", symlink(up, in("soft")));
	if (reads(in("soft"))) escaped("a relative link leads to the secret");
	refused("open");
}
static void f_symlink_given(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/link", given("readdir"));
	if (reads(p)) escaped("a link that lies in a grant leads to the secret");
	refused("open");
}
static void f_symlink_magic(void)
{
	unlink(in("magic"));
	char p[4200];
	snprintf(p, sizeof p, "/proc/self/root%s", secret());
	TRY("symlink", symlink(p, in("magic")));
	if (reads(in("magic")) || reads(p)) escaped("by /proc/self/root to the secret");
	refused("open");
}
static void f_symlink_dir(void)
{
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", secret());
	*strrchr(dir, '/') = 0;
	unlink(in("dirlink"));
	TRY("symlink", symlink(dir, in("dirlink")));
	int fd = open(in("dirlink"), O_RDONLY | O_DIRECTORY);
	if (fd >= 0 && readsat(fd, "secret")) escaped("a link to a directory leads to the secret");
	refused("open");
}

/* race: one process changes what a name means while another opens it. */
static void race(void (*flip)(void), const char *name)
{
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0) for (;;) flip();
	int tries = 0, yes = 0;
	for (struct timespec t, t0 = {0};;) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		if (!t0.tv_sec) t0 = t;
		if (t.tv_sec - t0.tv_sec >= 1 && t.tv_nsec >= t0.tv_nsec) break;
		for (int i = 0; i < 50 && !yes; i++, tries++) yes = reads(in(name));
		if (yes) break;
	}
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
	if (yes) escaped("after %d opens one went to the secret", tries);
	held("%d opens, none to the secret", tries);
}
static void flip_file(void)
{
	put(in("plain"), "nothing\n");
	unlink(in("soft"));
	symlink(secret(), in("soft"));
	for (int i = 0; i < 1000; i++) syscall(SYS_renameat2, AT_FDCWD, in("plain"), AT_FDCWD, in("soft"), 2 /* EXCHANGE */);
}
static void flip_dir(void)
{
	static char outside[4096];
	snprintf(outside, sizeof outside, "%s", secret());
	*strrchr(outside, '/') = 0;
	mkdir(in("d"), 0755);
	unlink(in("l"));
	symlink(outside, in("l"));
	for (int i = 0; i < 1000; i++) syscall(SYS_renameat2, AT_FDCWD, in("d"), AT_FDCWD, in("l"), 2);
}
static void flip_denied(void)
{
	put(in("plain"), "nothing\n");
	unlink(in("soft"));
	symlink(given("denied"), in("soft"));
	for (int i = 0; i < 1000; i++) syscall(SYS_renameat2, AT_FDCWD, in("plain"), AT_FDCWD, in("soft"), 2);
}
static void f_race_file(void) { race(flip_file, "plain"); }
static void f_race_dir(void) { race(flip_dir, "d/secret"); }
static void f_race_denied(void) { race(flip_denied, "plain"); }

/* A directory that is open moves up while .. is opened beneath it. */
static void f_race_dotdot(void)
{
	mkdir(in("a"), 0755);
	mkdir(in("a/b"), 0755);
	mkdir(in("a/b/c"), 0755);
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0)
		for (;;) {
			rename(in("a/b/c"), in("c"));
			rename(in("c"), in("a/b/c"));
		}
	char up[4400] = "../../../../../../../../../../../../../../../../";
	strcat(up, secret() + 1);
	int yes = 0, n = 0;
	for (time_t end = time(NULL) + 2; time(NULL) < end && !yes; n++) {
		int fd = open(in("a/b/c"), O_RDONLY | O_DIRECTORY);
		if (fd < 0) continue;
		yes = readsat(fd, up) || readsat(fd, "../../../../outside/secret");
		close(fd);
	}
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
	if (yes) escaped("up from a directory that moved to the secret");
	held("%d times up from a directory that moved", n);
}

/* The test itself moves a directory that is open here to outside the grant, as a
 * person may do at any time. .. is then outside. */
static void f_moved_out(void)
{
	mkdir(in("moving"), 0755);
	int fd = TRY("open", open(in("moving"), O_RDONLY | O_DIRECTORY));
	put(in("please-move"), "");
	for (int i = 0; i < 60 && access(in("moving"), F_OK) == 0; i++) usleep(50000);
	if (access(in("moving"), F_OK) == 0) held("nobody moved it");
	if (readsat(fd, "../secret")) escaped("up from a directory that was moved outside to the secret");
	int up = openat(fd, "..", O_RDONLY | O_DIRECTORY);
	if (up >= 0 && readsat(up, "secret")) escaped("the directory outside is open");
	held("up from the moved directory: %s", strerror(errno));
}

static void f_inotify(void)
{
	int fd = TRY("inotify_init", inotify_init1(IN_CLOEXEC));
	TRY("inotify_add_watch", inotify_add_watch(fd, secret(), IN_ALL_EVENTS));
	escaped("the secret is watched");
}
static void f_xattr(void)
{
	char b[64];
	TRY("listxattr", listxattr(secret(), b, sizeof b));
	escaped("attributes of the secret are read");
}
static void f_bindunix(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%.100s.s", secret());
	int s = TRY("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	TRY("bind", bind(s, (struct sockaddr *)&a, sizeof a));
	look(a.sun_path);
}

static void write_at(const char *dir)
{
	char p[4300];
	snprintf(p, sizeof p, "%s/agentos-escape-%s", dir, given("cookie"));
	int fd = TRY(dir, open(p, O_WRONLY | O_CREAT, 0644));
	(void)fd;
	look(p);
}
static void w_usr(void) { write_at("/usr/local/lib"); }
static void w_bin(void) { write_at("/usr/bin"); }
static void w_etc(void) { write_at("/etc"); }
static void w_root(void) { write_at("/"); }
static void w_roothome(void) { write_at("/root"); }
static void w_tmp(void) { write_at("/tmp"); }
static void w_vartmp(void) { write_at("/var/tmp"); }
static void w_shm(void) { write_at("/dev/shm"); }
static void w_run(void) { write_at("/run"); }
static void w_dev(void) { write_at("/dev"); }
static void w_home(void) { write_at(given("home")); }
static void w_cron(void) { write_at("/etc/cron.d"); }
static void w_outside(void)
{
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", secret());
	*strrchr(dir, '/') = 0;
	write_at(dir);
}
static void w_beside(void)
{
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", given("dir"));
	*strrchr(dir, '/') = 0;
	write_at(dir);
}
static void w_remove(void)
{
	TRY("unlink", unlink(given("victim")));
	escaped("a file outside is gone");
}
static void w_ldconf(void)
{
	int fd = TRY("/etc/ld.so.cache", open("/etc/ld.so.cache", O_WRONLY));
	(void)fd;
	escaped("what every program loads may be changed");
}

const struct attempt files_attempts[] = {
	{"secret-open", "", f_open},
	{"secret-home", "", f_home},
	{"secret-openat2", "", f_openat2},
	{"secret-stat", "", f_stat},
	{"secret-access", "", f_access},
	{"secret-tell-apart", "", f_tell},
	{"secret-list", "", f_parent},
	{"secret-beside-grant", "", f_above},
	{"secret-inotify", "", f_inotify},
	{"secret-xattr", "", f_xattr},
	{"etc-shadow", "", f_shadow},
	{"etc-passwd", "", f_passwd},
	{"root-home", "", f_ssh},
	{"host-places", "", f_var},
	{"state-read", "", f_state},
	{"state-control", "", f_state_socket},
	{"cwd-inherited", "", f_cwd},
	{"fds-leaked", "", f_fds},
	{"stdin-reopen", "", f_stdin},
	{"hardlink-outside", "", f_link},
	{"hardlink-descriptor", "", f_link_fd},
	{"symlink-outside", "", f_symlink},
	{"symlink-relative", "", f_symlink_rel},
	{"symlink-in-grant", "", f_symlink_given},
	{"symlink-magic", "", f_symlink_magic},
	{"symlink-directory", "", f_symlink_dir},
	{"race-symlink", "", f_race_file},
	{"race-directory", "", f_race_dir},
	{"race-denied", "", f_race_denied},
	{"race-dotdot", "", f_race_dotdot},
	{"moved-outside", "", f_moved_out},
	{"socket-outside", "", f_bindunix},
	{"write-usr-local", "hazard", w_usr},
	{"write-usr-bin", "hazard", w_bin},
	{"write-etc", "hazard", w_etc},
	{"write-root", "hazard", w_root},
	{"write-root-home", "hazard", w_roothome},
	{"write-tmp", "", w_tmp},
	{"write-var-tmp", "", w_vartmp},
	{"write-shm", "", w_shm},
	{"write-run", "hazard", w_run},
	{"write-dev", "hazard", w_dev},
	{"write-home", "", w_home},
	{"write-cron", "hazard", w_cron},
	{"write-outside", "", w_outside},
	{"write-beside-grant", "", w_beside},
	{"unlink-outside", "", w_remove},
	{"write-ld-cache", "hazard", w_ldconf},
	{NULL, NULL, NULL},
};
