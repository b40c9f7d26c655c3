/* Grants: what a read grant does not give, what a denied path hides, and what a
 * write grant must not be used for. */
#include "escape.h"
#include <linux/fs.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

static const char *ro(void) { return given("rofile"); }

static void g_write(void)
{
	int fd = TRY("open for writing", open(ro(), O_WRONLY | O_APPEND));
	TRY("write", write(fd, "x", 1));
	escaped("a file of a read grant is written");
}
static void g_truncate(void) { TRY("truncate", truncate(ro(), 3)); escaped("a file of a read grant is shorter"); }
static void g_otrunc(void)
{
	int fd = TRY("open with O_TRUNC", open(ro(), O_RDONLY | O_TRUNC));
	(void)fd;
	escaped("a file of a read grant is empty");
}
static void g_chmod(void) { TRY("chmod", chmod(ro(), 0666)); escaped("the mode of a file of a read grant is changed"); }
static void g_fchmod(void)
{
	int fd = TRY("open", open(ro(), O_RDONLY));
	TRY("fchmod", fchmod(fd, 0666));
	escaped("the mode of a file of a read grant is changed");
}
static void g_utimes(void)
{
	struct timespec t[2] = {{1, 0}, {1, 0}};
	int fd = TRY("open", open(ro(), O_RDONLY));
	TRY("futimens", futimens(fd, t));
	escaped("the times of a file of a read grant are changed");
}
static void g_unlink(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s.spare", ro());
	TRY("unlink", unlink(p));
	escaped("a file of a read grant is gone");
}
static void g_rename(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s.other", ro());
	TRY("rename", rename(p, in("taken")));
	escaped("a file of a read grant is moved into a write grant");
}
static void g_create(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/new-%s", given("readdir"), given("cookie"));
	int fd = TRY("create", open(p, O_CREAT | O_WRONLY, 0644));
	(void)fd;
	look(p);
}
static void g_reopen(void)
{
	char p[64];
	int fd = TRY("open", open(ro(), O_RDONLY));
	snprintf(p, sizeof p, "/proc/self/fd/%d", fd);
	fd = TRY("open of /proc/self/fd for writing", open(p, O_WRONLY | O_APPEND));
	TRY("write", write(fd, "x", 1));
	escaped("a descriptor for reading is opened again for writing");
}
static void g_mmap(void)
{
	int fd = TRY("open", open(ro(), O_RDONLY));
	char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED) refused("mmap");
	TRY("mprotect", mprotect(m, 4096, PROT_READ | PROT_WRITE));
	m[0] = '!';
	escaped("a file of a read grant is written in memory");
}
static void g_selfmem(void)
{
	/* A private mapping, written to through /proc/self/mem (Dirty COW). */
	int fd = TRY("open", open(ro(), O_RDONLY));
	char was, *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m == MAP_FAILED) refused("mmap");
	int mem = TRY("/proc/self/mem", open("/proc/self/mem", O_RDWR));
	for (int i = 0; i < 2000; i++) {
		madvise(m, 4096, MADV_DONTNEED);
		if (pwrite(mem, "!", 1, (off_t)(uintptr_t)m) < 0) refused("writing /proc/self/mem");
		if (pread(fd, &was, 1, 0) == 1 && was == '!') escaped("a file that is only readable is written");
	}
	held("the file is as it was");
}
static void g_pipe(void)
{
	/* Pages of a file spliced into a pipe, then written to (Dirty Pipe). */
	int fd = TRY("open", open(ro(), O_RDONLY)), p[2];
	char b[65536] = "", was = 0;
	TRY("pipe", pipe(p));
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	while (write(p[1], b, sizeof b) > 0) {}
	while (read(p[0], b, sizeof b) > 0) {}
	loff_t off = 0;
	TRY("splice", splice(fd, &off, p[1], NULL, 1, 0));
	TRY("write", write(p[1], "!!", 2));
	TRY("pread", pread(fd, b, 3, 0));
	was = b[1];
	if (was == '!') escaped("the page of a file is written through a pipe");
	held("the file is as it was");
}
static void g_link(void)
{
	unlink(in("hard"));
	TRY("link", link(ro(), in("hard")));
	int fd = TRY("open for writing", open(in("hard"), O_WRONLY | O_APPEND));
	TRY("write", write(fd, "x", 1));
	escaped("a file of a read grant is written by a link in a write grant");
}
static void g_clone(void)
{
	int fd = TRY("open", open(ro(), O_RDONLY));
	int flags = 0;
	TRY("FS_IOC_GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	TRY("FS_IOC_SETFLAGS", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	escaped("the attributes of a file of a read grant are changed");
}
static void g_immutable(void)
{
	put(in("stuck"), "x");
	int fd = TRY("open", open(in("stuck"), O_RDONLY));
	int flags = 0;
	TRY("FS_IOC_GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= FS_IMMUTABLE_FL;
	TRY("FS_IOC_SETFLAGS", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags &= ~FS_IMMUTABLE_FL;
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
	escaped("a file that nobody can remove is made");
}
static void g_xattr(void)
{
	TRY("setxattr", setxattr(ro(), "user.agentos", "x", 1, 0));
	escaped("a file of a read grant has a new attribute");
}
static void g_sticky(void)
{
	/* /usr is read-only, and so is everything that is bound from it. */
	TRY("chmod", chmod("/usr/bin/env", 0755));
	escaped("the mode of a program of the host is set");
}

static void d_open(void)
{
	if (reads(given("denied"))) escaped("a file beneath a denied path is read");
	refused("open");
}
static void d_list(void)
{
	struct stat st;
	TRY("stat", stat(given("denied"), &st));
	escaped("a file beneath a denied path is there");
}
static void d_dirfd(void)
{
	int fd = TRY("open", open(given("readdir"), O_RDONLY | O_DIRECTORY));
	if (readsat(fd, "denied/secret") || readsat(fd, "./denied/../denied//secret")) escaped("a denied file by its directory");
	refused("openat");
}
static void d_rename(void)
{
	/* A denied directory beneath a write grant, moved to where it is not. */
	TRY("rename", rename(in("denied"), in("allowed")));
	if (reads(in("allowed/secret"))) escaped("a denied directory is renamed and read");
	held("it stays hidden");
}
static void d_rename_parent(void)
{
	TRY("rename", rename(in("deep"), in("shallow")));
	if (reads(in("shallow/denied/secret"))) escaped("a denied path is renamed by its parent and read");
	held("it stays hidden");
}
static void d_exchange(void)
{
	mkdir(in("empty"), 0755);
	TRY("renameat2(EXCHANGE)", syscall(SYS_renameat2, AT_FDCWD, in("empty"), AT_FDCWD, in("denied"), 2));
	if (reads(in("empty/secret"))) escaped("a denied directory is exchanged and read");
	held("it stays hidden");
}
static void d_link(void)
{
	TRY("link", link(in("denied/secret"), in("linked")));
	if (reads(in("linked"))) escaped("a denied file is linked to and read");
	held("it stays hidden");
}
static void d_replace(void)
{
	if (rmdir(in("denied")) == 0 || unlink(in("denied/secret")) == 0) escaped("what is denied is deleted");
	refused("rmdir");
}

/* Files that make other programs run code, in a write grant. The effect is judged
 * at the path where the other program looks. */
static void changed(const char *what)
{
	char b[256] = "";
	int fd = open(in(what), O_RDONLY);
	if (fd >= 0 && read(fd, b, sizeof b - 1) < 0) b[0] = 0;
	if (strstr(b, "evil")) escaped("%s is the program's own now", what);
	held("%s is as it was", what);
}
static void append(const char *what)
{
	int fd = TRY(what, open(in(what), O_WRONLY | O_APPEND));
	TRY("write", write(fd, "evil\n", 5));
	close(fd);
	changed(what);
}
static void replace(const char *what)
{
	put(in("new"), "evil\n");
	TRY("rename over it", rename(in("new"), in(what)));
	changed(what);
}
static void fresh(const char *what)
{
	int fd = TRY(what, open(in(what), O_WRONLY | O_CREAT | O_TRUNC, 0755));
	TRY("write", write(fd, "evil\n", 5));
	close(fd);
	changed(what);
}
static void p_hook(void) { append("repo/.git/hooks/pre-commit"); }
static void p_hook_replace(void) { replace("repo/.git/hooks/pre-commit"); }
static void p_hook_new(void) { fresh("repo/.git/hooks/post-checkout"); }
static void p_config(void) { append("repo/.git/config"); }
static void p_config_replace(void) { replace("repo/.git/config"); }
static void p_bashrc(void) { append(".bashrc"); }
static void p_bashrc_replace(void) { replace(".bashrc"); }
static void p_mcp(void) { replace(".mcp.json"); }
static void p_vscode(void) { fresh(".vscode/tasks.json"); }
static void p_unlink(void)
{
	TRY("unlink", unlink(in("repo/.git/hooks/pre-commit")));
	fresh("repo/.git/hooks/pre-commit");
}
static void p_chmod(void)
{
	TRY("chmod", chmod(in("repo/.git/hooks/pre-commit"), 0777));
	escaped("the mode of a hook is changed");
}
static void p_link(void)
{
	TRY("link", link(in("repo/.git/hooks/pre-commit"), in("hook")));
	append("hook");
}
static void p_gitdir(void)
{
	TRY("rename of .git", rename(in("repo/.git"), in("repo/.git-old")));
	mkdir(in("repo/.git"), 0755);
	mkdir(in("repo/.git/hooks"), 0755);
	fresh("repo/.git/hooks/pre-commit");
}
static void p_parent(void)
{
	TRY("rename of the parent", rename(in("repo"), in("repo-old")));
	mkdir(in("repo"), 0755);
	mkdir(in("repo/.git"), 0755);
	mkdir(in("repo/.git/hooks"), 0755);
	fresh("repo/.git/hooks/pre-commit");
}
static void p_hookspath(void)
{
	/* A repository that is not there yet. */
	mkdir(in("other"), 0755);
	mkdir(in("other/.git"), 0755);
	mkdir(in("other/.git/hooks"), 0755);
	fresh("other/.git/hooks/pre-commit");
}
static void p_new_rc(void) { fresh(".zshenv"); }
static void p_new_mcp(void) { mkdir(in("sub"), 0755); fresh("sub/.mcp.json"); }

const struct attempt grants_attempts[] = {
	{"read-grant-write", "", g_write},
	{"read-grant-truncate", "", g_truncate},
	{"read-grant-open-trunc", "", g_otrunc},
	{"read-grant-chmod", "", g_chmod},
	{"read-grant-fchmod", "", g_fchmod},
	{"read-grant-utimes", "", g_utimes},
	{"read-grant-unlink", "", g_unlink},
	{"read-grant-rename", "", g_rename},
	{"read-grant-create", "", g_create},
	{"read-grant-reopen", "", g_reopen},
	{"read-grant-mmap", "", g_mmap},
	{"read-grant-dirty-cow", "", g_selfmem},
	{"read-grant-dirty-pipe", "", g_pipe},
	{"read-grant-link", "", g_link},
	{"read-grant-flags", "", g_clone},
	{"read-grant-xattr", "", g_xattr},
	{"write-grant-immutable", "", g_immutable},
	{"usr-chmod", "hazard", g_sticky},
	{"denied-open", "", d_open},
	{"denied-stat", "", d_list},
	{"denied-dirfd", "", d_dirfd},
	{"denied-rename", "", d_rename},
	{"denied-rename-parent", "", d_rename_parent},
	{"denied-exchange", "", d_exchange},
	{"denied-link", "", d_link},
	{"denied-delete", "", d_replace},
	{"protected-hook-append", "", p_hook},
	{"protected-hook-replace", "", p_hook_replace},
	{"protected-hook-new", "", p_hook_new},
	{"protected-hook-unlink", "", p_unlink},
	{"protected-hook-chmod", "", p_chmod},
	{"protected-hook-link", "", p_link},
	{"protected-git-config", "", p_config},
	{"protected-git-config-replace", "", p_config_replace},
	{"protected-git-rename", "", p_gitdir},
	{"protected-parent-rename", "", p_parent},
	{"protected-bashrc", "", p_bashrc},
	{"protected-bashrc-replace", "", p_bashrc_replace},
	{"protected-mcp-replace", "", p_mcp},
	{"protected-vscode-new", "", p_vscode},
	{"unborn-hook", "", p_hookspath},
	{"unborn-shell-file", "", p_new_rc},
	{"unborn-mcp", "", p_new_mcp},
	{NULL, NULL, NULL},
};
