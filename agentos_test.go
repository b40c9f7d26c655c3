package agentos_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// guests is the compiled test/guests.
var guests []byte

func TestMain(m *testing.M) {
	agentos.Helper()
	if state := os.Getenv(crashEnv); state != "" {
		fmt.Fprintln(os.Stderr, victim(state))
		os.Exit(1)
	}
	if dir := os.Getenv(writerEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writer(dir))
		os.Exit(1)
	}
	testRoles()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agentos-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	out := filepath.Join(dir, "guests.wasm")
	build := exec.Command("go", "build", "-o", out, "./test/guests")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "compile the guests: %v\n%s", err, msg)
		return 1
	}
	if guests, err = os.ReadFile(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cache = filepath.Join(dir, "state")
	return m.Run()
}

// cache is a state directory shared by the tests, so that the guests are compiled
// once.
var cache string

// open boots a kernel that is closed, and looked over for leaks, with the test.
func open(t testing.TB, change func(*agentos.Config)) *agentos.Kernel {
	t.Helper()
	before := goleak.IgnoreCurrent()
	c := agentos.Config{State: cache}
	remember(t, &c)
	if change != nil {
		change(&c)
	}
	k, err := agentos.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
	})
	return k
}

// outcome is a run and what it wrote.
type outcome struct {
	*agentos.Report
	out, err string
}

// guest runs a behaviour of test/guests to its end and checks what must hold of
// every run.
func guest(t testing.TB, k *agentos.Kernel, spec agentos.Spec, args ...string) outcome {
	t.Helper()
	var out, diag bytes.Buffer
	if spec.Image == nil {
		spec.Program, spec.Image, spec.Args = "guests.wasm", guests, args
	}
	spec.Stdout, spec.Stderr = &out, &diag
	r, err := k.Run(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r)
	return outcome{r, out.String(), diag.String()}
}

// check holds of every report.
func check(t testing.TB, r *agentos.Report) {
	t.Helper()
	if len(r.Cleanup.Errors) != 0 {
		t.Errorf("cleanup: %v", r.Cleanup.Errors)
	}
	if last := r.States[len(r.States)-1].State; r.States[0].State != "creating" || last != "dead" {
		t.Errorf("states: %v", r.States)
	}
	for i := 1; i < len(r.States); i++ {
		if r.States[i].AtNS < r.States[i-1].AtNS {
			t.Errorf("time runs backwards in the states: %v", r.States)
		}
	}
}

func TestRunHonest(t *testing.T) {
	k := open(t, nil)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.txt"), []byte("some text"), 0o600); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	read := agentos.Spec{Grants: []agentos.Grant{{Host: real}}}
	write := agentos.Spec{Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: real, Guest: "/data"}}}
	for _, c := range []struct {
		spec agentos.Spec
		args []string
		want string
	}{
		{agentos.Spec{}, []string{"args", "a", "", "b c"}, "a||b c\n"},
		{agentos.Spec{}, []string{"env"}, "\n"},
		{agentos.Spec{Env: []string{"A=1", "B="}}, []string{"env"}, "A=1|B=\n"},
		{agentos.Spec{Stdin: strings.NewReader("from stdin")}, []string{"copy"}, "from stdin"},
		{agentos.Spec{}, []string{"copy"}, ""},
		{agentos.Spec{}, []string{"sleep", "20ms"}, "sleeping\nawake\n"},
		{read, []string{"cat", filepath.Join(real, "in.txt")}, "some text"},
		{read, []string{"ls", real}, "in.txt\n"},
		{write, []string{"write", "/data/out.txt", "written"}, ""},
		{write, []string{"cat", "/data/out.txt", "/data/in.txt"}, "writtensome text"},
		{write, []string{"mv", "/data/out.txt", "/data/moved.txt"}, ""},
		{write, []string{"ls", "/data"}, "in.txt\nmoved.txt\n"},
		{write, []string{"rm", "/data/moved.txt"}, ""},
		{write, []string{"walk", "/data"}, "/data\n/data/in.txt\n"},
	} {
		o := guest(t, k, c.spec, c.args...)
		if o.Cause != "exited" || o.ExitCode != 0 || o.out != c.want {
			t.Errorf("%v: %s %d, printed %q and %q, want %q", c.args, o.Cause, o.ExitCode, o.out, o.err, c.want)
		}
	}
}

