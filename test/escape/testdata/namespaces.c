/* Namespaces: new ones inside, and those of the host. */
#include "escape.h"
#include <sys/mount.h>
#include <sys/syscall.h>

static void fresh(const char *what, long flag)
{
	TRY(what, unshare(flag));
	escaped("%s gives a namespace of its own", what);
}
static void new_user(void) { fresh("unshare(CLONE_NEWUSER)", CLONE_NEWUSER); }
static void new_mount(void) { fresh("unshare(CLONE_NEWNS)", CLONE_NEWNS); }
static void new_pid(void) { fresh("unshare(CLONE_NEWPID)", CLONE_NEWPID); }
static void new_net(void) { fresh("unshare(CLONE_NEWNET)", CLONE_NEWNET); }
static void new_ipc(void) { fresh("unshare(CLONE_NEWIPC)", CLONE_NEWIPC); }
static void new_uts(void) { fresh("unshare(CLONE_NEWUTS)", CLONE_NEWUTS); }
static void new_cgroup(void) { fresh("unshare(CLONE_NEWCGROUP)", CLONE_NEWCGROUP); }
static void new_time(void) { fresh("unshare(CLONE_NEWTIME)", 0x80); }

/* The way in which a nested user namespace becomes something: all capabilities,
 * a mount, and a look at what the masks of the outer one hide. */
static void nested_root(void)
{
	TRY("unshare", unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID));
	pid_t p = fork();
	if (p < 0) refused("fork");
	if (p == 0) {
		if (mkdir(in("proc"), 0700) < 0 && errno != EEXIST) refused("mkdir");
		TRY("mount", mount("none", in("proc"), "tmpfs", 0, NULL));
		escaped("capabilities over a mount namespace of its own");
	}
	waitpid(p, NULL, 0);
	held("nothing");
}

static void clone_flag(const char *what, unsigned long flag)
{
	long p = syscall(SYS_clone, flag | SIGCHLD, 0, 0, 0, 0);
	if (p == 0) _exit(0);
	if (p < 0) refused(what);
	waitpid(p, NULL, 0);
	escaped("%s gives a process in a new namespace", what);
}
static void clone_user(void) { clone_flag("clone(CLONE_NEWUSER)", CLONE_NEWUSER); }
static void clone_mount(void) { clone_flag("clone(CLONE_NEWNS)", CLONE_NEWNS); }
static void clone_all(void) { clone_flag("clone of all", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS); }

static void clone_three(void)
{
	uint64_t a[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
	long p = syscall(SYS_clone3, a, sizeof a);
	if (p == 0) _exit(0);
	if (p < 0) refused("clone3");
	waitpid(p, NULL, 0);
	escaped("clone3(CLONE_NEWUSER) gives a process in a new namespace");
}

/* A process born straight into a cgroup of the caller's choice. */
static void clone_cgroup(void)
{
	int fd = open("/sys/fs/cgroup/unified", O_RDONLY | O_DIRECTORY);
	if (fd < 0) fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
	if (fd < 0) refused("/sys/fs/cgroup");
	uint64_t a[11] = {0x200000000ULL, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, fd};
	long p = syscall(SYS_clone3, a, sizeof a);
	if (p == 0) _exit(0);
	if (p < 0) refused("clone3(CLONE_INTO_CGROUP)");
	waitpid(p, NULL, 0);
	escaped("a process in a cgroup of the host");
}

/* CLONE_PARENT makes a sibling of the launcher's child. */
static void clone_parent(void)
{
	pid_t mid = fork();
	if (mid < 0) refused("fork");
	if (mid == 0) {
		long p = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (p == 0) {
			if (reads(given("secret"))) escaped("a sibling of the program reads the secret");
			held("a sibling of the program is as confined as it");
		}
		if (p < 0) refused("clone(CLONE_PARENT)");
		_exit(0);
	}
	waitpid(mid, NULL, 0);
	sleep(2);
	held("no sibling");
}

static const char *kinds[] = {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"};

static void enter(const char *who)
{
	int entered = 0, seen = 0;
	char path[64];
	for (size_t i = 0; i < COUNT(kinds); i++) {
		snprintf(path, sizeof path, "/proc/%s/ns/%s", who, kinds[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) continue;
		seen++;
		if (setns(fd, 0) == 0) entered++;
	}
	if (reads(given("secret"))) escaped("in the namespaces of process %s the secret is there", who);
	if (entered) escaped("%d namespaces of process %s are entered", entered, who);
	if (!seen) refused("/proc/PID/ns");
	refused("setns");
}
static void enter_outside(void) { enter(given("pid")); }
static void enter_first(void) { enter("1"); }
static void enter_own(void) { enter("self"); }

static void enter_pidfd(void)
{
	int p = TRY("pidfd_open", syscall(SYS_pidfd_open, 1, 0));
	TRY("setns(pidfd)", setns(p, CLONE_NEWNS));
	escaped("the mount namespace of pid 1 is entered");
}

/* The namespaces above, by the kernel's own way to them. */
static void ioctl_parent(void)
{
	int fd = TRY("/proc/self/ns/pid", open("/proc/self/ns/pid", O_RDONLY));
	int up = TRY("NS_GET_PARENT", ioctl(fd, 0xb702));
	TRY("setns", setns(up, 0));
	escaped("the pid namespace above is entered");
}
static void ioctl_owner(void)
{
	int fd = TRY("/proc/self/ns/mnt", open("/proc/self/ns/mnt", O_RDONLY));
	int up = TRY("NS_GET_USERNS", ioctl(fd, 0xb701));
	TRY("setns", setns(up, 0));
	escaped("the user namespace that owns this one is entered");
}

static void map_write(void)
{
	int fd = TRY("/proc/self/uid_map", open("/proc/self/uid_map", O_WRONLY));
	TRY("writing uid_map", write(fd, "0 0 4294967295\n", 15));
	escaped("the map of users is written");
}

const struct attempt namespaces_attempts[] = {
	{"unshare-user", "", new_user},
	{"unshare-mount", "", new_mount},
	{"unshare-pid", "", new_pid},
	{"unshare-net", "", new_net},
	{"unshare-ipc", "", new_ipc},
	{"unshare-uts", "", new_uts},
	{"unshare-cgroup", "", new_cgroup},
	{"unshare-time", "", new_time},
	{"nested-root", "", nested_root},
	{"clone-newuser", "", clone_user},
	{"clone-newns", "", clone_mount},
	{"clone-everything", "", clone_all},
	{"clone3-newuser", "", clone_three},
	{"clone3-into-cgroup", "hazard", clone_cgroup},
	{"clone-parent", "", clone_parent},
	{"setns-outside", "", enter_outside},
	{"setns-pid1", "", enter_first},
	{"setns-own", "", enter_own},
	{"setns-pidfd", "", enter_pidfd},
	{"ns-get-parent", "", ioctl_parent},
	{"ns-get-owner", "", ioctl_owner},
	{"uid-map-write", "", map_write},
	{NULL, NULL, NULL},
};
