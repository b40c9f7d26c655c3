package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a child with streams of ours.
type program struct {
	t   *testing.T
	s   *Streams
	pid int
}

// start runs a program of the host.
func start(t *testing.T, s *Streams, argv ...string) *program {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Skipf("NOT CHECKED: the host has no %s", argv[0])
	}
	attr := &syscall.ProcAttr{Env: []string{"PATH=" + os.Getenv("PATH"), "TERM=dumb", "PS1=ready>", "HISTFILE=", "LC_ALL=C"}, Sys: &syscall.SysProcAttr{}}
	for _, f := range s.Child() {
		attr.Files = append(attr.Files, f.Fd())
	}
	s.Session(attr.Sys)
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Started(pid); err != nil {
		t.Fatal(err)
	}
	return &program{t, s, pid}
}

// wait waits for the program's end and reports it.
func (p *program) wait() syscall.WaitStatus {
	p.t.Helper()
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(p.pid, &ws, 0, nil); err == nil {
			return ws
		} else if err != syscall.EINTR {
			p.t.Fatal(err)
		}
	}
}

// finish waits for the end of the program and of its streams.
func (p *program) finish() syscall.WaitStatus {
	p.t.Helper()
	ws := p.wait()
	if err := p.s.Drain(context.Background(), time.Second); err != nil {
		p.t.Errorf("drain: %v", err)
	}
	return ws
}

func pipes(t *testing.T, in io.Reader, out, errw io.Writer) *Streams {
	t.Helper()
	s, err := Pipes(in, out, errw)
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

// hold is a writer whose content can be looked at while it grows.
type hold struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *hold) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(b)
}

func (h *hold) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
	}
}

func TestPipes(t *testing.T) {
	for _, test := range []struct {
		name, in, script, out, errs string
	}{
		{"nothing", "", "true", "", ""},
		{"echo", "in\n", "cat", "in\n", ""},
		{"both", "", "echo out; echo err >&2", "out\n", "err\n"},
		{"binary", "\x00\x04\x1a\xff", "cat", "\x00\x04\x1a\xff", ""},
		{"last words", "", "printf unfinished; kill -9 $$", "unfinished", ""},
		{"input not read", strings.Repeat("x", 1<<20), "echo done", "done\n", ""},
		{"no terminal", "", "test -t 0 || test -t 1 || test -t 2 || (: < /dev/tty) 2>/dev/null || echo none", "none\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			start(t, pipes(t, strings.NewReader(test.in), &out, &errs), "sh", "-c", test.script).finish()
			if out.String() != test.out || errs.String() != test.errs {
				t.Errorf("got %q and %q", out.String(), errs.String())
			}
		})
	}
}

// TestOneWriter: the order between output and error is kept where they are one.
func TestOneWriter(t *testing.T) {
	var both bytes.Buffer
	start(t, pipes(t, nil, &both, &both), "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo e$i >&2; done").finish()
	if want := "1\ne1\n2\ne2\n3\ne3\n4\ne4\n5\ne5\n6\ne6\n7\ne7\n8\ne8\n9\ne9\n"; both.String() != want {
		t.Errorf("got %q", both.String())
	}
}

// TestThrough: 64 MiB come through unchanged, from a file and from a reader.
func TestThrough(t *testing.T) {
	const size = 64 << 20
	name := filepath.Join(t.TempDir(), "random")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
	want := sum.Sum(nil)
	for _, kind := range []string{"file", "reader"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			var in io.Reader = f
			if kind == "reader" {
				in = struct{ io.Reader }{f}
			}
			got := sha256.New()
			ws := start(t, pipes(t, in, got, nil), "cat").finish()
			if ws != 0 || !bytes.Equal(got.Sum(nil), want) {
				t.Errorf("status %v, content differs: %v", ws, !bytes.Equal(got.Sum(nil), want))
			}
		})
	}
}

// few is a writer that fails after a number of bytes.
type few struct{ left int }

func (f *few) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	if f.left -= n; n < len(b) {
		return n, unix.EPIPE
	}
	return n, nil
}

