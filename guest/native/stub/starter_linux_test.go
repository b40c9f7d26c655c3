//go:build amd64 || arm64

package stub

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// started starts a starter whose standard output is a pipe.
func started(t *testing.T) (pid int, end, out *os.File) {
	t.Helper()
	image, err := File("starter", StarterImage())
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	end = os.NewFile(uintptr(pair[0]), "starter")
	t.Cleanup(func() { _ = end.Close() })
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(int(image.Fd())), []string{"starter"},
		&syscall.ProcAttr{Files: []uintptr{0, w.Fd(), 2, uintptr(pair[1])}})
	_, _ = w.Close(), unix.Close(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	return pid, end, r
}

func wait(t *testing.T, pid int) syscall.WaitStatus {
	t.Helper()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return ws
}

// script is one that executes /bin/sh.
func script(line string, env ...string) *Script {
	s := new(Script)
	s.Call("close_range", unix.SYS_CLOSE_RANGE, 3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
	lim := s.Words(77, 77)
	s.Call("prlimit64", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, lim, 0)
	s.Try("close", unix.SYS_CLOSE, 999)
	sh := s.String("/bin/sh")
	s.Call("execve", unix.SYS_EXECVE, sh, s.Strings([]string{"sh", "-c", line}), s.Strings(env))
	return s
}

func TestStarterExecutes(t *testing.T) {
	pid, end, out := started(t)
	s := script(`ulimit -n; echo "$A" /proc/self/fd/*; exit 7`, "A=b c", "PATH=/bin:/usr/bin")
	if err := s.Send(end); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(end); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if ws := wait(t, pid); ws.ExitStatus() != 7 {
		t.Errorf("status %v", ws)
	}
	lines := strings.Split(string(got), "\n")
	if lines[0] != "77" || !strings.HasPrefix(lines[1], "b c /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2") || strings.Count(lines[1], "fd/") > 4 {
		t.Errorf("%q", got)
	}
}

func TestStarterSaysWhichCallFailed(t *testing.T) {
	pid, end, _ := started(t)
	s := new(Script)
	s.Call("getpid", unix.SYS_GETPID)
	s.Call("the missing program", unix.SYS_EXECVE, s.String("/nowhere"), s.Strings([]string{"x"}), s.Strings(nil))
	if err := s.Send(end); err != nil {
		t.Fatal(err)
	}
	err := s.Wait(end)
	var f *Failure
	if !errors.As(err, &f) || f.Call != "the missing program" || f.Index != 1 || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
	if ws := wait(t, pid); ws.ExitStatus() != 127 {
		t.Errorf("status %v", ws)
	}
}

func TestStarterEndsWhenItsKernelDoes(t *testing.T) {
	for _, said := range [][]byte{nil, {1, 2, 3}, bytes.Repeat([]byte{0}, 8), {64, 0, 0, 0, 0, 0, 0, 0, 1}} {
		pid, end, _ := started(t)
		if _, err := end.Write(said); err != nil {
			t.Fatal(err)
		}
		if err := end.Close(); err != nil {
			t.Fatal(err)
		}
		if ws := wait(t, pid); ws.ExitStatus() != 127 {
			t.Errorf("after %v: status %v", said, ws)
		}
	}
}

func TestLongArguments(t *testing.T) {
	pid, end, out := started(t)
	long := strings.Repeat("x", 100_000)
	s := script(`echo ${#A} ${#B}`, "A="+long, "B="+long+long[:20_000])
	if err := s.Send(end); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(end); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out)
	if err != nil || string(got) != "100000 120000\n" {
		t.Errorf("%q, %v", got, err)
	}
	wait(t, pid)
	if err := script("", strings.Repeat("y", scriptLimit)).Send(end); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
}
