//go:build linux && !hostfs_portable

package hostfs

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Some checks need another identity or mounts of their own. Test X runs this
// binary again as TestInnerX there.
const innerEnv = "HOSTFS_TEST_INNER"

type innerOptions struct {
	uid    int  // run as, 0 for unchanged
	mounts bool // with a private mount namespace
}

func inner(t *testing.T, o innerOptions) {
	t.Helper()
	name := "TestInner" + strings.TrimPrefix(t.Name(), "Test")
	bin := os.Args[0]
	attr := &syscall.SysProcAttr{}
	if o.uid != 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.uid)}
		// The go command's directory is closed to others.
		data, err := os.ReadFile(bin)
		check(t, err)
		f, err := os.CreateTemp("/tmp", "hostfs-test")
		check(t, err)
		bin = f.Name()
		t.Cleanup(func() { os.Remove(bin) })
		_, err = f.Write(data)
		check(t, err)
		check(t, f.Chmod(0o755))
		check(t, f.Close())
	}
	if o.mounts {
		attr.Unshareflags = syscall.CLONE_NEWNS
		if os.Geteuid() != 0 {
			attr.Cloneflags = syscall.CLONE_NEWUSER
			attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
	}
	cmd := exec.Command(bin, "-test.run=^"+name+"$", "-test.v")
	cmd.Dir = "/tmp"
	cmd.Env = append(os.Environ(), innerEnv+"="+t.Name())
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Skipf("NOT CHECKED: this host does not let the test run as uid %d, own mounts %v: %v", o.uid, o.mounts, err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func onlyInner(t *testing.T, outer string) {
	t.Helper()
	if os.Getenv(innerEnv) != outer {
		t.Skip("run by " + outer)
	}
}