// endless are limits under which a test that hangs is noticed.
const endless = time.Minute

func TestCauses(t *testing.T) {
	k := open(t, nil)
	for _, c := range []struct {
		name   string
		limits agentos.Limits
		args   []string
		cause  string
		code   int
	}{
		{"exit", agentos.Limits{}, []string{"exit", "7"}, "exited", 7},
		{"exit high", agentos.Limits{}, []string{"exit", "255"}, "exited", 255},
		{"panic", agentos.Limits{}, []string{"panic"}, "exited", 2},
		{"spin", agentos.Limits{Timeout: 300 * time.Millisecond}, []string{"spin"}, "timeout", 124},
		{"sleep", agentos.Limits{Timeout: 300 * time.Millisecond}, []string{"sleep", "1h"}, "timeout", 124},
		{"cpu", agentos.Limits{CPUTime: 100 * time.Millisecond, Timeout: endless}, []string{"spin"}, "cpu_limit", 152},
		{"memory", agentos.Limits{Memory: 64 << 20, Timeout: endless}, []string{"hungry"}, "memory_limit", 2},
		{"output", agentos.Limits{Output: 100_000, Timeout: endless}, []string{"shout"}, "output_limit", 153},
		{"disk", agentos.Limits{Disk: 1 << 20, Timeout: endless}, []string{"fill", "/tmp/f"}, "exited", 1},
		{"files", agentos.Limits{Files: 20, Timeout: endless}, []string{"forget", "/tmp"}, "exited", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := guest(t, k, agentos.Spec{Limits: c.limits}, c.args...)
			if o.Cause != c.cause || o.ExitCode != c.code {
				t.Errorf("%s %d (%s), want %s %d; it printed %q and %q", o.Cause, o.ExitCode, o.Detail, c.cause, c.code, o.out, o.err)
			}
			switch c.name {
			case "output":
				if len(o.out) != 100_000 {
					t.Errorf("%d bytes came out, want all that the limit allows", len(o.out))
				}
			case "disk":
				if !strings.Contains(o.err, "No space left") {
					t.Errorf("the guest was told %q", o.err)
				}
			case "files":
				if !strings.Contains(o.out, "oo many open files") {
					t.Errorf("the guest was told %q", o.out)
				}
			}
		})
	}
}

func TestDenied(t *testing.T) {
	k := open(t, nil)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"open", "secret/key"} {
		p := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(dir, "secret")
	grants := []agentos.Grant{{Host: dir}, {Kind: agentos.GrantDeny, Host: secret}}
	for _, c := range []struct {
		grants []agentos.Grant
		args   []string
		layer  string
		grant  string
	}{
		{nil, []string{"cat", filepath.Join(dir, "open")}, "path", "--read " + filepath.Join(dir, "open")},
		{grants, []string{"cat", filepath.Join(secret, "key")}, "path", ""},
		{grants, []string{"write", filepath.Join(dir, "open"), "x"}, "path", "--write " + filepath.Join(dir, "open")},
	} {
		o := guest(t, k, agentos.Spec{Grants: c.grants}, c.args...)
		if o.ExitCode != 1 || o.out != "" {
			t.Errorf("%v: status %d, printed %q", c.args, o.ExitCode, o.out)
		}
		if len(o.Denials) != 1 || o.Denials[0].Layer != c.layer || o.Denials[0].Grant != c.grant {
			t.Errorf("%v: denials %+v", c.args, o.Denials)
		}
	}
	if o := guest(t, k, agentos.Spec{Grants: grants}, "ls", dir); o.out != "open\n" {
		t.Errorf("a listing shows what is denied: %q", o.out)
	}
}

