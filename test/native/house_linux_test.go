package native

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	everything = flag.Bool("native", false, "run all programs, CPython's own tests, and stress-ng")
	tool       = flag.String("agentos", "", "the tool that is tested, instead of one that is built")
)

// nobody is the ordinary user for whom root runs everything too.
const nobody = 65534

// house is the tool, and a place that every user of the tests can reach.
type house struct {
	dir, agentos string
}

// newHouse builds the tool. t.TempDir would be closed to other users.
func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "agentos-native-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &house{dir: dir, agentos: filepath.Join(dir, "agentos")}
	if *tool != "" {
		text, err := os.ReadFile(*tool)
		if err == nil {
			err = os.WriteFile(h.agentos, text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", h.agentos, "../../cmd/agentos").CombinedOutput(); err != nil {
		t.Fatalf("building the tool: %v\n%s", err, out)
	}
	return h
}

// user is somebody who runs programs, with a home and a state directory.
type user struct {
	h          *house
	name       string
	uid        int
	home, keep string
	env        []string
}

// users runs f for everybody that this process can be.
func (h *house) users(t *testing.T, f func(*testing.T, *user)) {
	all := map[string]int{"user": os.Getuid()}
	if os.Getuid() == 0 {
		all = map[string]int{"root": 0, "user": nobody}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { f(t, h.user(t, name, all[name])) })
	}
}

func (h *house) user(t *testing.T, name string, uid int) *user {
	t.Helper()
	dir, err := os.MkdirTemp(h.dir, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	u := &user{h: h, name: name, uid: uid, home: filepath.Join(dir, "home"), keep: filepath.Join(dir, "state")}
	u.env = []string{"HOME=" + u.home, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=xterm", "USER=" + name}
	if err := os.Mkdir(u.home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, u.home} {
		u.give(t, p)
	}
	return u
}

// namespaces reports whether the host gives the user a user namespace, and in it
// others and the right to mount.
func (u *user) namespaces(t *testing.T) bool {
	t.Helper()
	out, err := u.command(t.Context(), u.home, []string{"/usr/bin/unshare", "--user", "--map-root-user", "--mount", "--pid", "--net",
		"--fork", "/bin/mount", "-t", "tmpfs", "none", "/mnt"}).CombinedOutput()
	if err != nil {
		t.Logf("unshare: %v: %s", err, out)
	}
	return err == nil
}

// give makes a file the user's.
func (u *user) give(t *testing.T, name string) {
	t.Helper()
	if err := os.Lchown(name, u.uid, u.uid); err != nil && u.uid != os.Getuid() {
		t.Fatal(err)
	}
}

// work makes an empty directory of the user's, the same each time, with files in it.
func (u *user) work(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(u.home), "work")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		u.give(t, name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command is a command of the user's. Its group dies with it.
func (u *user) command(ctx context.Context, dir string, argv []string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(slices.Clone(u.env), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if u.uid != os.Getuid() {
		id := uint32(u.uid)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: id, Gid: id, Groups: []uint32{id}}
	}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// outcome is what a run can be seen by.
type outcome struct {
	status         int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("status %d\nstdout:\n%s\nstderr:\n%s", o.status, tail(o.stdout), tail(o.stderr))
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// patience bounds every run: a program that hangs is a failure, not a wait.
const patience = 20 * time.Minute

func outcomeOf(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("%s: %v\n%s", cmd.Args, err, errs.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// outside runs a program without AgentOS.
func (u *user) outside(t *testing.T, dir string, argv []string, env ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return outcomeOf(t, u.command(ctx, dir, argv, env...))
}

// report is what is read of a run's report.
type report struct {
	Cause   string `json:"cause"`
	Domain  string `json:"domain"`
	Cleanup struct {
		Errors []string `json:"errors"`
	} `json:"cleanup"`
	Enforcement map[string]string `json:"enforcement"`
}

// contained ends the test of an ordinary user to whom this host gives no namespaces.
// What remains then keeps programs from sockets and from their own executables, and
// few of those here work.
func (u *user) contained(t *testing.T) {
	t.Helper()
	if u.uid == 0 {
		return
	}
	file := filepath.Join(u.home, "report.json")
	cmd := u.command(t.Context(), u.home, []string{u.h.agentos, "run", "--report", file, "/bin/true"}, "AGENTOS_STATE="+u.keep)
	if o := outcomeOf(t, cmd); o.status != 0 {
		t.Fatal(o)
	}
	text, err := os.ReadFile(file)
	var r report
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if ns := r.Enforcement["namespaces"]; !strings.Contains(ns, "user") {
		if u.namespaces(t) {
			t.Fatalf("namespaces are there for this user, and not used: %q", ns)
		}
		t.Skipf("NOT CHECKED: an ordinary user has no namespaces here: %q", ns)
	}
}

// inside runs a program with flags, and holds that nothing of it is left.
func (u *user) inside(t *testing.T, dir string, flags, argv []string, env ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	file := filepath.Join(filepath.Dir(u.home), "report.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	m := markOf(t)
	all := []string{u.h.agentos, "run", "--report", file, "-e", m.env()}
	for _, e := range env {
		all = append(all, "-e", e)
	}
	all = append(append(all, flags...), argv...)
	cmd := u.command(ctx, dir, all, "AGENTOS_STATE="+u.keep)
	o := outcomeOf(t, cmd)
	var r report
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &r); err != nil {
			t.Error(err)
		}
		if r.Domain != "native" || len(r.Cleanup.Errors) > 0 {
			t.Errorf("%s: domain %s, cleanup %q", argv[0], r.Domain, r.Cleanup.Errors)
		}
	} else if o.status < 125 || o.status > 127 {
		t.Errorf("%s: no report: %v; %s", argv[0], err, o)
	}
	m.gone(t, u, cmd.Process.Pid)
	return o
}

// lacking returns the first of programs that is not on the PATH of the users.
func lacking(programs ...string) string {
	for _, p := range programs {
		if !slices.ContainsFunc([]string{"/usr/local/bin", "/usr/bin", "/bin"}, func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, p))
			return err == nil
		}) {
			return p
		}
	}
	return ""
}

// need ends a test that this host cannot do.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if p := lacking(programs...); p != "" {
		t.Skipf("NOT CHECKED: %s is not installed; bash .ci/run native installs it", p)
	}
}

// listing describes every file beneath a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	if err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := os.Lstat(name)
		if err == nil {
			fmt.Fprintln(&b, strings.TrimPrefix(name, dir), st.Mode(), st.Size(), st.ModTime().UnixNano())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
