//go:build linux && (amd64 || arm64)

package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The roles of this binary, started again by a test: what installs a filter is a
// process of its own, since no filter ever comes off.
const roleVariable = "SECCOMP_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "calls":
		os.Exit(report(tryCalls()))
	case "gate":
		os.Exit(report(passGate()))
	case "floor", "metadata", "bare":
		os.Exit(report(become(os.Args[1:], floors[role])))
	}
}

// floors are the filters that programs are tried under, each stricter than the
// one before in the order of strictness below.
var floors = map[string]Options{
	"floor":    {},
	"metadata": {NoNamespaces: true, Metadata: true},
	"bare":     {NoNamespaces: true},
}

var strictness = []string{"floor", "metadata", "bare"}

func report(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// again returns a command that runs this binary in a role.
func again(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), roleVariable+"="+role)
	return c
}

// confine installs a filter on the calling goroutine's thread, which stays locked.
func confine(o Options, listener bool) (int, error) {
	f, err := Assemble(o)
	if err != nil {
		return -1, err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	return Install(f, listener)
}

func TestCalls(t *testing.T) {
	if out, err := again(t, "calls").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// tryCalls makes every refused call and every case of the inspected ones. The
// arguments of a refused call are ones that the kernel would turn down, too.
func tryCalls() error {
	fd, err := confine(Options{}, false)
	if err != nil {
		return err
	}
	if fd != -1 {
		return fmt.Errorf("a listener nobody asked for: %d", fd)
	}
	ms, _ := machines() // an error is about the other architecture
	m := ms[0]
	var bad []error
	for _, n := range m.numbers {
		r := m.rule(n.name, Options{})
		if r.Verdict != Refuse {
			continue
		}
		if _, _, e := unix.RawSyscall6(uintptr(n.nr), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0)); e != r.Errno {
			bad = append(bad, fmt.Errorf("%s: %v, want %v", n.name, e, r.Errno))
		}
	}
	for _, c := range argumentCases {
		if c.want == 0 {
			continue // the kernel would carry it out
		}
		nr := numberOf(m, c.name)
		a := c.args
		if _, _, e := unix.RawSyscall6(uintptr(nr), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5])); e != c.want {
			bad = append(bad, fmt.Errorf("%s%#x: %v, want %v", c.name, c.args, e, c.want))
		}
	}
	if goarch == "amd64" {
		for _, n := range m.numbers {
			if _, _, e := unix.RawSyscall6(uintptr(n.nr)|0x40000000, ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0)); e != unix.ENOSYS {
				bad = append(bad, fmt.Errorf("%s of x32: %v", n.name, e))
			}
		}
	}
	// What a program does all the time goes through.
	for _, family := range []int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6} {
		s, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil && !(family == unix.AF_INET6 && errors.Is(err, unix.EAFNOSUPPORT)) {
			bad = append(bad, fmt.Errorf("socket of family %d: %w", family, err))
		}
		if err == nil {
			bad = append(bad, unix.Close(s))
		}
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "f")
	bad = append(bad, os.WriteFile(name, nil, 0o644), os.Chmod(name, 0o755), unix.Mkfifo(name+"p", 0o600), os.Remove(name), os.RemoveAll(dir))
	return errors.Join(bad...)
}

// TestGate has a thread with a filter and a listener start a program, which must
// show up at the gate before anything else of it does, and run when let through.
func TestGate(t *testing.T) {
	out, err := again(t, "gate").CombinedOutput()
	if err != nil || string(out) != "ran\n" {
		t.Errorf("%v: %q", err, out)
	}
}

