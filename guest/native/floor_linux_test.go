package native

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// stageVariable has the test binary be a part of a test in another process.
const stageVariable = "NATIVE_TEST_STAGE"

func TestMain(m *testing.M) {
	HelperMain()
	switch os.Getenv(stageVariable) {
	case "forbid":
		fail(forbid())
	case "open":
		fail(report())
	default:
		os.Exit(m.Run())
	}
}

func fail(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// forbid turns user namespaces off in the one that it is in, and goes on without
// capabilities.
func forbid() error {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o644); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", []string{"native.test"}, []string{stageVariable + "=open"})
}

// report says with which floor the domain opens.
func report() error {
	d, err := New(Options{ID: fmt.Sprintf("%s-%d-%d-test", PIDNamespace(), os.Getpid(), Started(os.Getpid()))})
	if err != nil {
		return err
	}
	f := d.Facts()
	fmt.Printf("floor: %s\nwhy: %s\nfix: %s\nnamespaces: %s\nfirst: %s\n", f.Floor, f.Why, f.Fix, f.Enforced["namespaces"], strings.Join(f.Weak[:1], ""))
	return d.Close()
}

// stage runs a part of a test as nobody, and with caps in a user namespace of its own.
func stage(t *testing.T, name string, caps ...uintptr) string {
	t.Helper()
	const nobody = 65534
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	if len(caps) > 0 {
		id := os.Geteuid()
		gid := os.Getegid()
		if id == 0 {
			id, gid = nobody, nobody
		}
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attr.AmbientCaps = caps
		if attr.Credential != nil {
			attr.Credential.NoSetGroups = true // there it is not allowed
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"native.test"}, &os.ProcAttr{
		Dir: "/", Files: []*os.File{nil, w, w}, Env: []string{stageVariable + "=" + name}, Sys: attr,
	})
	if err != nil {
		t.Skipf("NOT CHECKED: the process that the test needs cannot be made here: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if state, err := p.Wait(); err != nil || !state.Success() {
		t.Fatalf("%v, %v:\n%s", state, err, out)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return string(out)
}

func TestFloorOfOrdinaryUser(t *testing.T) {
	out := stage(t, "open")
	if strings.Contains(out, "floor: "+launch.FloorBare) {
		t.Skipf("NOT CHECKED: this host refuses user namespaces:\n%s", out)
	}
	if !strings.Contains(out, "floor: "+launch.FloorUser+"\n") || !strings.Contains(out, "namespaces: user, mount") {
		t.Errorf("%s", out)
	}
}

// TestFloorWhereRefused opens the domain where user namespaces are turned off.
func TestFloorWhereRefused(t *testing.T) {
	out := stage(t, "forbid", unix.CAP_SYS_RESOURCE)
	for _, want := range []string{
		"floor: " + launch.FloorBare + "\n",
		"why: user.max_user_namespaces is 0\n",
		"fix: sysctl user.max_user_namespaces=",
		"namespaces: none: user.max_user_namespaces is 0\n",
		"first: There are no namespaces: user.max_user_namespaces is 0. To have them: sysctl",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}
