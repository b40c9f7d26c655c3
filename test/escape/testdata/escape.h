/* What the attempts share. An attempt runs in a child of its own and says one
 * thing: held(why) or escaped(evidence). It must say escaped() only for an effect
 * that it has seen, and look() for one that only the host can see. */
#ifndef ESCAPE_H
#define ESCAPE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <grp.h>
#include <unistd.h>

/* how: words that the runner reads.
 *   tty      needs the user's terminal
 *   bomb     consumes until a limit; may be ended instead of answering
 *   survive  is judged by what is left when the run has ended
 *   hazard   touches more than canaries when nothing stops it
 *   compat   enters the kernel as a 32-bit program */
struct attempt {
	const char *name, *how;
	void (*run)(void);
};

extern const struct attempt calls_attempts[], compat_attempts[], namespaces_attempts[], mounts_attempts[], proc_attempts[],
	files_attempts[], grants_attempts[], setid_attempts[], ipc_attempts[], signals_attempts[], terminal_attempts[],
	network_attempts[], exec_attempts[], bombs_attempts[], survive_attempts[];

void held(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void escaped(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* look leaves the verdict to the host: it is an escape if path exists there. */
void look(const char *path) __attribute__((noreturn));
/* refused is held() with the reason in errno. */
void refused(const char *call) __attribute__((noreturn));

/* given is the value of key=value on the command line; without it the attempt
 * ends as one that could not be made. */
const char *given(const char *key);
long number(const char *key);
/* in is a path beneath the attempt's own writable directory. */
const char *in(const char *name);

/* reads says whether the file holds the cookie of this run. */
int reads(const char *path);
int readsat(int dir, const char *path);
int readsfd(int fd);
int has_cookie(const char *buf, size_t n);
void put(const char *path, const char *text); /* makes or replaces a file, or held() */
const char *self(void);                      /* the path of this program */
extern int verdict_fd;

/* past judges a privileged call made with arguments that cannot work: any other
 * error than these says that the permission was there. */
void past(const char *call, long rc) __attribute__((noreturn));

#define TRY(call, expr)                      \
	({                                   \
		long try_rc = (long)(expr);  \
		if (try_rc < 0) refused(call); \
		try_rc;                      \
	})
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
