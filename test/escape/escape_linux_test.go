package escape

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	runner = flag.String("runner", "agentos", "what confines the attempts: agentos, plain (nothing), bwrap")
	update = flag.Bool("update", false, "write ATTEMPTS.md")
)

// nobody is the ordinary user of the test where it runs as root.
const nobody = 65534

// attempt is a line of what `escape list` says.
type attempt struct {
	name, theme string
	how         []string
}

func (a attempt) is(how string) bool { return slices.Contains(a.how, how) }

// build compiles the attempts in C. It gives nil, and says so, where there is no
// compiler.
func build(t *testing.T) []byte {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		if cc, err = exec.LookPath("cc"); err != nil {
			t.Log("NOT CHECKED: the attempts in C need a C compiler")
			return nil
		}
	}
	sources, err := filepath.Glob("testdata/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	out := filepath.Join(t.TempDir(), "escape")
	var said []byte
	for _, static := range []string{"-static", "-no-pie"} {
		args := append([]string{"-O1", "-pthread", static, "-o", out}, sources...)
		if said, err = exec.Command(cc, append(args, "-lrt")...).CombinedOutput(); err == nil {
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("%s: %v\n%s", cc, err, said)
	return nil
}

// listed asks the three programs what they attempt.
func listed(t *testing.T, escape []byte) []attempt {
	var all []attempt
	ask := func(argv ...string) {
		out, err := exec.Command(argv[0], argv[1:]...).Output()
		if err != nil {
			t.Fatalf("%q: %v", argv, err)
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(f) != 3 {
				t.Fatalf("%q says %q", argv, line)
			}
			all = append(all, attempt{f[0], f[1], strings.FieldsFunc(f[2], func(r rune) bool { return r == ',' })})
		}
	}
	if escape != nil {
		bin := filepath.Join(t.TempDir(), "escape")
		if err := os.WriteFile(bin, escape, 0o755); err != nil {
			t.Fatal(err)
		}
		ask(bin, "list")
	}
	if python, err := exec.LookPath("/usr/bin/python3"); err == nil {
		ask(python, "testdata/escape.py", "list")
	} else {
		t.Log("NOT CHECKED: the attempts in Python: there is no /usr/bin/python3")
	}
	ask("/bin/sh", "testdata/escape.sh", "list")
	return all
}

// TestList holds that names are unique, that there are as many attempts as is
// claimed, and that ATTEMPTS.md is what the programs say.
func TestList(t *testing.T) {
	escape := build(t)
	all := listed(t, escape)
	seen := map[string]bool{}
	var page strings.Builder
	page.WriteString("# Attempts to escape\n\nWritten by `go test ./test/escape -run List -update`; the programs in testdata say it.\n" +
		"`tty`: in a terminal that the test holds; `bomb`: consumes until a limit; `survive`: judged by what is left;\n" +
		"`hazard`: touches more than canaries when nothing confines it; `compat`: enters the kernel as a 32-bit program.\n")
	theme := ""
	for _, a := range all {
		if seen[a.name] {
			t.Errorf("two attempts are called %s", a.name)
		}
		seen[a.name] = true
		if a.theme != theme {
			theme = a.theme
			fmt.Fprintf(&page, "\n## %s\n\n", theme)
		}
		fmt.Fprintf(&page, "- %s", a.name)
		if len(a.how) > 0 {
			fmt.Fprintf(&page, " (%s)", strings.Join(a.how, ", "))
		}
		page.WriteString("\n")
	}
	for _, table := range []map[string]string{unbound, open} {
		for name := range table {
			if escape != nil && !seen[name] && compat {
				t.Errorf("known_linux_test.go speaks of %s, which is no attempt", name)
			}
		}
	}
	if escape == nil || len(all) < 500 {
		if escape != nil {
			t.Errorf("%d attempts", len(all))
		}
		return // the page needs all of them
	}
	if *update {
		if err := os.WriteFile("ATTEMPTS.md", []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile("ATTEMPTS.md"); (err != nil || string(b) != page.String()) && compat {
		t.Errorf("ATTEMPTS.md is not what the programs say (%v); -update writes it", err)
	}
}

// house runs attempts for one user.
type house struct {
	*host
	runner  string
	agentos string
	found   *sync.Map     // names of the attempts that escaped, for any user
	tried   *atomic.Int64 // attempts made: -run may have chosen some
}

// TestEscape runs every attempt, as root's and as an ordinary user's.
func TestEscape(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("NOT CHECKED: it takes minutes, and the race detector does not look into the command that it runs")
	}
	escape := build(t)
	all := listed(t, escape)
	uids := []int{os.Getuid()}
	if os.Getuid() == 0 {
		uids = []int{0, nobody}
	} else {
		t.Log("NOT CHECKED: as a child of root's kernel: the test is not run by root")
	}
	agentos := ""
	switch *runner {
	case "agentos":
		agentos = command(t)
	case "bwrap":
		if _, err := exec.LookPath("bwrap"); err != nil {
			t.Skip("NOT CHECKED: bwrap is not installed")
		}
	case "plain":
	default:
		t.Fatalf("no runner %s", *runner)
	}
	found, tried := &sync.Map{}, &atomic.Int64{}
	for _, uid := range uids {
		name := "user"
		if uid == 0 {
			name = "root"
		}
		t.Run(name, func(t *testing.T) {
			h := &house{host: outside(t, uid, escape), runner: *runner, agentos: agentos, found: found, tried: tried}
			if *runner == "agentos" {
				h.probe(t)
			} else if *runner == "plain" {
				h.given["namespaces"] = "no"
			}
			h.every(t, all)
			if pids := left(h.base + "/write/"); len(pids) > 0 {
				t.Errorf("processes %v are still there", pids)
			}
		})
	}
	if *runner == "plain" && int(tried.Load()) == 2*len(all) {
		detects(t, all, found)
	}
}

// detects holds, after a plain run for both users, that every attempt escapes
// where nothing confines it, or that it is said why it cannot.
func detects(t *testing.T, all []attempt, found *sync.Map) {
	cannot := 0
	for _, a := range all {
		if _, ok := found.Load(a.name); ok {
			continue
		}
		cannot++
		if why, ok := unbound[a.name]; ok {
			t.Logf("%s: not even without a sandbox: %s", a.name, why)
		} else {
			t.Errorf("%s: nothing confines it, and it never escapes", a.name)
		}
	}
	t.Logf("%d attempts, %d of which cannot escape on this machine", len(all), cannot)
}

// TestDetects runs without any confinement what touches canaries only, as an
// ordinary user: a corpus that sees no escape there would see none anywhere.
func TestDetects(t *testing.T) {
	if *runner != "agentos" || testing.Short() || raced {
		t.Skip("NOT CHECKED: TestEscape -runner plain does this and more")
	}
	escape := build(t)
	if escape == nil {
		t.Skip("NOT CHECKED: the process outside is a program in C")
	}
	uid := os.Getuid()
	if uid == 0 {
		uid = nobody
	}
	h := &house{host: outside(t, uid, escape), runner: "plain"}
	detected := []string{
		"secret-open", "secret-home", "secret-tell-apart", "state-read", "cwd-inherited", "fds-leaked", "stdin-reopen", "symlink-outside",
		"hardlink-outside", "race-symlink", "race-directory", "moved-outside", "read-grant-write", "read-grant-rename", "denied-open",
		"protected-hook-append", "protected-parent-rename", "setuid-by-chmod", "setuid-by-openat2", "setuid-in-grant",
		"unix-abstract", "unix-rights", "unix-path-read-grant", "sysv-shm", "sysv-msg-read", "posix-shm", "kill-pid", "kill-own-group",
		"owner-signal", "vm-read-outside", "ptrace-outside", "proc-environ", "proc-fd", "proc-mem", "net-loopback", "net-udp",
		"net-listen", "exec-memfd", "exec-race", "env-inherited", "terminal-size", "terminal-nonblock", "terminal-raw",
		"bomb-fork", "bomb-descriptors", "bomb-disk", "survive-daemon", "survive-stopped", "survive-memfd",
		"py-open-secret", "py-outer-memory", "sh-cat", "sh-kill", "sh-stay",
	}
	for _, a := range listed(t, escape) {
		if !slices.Contains(detected, a.name) || a.theme == "python" && h.python == "" {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			if a.name == "setuid-in-grant" && os.Getuid() != 0 {
				t.Skip("NOT CHECKED: making the file needs root")
			}
			if o := h.try(t, a); o.kind != escaped {
				t.Errorf("nothing confines it, and it says %s: %s", o.kind, o.why)
			}
		})
	}
}

// command builds the command line.
func command(t *testing.T) string {
	dir, err := os.MkdirTemp("", "agentos")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "agentos")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", out, "./cmd/agentos")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building agentos: %v\n%s", err, b)
	}
	return out
}

