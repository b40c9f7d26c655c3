/* Objects of the kernel that have a name outside the file system. */
#include "escape.h"
#include <dirent.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/un.h>

static void i_shm(void)
{
	int id = TRY("shmget", shmget(number("shm"), 0, 0));
	char *p = shmat(id, NULL, SHM_RDONLY);
	if (p == (void *)-1) refused("shmat");
	if (has_cookie(p, 64)) escaped("a shared segment of the host is read");
	held("another segment");
}
static void i_shm_scan(void)
{
	struct shmid_ds d;
	int top = shmctl(0, 14 /* SHM_INFO */, &d);
	for (int i = 0; i <= top; i++) {
		int id = shmctl(i, 13 /* SHM_STAT */, &d);
		if (id < 0) continue;
		char *p = shmat(id, NULL, SHM_RDONLY);
		if (p != (void *)-1 && d.shm_segsz >= 64 && has_cookie(p, 64)) escaped("segment %d of the host is found and read", id);
		if (p != (void *)-1) shmdt(p);
	}
	held("no segment of the host");
}
static void i_shm_remove(void)
{
	int id = TRY("shmget", shmget(number("shm"), 0, 0));
	struct shmid_ds d;
	TRY("IPC_STAT", shmctl(id, IPC_STAT, &d));
	TRY("IPC_SET", shmctl(id, IPC_SET, &d));
	escaped("a shared segment of the host is changed");
}
static void i_msg(void)
{
	struct { long type; char text[256]; } m;
	int id = TRY("msgget", msgget(number("msg"), 0));
	int n = TRY("msgrcv", msgrcv(id, &m, sizeof m.text, 0, IPC_NOWAIT | 040000 /* MSG_COPY */));
	if (has_cookie(m.text, n)) escaped("a message of the host is read");
	held("another queue");
}
static void i_msg_send(void)
{
	struct { long type; char text[8]; } m = {1, "evil"};
	int id = TRY("msgget", msgget(number("msg"), 0));
	TRY("msgsnd", msgsnd(id, &m, 5, IPC_NOWAIT));
	escaped("a message is in a queue of the host");
}
static void i_sem(void)
{
	struct sembuf b = {0, 1, IPC_NOWAIT};
	int id = TRY("semget", semget(number("msg"), 0, 0));
	TRY("semop", semop(id, &b, 1));
	escaped("a semaphore of the host is raised");
}
static void i_posix_shm(void)
{
	char p[200];
	snprintf(p, sizeof p, "/dev/shm/%s", given("posix"));
	if (reads(p)) escaped("a shared object of the host is read");
	refused(p);
}
static void i_posix_list(void)
{
	DIR *d = opendir("/dev/shm");
	if (!d) refused("/dev/shm");
	struct dirent *e;
	while ((e = readdir(d)))
		if (!strcmp(e->d_name, given("posix"))) escaped("the host's shared objects are listed");
	held("none of the host's");
}
static void i_mq(void)
{
	char name[200], b[9000];
	snprintf(name, sizeof name, "/%s", given("posix"));
	mqd_t q = TRY("mq_open", mq_open(name, O_RDONLY | O_NONBLOCK));
	(void)b;
	(void)q;
	escaped("a queue of the host is open");
}

static int abstract(const char *name, int type, struct sockaddr_un *a, socklen_t *n)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path + 1, sizeof a->sun_path - 1, "%s", name);
	*n = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
	return TRY("socket", socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}
static void i_abstract(void)
{
	struct sockaddr_un a;
	socklen_t n;
	int s = abstract(given("abstract"), SOCK_STREAM, &a, &n);
	TRY("connect to an abstract socket", connect(s, (void *)&a, n));
	if (readsfd(s)) escaped("a socket outside answers");
	escaped("connected to a socket outside");
}
static void i_abstract_dgram(void)
{
	struct sockaddr_un a;
	socklen_t n;
	char name[120];
	snprintf(name, sizeof name, "%s-d", given("abstract"));
	int s = abstract(name, SOCK_DGRAM, &a, &n);
	TRY("sendto an abstract socket", sendto(s, "evil", 4, 0, (void *)&a, n));
	escaped("a datagram is sent to a socket outside");
}
/* A socket outside hands over an open file: what a confined program is given by
 * those that it can reach. */
