//go:build amd64 || arm64

package stub

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestImageIsAnExecutable(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(InitImage()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || len(f.Progs) != 2 || f.Progs[0].Flags != elf.PF_R|elf.PF_X || f.Progs[0].Filesz != uint64(len(InitImage())) {
		t.Errorf("%+v %+v", f.FileHeader, f.Progs[0].ProgHeader)
	}
}

// namespaced starts pid 1 in namespaces of its own; flags says of which kinds.
func namespaced(t *testing.T) (pid int, end *os.File) {
	t.Helper()
	image, err := File("init", InitImage())
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	end = os.NewFile(uintptr(pair[0]), "pid 1")
	t.Cleanup(func() { _ = end.Close() })
	attr := &syscall.ProcAttr{
		Files: []uintptr{0, 1, 2, uintptr(pair[1])},
		Sys:   &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS},
	}
	if os.Geteuid() != 0 {
		attr.Sys.Cloneflags |= syscall.CLONE_NEWUSER
	}
	pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(int(image.Fd())), []string{"init"}, attr)
	_ = unix.Close(pair[1])
	if err != nil {
		t.Skipf("NOT CHECKED: no pid namespace here: %v", err)
	}
	return pid, end
}

func reaped(t *testing.T, pid int) {
	t.Helper()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil || !ws.Exited() || ws.ExitStatus() != 0 {
		t.Errorf("pid 1 ended with %v, %v", ws, err)
	}
}

func TestMountsProcAndDropsEverything(t *testing.T) {
	pid, end := namespaced(t)
	dir := t.TempDir()
	// The mount is pid 1's own: its namespace was copied, and mounts are made private here.
	if _, err := end.Write([]byte(dir)); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, 8)
	n, err := end.Read(status)
	if err != nil || n != 4 {
		t.Fatalf("answered %d bytes, %v", n, err)
	}
	if s := int32(binary.NativeEndian.Uint32(status)); s != 0 {
		t.Fatalf("answered %d", s)
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in its status", want)
		}
	}
	mounts, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mounts), " "+dir+" ") {
		t.Errorf("no proc at %s", dir)
	}
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil && err != syscall.EINVAL {
		t.Error(err) // it may have reached us where mounts are shared
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	reaped(t, pid)
}

func TestSaysWhatFailed(t *testing.T) {
	pid, end := namespaced(t)
	if _, err := end.Write([]byte(filepath.Join(t.TempDir(), "missing"))); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, 4)
	if _, err := end.Read(status); err != nil {
		t.Fatal(err)
	}
	if s := int32(binary.NativeEndian.Uint32(status)); s >= 0 {
		t.Errorf("a mount on nothing answered %d", s)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	reaped(t, pid)
}

// TestWithoutProc tells pid 1 that there is nothing to mount.
func TestWithoutProc(t *testing.T) {
	pid, end := namespaced(t)
	if _, err := end.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, 4)
	if _, err := end.Read(status); err != nil || binary.NativeEndian.Uint32(status) != 0 {
		t.Errorf("answered %v, %v", status, err)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	reaped(t, pid)
}

func TestEndsWhenItsKernelDoes(t *testing.T) {
	pid, end := namespaced(t)
	if err := end.Close(); err != nil { // before it was told anything
		t.Fatal(err)
	}
	reaped(t, pid)
}

// TestReaps gives pid 1 children that nobody waits for.
func TestReaps(t *testing.T) {
	pid, end := namespaced(t)
	dir := t.TempDir()
	if _, err := end.Write([]byte(dir)); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, 4)
	if _, err := end.Read(status); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	enter := exec(t, pid, "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; exit 0")
	if enter != nil {
		t.Skipf("NOT CHECKED: nsenter: %v", enter)
	}
	children := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children"
	for deadline := time.Now().Add(5 * time.Second); ; {
		b, err := os.ReadFile(children)
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(b)) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("children left: %s", b)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	reaped(t, pid)
}

// exec runs a shell line inside the pid namespace of pid.
func exec(t *testing.T, pid int, line string) error {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	child, err := syscall.ForkExec("/usr/bin/nsenter", []string{"nsenter", "-t", strconv.Itoa(pid), "-p", "/bin/sh", "-c", line},
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{null.Fd(), 1, 2}})
	if err != nil {
		return err
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(child, &ws, 0, nil); err != nil || ws.ExitStatus() != 0 {
		t.Errorf("nsenter: %v %v", ws, err)
	}
	return nil
}
