package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/launch"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// roleVariable has the test binary be a kernel that is going to be killed.
const roleVariable = "REMOTE_TEST_ROLE"

// nobody is the ordinary user that root's tests become.
const nobody = 65534

func TestMain(m *testing.M) {
	Main()
	if role := os.Getenv(roleVariable); role != "" {
		if err := kernelRole(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// floor is one of the ways to be confined.
type floor struct {
	name string
	bare bool
}

var floors = []floor{{"user namespace", false}, {"no namespaces", true}}

// kernelName is a name as kernels have it.
func kernelName() string {
	return fmt.Sprintf("%s-%d-%d-%d", launch.PIDNamespace(), os.Getpid(), launch.Started(os.Getpid()), time.Now().UnixNano()%1e6)
}

func (f floor) open(scratch string) (*Launcher, error) {
	return New(Options{Options: launch.Options{Name: kernelName(), NoNamespaces: f.bare, Scratch: scratch}})
}

// launcher opens the floor, or skips where the host has none.
func (f floor) launcher(t *testing.T) (*Launcher, string) {
	t.Helper()
	scratch := t.TempDir()
	l, err := f.open(scratch)
	if err != nil {
		why, fix := Obstacle(err)
		t.Skipf("NOT CHECKED: %s: %v (%s; %s)", f.name, err, why, fix)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("left behind in the scratch directory: %v, %v", left, err)
		}
	})
	return l, scratch
}

// TestAsOrdinaryUser runs this file's tests again as nobody, since root's are of a user
// that limits of processes do not bind.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user already")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "remote-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"remote.test", "-test.run=^TestFloor", "-test.v"}, &os.ProcAttr{
		Dir: "/", Files: []*os.File{nil, w, w}, Env: []string{"PATH=/usr/bin:/bin", "TMPDIR=" + dir},
		Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: false}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	state, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if !state.Success() || !strings.Contains(text, "--- PASS: TestFloorRuns") {
		t.Errorf("as nobody: %v\n%s", state, text)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "NOT CHECKED") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// mounts is the default view of this user and more.
func mounts(more ...guest.Mount) []guest.Mount {
	return append(view.Default(me(), view.Options{}), more...)
}

func me() guest.User {
	return guest.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "tester", Home: "/home/tester", Shell: "/bin/sh"}
}

// grant lends a directory.
func grant(t *testing.T, dir string, write bool) guest.Mount {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), dir)
	t.Cleanup(func() { _ = f.Close() }) // without contents
	return guest.Mount{Guest: dir, Kind: guest.Bind, Host: dir, File: f, Write: write, Dir: true, Source: "flag"}
}

// shellJob runs a shell script whose output goes to the returned file.
func shellJob(script string, ms []guest.Mount) (*launch.Job, *output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	o := &output{r: r, w: w, null: null, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.b, o.err = io.ReadAll(r)
	}()
	return &launch.Job{
		Program: "/bin/sh", Args: []string{"sh", "-c", script}, Dir: me().Home, User: me(), Mounts: ms,
		Env:   []string{"PATH=/usr/bin:/bin", "HOME=" + me().Home, "TMPDIR=/tmp"},
		Stdio: func(*os.File) ([3]*os.File, error) { return [3]*os.File{null, w, w}, nil },
	}, o, nil
}

type output struct {
	r, w, null *os.File
	done       chan struct{}
	b          []byte
	err        error
}

// closeOurs gives our ends of what the program has back.
func (o *output) closeOurs() error { return errors.Join(o.w.Close(), o.null.Close()) }

func (o *output) text() (string, error) {
	<-o.done
	return string(o.b), errors.Join(o.err, o.r.Close())
}

// start starts a script and lets it run.
func start(t *testing.T, l *Launcher, script string, change func(*launch.Job), more ...guest.Mount) (*Tree, *output) {
	t.Helper()
	j, o, err := shellJob(script, mounts(more...))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(j)
	}
	tree, err := l.Start(context.Background(), j)
	if cerr := o.closeOurs(); cerr != nil {
		t.Error(cerr)
	}
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	tree.Go()
	return tree, o
}

