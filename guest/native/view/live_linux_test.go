package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// A live test builds a root in another process and looks at it from a third: the
// test's binary is started again as the builder, and once more, from inside, as the
// probe.
const (
	roleVar  = "AGENTOS_VIEW_ROLE"
	orderVar = "AGENTOS_VIEW_ORDER"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "user": // an ordinary user who makes a user namespace and builds there
		os.Exit(asUser())
	case "container": // covers a part of /proc first
		os.Exit(asContainer())
	case "builder":
		os.Exit(builder())
	case "probe":
		os.Exit(probe())
	}
	os.Exit(m.Run())
}

// order is what the builder is told.
type order struct {
	Probe     string
	User      guest.User
	Disk      uint64
	Whole     bool
	Bare      bool
	Template  bool // build by a template
	Callee    bool // mount /proc by a process inside the namespace
	Grants    []guest.Mount
	Rbind     [][2]string // to do in the builder's own mount namespace first
	Grow      uint64      // size of the disk on attaching
	Container bool
	Exec      string // guest path of the probe
	Args      map[string]string
}

// outcome is what the builder and the probe say.
type outcome struct {
	Err      string
	Left     []Left
	Failures []string
}

// closing notes an error of closing as a failure.
func (o *outcome) closing(err error) {
	if err != nil {
		o.Failures = append(o.Failures, "close: "+err.Error())
	}
}

const ordinary = 65534

// scratch makes a directory that an ordinary user can enter, with the test's
// binary in it.
func scratch(t *testing.T) (dir, binary string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	binary = filepath.Join(dir, "binary")
	f, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, self); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, binary
}

