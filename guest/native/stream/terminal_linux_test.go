package stream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// master opens a new terminal of the host.
func master(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("NOT CHECKED: no terminals here: %v", err)
	}
	return os.NewFile(uintptr(fd), "ptmx")
}

func terminal(t *testing.T, o TerminalOptions) *Streams {
	t.Helper()
	s, err := Terminal(master(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// typist is a person at a terminal.
type typist struct {
	t    *testing.T
	keys *os.File
	out  *hold
	seen int
}

// sit gives a program a terminal with somebody at it.
func sit(t *testing.T, o TerminalOptions) (*typist, *Streams) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	out := &hold{}
	o.In, o.Out = r, out
	return &typist{t: t, keys: w, out: out}, terminal(t, o)
}

func (y *typist) press(s string) {
	y.t.Helper()
	if _, err := y.keys.WriteString(s); err != nil {
		y.t.Fatal(err)
	}
}

// see waits until the terminal shows s after what was seen before.
func (y *typist) see(s string) {
	y.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		rest := y.out.String()[y.seen:]
		if i := strings.Index(rest, s); i >= 0 {
			y.seen += i + len(s)
			return
		}
		if time.Now().After(end) {
			y.t.Fatalf("never shown: %q; shown since: %q", s, rest)
		}
	}
}

func TestTerminal(t *testing.T) {
	for _, test := range []struct {
		name, in, script, out, errs string
		separate                    bool
	}{
		{"it is one", "", "test -t 0 && test -t 1 && test -t 2 && echo yes", "yes\r\n", "", false},
		{"error apart", "", "test -t 2 || echo no; echo err >&2", "no\r\n", "err\n", true},
		{"controlling", "", "echo via > /dev/tty", "via\r\n", "", false},
		{"size", "", "stty size", "31 97\r\n", "", false},
		{"last words", "", "printf unfinished; kill -9 $$", "unfinished", "", false},
		{"end of input", "a\nb\n", "stty -echo; cat", "a\r\nb\r\n", "", false},
		{"end within a line", "a\nb", "stty -echo; cat", "a\r\nb", "", false},
		{"no input", "", "cat; echo over", "over\r\n", "", false},
		{"much", "", "seq 100000 | tail -n 1; seq 20000 > /dev/tty; echo end", "", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			o := TerminalOptions{In: strings.NewReader(test.in), Out: &out, Rows: 31, Cols: 97}
			if test.in != "" { // once the echo is off
				r, w := io.Pipe()
				o.In = r
				go func() {
					time.Sleep(300 * time.Millisecond)
					_, err := io.WriteString(w, test.in)
					if err == nil {
						err = w.Close()
					}
					if err != nil {
						t.Error(err)
					}
				}()
			}
			if test.separate {
				o.Err = &errs
			}
			start(t, terminal(t, o), "sh", "-c", test.script).finish()
			got := strings.ReplaceAll(out.String(), "^D\b\b", "")
			if test.name == "much" {
				var want strings.Builder
				want.WriteString("100000\r\n")
				for i := range 20000 {
					fmt.Fprintf(&want, "%d\r\n", i+1)
				}
				want.WriteString("end\r\n")
				test.out = want.String()
			}
			if got != test.out || errs.String() != test.errs {
				t.Errorf("got %.200q and %q", got, errs.String())
			}
		})
	}
}

