package agentos_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// TestWholeHost grants the host's root, for reading and for writing: the kernel's
// own memory, environment, and state stay out of reach under any name, and so do
// devices and the file systems of the operating system's kernel.
func TestWholeHost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT CHECKED: the names below are Linux's")
	}
	k := open(t, nil)
	state, err := filepath.EvalSymlinks(cache)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(state, link); err != nil {
		t.Fatal(err)
	}
	self := fmt.Sprintf("/proc/%d", os.Getpid())
	forbidden := []string{
		"/proc", "/proc/self", "/proc/self/mem", "/proc/self/environ", "/proc/self/fd/0", "/proc/self/root/etc/passwd", "/proc/thread-self/maps",
		self, self + "/mem", self + "/environ", self + "/maps", "/proc/1/environ", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
		"/sys", "/sys/kernel", "/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.procs",
		"/dev/null", "/dev/zero", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/tty", "/dev/pts", "/dev/pts/ptmx", "/dev/ptmx",
		state, state + "/runs", state + "/cache", state + "/live", state + "/../" + filepath.Base(state), link, link + "/runs", link + "/cache",
	}
	for _, kind := range []agentos.GrantKind{agentos.GrantRead, agentos.GrantWrite} {
		o := guest(t, k, agentos.Spec{Grants: []agentos.Grant{{Kind: kind, Host: "/"}}}, append([]string{"probe"}, forbidden...)...)
		for line := range strings.Lines(o.out) {
			if name, did, _ := strings.Cut(strings.TrimSpace(line), " "); name != link || did != "stat" { // the link itself is an ordinary file
				t.Errorf("%s /: the guest reached %s", kind.Flag(), strings.TrimSpace(line))
			}
		}
		if o.Cause != "exited" || o.ExitCode != 0 {
			t.Errorf("%s /: %s %d %s", kind.Flag(), o.Cause, o.ExitCode, o.err)
		}
		listed := guest(t, k, agentos.Spec{Grants: []agentos.Grant{{Kind: kind, Host: "/"}}}, "ls", "/", filepath.Dir(state))
		for _, name := range strings.Fields(listed.out) {
			if name == "proc" || name == "sys" || name == filepath.Base(state) {
				t.Errorf("%s /: a listing shows %s", kind.Flag(), name)
			}
		}
		if !strings.Contains(listed.out, "etc\n") {
			t.Errorf("%s /: /etc is not listed: %q %q", kind.Flag(), listed.out, listed.err)
		}
	}
	read := agentos.Spec{Grants: []agentos.Grant{{Host: "/"}}}
	if o := guest(t, k, read, "stat", "/etc/passwd"); o.ExitCode != 0 {
		t.Errorf("--read / does not read /etc/passwd: %s", o.err)
	}
	for _, inside := range []string{state, state + "/runs"} {
		_, err := k.Run(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Grants: []agentos.Grant{{Host: inside}}})
		var se *agentos.StartError
		if !errors.As(err, &se) || se.Status != 125 {
			t.Errorf("a grant of %s: %v", inside, err)
		}
	}
}