func passGate() error {
	listener := make(chan int)
	started := make(chan error)
	go func() {
		fd, err := confine(Options{Gate: true}, true)
		if err != nil {
			started <- err
			return
		}
		listener <- fd
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "echo ran"}, &syscall.ProcAttr{
			Env: []string{"PATH=/bin:/usr/bin"}, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
		if err == nil {
			var status syscall.WaitStatus
			_, err = syscall.Wait4(pid, &status, 0, nil)
			if err == nil && status != 0 {
				err = fmt.Errorf("status %#x", status)
			}
		}
		started <- err
		// The goroutine ends with its thread locked, and the thread with it.
	}()
	var fd int
	select {
	case fd = <-listener:
	case err := <-started:
		return err
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("the listener stays open on exec: %v", err)
	}
	n, err := receive(fd)
	if err != nil {
		return err
	}
	if n.data.nr != unix.SYS_EXECVE || n.data.arch != native {
		return fmt.Errorf("notification of %+v", n)
	}
	if err := proceed(fd, n.id); err != nil {
		return err
	}
	select {
	case err := <-started:
		if err != nil {
			return err
		}
	case <-time.After(20 * time.Second):
		return errors.New("the program did not come back")
	}
	// No filter has come upon this thread.
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err != nil || mode != 0 {
		return fmt.Errorf("the filter is on another thread: mode %d, %v", mode, err)
	}
	return unix.Close(fd)
}

// notification is struct seccomp_notif, of which the test reads no argument.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	data  call
	_     [2]uint32 // call lacks the instruction pointer
}

func receive(fd int) (notification, error) {
	var raw [10]uint64
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&raw)))
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return notification{}, e
		}
		n := *(*notification)(unsafe.Pointer(&raw))
		return n, nil
	}
}

func proceed(fd int, id uint64) error {
	resp := struct {
		id    uint64
		val   int64
		errno int32
		flags uint32
	}{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&resp))); e != 0 {
		return e
	}
	return nil
}

// become installs a filter and turns into a program.
func become(args []string, o Options) error {
	if _, err := confine(o, false); err != nil {
		return err
	}
	env := make([]string, 0, 16)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, roleVariable+"=") {
			env = append(env, v)
		}
	}
	return syscall.Exec(args[0], args, env)
}

// find returns a program of the host's own, which the test needs.
func find(t *testing.T, names ...string) string {
	t.Helper()
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	t.Skipf("NOT CHECKED: there is no %s here", names[0])
	return ""
}