// TestTyped: much input reaches a program that reads slowly, line by line and raw.
func TestTyped(t *testing.T) {
	lines := strings.Repeat("a line of what was typed, which is longer than a word\n", 20000)
	for _, mode := range []string{"-echo", "-echo raw"} {
		t.Run(mode, func(t *testing.T) {
			out := &hold{}
			r, w := io.Pipe()
			defer r.Close()
			s := terminal(t, TerminalOptions{In: r, Out: out})
			p := start(t, s, "sh", "-c", fmt.Sprintf("stty %s; echo go; sleep 0.3; head -c %d | cksum; echo over", mode, len(lines)))
			until(t, "the start", func() bool { return strings.Contains(out.String(), "go") })
			if _, err := io.WriteString(w, lines); err != nil {
				t.Error(err)
			}
			until(t, "the end", func() bool { return strings.Contains(out.String(), "over") })
			p.finish()
			w.Close()
			if want := fmt.Sprintf(" %d", len(lines)); !strings.Contains(out.String(), want) {
				t.Errorf("got %q", out.String())
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	y, s := sit(t, TerminalOptions{})
	p := start(t, s, "sh", "-c", "trap 'echo caught' INT; echo go; read a; read b; exit 5")
	y.see("go")
	y.press("\x03")
	y.see("caught")
	y.press("\n\n")
	if ws := p.finish(); ws.ExitStatus() != 5 {
		t.Errorf("ended with %v", ws)
	}
	y, s = sit(t, TerminalOptions{})
	p = start(t, s, "sh", "-c", "echo go; exec sleep 100")
	y.see("go")
	until(t, "sleep", func() bool { return comm(p.pid) == "sleep" })
	y.press("\x03")
	if ws := p.finish(); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v", ws)
	}
}

func comm(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func TestResize(t *testing.T) {
	y, s := sit(t, TerminalOptions{Rows: 10, Cols: 20})
	p := start(t, s, "sh", "-c", "trap 'stty size' WINCH; stty size; while ! read a; do :; done")
	y.see("10 20")
	if err := s.Resize(40, 132); err != nil {
		t.Error(err)
	}
	y.see("40 132")
	y.press("x\n")
	p.finish()
	if err := s.Resize(1, 1); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestJobs: a shell has its jobs to itself, and its stop characters.
func TestJobs(t *testing.T) {
	var suspended atomic.Int32
	y, s := sit(t, TerminalOptions{Suspend: func() { suspended.Add(1) }})
	p := start(t, s, "bash", "--norc", "--noprofile", "-i")
	y.see("ready>")
	y.press("sleep 100\n")
	y.see("sleep 100")
	job := func() {
		t.Helper()
		until(t, "the job in the foreground", func() bool {
			group := 0
			err := control(s.screen.master, func(fd int) (err error) {
				group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
				return err
			})
			return err == nil && group != p.pid && comm(group) == "sleep"
		})
	}
	job()
	y.press("\x1a")
	y.see("Stopped")
	y.see("ready>")
	y.press("\x1a") // at the prompt, where it means nothing
	y.press("jobs\n")
	y.see("Stopped")
	y.press("fg\n")
	y.see("sleep 100")
	job()
	y.press("\x03")
	y.see("ready>")
	y.press("exit 7\n")
	if ws := p.finish(); ws.ExitStatus() != 7 || suspended.Load() != 0 {
		t.Errorf("ended with %v, suspended %d times", ws, suspended.Load())
	}
}

// TestSuspend: what is typed at a plain program stops the run; at one that takes
// the character itself, it does not.
func TestSuspend(t *testing.T) {
	for _, test := range []struct {
		name, script, keys string
		want               int32
		then               string
	}{
		{"plain", "stty -echo; echo go; cat", "one\n\x1atwo\n", 1, "one\r\ntwo"},
		{"a child of its group", "stty -echo; echo go; cat; :", "\x1atwo\n", 1, "two"},
		{"twice", "stty -echo; echo go; cat", "\x1a\x1aboth\n", 2, "both"},
		{"ignored", "trap '' TSTP; stty -echo; echo go; cat", "\x1ax\n", 0, "x"},
		{"caught", "trap 'echo mine' TSTP; stty -echo; echo go; while ! read a; do :; done; echo $a", "\x1ax\n", 0, "mine"},
		{"raw", "stty raw -echo; echo go; head -c 2 | od -An -c; echo over", "\x1ax", 0, "032   x"},
		{"another character", "stty susp ^Y -echo; echo go; head -n 1 | od -An -c", "\x1a\x19x\n", 1, "032   x"},
		{"none", "stty susp undef -echo; echo go; head -n 1 | od -An -c", "\x1ax\n", 0, "032   x"},
		{"quoted", "stty -echo; echo go; head -n 1 | od -An -c", "\x16\x1ax\n", 0, "032   x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var n atomic.Int32
			y, s := sit(t, TerminalOptions{Suspend: func() { n.Add(1) }})
			p := start(t, s, "sh", "-c", test.script)
			y.see("go")
			y.press(test.keys)
			y.see(test.then)
			if n.Load() != test.want {
				t.Errorf("suspended %d times", n.Load())
			}
			if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				t.Error(err)
			}
			p.wait()
			if err := s.Drain(context.Background(), time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSuspendHolds: nothing is read while the run is stopped, and its end is not
// held up.
func TestSuspendHolds(t *testing.T) {
	in, on := make(chan struct{}), make(chan struct{})
	y, s := sit(t, TerminalOptions{Suspend: func() { close(in); <-on }, Stoppable: func(int) bool { return true }})
	p := start(t, s, "cat")
	y.press("\x1a")
	<-in
	y.press("later\n")
	time.Sleep(20 * time.Millisecond)
	if strings.Contains(y.out.String(), "later") {
		t.Error("read while it was stopped")
	}
	close(on)
	y.see("later\r\nlater")
	y.press("\x04")
	p.finish()
}

// TestHangUp: where nobody takes what is shown, the program is hung up on.
func TestHangUp(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ws := start(t, terminal(t, TerminalOptions{In: r, Out: &few{100}}), "sh", "-c", "yes; sleep 100").finish()
	if !ws.Signaled() || ws.Signal() != syscall.SIGHUP {
		t.Errorf("ended by %v", ws)
	}
}

// TestAllClosed: a program may close its terminal for a moment and open it again.
func TestAllClosed(t *testing.T) {
	y, s := sit(t, TerminalOptions{})
	p := start(t, s, "sh", "-c", "echo go; exec <&- >&- 2>&-; sleep 0.2; exec 0<>/dev/tty 1>&0; echo back; read a; echo $a")
	y.see("back")
	y.press("typed\n")
	y.see("typed\r\ntyped")
	p.finish()
}

func TestStoppable(t *testing.T) {
	var out hold
	p := start(t, pipes(t, nil, &out, nil), "sh", "-c", "echo go; exec sleep 100")
	until(t, "the start", func() bool { return comm(p.pid) == "sleep" })
	if !Stoppable(p.pid, p.pid) {
		t.Error("a plain program does not stop")
	}
	for _, other := range []int{0, -1, p.pid + 1} {
		if Stoppable(p.pid, other) {
			t.Errorf("group %d is not its own", other)
		}
	}
	kill(t, p.pid)
	p.finish()
	if Stoppable(p.pid, p.pid) {
		t.Error("it has ended")
	}
}