// start begins a run that the test ends by hand.
func start(t *testing.T, k *agentos.Kernel, spec agentos.Spec, args ...string) *agentos.Process {
	t.Helper()
	spec.Program, spec.Image, spec.Args = "guests.wasm", guests, args
	p, err := k.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSignals(t *testing.T) {
	k := open(t, nil)
	for _, c := range []struct {
		sig   abi.Signal
		cause string
		code  int
	}{
		{abi.SIGINT, "signaled", 130}, {abi.SIGTERM, "signaled", 143}, {abi.SIGHUP, "signaled", 129}, {abi.SIGKILL, "killed", 137},
	} {
		for _, args := range [][]string{{"spin"}, {"sleep", "1h"}, {"copy"}} {
			in, _, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, k, agentos.Spec{Stdin: in}, args...)
			if err := p.Signal(c.sig); err != nil {
				t.Fatal(err)
			}
			r, err := p.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			check(t, r)
			if r.Cause != c.cause || r.ExitCode != c.code {
				t.Errorf("%v on %v: %s %d, want %s %d", args, c.sig, r.Cause, r.ExitCode, c.cause, c.code)
			}
			if p.Kill() == nil {
				t.Error("killed a run that had ended")
			}
			if err := in.Close(); err != nil { // lets the orphaned read of "copy" return
				t.Fatal(err)
			}
		}
	}
}

func TestStopAndContinue(t *testing.T) {
	k := open(t, nil)
	p := start(t, k, agentos.Spec{}, "sleep", "1s")
	if err := p.Signal(abi.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-waited(p):
		t.Fatal("a stopped program ended")
	case <-time.After(1500 * time.Millisecond): // long after it would have
	}
	if err := p.Signal(abi.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r := <-waited(p)
	check(t, r)
	if r.Cause != "exited" || !slices.ContainsFunc(r.States, func(s agentos.StateChange) bool { return s.State == "stopped" }) {
		t.Errorf("%s, states %v", r.Cause, r.States)
	}
}

func waited(p *agentos.Process) <-chan *agentos.Report {
	c := make(chan *agentos.Report, 1)
	go func() {
		r, err := p.Wait(context.Background())
		if err == nil {
			c <- r
		}
	}()
	return c
}

// TestWithoutSubsystems runs under every combination of optional subsystems.
func TestWithoutSubsystems(t *testing.T) {
	names := agentos.Subsystems()
	for set := range 1 << len(names) {
		var absent []string
		for i, n := range names {
			if set&(1<<i) != 0 {
				absent = append(absent, n)
			}
		}
		t.Run("without "+strings.Join(absent, ","), func(t *testing.T) {
			k := open(t, func(c *agentos.Config) {
				for _, n := range absent {
					if err := c.Without(n); err != nil {
						t.Fatal(err)
					}
				}
			})
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var events bytes.Buffer
			o := guest(t, k, agentos.Spec{Events: &events, Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir}}}, "everything", "/tmp", dir)
			if o.Cause != "exited" || o.ExitCode != 0 {
				t.Errorf("%s %d: %s", o.Cause, o.ExitCode, o.err)
			}
			if o := guest(t, k, agentos.Spec{}, "cat", filepath.Join(dir, "..", "secret")); o.ExitCode != 1 {
				t.Errorf("an ungranted path was read: %q", o.out)
			}
			for _, n := range absent {
				if !slices.ContainsFunc(k.Degraded(), func(why string) bool { return strings.HasPrefix(why, n+":") }) {
					t.Errorf("%s is absent, and Degraded does not say so: %v", n, k.Degraded())
				}
			}
			if has := events.Len() > 0; has == slices.Contains(absent, "events") {
				t.Errorf("events without %v: %v", absent, has)
			}
		})
	}
	if err := new(agentos.Config).Without("locks"); err == nil {
		t.Error("left out a subsystem that does not exist")
	}
}