// probe runs a program that does nothing. Where the native domain cannot be had,
// nothing can escape from it, and nothing is shown.
func (h *house) probe(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.agentos, "run", "--domain", "native", "--", "/bin/readlink", "/proc/self/ns/pid")
	h.surround(cmd)
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("NOT CHECKED: nothing runs in the native domain: %v\n%s", err, b)
	}
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), ours) {
		return
	}
	h.given["namespaces"] = "no"
	try := exec.CommandContext(ctx, "unshare", "-Ur", "true")
	try.SysProcAttr = h.credential()
	if err := try.Run(); err == nil {
		why := exec.CommandContext(ctx, h.agentos, "doctor", "--json")
		h.surround(why)
		said, err := why.CombinedOutput()
		t.Errorf("the host allows namespaces to this user, and the run had none: %v %s", err, said)
	}
}

// floor says whether an attempt is one that the floor without namespaces holds
// too: Landlock and the filter of system calls. It says nothing of others.
func floor(a attempt) bool {
	switch a.theme {
	case "calls", "compat", "namespaces", "mounts":
		return !slices.Contains([]string{"setpriority-outside", "affinity-outside", "umount-mask", "clone-parent"}, a.name) && !a.is("tty")
	}
	return slices.Contains([]string{"secret-open", "secret-openat2", "secret-home", "secret-list", "state-read", "read-grant-write", "read-grant-unlink",
		"read-grant-create", "net-loopback", "net-udp", "net-raw", "net-packet", "net-vsock", "kill-pid", "unix-abstract", "sysv-shm", "setuid-by-chmod",
		"exec-memfd", "exec-outside"}, a.name)
}

