package attempt

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func lay(t *testing.T) *Bait {
	t.Helper()
	b, err := Lay([]string{executable(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(b.Order.Dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", b.Order.Dir, err)
		}
		if err := unix.Kill(b.Order.Bystander, 0); err != unix.ESRCH {
			t.Errorf("the bystander is left: %v", err)
		}
	})
	return b
}

func executable(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// unconfined runs an order as a plain process.
func unconfined(t *testing.T, o Order) (string, *os.ProcessState) {
	t.Helper()
	env, err := o.Variable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable(t))
	cmd.Env = []string{env}
	out, err := os.Create(filepath.Join(t.TempDir(), "out")) // not a pipe, whose end is that of all who have it
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState
}

// TestUnconfined: where nothing confines the program, what is reported as held
// elsewhere is reported as escaped.
func TestUnconfined(t *testing.T) {
	b := lay(t)
	o := b.Order
	o.Do, o.State = Violations, o.Dir
	out, ps := unconfined(t, o)
	if !ps.Success() {
		t.Fatalf("%v: %s", ps, out)
	}
	self, verdicts, err := b.Verdicts(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if self.Seccomp || self.Namespaces["mnt"] != Look().Namespaces["mnt"] {
		t.Skipf("this test is itself confined (%+v): that success is seen was NOT CHECKED", self)
	}
	// What the files, sockets, and processes of one user do for each other everywhere.
	must := []string{"secret", "symlink", "own_symlink", "dotdot", "deny", "state", "write_read_grant", "protected", "setuid_bit",
		"connect_host", "abstract_socket", "shared_memory", "environ", "ptrace_outside", "signal_outside", "ptrace_sibling", "peek_sibling"}
	if os.Geteuid() == 0 && !self.Powerless {
		must = append(must, "usr", "device_node", "mount", "setns", "chroot", "mount_namespace", "reboot", "identity", "hostname", "open_by_handle")
	}
	escaped := 0
	for i := range verdicts {
		d := &verdicts[i]
		t.Log(d)
		if d.Outcome == Unknown {
			t.Errorf("%s cannot be told: %s", d.Name, d.Detail)
		}
		if d.Outcome == Escaped {
			escaped++
		} else if slices.Contains(must, d.Name) {
			t.Errorf("%s was not seen to succeed: %v", d.Name, d)
		}
		if d.Outcome == Held && d.By != string(layerHost) && d.By != string(layerSession) && d.By != string(layerClosed) && d.By != string(layerPowers) {
			t.Errorf("%s is said to be held by a layer that is not there: %v", d.Name, d)
		}
	}
	t.Logf("%d of %d escaped", escaped, len(verdicts))
}

// TestUnconfinedUse: without limits, what is used up is used up.
func TestUnconfinedUse(t *testing.T) {
	b := lay(t)
	for _, c := range []struct {
		do     string
		amount uint64
	}{
		{Memory, 1 << 20}, {Processes, 3}, {Disk, 1 << 20}, {Processor, 0}, {Output, 8192}, {Time, 0}, {Files, 10}, {Outlive, 5},
	} {
		o := b.Order
		o.Do, o.Amount = c.do, c.amount
		if out, ps := unconfined(t, o); !ps.Success() {
			t.Errorf("%s: %v %.100q", c.do, ps, out)
		}
	}
	if left, err := b.Outlived(); err != nil || !left {
		t.Errorf("a process that goes on after its program is not seen: %v %v", left, err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left, err := b.Outlived()
		if err != nil || left && time.Now().After(until) {
			t.Errorf("it was to end after five seconds: %v %v", left, err)
		}
		if err != nil || !left || time.Now().After(until) {
			break
		}
	}
}

// TestRefused: what is refused more says so by its status.
func TestRefused(t *testing.T) {
	b := lay(t)
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	o := b.Order
	o.Do, o.Amount = Files, old.Cur+1
	if old.Cur > 1<<20 {
		t.Skipf("a process may have %d descriptors here: that it sees their end was NOT CHECKED", old.Cur)
	}
	if _, ps := unconfined(t, o); ps.ExitCode() != Refused {
		t.Errorf("%v, want status %d", ps, Refused)
	}
}

// TestGone: when who laid the bait out is killed, it is cleared away all the same.
func TestGone(t *testing.T) {
	b, err := Lay([]string{executable(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.hold.Close(); err != nil { // as the end of this process would
		t.Fatal(err)
	}
	b.hold = nil
	for range 500 {
		if _, err = os.Lstat(b.Order.Dir); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !os.IsNotExist(err) {
		t.Errorf("%s: %v", b.Order.Dir, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestSilence: a program that says nothing, or nonsense, is not believed to be safe.
func TestSilence(t *testing.T) {
	b := &Bait{secret: "s"}
	for _, said := range []string{"", "{}\n", "nonsense", `{}` + "\n" + `{"name":"other"}` + "\n"} {
		_, verdicts, err := b.Verdicts(strings.NewReader(said))
		if said == "nonsense" && err == nil {
			t.Error("nonsense is no error")
		}
		for _, d := range verdicts {
			if d.Outcome != Unknown || d.Detail == "" {
				t.Errorf("%q: %v", said, &d)
			}
		}
		if len(verdicts) != len(violations) {
			t.Errorf("%q: %d verdicts", said, len(verdicts))
		}
	}
}

// TestStoppedBy checks what is said to have stopped an attempt.
func TestStoppedBy(t *testing.T) {
	host := &Self{Namespaces: map[string]uint64{"mnt": 1, "net": 1, "pid": 1, "ipc": 1}}
	floor := &Self{Seccomp: true, NoNewPrivs: true, Powerless: true, Namespaces: map[string]uint64{"mnt": 2, "net": 2, "pid": 2, "ipc": 2}}
	bare := &Self{Seccomp: true, NoNewPrivs: true, Powerless: true, Namespaces: host.Namespaces}
	files := layerLandlock
	if os.Geteuid() != 0 {
		files = layerEither
	}
	for _, c := range []struct {
		name, call string
		errno      unix.Errno
		self       *Self
		want       layer
	}{
		{"secret", "openat", unix.ENOENT, floor, layerView},
		{"secret", "openat", unix.EACCES, bare, files},
		{"secret", "openat", unix.ENOENT, host, layerHost},
		{"secret", "read", 0, floor, "what is in its place is something else"},
		{"deny", "openat", unix.EACCES, floor, layerMask},
		{"deny", "openat", unix.EACCES, bare, files},
		{"usr", "openat", unix.EROFS, floor, layerReadOnly},
		{"usr", "openat", unix.EACCES, bare, files},
		{"usr", "openat", unix.EACCES, host, layerHost},
		{"protected", "openat", unix.EROFS, floor, layerFrozen},
		{"connect_out", "connect", unix.ENETUNREACH, floor, layerNet},
		{"connect_out", "connect", unix.ENETUNREACH, host, layerHost},
		{"connect_out", "socket", unix.EACCES, bare, layerFilter},
		{"abstract_socket", "connect", unix.ECONNREFUSED, floor, layerNet},
		{"shared_memory", "shmat", unix.EINVAL, floor, layerIPC},
		{"shared_memory", "shmat", unix.ENOSYS, bare, layerFilter},
		{"signal_outside", "kill", unix.ESRCH, floor, layerPID},
		{"signal_outside", "kill", unix.EPERM, bare, layerLandlock},
		{"environ", "openat", unix.ENOENT, floor, layerPID},
		{"environ", "openat", unix.EACCES, bare, layerTrace},
		{"ptrace_outside", "ptrace", unix.EPERM, floor, layerFilter},
		{"ptrace_outside", "ptrace", unix.EPERM, host, layerHost},
		{"module", "finit_module", unix.EPERM, floor, layerFilter},
		{"module", "finit_module", unix.EPERM, &Self{Powerless: true}, layerPowers},
		{"user_namespace", "clone", unix.EPERM, floor, layerFilter},
		{"mount", "mount", unix.EPERM, floor, layerFilter},
		{"vsock", "socket", unix.EAFNOSUPPORT, floor, layerFilter},
		{"vsock", "socket", unix.EAFNOSUPPORT, host, layerHost},
		{"setuid_bit", "fchmod", unix.EPERM, floor, layerFilter},
		{"identity", "setresuid", unix.EPERM, floor, layerPowers},
		{"identity", "setresuid", unix.EINVAL, &Self{Seccomp: true, Namespaces: map[string]uint64{"user": 2}}, layerUser},
		{"identity", "setresuid", unix.EINVAL, bare, layerHost},
		{"terminal", "openat", unix.ENXIO, floor, layerSession},
	} {
		i := slices.IndexFunc(violations, func(v violation) bool { return v.name == c.name })
		if i < 0 {
			t.Fatalf("there is no %s", c.name)
		}
		if got := stoppedBy(&violations[i], &Result{Call: c.call, Errno: c.errno}, c.self, host); got != c.want {
			t.Errorf("%s, %s: %s: %q, want %q", c.name, c.call, unix.ErrnoName(c.errno), got, c.want)
		}
	}
}

// TestEscaped checks how success is told from what a program prints.
func TestEscaped(t *testing.T) {
	b := &Bait{secret: "the-secret", tcp: -1, abstract: -1}
	for _, c := range []struct {
		r    Result
		want Outcome
	}{
		{Result{Name: "secret", Got: []byte("is the-secret.")}, Escaped},
		{Result{Name: "secret", Got: []byte("other")}, Held},
		{Result{Name: "secret", Errno: unix.ENOENT, Got: []byte("the-secret")}, Escaped},
		{Result{Name: "usr"}, Escaped},
		{Result{Name: "usr", Errno: unix.EROFS}, Held},
		{Result{Name: "module", Errno: unix.EBADF}, Escaped},
		{Result{Name: "module", Errno: unix.EPERM}, Held},
		{Result{Name: "mount", Errno: unix.ENODEV}, Escaped},
		{Result{Name: "state", Untried: "none"}, Untried},
		{Result{Name: "connect_host"}, Held}, // it reached something, but nothing of the host's
		{Result{Name: "connect_host", Errno: unix.ENETUNREACH}, Held},
	} {
		line, err := json.Marshal(c.r)
		if err != nil {
			t.Fatal(err)
		}
		_, verdicts, err := b.Verdicts(strings.NewReader("{}\n" + string(line) + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range verdicts {
			if d := &verdicts[i]; d.Name == c.r.Name && d.Outcome != c.want {
				t.Errorf("%s: %v, want %v", line, d, c.want)
			}
		}
	}
}

// TestNames: a name stands for one attempt, and every one can be told.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range violations {
		v := &violations[i]
		if seen[v.name] || v.name == "" || v.what == "" || v.call == "" || v.try == nil {
			t.Errorf("%q is not complete, or there twice", v.name)
		}
		seen[v.name] = true
	}
	for _, name := range []string{"connect_host", "abstract_socket", "signal_outside"} {
		if !seen[name] {
			t.Errorf("the host looks for %s, which nobody tries", name)
		}
	}
}