// carryOut has a builder do o, as root or as an ordinary user.
func carryOut(t *testing.T, binary string, o order, root bool) outcome {
	t.Helper()
	o.Exec = binary
	if !o.Whole {
		o.Exec = "/probe"
		o.Grants = append(o.Grants, guest.Mount{Guest: "/probe", Kind: guest.Bind, Host: binary, Source: "flag"})
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Dir = "/"
	// The race detector would have every process of these wait a second to end.
	cmd.Env = append(os.Environ(), orderVar+"="+string(b), roleVar+"=builder", quickEnd)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if o.Container {
		cmd.Env = append(cmd.Env, roleVar+"=container")
	} else if !root {
		cmd.Env = append(cmd.Env, roleVar+"=user")
		cmd.SysProcAttr = nil
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
		}
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if strings.Contains(said.String(), noUserNamespace) {
		t.Skipf("NOT CHECKED: %s", said.String())
	}
	var result outcome
	if jerr := json.Unmarshal(out, &result); jerr != nil {
		t.Fatalf("builder: %v, said %q, and %s", err, out, said.String())
	}
	if said.Len() > 0 {
		t.Log(said.String())
	}
	return result
}

// hostMounts returns the mounts of the process's main thread, which stand for the
// host's: the builder has a copy of them, so that a neighbour's do not disturb.
func hostMounts() string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const quickEnd = "GORACE=atexit_sleep_ms=0"

const noUserNamespace = "user namespaces are refused"

// asUser starts the builder in a user namespace with all its capabilities.
func asUser() int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), roleVar+"=builder")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	uid, gid := os.Geteuid(), os.Getegid()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, c)
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", noUserNamespace, err)
		return 1
	}
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// asContainer has an ordinary user build where a part of /proc is covered, as it is
// in most containers.
func asContainer() int {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("/dev/null", "/proc/keys", "", unix.MS_BIND, "")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Path, err = os.Readlink("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), roleVar+"=user")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	if err == nil {
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// builder builds a root as ordered and has the probe look at it.
func builder() int {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(orderVar)), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	done := make(chan outcome)
	before := ""
	offMain(func() {
		var out outcome
		if err := build(o, &out, &before); err != nil {
			out.Err = err.Error()
		}
		done <- out
	})
	out := <-done
	if after := hostMounts(); after != before {
		out.Failures = append(out.Failures, fmt.Sprintf("mounts of the host changed from\n%s\nto\n%s", before, after))
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// offMain runs f on a locked thread that is not the main one.
func offMain(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			offMain(f)
			select {} // so that the next one is elsewhere
		}
		f()
	}()
}

// build notes in before what the host's mounts are once it has been made ready.
func build(o order, out *outcome, before *string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private: %w", err)
	}
	// As most systems have it, and as nothing of the view may be.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("shared: %w", err)
	}
	for _, b := range o.Rbind {
		if err := unix.Mount(b[0], b[1], "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("rbind %v: %w", b, err)
		}
	}
	*before = hostMounts()
	base := Default(o.User, Options{Whole: o.Whole, Bare: o.Bare})
	rest := o.Grants
	for i := range rest {
		if rest[i].Kind == guest.Bind {
			fd, err := unix.Open(rest[i].Host, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("open %s: %w", rest[i].Host, err)
			}
			rest[i].File = os.NewFile(uintptr(fd), rest[i].Host)
		}
	}
	if o.Whole {
		base, rest = append(base, rest[0]), rest[1:]
	}
	var trees *Trees
	var template *Template
	var err error
	if o.Template {
		if template, err = drawn(base, o.User); err != nil {
			return fmt.Errorf("template: %w", err)
		}
		defer func() { out.closing(template.Close()) }()
		if !template.Fresh() {
			out.Failures = append(out.Failures, "a new template is not fresh")
		}
		for _, c := range []struct {
			at    string
			fresh bool
		}{{"/tmp", true}, {"/usr/share", false}} { // beside what it shows, and inside
			if err := unix.Mount("none", c.at, "tmpfs", 0, ""); err != nil {
				return fmt.Errorf("change the mounts: %w", err)
			}
			got := template.Fresh()
			if err := unix.Unmount(c.at, 0); err != nil {
				return fmt.Errorf("change the mounts: %w", err)
			}
			if got != c.fresh {
				out.Failures = append(out.Failures, fmt.Sprintf("with a mount at %s a template is fresh: %v", c.at, got))
			}
		}
	} else if trees, err = Prepare(base); err == nil {
		defer func() { out.closing(trees.Close()) }()
	}
	if err != nil {
		return err
	}
	grants, err := Prepare(rest)
	if err != nil {
		return err
	}
	defer func() { out.closing(grants.Close()) }()

	if o.Template {
		if err := template.Enter(); err != nil {
			return err
		}
		if root, err := template.Base(Config{}); err == nil {
			out.Failures = append(out.Failures, fmt.Sprintf("a root was built in the template itself: %v", root))
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	init := 0
	first := func(string) (err error) {
		if init, err = firstProcess(); err != nil {
			return fmt.Errorf("pid 1: %w", err)
		}
		return nil
	}
	if !o.Template {
		if err := first("/proc"); err != nil {
			return err
		}
	}
	defer func() {
		if init == 0 {
			return
		}
		if err := syscall.Kill(init, syscall.SIGKILL); err != nil {
			panic(err)
		}
		if _, err := syscall.Wait4(init, nil, 0, nil); err != nil {
			panic(err)
		}
	}()
	c := Config{User: o.User, Disk: o.Disk, Start: first}
	if o.Callee {
		c.Proc = func(path string) error {
			return execute("/usr/bin/mount", []string{"mount", "-t", "proc", "proc", path}, nil)
		}
	}
	var root *Root
	if o.Template {
		root, err = template.Base(c)
	} else {
		root, err = Base(trees, c)
	}
	if err != nil {
		return err
	}
	defer func() { out.closing(root.Close()) }()
	if o.Grow > 0 {
		if err := root.Resize(o.Grow); err != nil {
			return err
		}
	}
	if out.Left, err = root.Attach(grants); err != nil {
		return err
	}
	if err := root.Seal(); err != nil {
		return err
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("bounding set: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("ambient set: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		done <- json.NewDecoder(r).Decode(&out.Failures)
	}()
	err = execute(o.Exec, []string{"probe"}, &syscall.ProcAttr{Env: []string{roleVar + "=probe", quickEnd, orderVar + "=" + string(b)},
		Files: []uintptr{null.Fd(), w.Fd(), 2}})
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return errors.Join(err, <-done)
}

// drawn makes a template on a thread of its own.
func drawn(base []guest.Mount, user guest.User) (*Template, error) {
	t, err := Draft(base, user)
	if err != nil {
		return nil, err
	}
	done := make(chan error)
	offMain(func() {
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = t.Build()
		}
		done <- err
	})
	if err := <-done; err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// firstProcess starts pid 1 and waits until it has what it needs of the host's
// root, which is taken away from it as well.
func firstProcess() (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	answer, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	pid, err := syscall.ForkExec("/usr/bin/cat", []string{"cat"}, &syscall.ProcAttr{Dir: "/", Files: []uintptr{r.Fd(), theirs.Fd(), 2}})
	if err != nil {
		return 0, err
	}
	if _, err := w.Write([]byte{1}); err != nil {
		return 0, err
	}
	_, err = answer.Read(make([]byte, 1))
	return pid, errors.Join(err, r.Close(), theirs.Close())
}

// execute runs a program from the calling thread and waits for it.
func execute(program string, argv []string, attr *syscall.ProcAttr) error {
	if attr == nil {
		attr = &syscall.ProcAttr{Files: []uintptr{^uintptr(0), 2, 2}}
	}
	pid, err := syscall.ForkExec(program, argv, attr)
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return fmt.Errorf("wait for %s: %w", program, err)
	}
	if status.ExitStatus() != 0 {
		return fmt.Errorf("%s ended with %d, signal %d", program, status.ExitStatus(), status.Signal())
	}
	return nil
}

// world is what a probe looks at; what is wrong is collected.
type world struct {
	order
	failures []string
}

func (w *world) errorf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

func probe() int {
	var w world
	if err := json.Unmarshal([]byte(os.Getenv(orderVar)), &w.order); err != nil {
		w.errorf("order: %v", err)
	}
	look, ok := probes[w.Probe]
	if !ok {
		w.errorf("no probe is named %q", w.Probe)
	} else {
		look(&w)
	}
	if err := json.NewEncoder(os.Stdout).Encode(w.failures); err != nil {
		return 2
	}
	return 0
}

// everywhere runs a test as root and as an ordinary user.
func everywhere(t *testing.T, test func(t *testing.T, root bool, user guest.User)) {
	t.Run("root", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("NOT CHECKED: needs root")
		}
		test(t, true, guest.User{Name: "root", Home: "/root"})
	})
	t.Run("user", func(t *testing.T) {
		uid, gid := os.Geteuid(), os.Getegid()
		if uid == 0 {
			uid, gid = ordinary, ordinary
		}
		test(t, false, guest.User{UID: uid, GID: gid, Name: "somebody", Home: "/home/somebody"})
	})
}

func check(t *testing.T, out outcome) {
	t.Helper()
	if out.Err != "" {
		t.Fatal(out.Err)
	}
	for _, f := range out.Failures {
		t.Error(f)
	}
}

func TestWorld(t *testing.T) {
	everywhere(t, func(t *testing.T, root bool, user guest.User) {
		_, binary := scratch(t)
		for name, o := range map[string]order{
			"of its own": {}, "proc by another": {Callee: true},
			"template": {Template: true}, "template, proc by another": {Template: true, Callee: true},
		} {
			t.Run(name, func(t *testing.T) {
				o.Probe, o.User, o.Disk = "world", user, 8<<20
				check(t, carryOut(t, binary, o, root))
			})
		}
	})
}

// Where the system refuses a new /proc the error must say what is the matter.
func TestCoveredProc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: only root can cover a part of /proc")
	}
	_, binary := scratch(t)
	user := guest.User{UID: ordinary, GID: ordinary, Name: "somebody", Home: "/home/somebody"}
	out := carryOut(t, binary, order{Probe: "world", User: user, Container: true}, false)
	if !strings.Contains(out.Err, "/proc are covered") {
		t.Errorf("%q does not explain", out.Err)
	}
}