static void take(int s)
{
	char b[64], c[CMSG_SPACE(sizeof(int) * 4)];
	struct iovec v = {b, sizeof b};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
	TRY("recvmsg", recvmsg(s, &m, 0));
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_type != SCM_RIGHTS) held("no descriptor came");
	int fd;
	memcpy(&fd, CMSG_DATA(h), sizeof fd);
	lseek(fd, 0, SEEK_SET);
	if (readsfd(fd)) escaped("a descriptor of the secret is handed over");
	held("a descriptor, but not of the secret");
}
static void i_rights(void)
{
	struct sockaddr_un a;
	socklen_t n;
	char name[120];
	snprintf(name, sizeof name, "%s-r", given("abstract"));
	int s = abstract(name, SOCK_STREAM, &a, &n);
	TRY("connect to an abstract socket", connect(s, (void *)&a, n));
	take(s);
}
static void path_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof a.sun_path) {
		char dir[4096];
		snprintf(dir, sizeof dir, "%s", path);
		char *base = strrchr(dir, '/');
		*base++ = 0;
		TRY("chdir", chdir(dir));
		snprintf(a.sun_path, sizeof a.sun_path, "%.100s", base);
	} else
		strcpy(a.sun_path, path);
	int s = TRY("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	TRY("connect to a socket by its path", connect(s, (void *)&a, sizeof a));
	take(s);
}
static void i_path_read(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s/socket", given("readdir"));
	path_socket(p);
}
static void i_path_write(void) { path_socket(in("socket")); }
static void i_path_outside(void)
{
	char p[4200];
	snprintf(p, sizeof p, "%s.socket", given("secret"));
	path_socket(p);
}
static void i_unix_list(void)
{
	char b[65536];
	int fd = TRY("/proc/net/unix", open("/proc/net/unix", O_RDONLY)), n = 0, m;
	while (n < (int)sizeof b && (m = read(fd, b + n, sizeof b - n)) > 0) n += m;
	if (memmem(b, n, given("abstract"), strlen(given("abstract")))) escaped("the sockets of the host are listed");
	held("none of the host's");
}
static void i_fifo(void)
{
	/* A pipe by name in a read grant, which somebody outside reads. */
	char p[4200];
	snprintf(p, sizeof p, "%s/fifo", given("readdir"));
	int fd = TRY("open a fifo for writing", open(p, O_WRONLY | O_NONBLOCK));
	TRY("write", write(fd, "evil\n", 5));
	escaped("a pipe of a read grant is written to");
}

const struct attempt ipc_attempts[] = {
	{"sysv-shm", "", i_shm},
	{"sysv-shm-scan", "", i_shm_scan},
	{"sysv-shm-change", "", i_shm_remove},
	{"sysv-msg-read", "", i_msg},
	{"sysv-msg-send", "", i_msg_send},
	{"sysv-sem", "", i_sem},
	{"posix-shm", "", i_posix_shm},
	{"posix-shm-list", "", i_posix_list},
	{"posix-mq", "", i_mq},
	{"unix-abstract", "", i_abstract},
	{"unix-abstract-datagram", "", i_abstract_dgram},
	{"unix-rights", "", i_rights},
	{"unix-path-read-grant", "", i_path_read},
	{"unix-path-write-grant", "", i_path_write},
	{"unix-path-outside", "", i_path_outside},
	{"unix-list", "", i_unix_list},
	{"fifo-read-grant", "", i_fifo},
	{NULL, NULL, NULL},
};