func await(t *testing.T, tree *Tree) launch.End {
	t.Helper()
	select {
	case <-tree.Done():
	case <-time.After(30 * time.Second):
		t.Fatalf("the tree does not end: %v", tree.Kill())
	}
	return tree.End()
}

// run runs a script to its end.
func run(t *testing.T, l *Launcher, script string, change func(*launch.Job), more ...guest.Mount) (launch.End, string) {
	t.Helper()
	tree, o := start(t, l, script, change, more...)
	e := await(t, tree)
	text, err := o.text()
	if err != nil {
		t.Error(err)
	}
	return e, text
}

// each runs a test on each floor.
func each(t *testing.T, test func(t *testing.T, f floor, l *Launcher)) {
	for _, f := range floors {
		t.Run(f.name, func(t *testing.T) {
			l, _ := f.launcher(t)
			test(t, f, l)
		})
	}
}

func TestFloorRuns(t *testing.T) {
	each(t, func(t *testing.T, f floor, l *Launcher) {
		e, text := run(t, l, `echo "$0 $*"; head -c 100000 /dev/zero | cat >/dev/null; exit 7`, nil)
		if e.Err != nil || !e.Exited || e.Status != 7 || text != "sh \n" {
			t.Errorf("end %+v, output %q", e, text)
		}
		if e.Usage.CPU <= 0 || e.Usage.BytesWritten < 200_000 {
			t.Errorf("usage %+v", e.Usage)
		}
		want := launch.FloorUser
		if f.bare {
			want = launch.FloorBare
		}
		facts := l.Facts()
		if facts.Floor != want {
			t.Errorf("floor %q", facts.Floor)
		}
		for _, k := range []string{"isolation", "namespaces", "files", "network", "processes", "privileges", "syscalls", "memory", "pids",
			"cpu", "cpu_time", "disk", "files_open", "output", "wall_time", "kill", "cleanup"} {
			if facts.Enforced[k] == "" {
				t.Errorf("nothing is said of %s", k)
			}
		}
	})
}

func TestFloorHolds(t *testing.T) {
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	self := strconv.Itoa(os.Getpid())
	each(t, func(t *testing.T, _ floor, l *Launcher) {
		for _, c := range []struct{ name, script string }{
			{"read a secret", "cat " + secret + "/secret"},
			{"list its directory", "ls " + secret},
			{"write to /usr", "echo >/usr/agentos-test"},
			{"write to the host's /tmp", "echo >" + secret + "/new"},
			{"shadow", "cat /etc/shadow"},
			{"signal outside", "kill -0 " + self + " && grep -q remote.test /proc/" + self + "/cmdline"},
			{"environment of another", "grep -qa PATH /proc/" + self + "/environ"},
			{"mount", "mount -t tmpfs t $HOME"},
			{"nested user namespace", "unshare -U true"},
			{"capabilities", "grep -q 'CapEff:.*[1-9a-f]' /proc/self/status"},
		} {
			e, text := run(t, l, "("+c.script+") 2>&1 && exit 0; exit 9", nil)
			if e.Err != nil || !e.Exited || e.Status != 9 {
				t.Errorf("%s: end %+v, output %q", c.name, e, text)
			}
		}
		// And what it has works.
		e, text := run(t, l, `echo a >"$TMPDIR/x" && cat "$TMPDIR/x" && echo b >~/y && cat ~/y && cd ~ && pwd >/dev/null`, nil)
		if e.Status != 0 || text != "a\nb\n" {
			t.Errorf("private files: end %+v, output %q", e, text)
		}
	})
}