// surround gives a command the environment, directory and user of this host.
func (h *house) surround(cmd *exec.Cmd) {
	cmd.Dir = h.path("outside", "launch")
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + h.path("home"), "AGENTOS_STATE=" + h.path("state"),
		"AGENTOS_ESCAPE_COOKIE=" + h.cookie, "LD_BIND_NOW=1", "BASH_ENV=/nonexistent", "PYTHONSTARTUP=/nonexistent", "TERM=xterm"}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = h.credential()
	}
	cmd.WaitDelay = 5 * time.Second
}

// every runs all attempts, theme by theme. With nothing to confine them they run
// one by one, so that what the host notices can be told apart.
func (h *house) every(t *testing.T, all []attempt) {
	count := map[kind]int{}
	var counts = make(chan kind, len(all))
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].theme == all[i].theme {
			j++
		}
		t.Run(all[i].theme, func(t *testing.T) {
			for _, a := range all[i:j] {
				t.Run(a.name, func(t *testing.T) {
					if h.runner == "agentos" && !noticedOutside(a) {
						t.Parallel()
					}
					o := h.try(t, a)
					counts <- o.kind
					h.judge(t, a, o)
				})
			}
		})
		i = j
	}
	close(counts)
	for k := range counts {
		count[k]++
	}
	t.Logf("%d attempts: %d held, %d escaped, %d not made", len(all), count[held], count[escaped], count[notMade])
}

// noticedOutside says whether the host may notice an attempt that says nothing:
// those are run by themselves.
func noticedOutside(a attempt) bool {
	return a.theme == "signals" || a.theme == "terminal" || strings.Contains(a.name, "kill") || strings.Contains(a.name, "udp")
}

func (h *house) judge(t *testing.T, a attempt, o outcome) {
	switch {
	case o.kind == notMade:
		t.Skip("NOT CHECKED: " + o.why)
	case o.kind == unclear:
		t.Errorf("no verdict: %s", o.why)
	case h.runner != "agentos":
		h.tried.Add(1)
		t.Logf("%s: %s", o.kind, o.why)
		if o.kind == escaped {
			h.found.Store(a.name, true)
		}
	case o.kind == escaped:
		if why, ok := open[a.name]; ok {
			t.Logf("NOT HELD, as is known: %s: %s", why, o.why)
		} else {
			t.Errorf("ESCAPED: %s", o.why)
		}
	default:
		t.Logf("held: %s", o.why)
	}
}

// kind is a verdict.
type kind string

const (
	held    kind = "held"
	escaped kind = "ESCAPED"
	unclear kind = "unclear"
	notMade kind = "not made"
)

