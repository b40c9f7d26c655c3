package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"golang.org/x/sys/unix"
)

// actor plays the tool in a process of its own, with a native program that is no
// more than a loop over what is typed.
const actor = "AGENTOS_TEST_CONSOLE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(actor); mode != "" {
		os.Exit(act(mode))
	}
	os.Exit(m.Run())
}

// act runs the tool's part of a run.
func act(mode string) int {
	inv := &invocation{Caller: Caller{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv}}
	inv.screen = newScreen(os.Stderr, os.LookupEnv)
	f := &runFlags{noTTY: mode == "-T", tty: mode == "-t"}
	var sp agentos.Spec
	if err := inv.terminal(f, &sp, true); err != nil {
		inv.screen.fail(err)
		return 1
	}
	rep, err := inv.supervise(&actorKernel{}, &sp, true)
	if err != nil {
		inv.screen.fail(err)
		return 1
	}
	inv.screen.note("", "over")
	return rep.ExitCode
}

// actorKernel starts the loop.
type actorKernel struct {
	fakeKernel
	sp   agentos.Spec
	end  chan int
	once sync.Once
}

func (k *actorKernel) Start(_ context.Context, sp agentos.Spec) (process, error) {
	k.sp, k.end = sp, make(chan int)
	if t := sp.Terminal; t != nil {
		k.say("terminal %dx%d, errors there: %v", t.Rows, t.Cols, sp.Stderr == io.Writer(os.Stdout))
	} else {
		k.say("no terminal")
	}
	go func() {
		b := make([]byte, 1)
		for {
			if n, err := sp.Stdin.Read(b); n == 0 || err != nil {
				k.finish(3)
				return
			}
			switch {
			case b[0] == 0x1a && sp.Terminal != nil:
				sp.Terminal.Suspend()
			case b[0] == 'p':
				k.finish(-1)
				return
			case b[0] == 'm':
				k.say("two\nlines")
			case b[0] == 'q':
				k.finish(7)
				return
			default:
				k.say("key %02x", b[0])
			}
		}
	}()
	return k, nil
}

func (k *actorKernel) finish(code int) { k.once.Do(func() { k.end <- code }) }
func (k *actorKernel) Wait(context.Context) (*agentos.Report, error) {
	code := <-k.end
	if code < 0 {
		panic("the tool's own fault")
	}
	return &agentos.Report{Cause: "exited", ExitCode: code}, nil
}
func (k *actorKernel) say(format string, a ...any) {
	_, _ = fmt.Fprintf(k.sp.Stdout, format+"\r\n", a...) // its absence is seen
}
func (k *actorKernel) Signal(s abi.Signal) error {
	k.say("sent %s", s)
	go k.finish(128 + int(s))
	return nil
}
func (k *actorKernel) Stop() error              { k.say("stopped"); return nil }
func (k *actorKernel) Continue() error          { k.say("continued"); return nil }
func (k *actorKernel) Resize(rows, cols uint16) { k.say("now %dx%d", rows, cols) }

// seat is a terminal with a shell that has jobs.
type seat struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd

	mu   sync.Mutex
	out  bytes.Buffer
	seen int
}

func sit(t *testing.T, env string) *seat {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT CHECKED: the host has no bash")
	}
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("NOT CHECKED: no terminals here: %v", err)
	}
	s := &seat{t: t, master: os.NewFile(uintptr(fd), "ptmx")}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	s.resize(30, 100)
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	slave := os.NewFile(peer, "pts")
	defer slave.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(bash, "--norc", "--noprofile", "-i")
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PS1=shell>", "TERM=dumb", "HISTFILE=", "LC_ALL=C", "TOOL=" + self, env,
		`MODE=printf 'modes '; stty -a | grep -owE -e '-?(icanon|isig|opost|echo)' | sort | tr '\n' ,; echo .`}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := s.master.Read(b)
			s.mu.Lock()
			s.out.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		s.master.Close() // hangs up on the shell and its jobs
		<-read
		_ = s.cmd.Process.Kill() // it has probably ended
		_ = s.cmd.Wait()         // by a signal
	})
	s.see("shell>")
	return s
}

func (s *seat) resize(rows, cols uint16) {
	s.t.Helper()
	conn, err := s.master.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var ierr error
	if err := conn.Control(func(fd uintptr) {
		ierr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}); err != nil || ierr != nil {
		s.t.Fatal(err, ierr)
	}
}

func (s *seat) press(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// see waits until want is shown, after what was seen before, and returns what was
// shown up to there.
func (s *seat) see(want string) string {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		s.mu.Lock()
		rest := s.out.String()[s.seen:]
		s.mu.Unlock()
		if i := strings.Index(rest, want); i >= 0 {
			s.seen += i + len(want)
			return rest[:i]
		}
		if time.Now().After(end) {
			s.t.Fatalf("never shown: %q; shown since: %q", want, rest)
		}
	}
}

