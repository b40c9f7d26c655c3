/* The user's terminal. The test holds its other end, and looks at its settings,
 * its size, its input queue and its foreground group afterwards. */
#include "escape.h"
#include <linux/vt.h>
#include <linux/kd.h>
#include <termios.h>

static int term(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (isatty(fd)) return fd;
	int fd = open("/dev/tty", O_RDWR);
	if (fd < 0) held("there is no terminal");
	return fd;
}
static void sti(int fd)
{
	const char *s = "evil\n";
	for (; *s; s++) TRY("TIOCSTI", ioctl(fd, TIOCSTI, s));
	escaped("a line is put into the terminal's input");
}
static void t_sti(void) { sti(term()); }
static void t_sti_tty(void) { sti(TRY("/dev/tty", open("/dev/tty", O_RDWR))); }
static void t_sti_session(void)
{
	int fd = term();
	setsid();
	ioctl(fd, TIOCSCTTY, 1);
	sti(fd);
}
static void t_linux(void)
{
	char sel[] = {10, 0}; /* TIOCL_GETMOUSEREPORTING and friends */
	TRY("TIOCLINUX", ioctl(term(), TIOCLINUX, sel));
	escaped("the console's selection is in reach");
}
static void t_cons(void) { TRY("TIOCCONS", ioctl(term(), TIOCCONS)); escaped("what the machine's console says comes here"); }
static void ldisc(const char *name, int n)
{
	int was = 0, fd = term();
	ioctl(fd, TIOCGETD, &was);
	if (ioctl(fd, TIOCSETD, &n) < 0) refused(name);
	ioctl(fd, TIOCSETD, &was);
	escaped("line discipline %s is on: a driver of the kernel is in reach", name);
}
static void t_slip(void) { ldisc("N_SLIP", 1); }
static void t_gsm(void) { ldisc("N_GSM0710", 21); }
static void t_hci(void) { ldisc("N_HCI", 15); }
static void t_ppp(void) { ldisc("N_PPP", 3); }
static void t_null(void) { ldisc("N_NULL", 27); }
static void t_steal(void)
{
	/* Take the terminal from the session that has it. */
	int fd = term();
	if (fork() != 0) { sleep(1); held("not taken"); }
	setsid();
	TRY("TIOCSCTTY with force", ioctl(fd, TIOCSCTTY, 1));
	if (getuid() == 0) escaped("the terminal is taken from its session");
	held("the session has no terminal to lose");
}
static void t_size(void)
{
	struct winsize w = {.ws_row = 7, .ws_col = 13};
	TRY("TIOCSWINSZ", ioctl(term(), TIOCSWINSZ, &w));
	usleep(100000);
	look(given("never")); /* the host compares the size of its own */
}
static void t_raw(void)
{
	struct termios t;
	TRY("tcgetattr", tcgetattr(term(), &t));
	cfmakeraw(&t);
	TRY("tcsetattr", tcsetattr(term(), TCSANOW, &t));
	look(given("never"));
}
static void t_excl(void) { TRY("TIOCEXCL", ioctl(term(), TIOCEXCL)); look(given("never")); }
static void t_hangup(void)
{
	TRY("TIOCVHANGUP", ioctl(term(), 0x5437));
	escaped("the terminal is hung up");
}
static void t_nonblock(void)
{
	for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	look(given("never")); /* the host looks at its own descriptors */
}
static void t_lock(void)
{
	struct termios t;
	memset(&t, 0xff, sizeof t);
	TRY("TIOCSLCKTRMIOS", ioctl(term(), 0x5457, &t));
	escaped("the terminal's settings are locked");
}
static void t_other(void)
{
	/* The user's other terminals. */
	for (int i = 0; i < 256; i++) {
		char p[32];
		struct stat st, mine = {0};
		snprintf(p, sizeof p, "/dev/pts/%d", i);
		fstat(term(), &mine);
		int fd = open(p, O_RDWR | O_NOCTTY);
		if (fd < 0 || fstat(fd, &st) < 0) continue;
		if (st.st_rdev != mine.st_rdev || st.st_dev != mine.st_dev) escaped("%s, another terminal, is open", p);
	}
	held("no other terminal");
}
static void t_vt(void)
{
	int fd = open("/dev/tty0", O_RDWR);
	if (fd < 0) refused("/dev/tty0");
	struct vt_stat v;
	TRY("VT_GETSTATE", ioctl(fd, VT_GETSTATE, &v));
	escaped("the virtual consoles are in reach");
}

const struct attempt terminal_attempts[] = {
	{"tiocsti", "tty", t_sti},
	{"tiocsti-dev-tty", "tty", t_sti_tty},
	{"tiocsti-session", "tty", t_sti_session},
	{"tioclinux", "tty", t_linux},
	{"tioccons", "tty,hazard", t_cons},
	{"discipline-slip", "tty", t_slip},
	{"discipline-gsm", "tty", t_gsm},
	{"discipline-hci", "tty", t_hci},
	{"discipline-ppp", "tty", t_ppp},
	{"discipline-null", "tty", t_null},
	{"terminal-steal", "tty", t_steal},
	{"terminal-size", "tty", t_size},
	{"terminal-raw", "tty", t_raw},
	{"terminal-exclusive", "tty", t_excl},
	{"terminal-hangup", "tty", t_hangup},
	{"terminal-nonblock", "tty", t_nonblock},
	{"terminal-lock", "tty", t_lock},
	{"terminal-others", "tty", t_other},
	{"virtual-console", "tty", t_vt},
	{NULL, NULL, NULL},
};