type outcome struct {
	kind kind
	why  string
}

// argv is the command of an attempt.
func (h *house) argv(a attempt, dir string) []string {
	var argv []string
	switch a.theme {
	case "python":
		argv = []string{h.python, h.path("bin", "escape.py")}
	case "shell":
		argv = []string{"/bin/sh", h.path("bin", "escape.sh")}
	default:
		argv = []string{h.given["self"]}
	}
	argv = append(argv, a.name, "dir="+dir)
	for k, v := range h.given {
		argv = append(argv, k+"="+v)
	}
	return argv
}

// confine puts the runner before a command.
func (h *house) confine(a attempt, dir string, argv []string) []string {
	switch h.runner {
	case "agentos":
		run := []string{h.agentos, "run", "--quiet", "--domain", "native", "--read", h.path("bin"), "--read", h.path("read"), "--write", dir,
			"--deny", h.path("read", "denied"), "--deny", filepath.Join(dir, "denied"), "--deny", filepath.Join(dir, "deep", "denied")}
		switch {
		case a.is("wall"):
			run = append(run, "--timeout", h.given["wall"]+"s", "--kill-after", "500ms")
		default:
			run = append(run, "--timeout", "30s")
		}
		if a.is("cpu") {
			run = append(run, "--cpu-time", h.given["cpu"]+"s")
		}
		if a.is("bomb") {
			run = append(run, "--memory", h.given["memory"], "--pids", h.given["pids"], "--disk", h.given["disk"], "--files", h.given["files"],
				"--output", h.given["output"])
		}
		return append(append(run, "--"), argv...)
	case "bwrap":
		run := []string{"bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
			"--tmpfs", "/tmp", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
			"--ro-bind", h.path("bin"), h.path("bin"), "--ro-bind", h.path("read"), h.path("read"), "--bind", dir, dir,
			"--tmpfs", h.path("read", "denied"), "--cap-drop", "ALL", "--chdir", "/"}
		return append(append(run, "--"), argv...)
	}
	return argv
}

// try makes one attempt and asks the host what came of it.
func (h *house) try(t *testing.T, a attempt) outcome {
	if a.theme == "python" && h.python == "" {
		return outcome{notMade, "there is no python3"}
	}
	if h.runner == "agentos" && h.given["namespaces"] == "no" && !floor(a) {
		return outcome{notMade, "the run has no namespaces, and the floor without them does not claim to hold this"}
	}
	if h.runner == "plain" && a.is("cpu") {
		return outcome{escaped, "nothing was asked to end it"}
	}
	dir := h.room(t, a.name)
	defer func() {
		err := os.RemoveAll(dir)
		for i := 0; err != nil && i < 20; i++ { // somebody may go on writing
			time.Sleep(200 * time.Millisecond)
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.Errorf("the attempt's directory cannot be removed: %v", err)
		}
	}()
	argv := h.confine(a, dir, h.argv(a, dir))
	var said string
	var status int
	var harm []string
	stop := make(chan struct{})
	watched := make(chan []string, 1)
	go func() { watched <- h.watch(dir, stop) }()
	if a.is("tty") {
		said, status, harm = h.onTerminal(t, argv)
	} else {
		said, status = h.onPipes(t, argv)
	}
	close(stop)
	harm = append(harm, <-watched...)
	harm = append(harm, h.beats(a, dir)...)
	harm = append(harm, h.leftover(dir)...)
	harm = append(harm, h.harm(dir)...)

	o := verdict(a, said, status)
	if h.runner == "agentos" && status == 125 && strings.Contains(said, "best-effort") {
		o = outcome{notMade, "this host cannot enforce what the attempt goes against: " + tail(said)}
	}
	if path, ok := strings.CutPrefix(o.why, "look: "); ok && o.kind == held {
		if _, err := os.Lstat(path); err == nil {
			o = outcome{escaped, path + " is on the host"}
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
	}
	if len(harm) > 0 {
		h.restore(t)
		o = outcome{escaped, strings.Join(harm, "; ") + " (it said " + string(o.kind) + ": " + o.why + ")"}
	}
	return o
}

// verdict reads what an attempt says. An escape that is said anywhere counts.
func verdict(a attempt, said string, status int) outcome {
	o := outcome{unclear, fmt.Sprintf("status %d, it said: %s", status, tail(said))}
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\r\n")
		if i := strings.Index(line, "ESCAPED: "); i >= 0 {
			return outcome{escaped, line[i+len("ESCAPED: "):]}
		}
		if o.kind == held {
			continue
		}
		if why, ok := strings.CutPrefix(line, "held: "); ok {
			o = outcome{held, why}
		}
		if strings.HasPrefix(line, "look: ") {
			o = outcome{held, line}
		}
	}
	ended := []int{124, 137, 152, 153, 159} // by a limit or a policy
	if o.kind == unclear && a.is("bomb") && slices.Contains(ended, status) {
		o = outcome{held, "ended with status " + strconv.Itoa(status)}
	}
	return o
}

