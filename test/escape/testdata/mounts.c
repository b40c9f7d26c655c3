/* Mounts, old calls and new, pivots, and the classic ways out of a chroot. */
#include "escape.h"
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* glibc's sys/mount.h and the kernel's linux/mount.h do not go together here. */
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#ifndef MS_BIND
#define MS_RDONLY 1
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_REC 16384
#define MS_PRIVATE (1 << 18)
#endif
#define DETACH 2

static const char *point(void)
{
	static char p[4096];
	snprintf(p, sizeof p, "%s", in("point"));
	if (mkdir(p, 0755) < 0 && errno != EEXIST) refused("mkdir");
	return p;
}

/* apart keeps what follows out of the host's mount table when nothing confines
 * us; where it is refused, so much the better. */
static void apart(void)
{
	if (unshare(CLONE_NEWNS) == 0) mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static void m_tmpfs(void)
{
	apart();
	TRY("mount(tmpfs)", mount("none", point(), "tmpfs", 0, NULL));
	escaped("a file system is mounted");
}
static void m_bind(void)
{
	apart();
	TRY("mount(MS_BIND)", mount("/", point(), NULL, MS_BIND | MS_REC, NULL));
	escaped("the root is bound at a second place");
}
static void m_fs(const char *type)
{
	apart();
	TRY(type, mount("none", point(), type, 0, NULL));
	escaped("a %s of its own is mounted", type);
}
static void m_proc(void) { m_fs("proc"); }
static void m_sysfs(void) { m_fs("sysfs"); }
static void m_devtmpfs(void) { m_fs("devtmpfs"); }
static void m_debugfs(void) { m_fs("debugfs"); }
static void m_cgroup(void) { m_fs("cgroup2"); }
static void m_bpffs(void) { m_fs("bpf"); }

static void m_overlay(void)
{
	apart();
	char o[9000];
	mkdir(in("up"), 0755);
	mkdir(in("work"), 0755);
	mount("none", point(), "tmpfs", 0, NULL);
	char up[4200], work[4200];
	snprintf(up, sizeof up, "%s/up", point());
	snprintf(work, sizeof work, "%s/work", point());
	mkdir(up, 0755);
	mkdir(work, 0755);
	snprintf(o, sizeof o, "lowerdir=/usr,upperdir=%s,workdir=%s", up, work);
	TRY("mount(overlay)", mount("none", point(), "overlay", 0, o));
	escaped("an overlay over /usr is mounted");
}

static void m_remount(void)
{
	apart();
	const char *ro = given("rofile");
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", ro);
	*strrchr(dir, '/') = 0;
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND, NULL) < 0) {
		int e = errno;
		if (mount(dir, dir, NULL, MS_BIND, NULL) < 0) { errno = e; refused("mount(MS_REMOUNT)"); }
	}
	int fd = open(ro, O_WRONLY | O_APPEND);
	if (fd < 0) refused("open after the remount");
	escaped("a read grant is writable after a remount");
}

static void m_masked(void)
{
	apart();
	/* What is hidden by a mount shows when the mount is gone. */
	char dir[4096];
	snprintf(dir, sizeof dir, "%s", given("denied"));
	*strrchr(dir, '/') = 0;
	umount2(given("denied"), DETACH);
	if (umount2(dir, DETACH) < 0 && !reads(given("denied"))) refused("umount2");
	if (reads(given("denied"))) escaped("the denied file shows");
	held("still hidden");
}
static void m_unroot(void)
{
	apart();
	past("umount2 of nothing", umount2(in("nothing"), DETACH));
}

static void n_fsopen(void)
{
	apart();
	int fs = TRY("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	TRY("fsconfig", syscall(SYS_fsconfig, fs, 6, NULL, NULL, 0));
	int m = TRY("fsmount", syscall(SYS_fsmount, fs, 0, 0));
	int fd = TRY("open in it", openat(m, "x", O_CREAT | O_RDWR, 0600));
	(void)fd;
	escaped("a file system is made by the new calls");
}
static void n_fspick(void)
{
	apart();
	TRY("fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0));
	escaped("the root's file system may be reconfigured");
}
static void n_opentree(void)
{
	apart();
	TRY("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | AT_RECURSIVE));
	escaped("the tree of mounts is copied");
}
static void n_move(void)
{
	apart();
	int t = open(given("readdir"), O_PATH);
	past("move_mount", syscall(SYS_move_mount, t, "", AT_FDCWD, point(), MOVE_MOUNT_F_EMPTY_PATH));
}
static void n_setattr(void)
{
	apart();
	struct mount_attr a = {.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
	past("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &a, sizeof a));
}

static void c_pivot(void)
{
	apart();
	TRY("mount of a new root", mount("none", point(), "tmpfs", 0, NULL));
	char old[4200];
	snprintf(old, sizeof old, "%s/old", point());
	mkdir(old, 0755);
	TRY("pivot_root", syscall(SYS_pivot_root, point(), old));
	escaped("the root is another");
}
static void c_pivot_dot(void)
{
	apart();
	past("pivot_root(., .)", syscall(SYS_pivot_root, ".", "."));
}
static void c_chroot(void)
{
	TRY("chroot", chroot(given("dir")));
	escaped("the root is changed");
}
/* mkdir, chroot into it with the old directory still open, walk up. */
static void c_classic(void)
{
	mkdir(in("jail"), 0755);
	int old = TRY("open", open(".", O_RDONLY | O_DIRECTORY));
	TRY("chroot", chroot(in("jail")));
	TRY("fchdir", fchdir(old));
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0) break;
	if (chroot(".") < 0) refused("chroot(.)");
	if (reads(given("secret"))) escaped("out of the root by the classic way");
	held("the secret is not above");
}

/* .. from every directory that is at hand must end at the root. */
static void up_and_out(void)
{
	const char *from[] = {".", "/", "/proc/self/cwd", "/proc/self/root", "/tmp", "/usr", "/dev", "/dev/shm", "/dev/pts", "/proc", given("dir"), given("readdir"), getenv("HOME") ? getenv("HOME") : "/"};
	for (size_t i = 0; i < COUNT(from); i++) {
		int d = open(from[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d < 0) continue;
		for (int k = 0; k < 40; k++) {
			if (readsat(d, given("secret") + 1)) escaped("the secret %d levels above %s", k, from[i]);
			int u = openat(d, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			close(d);
			if ((d = u) < 0) break;
		}
		if (d >= 0) close(d);
	}
	held("above everything there is the same root");
}

const struct attempt mounts_attempts[] = {
	{"mount-tmpfs", "", m_tmpfs},
	{"mount-bind", "", m_bind},
	{"mount-proc", "", m_proc},
	{"mount-sysfs", "", m_sysfs},
	{"mount-devtmpfs", "", m_devtmpfs},
	{"mount-debugfs", "", m_debugfs},
	{"mount-cgroup2", "", m_cgroup},
	{"mount-bpffs", "", m_bpffs},
	{"mount-overlay", "", m_overlay},
	{"mount-remount-writable", "", m_remount},
	{"umount-mask", "", m_masked},
	{"umount-right", "", m_unroot},
	{"fsopen", "", n_fsopen},
	{"fspick", "", n_fspick},
	{"open-tree", "", n_opentree},
	{"move-mount", "", n_move},
	{"mount-setattr", "", n_setattr},
	{"pivot-root", "", c_pivot},
	{"pivot-root-dot", "", c_pivot_dot},
	{"chroot", "", c_chroot},
	{"chroot-classic", "", c_classic},
	{"dotdot", "", up_and_out},
	{NULL, NULL, NULL},
};
