package script

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// state returns a state directory of the test's own that has the guest compiled.
func state(t *testing.T) string {
	t.Helper()
	warm.once.Do(func() { warm.dir, warm.err = warmState(built) })
	if warm.err != nil {
		t.Fatal(warm.err)
	}
	dir := filepath.Join(t.TempDir(), "state")
	if err := copyState(warm.dir, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command prepares the binary with a state directory.
func command(state string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary(), args...)
	cmd.Env = append(os.Environ(), "AGENTOS_STATE="+state, "NO_COLOR=1")
	return cmd
}

// tool runs the binary to its end.
func tool(t *testing.T, state string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := command(state, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	return statusOf(t, cmd.Run()), out.String(), errs.String()
}

func statusOf(t *testing.T, err error) int {
	t.Helper()
	var ee *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ee):
		if ee.ExitCode() < 0 {
			t.Errorf("agentos itself ended with %v", ee)
		}
		return ee.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// live is a run that is going on.
type live struct {
	cmd    *exec.Cmd
	stdout io.ReadCloser
	stderr lockedBuffer
}

// lockedBuffer is written by the command's copying goroutine.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// begin starts a guest that says "ready" and goes on for ever, and waits until it
// has said so.
func begin(t *testing.T, state string, args ...string) *live {
	t.Helper()
	l := &live{cmd: command(state, args...)}
	var err error
	if l.stdout, err = l.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	l.cmd.Stderr = &l.stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.cmd.ProcessState == nil {
			_ = l.cmd.Process.Kill() // a test that failed left it running
			_ = l.cmd.Wait()
		}
	})
	if line, err := bufio.NewReader(l.stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the guest said %q, %v: %s", line, err, &l.stderr)
	}
	return l
}

func (l *live) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := l.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end waits and returns the status.
func (l *live) end(t *testing.T) int {
	t.Helper()
	return statusOf(t, l.cmd.Wait())
}