// TestReaderGone: a program whose output nobody takes ends by SIGPIPE, whatever it
// still has to say.
func TestReaderGone(t *testing.T) {
	ws := start(t, pipes(t, nil, &few{1 << 20}, nil), "yes").finish()
	if !ws.Signaled() || ws.Signal() != unix.SIGPIPE {
		t.Errorf("ended by %v", ws)
	}
	var out bytes.Buffer
	start(t, pipes(t, nil, &out, nil), "sh", "-c", "yes | head -n 1000000").finish()
	if n := bytes.Count(out.Bytes(), []byte("y\n")); n != 1000000 || out.Len() != 2000000 {
		t.Errorf("%d lines, %d bytes", n, out.Len())
	}
}

// TestBlockedInput: an input that never comes keeps nothing, and what comes after
// the end is left to others.
func TestBlockedInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, script := range []string{"exit 3", "exec <&-; exit 3", "read a; exit 3"} {
		s := pipes(t, r, nil, nil)
		p := start(t, s, "sh", "-c", script)
		if strings.HasPrefix(script, "read") {
			put(t, w, "one line\n")
		}
		began := time.Now()
		if ws := p.finish(); ws.ExitStatus() != 3 || s.Orphans() != 0 || time.Since(began) > 5*time.Second {
			t.Errorf("%s: status %v, %d left behind after %v", script, ws, s.Orphans(), time.Since(began))
		}
		put(t, w, "next")
		b := make([]byte, 9)
		if n, err := r.Read(b); string(b[:n]) != "next" || err != nil {
			t.Errorf("%s: what came later reads %q %v", script, b[:n], err)
		}
	}
}

// TestClosedInput: a program that closes its input has nothing more read for it,
// though it goes on.
func TestClosedInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var out hold
	s := pipes(t, r, &out, nil)
	p := start(t, s, "sh", "-c", "exec <&-; echo closed; exec sleep 100")
	until(t, "the end of the copying", func() bool { return !s.in.running() })
	put(t, w, "mine")
	b := make([]byte, 9)
	if n, err := r.Read(b); string(b[:n]) != "mine" || err != nil {
		t.Errorf("read %q %v", b[:n], err)
	}
	kill(t, p.pid)
	p.finish()
}

func put(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// TestOrphan: a reader that cannot be called back holds up nothing and is
// counted until it returns.
func TestOrphan(t *testing.T) {
	r, w := io.Pipe()
	s := pipes(t, r, nil, nil)
	p := start(t, s, "sleep", "0.1")
	began := time.Now()
	if p.finish(); time.Since(began) > 5*time.Second {
		t.Error("the end was held up")
	}
	if s.Orphans() != 1 {
		t.Errorf("%d left behind", s.Orphans())
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	until(t, "the end of the orphan", func() bool { return s.Orphans() == 0 })
}

// TestRestOfFile: what a program leaves of a regular file is there for the next,
// as if it had held the file itself.
func TestRestOfFile(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("NOT CHECKED: no /proc")
	}
	lines := strings.Repeat("0123456789\n", 100_000)
	for _, test := range []struct {
		name, content, script string
		want                  int64
	}{
		{"small, nothing read", "one\ntwo\n", "true", 0},
		{"small, one line", "one\ntwo\n", "read a", 4},
		{"small, all", "one\ntwo\n", "cat", 8},
		{"large, nothing read", lines, "sleep 0.1", 0},
		{"large, part", lines, "dd bs=11 count=3", 33},
		{"large, closed early", lines, "exec <&-; sleep 0.1", 0},
		{"large, all", lines, "cat", int64(len(lines))},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(name, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			start(t, pipes(t, f, nil, nil), "sh", "-c", test.script).finish()
			if at, err := f.Seek(0, io.SeekCurrent); at != test.want || err != nil {
				t.Errorf("the file is at %d (%v), want %d", at, err, test.want)
			}
		})
	}
}

// TestInputFails: the program sees an end, and the caller is told that it was none.
func TestInputFails(t *testing.T) {
	dir, err := os.Open(t.TempDir()) // reading a directory is EISDIR
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	p := start(t, pipes(t, dir, nil, nil), "cat")
	p.wait()
	if err := p.s.Drain(context.Background(), time.Second); !errors.Is(err, ErrInput) || !errors.Is(err, unix.EISDIR) {
		t.Errorf("got %v", err)
	}
}