func TestFloorGrants(t *testing.T) {
	each(t, func(t *testing.T, f floor, l *Launcher) {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"open", "denied/in", "frozen/in", "readonly/in"} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, p), []byte(p+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		more := []guest.Mount{
			grant(t, dir, true),
			grant(t, filepath.Join(dir, "readonly"), false),
			{Guest: filepath.Join(dir, "denied"), Kind: guest.Mask, Dir: true, Source: "flag"},
			{Guest: filepath.Join(dir, "frozen"), Kind: guest.Frozen, Dir: true, Source: "protected"},
		}
		for _, c := range []struct {
			script string
			want   bool
		}{
			{"cat open", true}, {"echo new >open", true},
			{"cat denied/in", false}, {"ls denied/*", false}, {"echo >denied/new", false}, {"mv denied other", false}, {"rm -r denied", false},
			{"cat frozen/in", true}, {"echo >frozen/in", false}, {"echo >frozen/new", false}, {"mv frozen other", false},
			{"cat readonly/in", true}, {"echo >readonly/in", false}, {"rm readonly/in", false},
			{"ln denied/in open2", false}, {"ln -s denied open3 && cat open3/in", false},
		} {
			e, text := run(t, l, "cd "+dir+" && ("+c.script+") 2>&1", nil, more...)
			if (e.Status == 0) != c.want || e.Err != nil {
				t.Errorf("%s: end %+v, output %q", c.script, e, text)
			}
		}
		elsewhere := grant(t, dir, false)
		elsewhere.Guest = "/data"
		j, o, err := shellJob("cat /data/open", mounts(elsewhere))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := l.Start(context.Background(), j)
		if cerr := o.closeOurs(); cerr != nil {
			t.Error(cerr)
		}
		if f.bare {
			if err == nil || !strings.Contains(err.Error(), "without namespaces") {
				t.Errorf("shown at another place: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		tree.Go()
		if e := await(t, tree); e.Status != 0 {
			t.Errorf("shown at another place: %+v", e)
		}
	})
}

// TestFloorReplaced grants a directory that is another one by the time it is opened.
func TestFloorReplaced(t *testing.T) {
	each(t, func(t *testing.T, _ floor, l *Launcher) {
		dir := filepath.Join(t.TempDir(), "granted")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		m := grant(t, dir, true)
		if err := errors.Join(os.Rename(dir, dir+"-old"), os.Symlink("/", dir)); err != nil {
			t.Fatal(err)
		}
		for _, now := range []string{"a link", "another directory"} {
			if now != "a link" {
				if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			j, o, err := shellJob("true", mounts(m))
			if err != nil {
				t.Fatal(err)
			}
			tree, err := l.Start(context.Background(), j)
			if cerr := o.closeOurs(); cerr != nil {
				t.Error(cerr)
			}
			if err == nil {
				t.Errorf("%s is lent in the place of what was granted", now)
				if err := tree.Kill(); err != nil {
					t.Error(err)
				}
				await(t, tree)
			}
		}
	})
}

func TestFloorLimits(t *testing.T) {
	// overdo waits until the tree is over a limit, and ends it as the kernel would.
	overdo := func(t *testing.T, tree *Tree) string {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			_, over, err := tree.Usage()
			if err != nil {
				return "" // it has ended
			}
			if over != nil {
				if err := tree.Kill(); err != nil {
					t.Error(err)
				}
				return over.Limit
			}
		}
		return "nothing"
	}
	const bomb = `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 5 & done; sleep 5; echo survived`
	const hog = `x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; [ ${#x} -gt 30000000 ] && sleep 20; done`
	each(t, func(t *testing.T, f floor, l *Launcher) {
		tree, o := start(t, l, bomb, func(j *launch.Job) { j.Limits.Pids = 8 })
		limit := overdo(t, tree)
		e := await(t, tree)
		text, err := o.text()
		switch {
		case err != nil:
			t.Error(err)
		case strings.Contains(text, "survived"):
			t.Errorf("pids: 17 processes of 8 at once: %+v", e)
		case limit == "" && !strings.Contains(text, "fork"):
			t.Errorf("pids: it ended by itself without being refused a fork: %+v, %q", e, text)
		case limit != "" && limit != "pids":
			t.Errorf("pids: over the limit of %s", limit)
		}

		tree, o = start(t, l, hog, func(j *launch.Job) { j.Limits.Memory = 24 << 20 })
		limit = overdo(t, tree)
		e = await(t, tree)
		if _, err := o.text(); err != nil {
			t.Error(err)
		}
		if limit != "memory" && e.OOMKills == 0 && e.Status == 0 {
			t.Errorf("memory: over the limit of %q, end %+v", limit, e)
		}

		tree, o = start(t, l, `head -c 30000000 /dev/zero >"$TMPDIR/x" || exit 3; sleep 20`, func(j *launch.Job) { j.Limits.Disk = 4 << 20 })
		limit = overdo(t, tree)
		e = await(t, tree)
		if _, err := o.text(); err != nil {
			t.Error(err)
		}
		if f.bare && limit != "disk" || !f.bare && e.Status != 3 {
			t.Errorf("disk: over the limit of %q, end %+v", limit, e)
		}
	})
}

// escaping leaves processes in every way a shell knows.
func escaping(mark string) string {
	return `setsid sh -c "sleep ` + mark + ` & sleep ` + mark + `" & (setsid sleep ` + mark + ` &) ; (sleep ` + mark + ` & kill -STOP $!) ; echo up; sleep ` + mark
}

// mark is a number of seconds that nobody else sleeps for.
func mark() string { return fmt.Sprintf("4%d.%d", os.Getpid(), time.Now().UnixNano()%1e9) }

// marked counts the processes that have the mark among their arguments.
func marked(t *testing.T, mark string) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), mark) && !strings.Contains(string(b), "test.run") {
			n++
		}
	}
	return n
}

