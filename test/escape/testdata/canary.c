/* The process outside. It holds the cookie in its memory, environment and an open
 * file, and tells its standard output of every signal that reaches it. */
#include "escape.h"

static volatile sig_atomic_t got;
static void note(int sig) { got = sig; }

/* The words that an attempt may find or change. */
struct words {
	char cookie[64];
	uint64_t word;
};

int canary(int argc, char **argv)
{
	static const int heard[] = {SIGUSR1, SIGUSR2, SIGURG, SIGIO, SIGHUP, SIGTERM, SIGINT, SIGCONT};
	struct words *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED || argc < 4) return 2;
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
	printf("pid=%d address=%lu fd=%d\n", getpid(), (unsigned long)w, fd);
	fflush(stdout);
	for (;;) {
		struct pollfd p = {0, POLLIN, 0};
		int n = poll(&p, 1, 100);
		if (got) { printf("signal %d\n", (int)got); got = 0; }
		if (w->word != 0x600d600d600d600d) { printf("memory changed\n"); w->word = 0x600d600d600d600d; }
		fflush(stdout);
		char c;
		if (n > 0 && read(0, &c, 1) <= 0) return 0; /* the test is over */
		if (n > 0) { printf("alive\n"); fflush(stdout); }
	}
}
