package native

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is a terminal with a person before it.
type screen struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	mu     sync.Mutex
	text   string // guarded by mu; what was written and not yet looked at
}

func newScreen(t *testing.T, u *user, rows, cols uint16) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("a pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	s := &screen{t: t, master: master}
	s.size(rows, cols)
	s.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	var n uint32
	s.control(func(fd int) (err error) { n, err = unix.IoctlGetUint32(fd, unix.TIOCGPTN); return err })
	name := "/dev/pts/" + strconv.FormatUint(uint64(n), 10)
	u.give(t, name)
	if s.slave, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	go s.read()
	return s
}

func (s *screen) control(f func(fd int) error) {
	s.t.Helper()
	raw, err := s.master.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil || err != nil {
		s.t.Fatal(cerr, err)
	}
}

func (s *screen) size(rows, cols uint16) {
	s.t.Helper()
	s.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
}

func (s *screen) read() {
	b := make([]byte, 4096)
	for {
		n, err := s.master.Read(b)
		s.mu.Lock()
		s.text += string(b[:n])
		s.mu.Unlock()
		if err != nil {
			return // the other end is closed
		}
	}
}

// awaits waits until the screen shows text, and forgets it and all before.
func (s *screen) awaits(text string) string {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		before, after, found := strings.Cut(s.text, text)
		if found {
			s.text = after
		}
		s.mu.Unlock()
		if found {
			return before
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Fatalf("no %q on the screen, but %q", text, s.text)
	return ""
}

func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, text); err != nil {
		s.t.Fatal(err)
	}
}

// TestInteractiveShell is somebody at a shell: jobs, their suspension, their end by
// Ctrl-C, and a window that changes.
func TestInteractiveShell(t *testing.T) {
	need(t, "bash")
	h := newHouse(t)
	h.users(t, func(t *testing.T, u *user) {
		u.contained(t)
		dir := u.work(t, nil)
		s := newScreen(t, u, 40, 100)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		m := markOf(t)
		cmd := u.command(ctx, dir, []string{h.agentos, "run", "--quiet", "--write", dir, "-e", m.env(), "-e", "PS1=ready> ",
			"/bin/bash", "--norc", "--noprofile", "--noediting", "-i"}, "AGENTOS_STATE="+u.keep)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = s.slave, s.slave, s.slave
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.slave.Close(); err != nil {
			t.Fatal(err)
		}
		const prompt = "ready> "
		step := func(typed string, shows ...string) {
			t.Helper()
			s.types(typed)
			for _, text := range append(shows, prompt) {
				s.awaits(text)
			}
		}
		s.awaits(prompt)
		step("stty size\n", "\r\n40 100\r\n")
		step("tty; test -t 0 -a -t 1 -a -t 2 && echo a ter''minal\n", "/dev/pts/", "a terminal")

		s.types("sleep 1000\n")
		s.awaits("sleep 1000\r\n")
		m.runs(t, "sleep")
		step("\x1a", "Stopped")
		step("jobs\n", "[1]+  Stopped", "sleep 1000")
		step("bg\n", "[1]+ sleep 1000 &")
		step("jobs\n", "[1]+  Running", "sleep 1000 &")
		s.types("fg\n")
		s.awaits("\r\nsleep 1000\r\n")
		time.Sleep(100 * time.Millisecond) // the shell gives the terminal away after it says so
		step("\x03", "^C")
		step("echo status $?\n", "\r\nstatus 130\r\n")
		step("jobs; echo no''ne left\n", "\r\nnone left\r\n")

		s.types("sh -c 'trap \"stty size; exit\" WINCH; echo wait\"\"ing; while :; do sleep 0.05; done'\n")
		s.awaits("waiting")
		s.size(50, 120)
		s.awaits("50 120\r\n")
		s.awaits(prompt)
		step("cat > file\nline\n\x04")
		step("cat file; stty -a | grep -o 'icanon\\|echo '\n", "\r\nline\r\n", "icanon", "echo")
		s.types("exit 7\n")
		err := cmd.Wait()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("it ended with %v", errors.Join(err, ctx.Err()))
		}
		m.gone(t, u, cmd.Process.Pid)
	})
}

// runs waits for a program to run.
func (m mark) runs(t *testing.T, name string) {
	t.Helper()
	for range 1000 {
		for _, p := range m.processes(t) {
			if strings.HasSuffix(p, " "+name) {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s does not run; there are %q", name, m.processes(t))
}