// settles waits until there are that many marked processes.
func settles(t *testing.T, mark string, ok func(int) bool) {
	t.Helper()
	for range 100 {
		if ok(marked(t, mark)) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d processes have the mark", marked(t, mark))
}

func TestFloorKill(t *testing.T) {
	each(t, func(t *testing.T, _ floor, l *Launcher) {
		m := mark()
		tree, o := start(t, l, escaping(m), nil)
		settles(t, m, func(n int) bool { return n >= 5 })
		if err := errors.Join(tree.Stop(), tree.Continue(), tree.Kill()); err != nil {
			t.Error(err)
		}
		e := await(t, tree)
		if n := marked(t, m); n != 0 {
			t.Errorf("%d processes are left once it is done", n)
		}
		if e.Err != nil || e.Exited {
			t.Errorf("end %+v", e)
		}
		if _, err := o.text(); err != nil {
			t.Error(err)
		}
		// The program's own end takes the rest along as well.
		e, _ = run(t, l, "(setsid sleep "+m+" >/dev/null 2>&1 &); exit 5", nil)
		if n := marked(t, m); n != 0 || e.Status != 5 {
			t.Errorf("%d processes are left by a program that ended: %+v", n, e)
		}
	})
}

func TestFloorMany(t *testing.T) {
	each(t, func(t *testing.T, _ floor, l *Launcher) {
		const n = 6
		type one struct {
			tree *Tree
			o    *output
		}
		var all []one
		for i := range n {
			tree, o := start(t, l, fmt.Sprintf("sleep 0.3; echo %d; exit %d", i, i), nil)
			all = append(all, one{tree, o})
		}
		for i, a := range all {
			e := await(t, a.tree)
			text, err := a.o.text()
			if err != nil || e.Err != nil || e.Status != i || text != fmt.Sprintf("%d\n", i) {
				t.Errorf("tree %d: %+v, %q, %v", i, e, text, err)
			}
		}
	})
}

func TestFloorTerminal(t *testing.T) {
	each(t, func(t *testing.T, _ floor, l *Launcher) {
		j, o, err := shellJob("test -t 0 && tty && echo hello >/dev/tty", mounts())
		if err != nil {
			t.Fatal(err)
		}
		if err := o.closeOurs(); err != nil {
			t.Error(err)
		}
		if _, err := o.text(); err != nil {
			t.Error(err)
		}
		var master, peer *os.File
		j.Terminal = true
		j.Stdio = func(ptmx *os.File) (fds [3]*os.File, err error) {
			master = ptmx
			c, err := ptmx.SyscallConn()
			if err != nil {
				return fds, err
			}
			cerr := c.Control(func(fd uintptr) {
				if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
					return
				}
				n, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
				if errno != 0 {
					err = errno
					return
				}
				peer = os.NewFile(n, "terminal")
			})
			return [3]*os.File{peer, peer, peer}, errors.Join(cerr, err)
		}
		tree, err := l.Start(context.Background(), j)
		if err != nil {
			t.Fatal(err)
		}
		tree.Go()
		if err := peer.Close(); err != nil {
			t.Error(err)
		}
		b := make([]byte, 0, 256)
		for chunk := make([]byte, 256); ; {
			n, err := master.Read(chunk)
			b = append(b, chunk[:n]...)
			if err != nil {
				break // EIO once nobody has the other end
			}
		}
		e := await(t, tree)
		if e.Status != 0 || !strings.Contains(string(b), "/dev/pts/") || !strings.Contains(string(b), "hello") {
			t.Errorf("end %+v, output %q", e, b)
		}
		if err := master.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFloorHelperDies kills the launching process. The kernel hears of it.
func TestFloorHelperDies(t *testing.T) {
	for _, f := range floors {
		t.Run(f.name, func(t *testing.T) {
			l, scratch := f.launcher(t)
			m := mark()
			script, least := escaping(m), 5
			if f.bare {
				script, least = "exec sleep "+m, 1 // all that can be ended then
			}
			tree, o := start(t, l, script, nil)
			settles(t, m, func(n int) bool { return n >= least })
			if err := tree.link.process.Kill(); err != nil {
				t.Fatal(err)
			}
			if e := await(t, tree); e.Err == nil {
				t.Errorf("end %+v", e)
			}
			settles(t, m, func(n int) bool { return n == 0 })
			if _, err := o.text(); err != nil {
				t.Error(err)
			}
			if e, text := run(t, l, "echo again", nil); e.Err != nil || text != "again\n" {
				t.Errorf("the next one: %+v, %q", e, text)
			}
			left, err := os.ReadDir(scratch)
			if err != nil || f.bare != (len(left) == 1) {
				t.Errorf("left behind: %v, %v", left, err)
			}
			for _, e := range left { // the sweep of a later kernel would do that
				if err := os.RemoveAll(filepath.Join(scratch, e.Name())); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// kernelRole is a kernel that runs a tree until it is killed.
func kernelRole(role string) error {
	name, rest, _ := strings.Cut(role, ":")
	m, scratch, _ := strings.Cut(rest, ":")
	l, err := floor{bare: name == "bare"}.open(scratch)
	if err != nil {
		return err
	}
	j, _, err := shellJob(escaping(m), mounts())
	if err != nil {
		return err
	}
	tree, err := l.Start(context.Background(), j)
	if err != nil {
		return err
	}
	tree.Go()
	fmt.Println("running")
	<-tree.Done()
	return errors.New("it has ended")
}

// TestFloorKernelDies kills the kernel with nothing to clean up after it.
func TestFloorKernelDies(t *testing.T) {
	for _, f := range floors {
		t.Run(f.name, func(t *testing.T) {
			_, scratch := f.launcher(t)
			m := mark()
			role := "user:"
			if f.bare {
				role = "bare:"
			}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			p, err := os.StartProcess("/proc/self/exe", []string{"remote.test"}, &os.ProcAttr{
				Dir: "/", Files: []*os.File{nil, w, w}, Env: []string{roleVariable + "=" + role + m + ":" + scratch},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			if line, err := bufio.NewReader(r).ReadString('\n'); line != "running\n" {
				t.Fatalf("%q, %v", line, err)
			}
			settles(t, m, func(n int) bool { return n >= 5 })
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Wait(); err != nil {
				t.Fatal(err)
			}
			settles(t, m, func(n int) bool { return n == 0 })
			// Its helper removes them after the last process; that there are none in the
			// end the launcher's own check says.
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if left, err := os.ReadDir(scratch); err == nil && len(left) == 0 {
					break
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
