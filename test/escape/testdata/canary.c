/* The process outside. It holds the cookie in its memory, environment and an open
 * file, and tells its standard output of every signal that reaches it. */
#include "escape.h"
#include <linux/keyctl.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static volatile sig_atomic_t got;
static void note(int sig) { got = sig; }

/* The words that an attempt may find or change. */
struct words {
	char cookie[64];
	uint64_t word;
};

/* The objects outside that have a name. They are removed by forget. */
static int shm = -1, msg = -1, sem = -1;
static long ring;
static char posix[64], queue[64];

static void objects(const char *cookie, int number, const char *name)
{
	struct { long type; char text[64]; } m = {.type = 1};
	umask(0);
	shm = shmget(number, 4096, IPC_CREAT | IPC_EXCL | 0666);
	char *p = shm >= 0 ? shmat(shm, NULL, 0) : (void *)-1;
	if (p != (void *)-1) strcpy(p, cookie);
	msg = msgget(number, IPC_CREAT | IPC_EXCL | 0666);
	snprintf(m.text, sizeof m.text, "%s", cookie);
	if (msg >= 0 && msgsnd(msg, &m, sizeof m.text, IPC_NOWAIT) < 0) perror("msgsnd");
	sem = semget(number, 1, IPC_CREAT | IPC_EXCL | 0666);
	snprintf(posix, sizeof posix, "/dev/shm/%s", name);
	int fd = open(posix, O_CREAT | O_RDWR, 0666);
	if (fd >= 0 && (write(fd, cookie, strlen(cookie)) < 0 || ftruncate(fd, 4096) < 0)) perror(posix);
	snprintf(queue, sizeof queue, "/%s", name);
	mq_open(queue, O_CREAT | O_RDWR, 0666, NULL);
	ring = syscall(SYS_add_key, "user", "agentos-escape-canary", cookie, strlen(cookie), KEY_SPEC_USER_KEYRING);
	if (ring > 0) syscall(SYS_keyctl, KEYCTL_SETPERM, ring, 0x3f3f3f3f);
	if (shm < 0 || msg < 0 || sem < 0 || fd < 0) perror("an object outside");
}

static void forget(void)
{
	shmctl(shm, IPC_RMID, NULL);
	msgctl(msg, IPC_RMID, NULL);
	semctl(sem, 0, IPC_RMID);
	unlink(posix);
	mq_unlink(queue);
	if (ring > 0) syscall(SYS_keyctl, KEYCTL_UNLINK, ring, KEY_SPEC_USER_KEYRING);
}

/* canary SECRET DIRECTORY NUMBER NAME */
int canary(int argc, char **argv)
{
	static const int heard[] = {SIGUSR1, SIGUSR2, SIGURG, SIGIO, SIGHUP, SIGTERM, SIGINT, SIGCONT};
	struct words *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED || argc < 6) return 2;
	/* The cookie comes in the environment, so that the command line is clean. */
	const char *cookie = getenv("CANARY_COOKIE");
	if (!cookie) return 2;
	snprintf(w->cookie, sizeof w->cookie, "%s", cookie);
	w->word = 0x600d600d600d600d;
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* as easy as it can be made */
	if (chdir(argv[3]) < 0) return 2;
	int fd = open(argv[2], O_RDONLY); /* the secret, an open descriptor */
	if (fd < 0) { perror(argv[2]); return 2; }
	struct sigaction sa = {.sa_handler = note};
	for (size_t i = 0; i < COUNT(heard); i++) sigaction(heard[i], &sa, NULL);
	objects(cookie, atoi(argv[4]), argv[5]);
	printf("pid=%d address=%lu fd=%d key=%ld\n", getpid(), (unsigned long)w, fd, ring > 0 ? ring : 0);
	fflush(stdout);
	for (;;) {
		struct pollfd p = {0, POLLIN, 0};
		int n = poll(&p, 1, 100);
		if (got) { printf("signal %d\n", (int)got); got = 0; }
		if (w->word != 0x600d600d600d600d) { printf("memory changed\n"); w->word = 0x600d600d600d600d; }
		fflush(stdout);
		char c;
		if (n > 0 && read(0, &c, 1) <= 0) { forget(); return 0; } /* the test is over */
		if (n > 0) { printf("alive\n"); fflush(stdout); }
	}
}