// cause reads a report.
func cause(t *testing.T, file string) (cause string, code int) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Cause string `json:"cause"`
		Code  int    `json:"exit_code"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return r.Cause, r.Code
}

func TestSignalsEndTheRun(t *testing.T) {
	// Whoever runs the tests may ignore the hang-up (nohup), and what is ignored
	// stays so in what they start.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hup) })
	for _, c := range []struct {
		name   string
		sig    syscall.Signal
		guest  string
		status int
	}{
		{"INT", syscall.SIGINT, "spin", 130},
		{"TERM", syscall.SIGTERM, "sleep", 143},
		{"HUP", syscall.SIGHUP, "spin", 129},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "r.json")
			l := begin(t, state(t), "run", "--report", file, guest(), c.guest)
			l.signal(t, c.sig)
			if got := l.end(t); got != c.status {
				t.Errorf("status %d, want %d: %s", got, c.status, &l.stderr)
			}
			if want := "agentos: ended by SIG" + c.name; !strings.Contains(l.stderr.String(), want) {
				t.Errorf("stderr %q lacks %q", &l.stderr, want)
			}
			if why, code := cause(t, file); why != "signaled" || code != c.status {
				t.Errorf("report: %s, %d", why, code)
			}
		})
	}
}

// TestIgnoredSignalStaysIgnored starts agentos as nohup does.
func TestIgnoredSignalStaysIgnored(t *testing.T) {
	t.Parallel()
	s := state(t)
	l := &live{cmd: exec.Command("/bin/sh", "-c", `trap '' HUP; exec "$0" run "$1" sleep`, binary(), guest())}
	l.cmd.Env = append(os.Environ(), "AGENTOS_STATE="+s)
	var err error
	if l.stdout, err = l.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	l.cmd.Stderr = &l.stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(l.stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the guest said %q, %v", line, err)
	}
	l.signal(t, syscall.SIGHUP)
	l.signal(t, syscall.SIGTERM)
	if got := l.end(t); got != 143 {
		t.Errorf("status %d, want 143: HUP was to be ignored", got)
	}
}

func TestClosedPipes(t *testing.T) {
	t.Run("stdout", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "r.json")
		cmd := command(state(t), "run", "--report", file, guest(), "flood")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr lockedBuffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		// The guest sees EPIPE, says so, and ends with its own status.
		if got := statusOf(t, cmd.Wait()); got != 3 || !strings.Contains(stderr.String(), "flood: ") || !strings.Contains(strings.ToLower(stderr.String()), "broken pipe") {
			t.Errorf("status %d, stderr %q", got, &stderr)
		}
		if why, code := cause(t, file); why != "exited" || code != 3 {
			t.Errorf("report: %s, %d", why, code)
		}
	})
	t.Run("stderr", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "r.json")
		cmd := command(state(t), "run", "--report", file, guest(), "cat", "/etc/passwd")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = w
		if err := errors.Join(r.Close(), cmd.Start(), w.Close()); err != nil {
			t.Fatal(err)
		}
		if got := statusOf(t, cmd.Wait()); got != 1 {
			t.Errorf("status %d, want the guest's 1", got)
		}
		if why, code := cause(t, file); why != "exited" || code != 1 {
			t.Errorf("report: %s, %d", why, code)
		}
	})
}

func TestRunsAcrossKernels(t *testing.T) {
	t.Parallel()
	s := state(t)
	a := begin(t, s, "run", "--name", "a", guest(), "sleep")
	b := begin(t, s, "run", "--name", "b", guest(), "spin")
	var doc struct {
		Runs []struct {
			Run, Name string
			PID       int
			KernelPID int `json:"kernel_pid"`
			Live      bool
		}
	}
	status, out, errs := tool(t, s, "ps", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || status != 0 || len(doc.Runs) != 2 {
		t.Fatalf("ps: status %d, %v: %s%s", status, err, out, errs)
	}
	first, second := doc.Runs[0], doc.Runs[1]
	if first.Name != "a" || !first.Live || first.KernelPID != a.cmd.Process.Pid || second.KernelPID != b.cmd.Process.Pid {
		t.Errorf("ps: %+v", doc.Runs)
	}
	if status, out, _ := tool(t, s, "ps"); status != 0 || !strings.Contains(out, first.Run) {
		t.Errorf("ps: %d %q", status, out)
	}
	if status, _, errs := tool(t, s, "report", first.Run); status != 125 || !strings.Contains(errs, "still going on") {
		t.Errorf("report of a live run: %d %q", status, errs)
	}

	// Wait from elsewhere while it is killed.
	waiting := command(s, "wait", "--json", first.Run)
	var waited, waitErr lockedBuffer
	waiting.Stdout, waiting.Stderr = &waited, &waitErr
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := tool(t, s, "kill", first.Run+"/99"); status != 125 || !strings.Contains(errs, "no process 99") {
		t.Errorf("kill of another pid: %d %q", status, errs)
	}
	if status, _, errs := tool(t, s, "kill", first.Run); status != 0 {
		t.Errorf("kill: %d %q", status, errs)
	}
	if got := a.end(t); got != 143 {
		t.Errorf("a ended with %d, want 143", got)
	}
	if got := statusOf(t, waiting.Wait()); got != 143 || !strings.Contains(waited.String(), `"cause": "signaled"`) {
		t.Errorf("wait ended with %d: %s%s", got, &waited, &waitErr)
	}
	if status, _, errs := tool(t, s, "kill", "--signal", "KILL", second.Run); status != 0 {
		t.Errorf("kill: %d %q", status, errs)
	}
	if got := b.end(t); got != 137 || !strings.Contains(b.stderr.String(), "agentos: killed") {
		t.Errorf("b ended with %d, want 137: %s", got, &b.stderr)
	}
	if status, _, errs := tool(t, s, "kill", first.Run); status != 125 || !strings.Contains(errs, "is over") {
		t.Errorf("kill of a finished run: %d %q", status, errs)
	}
	if status, _, _ := tool(t, s, "wait", second.Run); status != 137 {
		t.Errorf("wait for a finished run: %d, want its 137", status)
	}
}

// TestKilledKernel kills agentos itself: the next start finishes its record.
func TestKilledKernel(t *testing.T) {
	t.Parallel()
	s := state(t)
	l := begin(t, s, "run", guest(), "sleep")
	l.signal(t, syscall.SIGKILL)
	if err := l.cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	if status, out, _ := tool(t, s, "ps", "--json"); status != 0 || strings.Contains(out, `"live": true`) {
		t.Errorf("ps: %d %s", status, out)
	}
	if status, _, errs := tool(t, s, "run", guest()); status != 0 {
		t.Errorf("the next run: %d %s", status, errs)
	}
	if status, out, _ := tool(t, s, "runs"); status != 0 || !strings.Contains(out, "kernel_error") {
		t.Errorf("runs: %d %s", status, out)
	}
}

// TestUnwritableState is what a host without a writable or with a full state
// directory gives: a note, and the program runs.
func TestUnwritableState(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		s := state(t)
		if err := os.Chmod(s, 0o500); err != nil {
			t.Fatal(err)
		}
		status, out, errs := tool(t, s, "run", guest())
		if err := os.Chmod(s, 0o700); err != nil {
			t.Fatal(err)
		}
		if status != 0 || out != "hello\n" || strings.Count(errs, "agentos: ") == 0 {
			t.Errorf("read-only: %d %q %q", status, out, errs)
		}
		t.Log("a full state directory is not checked: only a superuser can mount one")
		return
	}
	for _, c := range []struct{ name, options, flag string }{
		{"full", "size=4k", ""},
		{"read-only", "size=64m", "ro"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := mount(dir, c.options); err != nil {
				t.Skipf("a %s state directory is not checked: mounting one is refused: %v", c.name, err)
			}
			t.Cleanup(func() {
				if err := unmount(dir); err != nil {
					t.Errorf("unmount: %v", err)
				}
			})
			if c.flag == "ro" {
				if err := copyState(state(t), dir); err != nil {
					t.Fatal(err)
				}
				if err := remountReadOnly(dir); err != nil {
					t.Skipf("a read-only state directory is not checked: %v", err)
				}
			} else if err := fill(filepath.Join(dir, "lost+found")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "r.json")
			status, out, errs := tool(t, dir, "run", "--report", file, guest())
			if status != 0 || out != "hello\n" || strings.Count(errs, "agentos: ") == 0 {
				t.Errorf("status %d, stdout %q, stderr %q", status, out, errs)
			}
			if why, _ := cause(t, file); why != "exited" {
				t.Errorf("report: %s", why)
			}
			if status, _, errs := tool(t, dir, "run", "--quiet", guest()); status != 0 || errs != "" {
				t.Errorf("--quiet: %d %q", status, errs)
			}
		})
	}
}

// fill writes until there is no more space.
func fill(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	for {
		if _, err = f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// TestLiveOverlay: what a live run captures is not touched; what a killed kernel had
// captured is there and can be committed.
func TestLiveOverlay(t *testing.T) {
	t.Parallel()
	s, dir := state(t), t.TempDir()
	l := begin(t, s, "run", "--overlay", dir+":/d", guest(), "write-and-spin", "/d/a", "captured")
	status, stdout, stderr := tool(t, s, "runs", "--json")
	var runs struct{ Runs []struct{ Run string } }
	if err := json.Unmarshal([]byte(stdout), &runs); err != nil || status != 0 || len(runs.Runs) != 1 {
		t.Fatalf("runs: %d, %v, %s %s", status, err, stdout, stderr)
	}
	for _, args := range [][]string{{"diff"}, {"commit"}, {"discard"}, {"commit", runs.Runs[0].Run}} {
		if status, _, stderr := tool(t, s, args...); status != 125 || !strings.Contains(stderr, "is still going on") || !strings.Contains(stderr, "[AGENTOS-RUN-LIVE]") {
			t.Errorf("%v: %d, %s", args, status, stderr)
		}
	}
	if err := l.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = l.cmd.Wait() // it was killed
	if status, stdout, stderr := tool(t, s, "prune"); status != 0 || !strings.Contains(stdout, "1 uncommitted") {
		t.Errorf("prune: %d, %s %s", status, stdout, stderr)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("the host has %v, %v", list, err)
	}
	if status, stdout, stderr := tool(t, s, "commit"); status != 0 || stdout != "committed 1 of 1\n" {
		t.Errorf("commit: %d, %s %s", status, stdout, stderr)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(b) != "captured\n" {
		t.Errorf("a is %q, %v", b, err)
	}
}

// TestKilledCommit kills `agentos commit` at random instants. Every file is then old or
// new, and the next commit goes on.
func TestKilledCommit(t *testing.T) {
	t.Parallel()
	kills := 30
	if testing.Short() {
		kills = 5
	}
	const files = 24
	text := func(what string, i int) string { return strings.Repeat(fmt.Sprintf("%s %d ", what, i), 20_000) + "\n" }
	s, dir := state(t), t.TempDir()
	for killed, round := 0, 0; killed < kills; round++ {
		args := []string{"run", "--quiet", "--overlay", dir + ":/d", guest(), "big"}
		for i := range files {
			path := fmt.Sprintf("f%d", i)
			if err := os.WriteFile(filepath.Join(dir, path), []byte(text("old", i)), 0o644); err != nil {
				t.Fatal(err)
			}
			args = append(args, "/d/"+path, fmt.Sprintf("new %d ", i))
		}
		if status, _, stderr := tool(t, s, args...); status != 0 {
			t.Fatalf("run: %d, %s", status, stderr)
		}
		for try := 0; ; try++ {
			cmd := command(s, "commit")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The instant is what varies here; nothing is asserted about time.
			time.Sleep(time.Duration(rand.Int64N(int64(80 * time.Millisecond))))
			_ = cmd.Process.Kill() // it may have ended
			err := cmd.Wait()
			for i := range files {
				b, rerr := os.ReadFile(filepath.Join(dir, fmt.Sprintf("f%d", i)))
				if rerr != nil || string(b) != text("old", i) && string(b) != text("new", i) {
					t.Fatalf("f%d is torn: %d bytes, %v", i, len(b), rerr)
				}
			}
			if err == nil || strings.Contains(stderr.String(), "[AGENTOS-NOTHING-CAPTURED]") {
				break // it was through, or the one before was when it was killed
			}
			if cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("the commit ended by itself: %v\n%s", err, &stderr)
			}
			killed++
			if try == 100 {
				if status, _, stderr := tool(t, s, "commit"); status != 0 {
					t.Fatalf("commit: %d, %s", status, stderr)
				}
				break
			}
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != files {
			t.Fatalf("round %d: %d names are there, %v", round, len(list), err)
		}
		for i := range files {
			if b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("f%d", i))); err != nil || string(b) != text("new", i) {
				t.Fatalf("f%d is %d bytes, %v", i, len(b), err)
			}
		}
		if status, _, _ := tool(t, s, "discard"); status != 125 {
			t.Errorf("something is left to discard: %d", status)
		}
	}
}
