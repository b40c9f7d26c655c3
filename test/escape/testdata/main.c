/* escape list           every attempt: name, theme, how
 * escape NAME key=...   one attempt, one line: held, ESCAPED, look or unclear
 * escape canary ...     the process outside that must not be reached
 * escape role ...       what an attempt executes once more, see exec.c */
#include "escape.h"
#include <stdarg.h>

extern int role(int argc, char **argv);
extern int canary(int argc, char **argv);

static const struct {
	const char *theme;
	const struct attempt *list;
} themes[] = {
	{"calls", calls_attempts},       {"compat", compat_attempts},   {"namespaces", namespaces_attempts},
	{"mounts", mounts_attempts},     {"proc", proc_attempts},       {"files", files_attempts},
	{"grants", grants_attempts},     {"setid", setid_attempts},     {"ipc", ipc_attempts},
	{"signals", signals_attempts},   {"terminal", terminal_attempts}, {"network", network_attempts},
	{"exec", exec_attempts},         {"bombs", bombs_attempts},     {"survive", survive_attempts},
};

int verdict_fd = -1;
static int argn;
static char **args;

static void say(const char *kind, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof line - 1, "%s: ", kind);
	n += vsnprintf(line + n, sizeof line - 1 - n, fmt, ap);
	if (n > (int)sizeof line - 2) n = sizeof line - 2;
	for (int i = 0; i < n; i++)
		if (line[i] == '\n') line[i] = ' ';
	line[n++] = '\n';
	if (write(verdict_fd, line, n) != n) _exit(3);
	_exit(0);
}

#define SAY(kind)                  \
	va_list ap;                \
	va_start(ap, fmt);         \
	say(kind, fmt, ap);        \
	va_end(ap);                \
	_exit(0)
void held(const char *fmt, ...) { SAY("held"); }
void escaped(const char *fmt, ...) { SAY("ESCAPED"); }
static void unclear(const char *fmt, ...) { SAY("unclear"); }
static void lookat(const char *fmt, ...) { SAY("look"); }
void look(const char *path) { lookat("%s", path); _exit(0); }
void refused(const char *call) { held("%s: %s", call, strerror(errno)); }

void past(const char *call, long rc)
{
	if (rc >= 0) escaped("%s works", call);
	switch (errno) {
	case EPERM: case EACCES: case ENOSYS: case EOPNOTSUPP: case ENODEV:
		refused(call);
	}
	escaped("%s is permitted: it only found its arguments wrong (%s)", call, strerror(errno));
}

const char *given(const char *key)
{
	size_t n = strlen(key);
	for (int i = 0; i < argn; i++)
		if (!strncmp(args[i], key, n) && args[i][n] == '=') return args[i] + n + 1;
	unclear("the runner did not give %s=", key);
	return NULL;
}

long number(const char *key) { return strtol(given(key), NULL, 0); }

const char *in(const char *name)
{
	static char rooms[8][4096];
	static int next;
	char *p = rooms[next++ % 8];
	snprintf(p, 4096, "%s/%s", given("dir"), name);
	return p;
}

int has_cookie(const char *buf, size_t n)
{
	const char *c = given("cookie");
	return memmem(buf, n, c, strlen(c)) != NULL;
}

int readsfd(int fd)
{
	char buf[65536];
	size_t n = 0;
	ssize_t m;
	if (fd < 0) return 0;
	while (n < sizeof buf && (m = read(fd, buf + n, sizeof buf - n)) > 0) n += m;
	return has_cookie(buf, n);
}

int readsat(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int yes = readsfd(fd), e = errno;
	if (fd >= 0) close(fd);
	errno = e;
	return yes;
}

int reads(const char *path) { return readsat(AT_FDCWD, path); }

void put(const char *path, const char *text)
{
	int fd = TRY(path, open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755));
	if (write(fd, text, strlen(text)) < 0) refused(path);
	close(fd);
}

const char *self(void) { return given("self"); }

/* attempt runs one attempt in a child and prints what it says. */
static int attempt(const struct attempt *a)
{
	int ends[2], status;
	if (pipe2(ends, O_CLOEXEC) < 0) { perror("pipe2"); return 3; }
	verdict_fd = fcntl(ends[1], F_DUPFD_CLOEXEC, 900);
	if (verdict_fd < 0) verdict_fd = fcntl(ends[1], F_DUPFD_CLOEXEC, 60); /* few descriptors */
	close(ends[1]);
	if (verdict_fd < 0) { perror("F_DUPFD"); return 3; }
	pid_t child = fork();
	if (child < 0) { printf("unclear: fork: %s\n", strerror(errno)); return 3; }
	if (child == 0) {
		close(ends[0]);
		a->run();
		unclear("it came to no end");
	}
	close(verdict_fd);
	char line[1100];
	int n = 0, late = 0;
	for (;;) {
		struct pollfd p = {ends[0], POLLIN, 0};
		if (poll(&p, 1, 20000) <= 0) { late = 1; break; }
		int m = read(ends[0], line + n, sizeof line - 1 - n);
		if (m <= 0) break;
		n += m;
		if (line[n - 1] == '\n') break;
	}
	line[n] = 0;
	if (!n) {
		if (late) kill(child, SIGKILL);
		if (waitpid(child, &status, 0) < 0) status = 0;
		if (late)
			snprintf(line, sizeof line, "unclear: nothing came of it in 20 s\n");
		else if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || strstr(a->how, "bomb") ||
		                                 (strstr(a->how, "compat") && WTERMSIG(status) == SIGSEGV)))
			snprintf(line, sizeof line, "held: ended by %s\n", strsignal(WTERMSIG(status)));
		else
			snprintf(line, sizeof line, "unclear: ended with status 0x%x\n", status);
	}
	if (write(1, line, strlen(line)) < 0) return 3;
	return line[0] == 'h' || line[0] == 'l' ? 0 : line[0] == 'E' ? 1 : 3;
}

int main(int argc, char **argv)
{
	if (argc < 1 || !argv[0][0]) { /* see exec-empty-argv */
		char *a[] = {"", "role", "secret", getenv("ROLE_SECRET"), getenv("ROLE_COOKIE"), NULL};
		return a[3] && a[4] ? role(5, a) : 2;
	}
	if (argc < 2) { fprintf(stderr, "escape list | NAME key=value...\n"); return 2; }
	args = argv + 2;
	argn = argc - 2;
	if (!strcmp(argv[1], "canary")) return canary(argc, argv);
	if (!strcmp(argv[1], "role")) return role(argc, argv);
	for (size_t t = 0; t < COUNT(themes); t++)
		for (const struct attempt *a = themes[t].list; a->name; a++) {
			if (!strcmp(argv[1], "list"))
				printf("%s\t%s\t%s\n", a->name, themes[t].theme, a->how);
			else if (!strcmp(argv[1], a->name))
				return attempt(a);
		}
	if (!strcmp(argv[1], "list")) return 0;
	fprintf(stderr, "no attempt %s\n", argv[1]);
	return 2;
}