func tail(s string) string {
	if len(s) > 600 {
		s = s[len(s)-600:]
	}
	return strings.TrimSpace(s)
}

// clipped keeps the end of what is written to it: bombs write much.
type clipped struct{ bytes.Buffer }

func (c *clipped) Write(b []byte) (int, error) {
	n, err := c.Buffer.Write(b)
	if c.Len() > 1<<20 {
		c.Next(c.Len() - 64<<10)
	}
	return n, err
}

func (h *house) onPipes(t *testing.T, argv []string) (string, int) {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	h.surround(cmd)
	stdin, err := os.Open(h.path("outside", "stdin"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	// Two descriptors that the command line inherits and must not hand on.
	secret, err := os.Open(h.given["secret"])
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	dir, err := os.Open(h.path("outside"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd.ExtraFiles = []*os.File{secret, dir}
	var out clipped
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
	if h.runner == "plain" {
		// A survivor holds the pipes; there is nobody to end it.
		cmd.WaitDelay = 300 * time.Millisecond
	}
	err = cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%q: %v", argv[0], err)
	}
	return out.String(), exitStatus(cmd.ProcessState)
}

func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// beats says whether somebody goes on writing.
func (h *house) beats(a attempt, dir string) []string {
	if !a.is("survive") {
		return nil
	}
	size := func() int64 {
		if st, err := os.Stat(filepath.Join(dir, "beat")); err == nil {
			return st.Size()
		}
		return 0
	}
	was := size()
	time.Sleep(150 * time.Millisecond)
	if is := size(); is != was {
		return []string{fmt.Sprintf("somebody went on writing: %d bytes, then %d", was, is)}
	}
	return nil
}

// leftover gives what is still running of an attempt, and ends it.
func (h *house) leftover(dir string) []string {
	pids := left(dir)
	if len(pids) > 0 && h.runner != "agentos" {
		time.Sleep(100 * time.Millisecond) // those of an attempt that are ending
		pids = left(dir)
	}
	var bad []string
	for range 50 {
		if len(pids) == 0 {
			break
		}
		if bad == nil {
			bad = append(bad, fmt.Sprintf("%d processes are left", len(pids)))
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				bad = append(bad, fmt.Sprintf("process %d cannot be ended: %v", pid, err))
			}
		}
		time.Sleep(5 * time.Millisecond)
		pids = left(dir)
	}
	return bad
}

// watch does for an attempt, while it runs, what it asks of the host: to move a
// directory, to connect to a port, to see whether something is left.
func (h *house) watch(dir string, stop <-chan struct{}) (bad []string) {
	for {
		select {
		case <-stop:
			return bad
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := os.Lstat(filepath.Join(dir, "please-move")); err == nil {
			if err := os.Rename(filepath.Join(dir, "moving"), h.path("outside", "moved-"+filepath.Base(dir))); err == nil {
				continue
			}
		}
		if b, err := os.ReadFile(filepath.Join(dir, "please-connect")); err == nil {
			h.visit(string(b))
		}
		if strings.Contains(filepath.Base(dir), "net-listen") {
			h.visit(h.given["listen"])
		}
		holding := filepath.Join(dir, "holding")
		if b, err := os.ReadFile(holding); err == nil && len(b) > 0 {
			if err := os.Remove(holding); err != nil {
				bad = append(bad, err.Error())
			}
			cmd := exec.Command(h.given["self"], "role", "health", string(b))
			cmd.SysProcAttr = h.credential()
			if out, err := cmd.CombinedOutput(); err != nil {
				bad = append(bad, fmt.Sprintf("nothing is left for the host's own user: %s", bytes.TrimSpace(out)))
			}
		}
	}
}

func (h *house) visit(port string) {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), 100*time.Millisecond)
	if err == nil {
		c.Close()
	}
}