// mode waits until the terminal is raw, or as the shell has it for programs.
func (s *seat) mode(raw bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		conn, err := s.master.SyscallConn()
		if err != nil {
			s.t.Fatal(err)
		}
		is := false
		if err := conn.Control(func(fd uintptr) {
			if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
				is = t.Lflag&(unix.ICANON|unix.ISIG|unix.ECHO) == 0 && t.Oflag&unix.OPOST == 0
			}
		}); err != nil {
			s.t.Fatal(err)
		}
		if is == raw {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the terminal never became raw=%v", raw)
		}
	}
}

// cooked asks the shell whether programs find the terminal as it was.
func (s *seat) cooked() {
	s.t.Helper()
	s.press("eval \"$MODE\"\n")
	s.see("modes ") // whatever is shown of the command, once or twice
	if got := s.see(".\r\n"); got != "echo,icanon,isig,opost," {
		s.t.Errorf("the shell's programs find %q", got)
	}
	s.see("shell>")
}

func TestConsole(t *testing.T) {
	s := sit(t, actor+"=auto")
	s.press("\"$TOOL\"; echo status $?\n")
	s.see("terminal 30x100, errors there: true")
	s.mode(true)
	s.press("\x03")
	s.see("key 03")
	s.resize(31, 101)
	s.see("now 31x101")
	s.press("m")
	s.see("two\nlines") // raw: nothing is added
	s.press("q")
	s.see("agentos: over\r\n")
	s.see("status 7")
	s.cooked()
}

// TestConsoleSuspend: the caller's stop key gives the shell its terminal, and fg
// gives it back, as often as wanted.
func TestConsoleSuspend(t *testing.T) {
	s := sit(t, actor+"=auto")
	s.press("\"$TOOL\"\n")
	s.see("terminal 30x100")
	for i := range 3 {
		s.mode(true)
		s.press("\x1a")
		s.see("stopped\r\n")
		s.see("Stopped")
		s.see("shell>")
		s.cooked()
		s.resize(uint16(40+i), 120)
		s.press("fg\n")
		s.see(fmt.Sprintf("now %dx120\r\n", 40+i))
		s.see("continued\r\n")
		s.press("k")
		s.see("key 6b\r\n")
	}
	s.press("\x1a")
	s.see("Stopped")
	s.see("shell>")
	// Continued in the background it must not touch the terminal.
	s.press("bg\n")
	s.see("shell>")
	s.press("jobs; echo asked\n")
	s.see("echo asked")
	s.see("asked")
	s.cooked()
	s.press("fg\n")
	s.see("continued\r\n")
	s.mode(true)
	s.press("q")
	s.see("over")
	s.cooked()
}

// TestConsoleSignals: whatever ends the tool, the terminal is the shell's again.
func TestConsoleSignals(t *testing.T) {
	for _, test := range []struct{ name, sig, shown string }{
		{"terminated", "TERM", "sent TERM"},
		{"hung up", "HUP", "sent HUP"},
		{"quit", "QUIT", "SIGQUIT"},
		{"stopped from outside", "TSTP", "Stopped"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sit(t, actor+"=auto")
			// The job in the background signals the tool once it is told to by a file.
			flag := filepath.Join(t.TempDir(), "now")
			s.press("go() { while ! test -e " + flag + "; do sleep 0.01; done; kill -" + test.sig + " $1; }; set +m; (p=$BASHPID; go $p & exec \"$TOOL\") ; echo status $?\n")
			s.see("terminal 30x100")
			s.mode(true)
			if err := os.WriteFile(flag, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if test.sig == "TSTP" { // without jobs the group of the shell is orphaned, and nothing stops
				s.see("stopped")
				s.see("continued")
				s.mode(true)
				s.press("q")
				s.see("over")
			} else {
				s.see(test.shown)
			}
			s.see("status ")
			s.see("shell>")
			s.cooked()
		})
	}
}

// TestConsolePanic: the terminal is given back though the tool is at fault.
func TestConsolePanic(t *testing.T) {
	s := sit(t, actor+"=auto")
	s.press("\"$TOOL\"\n")
	s.see("terminal 30x100")
	s.mode(true)
	s.press("p")
	s.see("the tool's own fault")
	s.see("shell>")
	s.cooked()
}

// TestConsolePipes: a program without a terminal stops and goes on with the tool.
func TestConsolePipes(t *testing.T) {
	s := sit(t, actor+"=-T")
	s.press("\"$TOOL\"\n")
	s.see("no terminal")
	time.Sleep(50 * time.Millisecond) // the program is given to the console just after it has started
	s.press("\x1a")
	s.see("stopped\r")
	s.see("Stopped")
	s.see("shell>")
	s.cooked()
	s.press("fg\n")
	s.see("continued")
	s.press("q\n")
	s.see("over")
	s.cooked()
}

// TestConsoleForced: -t gives a terminal where the caller has none.
func TestConsoleForced(t *testing.T) {
	s := sit(t, actor+"=-t")
	s.press("printf q | \"$TOOL\" | cat; echo status ${PIPESTATUS[1]}\n")
	s.see("terminal 30x100, errors there: false")
	s.see("status 7")
	s.cooked()
}