// TestHeld: a process that was left behind with the output open holds up the end
// for the grace and no longer, quiet or not; what the program wrote is there.
func TestHeld(t *testing.T) {
	for _, rest := range []string{"exec sleep 100", "exec yes"} {
		t.Run(rest, func(t *testing.T) {
			var out hold
			pidfile := filepath.Join(t.TempDir(), "pid")
			p := start(t, pipes(t, nil, &out, nil), "sh", "-c", "echo before; (echo $BASHPID >&2; sh -c 'echo $$ > "+pidfile+"; "+rest+"') & while ! test -s "+pidfile+"; do :; done")
			p.wait()
			began := time.Now()
			err := p.s.Drain(context.Background(), 100*time.Millisecond)
			took := time.Since(began)
			var pid int
			if b, rerr := os.ReadFile(pidfile); rerr != nil {
				t.Fatal(rerr)
			} else if _, rerr := fmt.Sscan(string(b), &pid); rerr != nil {
				t.Fatal(rerr)
			}
			if kerr := syscall.Kill(pid, syscall.SIGKILL); kerr != nil && kerr != syscall.ESRCH { // SIGPIPE may have been first
				t.Error(kerr)
			}
			if !errors.Is(err, ErrHeld) || took < 50*time.Millisecond || took > 5*time.Second || !strings.HasPrefix(out.String(), "before\n") {
				t.Errorf("%v after %v, output begins %.20q", err, took, out.String())
			}
		})
	}
}

// slow is a writer that takes its time.
type slow struct {
	hold
	pause time.Duration
}

func (s *slow) Write(b []byte) (int, error) {
	time.Sleep(s.pause)
	return s.hold.Write(b)
}

// TestSlowWriter: a writer that takes longer than the grace is waited for.
func TestSlowWriter(t *testing.T) {
	out := slow{pause: 120 * time.Millisecond}
	p := start(t, pipes(t, nil, &out, nil), "sh", "-c", "head -c 65536 /dev/zero; echo end")
	p.wait()
	if err := p.s.Drain(context.Background(), 50*time.Millisecond); err != nil || len(out.String()) != 65540 || !strings.HasSuffix(out.String(), "end\n") {
		t.Errorf("%v, %d bytes", err, len(out.String()))
	}
}

// TestStuckWriter: a writer that never returns is given up with ctx, and counted.
func TestStuckWriter(t *testing.T) {
	r, w := io.Pipe() // nobody reads
	s := pipes(t, nil, w, nil)
	p := start(t, s, "echo", "unheard")
	p.wait()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx, time.Second); !errors.Is(err, ErrUnread) || s.Orphans() != 1 {
		t.Errorf("%v, %d left behind", err, s.Orphans())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	until(t, "the end of the orphan", func() bool { return s.Orphans() == 0 })
}

// TestFlags: the caller's descriptors keep theirs, which others share, and the
// program's ends block.
func TestFlags(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Fd() // which makes it block
	defer r.Close()
	s := pipes(t, r, nil, nil)
	for i, f := range append([]*os.File{r}, s.child[:]...) {
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK != 0 {
			t.Errorf("file %d: flags %#x %v", i, fl, err)
		}
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("file %d: not closed on exec: %#x %v", i, fl, err)
		}
	}
	start(t, s, "true").finish()
	if fl, err := unix.FcntlInt(r.Fd(), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK != 0 {
		t.Errorf("afterwards: flags %#x %v", fl, err)
	}
}

// TestNothingLeft: many runs, and starts that failed, leave no descriptor.
func TestNothingLeft(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("NOT CHECKED: no /proc")
		}
		return len(d)
	}
	once := func() {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, err := Pipes(f, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		start(t, s, "true").finish()
		if s, err = Pipes(f, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		m := master(t)
		if s, err = Terminal(m, TerminalOptions{In: f}); err != nil {
			t.Fatal(err)
		}
		start(t, s, "cat").finish()
		if s, err = Terminal(master(t), TerminalOptions{In: f, Err: io.Discard}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	once()
	before := count()
	for range 20 {
		once()
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