func TestPrograms(t *testing.T) {
	sh := find(t, "/bin/sh")
	for _, test := range []struct {
		name   string
		needs  []string
		script string // $P is the program that was needed, $D a directory of its own
		want   string
		most   string // the strictest filter it works under
	}{
		{"ls", []string{"/bin/ls"}, `"$P" -la / >"$D/l" && test -s "$D/l" && echo good`, "good\n", "bare"},
		{"pipeline", nil, `seq 1 1000 | sort -n | tail -n 1; (sleep 0 & wait)`, "1000\n", "bare"},
		{"stat and time", nil, `date >"$D/a" && cp -p "$D/a" "$D/b" && touch "$D/b" && chmod 755 "$D/b" && mkfifo "$D/p" && stat -c %a "$D/b"`, "755\n", "metadata"},
		{"python", []string{"/usr/bin/python3", "python3"}, `"$P" -c '
import subprocess, multiprocessing, socket, os, tempfile, threading
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
t = threading.Thread(target=lambda: None); t.start(); t.join()
assert subprocess.run(["/bin/echo", "hi"], capture_output=True).stdout == b"hi\n"
p = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,)); p.start(); p.join(); assert p.exitcode == 7
tempfile.NamedTemporaryFile().close()
print("good")'`, "good\n", "bare"},
		{"python sockets and semaphores", []string{"/usr/bin/python3", "python3"}, `"$P" -c '
import socket, threading, multiprocessing as m, select, os
l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); s, _ = l.accept(); c.send(b"x"); assert s.recv(1) == b"x"
q = m.get_context("fork").Queue(); q.put(3); assert q.get() == 3
print("good")'`, "good\n", "floor"},
		{"node", []string{"node"}, `cd "$D" && "$P" -e '
const { execSync } = require("child_process"), fs = require("fs");
fs.writeFileSync("f", "x"); fs.readFileSync("f"); console.log(execSync("echo good").toString().trim())'`, "good\n", "bare"},
		{"gcc", []string{"gcc", "cc"}, `cd "$D" && printf '#include <stdio.h>\nint main(void){puts("good");}' >a.c && TMPDIR="$D" "$P" -o a a.c && ./a`, "good\n", "metadata"},
		{"git", []string{"git"}, `cd "$D" && "$P" init -q . && echo x >f && "$P" add f && "$P" -c user.name=n -c user.email=e@example.org commit -qm m && "$P" log --format=%s`, "m\n", "metadata"},
		{"tar", []string{"tar"}, `cd "$D" && mkdir a && echo good >a/f && "$P" cf a.tar a && rm -r a && "$P" xf a.tar && cat a/f`, "good\n", "metadata"},
		{"perl", []string{"perl"}, `"$P" -e 'print qx(echo good)'`, "good\n", "bare"},
		{"go", []string{"go"}, `mkdir -p "$D/.config/go/telemetry" && echo off >"$D/.config/go/telemetry/mode" && "$P" env GOOS`, "linux\n", "bare"},
	} {
		most := slices.Index(strictness, test.most)
		if most < 0 {
			t.Fatalf("%s: no filter %q", test.name, test.most)
		}
		for _, role := range strictness[:most+1] {
			t.Run(test.name+"/"+role, func(t *testing.T) {
				c := again(t, role, sh, "-ec", test.script)
				dir := t.TempDir()
				c.Env = append(c.Env, "D="+dir, "HOME="+dir, "GOCACHE="+dir)
				if test.needs != nil {
					c.Env = append(c.Env, "P="+find(t, test.needs...))
				}
				var errs bytes.Buffer
				c.Stderr = &errs
				if out, err := c.Output(); err != nil || string(out) != test.want {
					t.Errorf("%v: %q, want %q\n%s", err, out, test.want, errs.String())
				}
			})
		}
	}
}

// TestCompat makes the calls of the 32-bit entry, which a filter sees under
// another architecture's name.
func TestCompat(t *testing.T) {
	if goarch != "amd64" {
		t.Skip("NOT CHECKED: only x86-64 has int 0x80")
	}
	gcc := find(t, "gcc", "cc")
	dir := t.TempDir()
	source, program := filepath.Join(dir, "c.c"), filepath.Join(dir, "c")
	if err := os.WriteFile(source, []byte(compat), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), gcc, "-o", program, source).CombinedOutput(); err != nil {
		t.Skipf("NOT CHECKED: a small program does not compile: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), program, "probe").CombinedOutput(); err != nil {
		t.Skipf("NOT CHECKED: the kernel has no 32-bit entry: %v\n%s", err, out)
	}
	c := again(t, "floor", program, "try")
	c.Stdin = io.NopCloser(strings.NewReader(""))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// compat asks for its own process with "probe", and otherwise for every number
// there is, with arguments that no call accepts.
const compat = `
#include <stdio.h>
#include <string.h>
#include <errno.h>
static long call(long nr) {
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L) : "memory", "r8", "r9", "r10", "r11");
	return r;
}
int main(int argc, char **argv) {
	int bad = 0;
	if (argc > 1 && !strcmp(argv[1], "probe"))
		return call(20) > 0 ? 0 : 1;
	for (long nr = 0; nr < 600; nr++) {
		int r = (int)call(nr);
		if (r != -ENOSYS) {
			printf("call %ld gives %d\n", nr, r);
			bad = 1;
		}
	}
	return bad;
}
`

// TestInstallNeedsAFilter turns down what is no filter before the kernel is asked.
func TestInstallNeedsAFilter(t *testing.T) {
	for _, n := range []int{0, maxFilter + 1} {
		if _, err := Install(make([]unix.SockFilter, n), false); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%d instructions: %v", n, err)
		}
	}
}
