package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// role makes the test binary another program: it does what the role says instead
// of running tests.
const role = "AGENTOS_TEST_CGROUP_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "hog":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) == 512 {
				os.Exit(0) // nobody stopped it
			}
		}
	case "reaper":
		// What a launcher puts above a program where there are no pid namespaces.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			panic(err)
		}
		cmd := exec.Command("/bin/sh", "-c", os.Getenv(role+"_SCRIPT"))
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		for {
			if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
				os.Exit(0)
			}
		}
	case "facts":
		h := Probe(fmt.Sprint("facts-", os.Getpid()))
		_, _, err := h.New("r", Limits{Memory: 1 << 20, Pids: 5, Weight: normal}, false)
		fmt.Printf("%v\n%v\nclosed: %v\n", h.Facts(), err, h.Close())
	}
}

// liveHost is a Host of this machine, of which nothing must be left.
func liveHost(t *testing.T, id string, o Options) *Host {
	t.Helper()
	h := o.Probe(fmt.Sprintf("test-%d-%s", os.Getpid(), id))
	if len(h.trees) == 0 {
		t.Skipf("NOT CHECKED: no control group can be made here: %v", h.Facts())
	}
	places := h.Places()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		for _, p := range places {
			if _, err := os.Stat(path.Join(p, prefix+h.id)); !os.IsNotExist(err) {
				t.Errorf("%s is left in %s: %v", prefix+h.id, p, err)
			}
		}
	})
	return h
}

func needs(t *testing.T, h *Host, controllers ...string) {
	t.Helper()
	for _, c := range controllers {
		if !h.Has(c) {
			t.Skipf("NOT CHECKED: %s is %s", c, h.Facts()[c])
		}
	}
}

// group makes a group that is killed and closed at the end.
func group(t *testing.T, h *Host, id string, l Limits) *Group {
	t.Helper()
	g, missing, err := h.New(id, l, false)
	if err != nil || len(missing) > 0 {
		t.Fatal(err, missing)
	}
	t.Cleanup(func() {
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// start has a command born inside a group, the way a launcher does it.
func start(t *testing.T, g *Group, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if fd, ok := g.Fd(); ok {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Millisecond
	cmd.Env = append(os.Environ(), role+"="+os.Getenv(role+"_CHILD"))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := g.JoinThread(unix.Gettid())
	if err == nil {
		err = cmd.Start()
	}
	if lerr := g.LeaveThread(unix.Gettid()); err != nil || lerr != nil {
		t.Fatal(err, lerr)
	}
	return cmd
}

func startRole(t *testing.T, g *Group, r string) *exec.Cmd {
	t.Setenv(role+"_CHILD", r)
	return start(t, g, "/proc/self/exe")
}

// within10 polls until ok.
func within10(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("does not happen: ", what)
		}
	}
}

func stats(t *testing.T, g *Group) Stats {
	t.Helper()
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMemoryLimit(t *testing.T) {
	h := liveHost(t, "mem", Options{})
	needs(t, h, memory)
	const limit = 32 << 20
	g := group(t, h, "r", Limits{Memory: limit, Weight: normal})
	cmd := startRole(t, g, "hog")
	err := cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("the hog ended with %v", err)
	}
	s := stats(t, g)
	// The kernel lets a process that it is killing have a page or two more.
	if s.OOMKills == 0 || s.MemoryPeak > limit*11/10 || s.MemoryPeak < limit*9/10 {
		t.Errorf("%+v", s)
	}
	if s.CPU == 0 {
		t.Errorf("no CPU time: %+v", s)
	}
}

// TestLimitAgain changes the limits of a group, up and down, as a pool does.
func TestLimitAgain(t *testing.T) {
	h := liveHost(t, "again", Options{})
	needs(t, h, memory, pids, cpu)
	g := group(t, h, "r", Limits{Weight: normal})
	for _, l := range []Limits{{64 << 20, 10, 0.1, 0}, {8 << 20, 2, 3.5, 10}, {1 << 30, 1000, 0.002, 5}, {1<<64 - 1, 1<<64 - 1, 1, 1}} {
		if err := g.Limit(l); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestPidsLimit(t *testing.T) {
	h := liveHost(t, "pids", Options{})
	needs(t, h, pids)
	g := group(t, h, "r", Limits{Pids: 8, Weight: normal})
	cmd := start(t, g, "/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; sleep 100")
	within10(t, "a refused fork", func() bool { return stats(t, g).PidsFull > 0 })
	if s := stats(t, g); s.PidsPeak > 8 || s.Pids > 8 || s.PidsPeak < 2 {
		t.Errorf("%+v", s)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
}

func TestCPULimit(t *testing.T) {
	h := liveHost(t, "cpu", Options{})
	needs(t, h, cpu)
	g := group(t, h, "r", Limits{CPUs: 0.5, Weight: 3})
	cmd := start(t, g, "/bin/sh", "-c", "while :; do :; done")
	within10(t, "throttling", func() bool { s := stats(t, g); return s.Throttled > 0 && s.Waited > 0 && s.CPU > 0 })
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
}

func TestFreeze(t *testing.T) {
	for name, o := range map[string]Options{"leaf": {}, "no leaf": {NoLeaf: true}} {
		t.Run(name, func(t *testing.T) {
			h := liveHost(t, "freeze", o)
			needs(t, h, freezer, cpuacct)
			g := group(t, h, "r", Limits{Weight: normal})
			cmd := start(t, g, "/bin/sh", "-c", "while :; do :; done")
			within10(t, "running", func() bool { return stats(t, g).CPU > 5*time.Millisecond })
			for range 3 {
				if err := g.Freeze(); err != nil {
					t.Fatal(err)
				}
				before := stats(t, g).CPU
				time.Sleep(30 * time.Millisecond)
				if after := stats(t, g).CPU; after != before {
					t.Errorf("frozen, it ran for %v", after-before)
				}
				if err := g.Thaw(); err != nil {
					t.Fatal(err)
				}
				within10(t, "running again", func() bool { return stats(t, g).CPU > before })
			}
			// A frozen group must die like any other.
			if err := g.Freeze(); err != nil {
				t.Fatal(err)
			}
			if err := g.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it ended well")
			}
		})
	}
}

// bomb forks until it is refused, which is what ends a shell; what it forks leaves its session and its parent, and
// every other one stops itself.
const bomb = `while :; do
	setsid sh -c '(kill -STOP $$; :) & kill -STOP $$' &
	setsid "$0" "$0" &
	(setsid sleep 1000 &)
done 2>/dev/null`

func TestKillForkBomb(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("NOT CHECKED: no setsid to make sessions with: ", err)
	}
	file := path.Join(t.TempDir(), "bomb")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+bomb), 0o755); err != nil {
		t.Fatal(err)
	}
	without := func(h *Host, drop ...string) {
		h.trees = slices.DeleteFunc(h.trees, func(t *tree) bool {
			for c, by := range h.by {
				if by == t && slices.Contains(drop, c) {
					delete(h.by, c)
				}
			}
			return slices.ContainsFunc(drop, func(c string) bool { return slices.Contains(t.has, c) })
		})
	}
	for _, c := range []struct {
		name  string
		o     Options
		drop  []string
		needs []string
	}{
		{"at once", Options{}, nil, []string{kill, pids}},
		{"at once, but nobody is in the leaf", Options{}, nil, []string{kill, pids}},
		{"only at once", Options{}, []string{memory, cpu, pids, freezer}, nil},
		{"frozen and forbidden to fork", Options{NoLeaf: true}, nil, []string{freezer, pids}},
		{"forbidden to fork", Options{NoLeaf: true}, []string{freezer}, []string{pids}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := liveHost(t, "bomb", c.o)
			needs(t, h, c.needs...)
			keep := h.trees
			if c.name == "only at once" {
				h.trees = slices.DeleteFunc(slices.Clone(h.trees), func(t *tree) bool { return !t.v2 })
				if len(h.trees) == 0 || !h.Has(kill) {
					t.Skip("NOT CHECKED: no version 2 hierarchy")
				}
				defer func() { h.trees = keep }()
			} else if c.drop != nil {
				h.trees = slices.Clone(h.trees)
				by := h.by
				h.by = map[string]*tree{}
				for k, v := range by {
					h.by[k] = v
				}
				without(h, c.drop...)
				defer func() { h.trees, h.by = keep, by }()
			}
			g, err := h.Make("r")
			if err != nil {
				t.Fatal(err)
			}
			trees := h.trees
			defer func() {
				// After a failure; otherwise there is nothing left to do.
				if err := errors.Join(g.Kill(), g.Close()); err != nil {
					t.Error(err)
				}
			}()
			if h.Has(pids) && c.name != "only at once" {
				if err := g.Limit(Limits{Pids: 400, Weight: normal}); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(c.name, "nobody") {
				if !h.ByThread() {
					t.Skip("NOT CHECKED: no way in but the leaf")
				}
				h.trees = slices.DeleteFunc(slices.Clone(h.trees), func(t *tree) bool { return t.v2 })
				shut(g.doors)
				g.doors = nil
			}
			cmd := start(t, g, file)
			h.trees = trees
			within10(t, "a hundred processes", func() bool {
				m, err := g.Members()
				return err == nil && len(m) >= 100
			})
			inside, err := g.Members()
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := g.Kill(); err != nil {
				t.Fatal(err)
			}
			t.Logf("killed %d in %v", len(inside), time.Since(begin))
			_ = cmd.Wait() // killed like the rest
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := g.Wait(ctx); err != nil || !g.Empty() {
				t.Error("not empty:", err)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOwnThread has a thread of this process inside a group that is killed, which
// must not be taken for a guest.
func TestOwnThread(t *testing.T) {
	h := liveHost(t, "own", Options{NoLeaf: true})
	if !h.ByThread() {
		t.Skip("NOT CHECKED: threads cannot join groups of version 2")
	}
	g := group(t, h, "r", Limits{Weight: normal})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := g.JoinThread(unix.Gettid()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.LeaveThread(unix.Gettid()); err != nil {
			t.Error(err)
		}
	}()
	if !g.Empty() {
		t.Error("a group with only our thread is not empty")
	}
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if g.Empty() {
		t.Error("the child was not born inside")
	}
	if err := g.Freeze(); err == nil || !strings.Contains(err.Error(), "thread of this process") {
		t.Error("froze our own thread:", err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if err := g.JoinProcess(os.Getpid()); err == nil {
		t.Error("this process entered a group")
	}
}

func TestJoinProcess(t *testing.T) {
	h := liveHost(t, "join", Options{})
	g := group(t, h, "r", Limits{Weight: normal})
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.JoinProcess(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	for _, tr := range h.trees {
		if m, err := members(tr.dir, g.id); err != nil || !m[cmd.Process.Pid] {
			t.Errorf("not in %s: %v, %v", tr.path, m, err)
		}
	}
	if err := g.Close(); err == nil || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Errorf("closed with a process inside: %v", err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, ok := g.Fd(); ok {
		t.Error("a closed group has a descriptor")
	}
	if _, err := g.Stats(); err == nil {
		t.Error("a closed group has statistics")
	}
}

// count returns how many groups are in the directories of a host, and how many
// descriptors this process has.
func count(t *testing.T, h *Host) (groups, fds int) {
	for _, tr := range h.trees {
		entries, err := os.ReadDir(tr.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				groups++
			}
		}
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return groups, len(open)
}

func TestTwoHundredLeaveNothing(t *testing.T) {
	h := liveHost(t, "many", Options{})
	_, before := count(t, h)
	for i := range 200 {
		g, err := h.Make(fmt.Sprint("r", i))
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			cmd := start(t, g, "/bin/true")
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if groups, after := count(t, h); groups != 0 || after > before {
		t.Errorf("%d groups are left, %d descriptors became %d", groups, before, after)
	}
}

func TestSweep(t *testing.T) {
	h := liveHost(t, "sweeper", Options{})
	old := Options{}.Probe(h.id + "-gone")
	alive := liveHost(t, "alive", Options{})
	g, err := old.Make("r")
	if err != nil {
		t.Fatal(err)
	}
	cmd := start(t, g, "/bin/sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & wait")
	within10(t, "three processes", func() bool { m, err := g.Members(); return err == nil && len(m) == 3 })
	kept := group(t, alive, "r", Limits{Weight: normal})
	bystander := start(t, kept, "sleep", "1000")

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	swept, err := h.Sweep(func(id string) bool { return id == old.id }, old.Places()...)
	if err != nil {
		t.Error(err)
	}
	if !slices.Equal(swept.Kernels, []string{old.id}) || swept.Killed != 3 || swept.Groups != 2*len(old.trees) {
		t.Errorf("%+v with %d hierarchies", swept, len(old.trees))
	}
	if err := <-ended; err == nil {
		t.Error("it ended well")
	}
	if m, err := kept.Members(); err != nil || len(m) != 1 {
		t.Errorf("the living kernel's group has %v, %v", m, err)
	}
	if err := kept.Kill(); err != nil {
		t.Error(err)
	}
	_ = bystander.Wait() // killed
	for _, tr := range old.trees {
		if _, err := os.Stat(tr.path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", tr.path, err)
		}
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	again, err := h.Sweep(func(id string) bool { return id == old.id })
	if err != nil || again.Groups != 0 || again.Killed != 0 || len(again.Kernels) != 0 {
		t.Errorf("swept again: %+v, %v", again, err)
	}
	if s, err := h.Sweep(func(string) bool { return false }, t.TempDir()); err == nil {
		t.Errorf("swept a directory that is no control group: %+v", s)
	}
}

// TestOrdinaryUser probes as one, in a process of its own.
func TestOrdinaryUser(t *testing.T) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("", "cgroup-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(exe)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Name(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(f.Name())
	cmd.Env = []string{role + "=facts"}
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "closed: <nil>") {
		t.Fatal(err, text)
	}
	if strings.Contains(text, "memory:control group") {
		t.Skip("NOT CHECKED: an ordinary user may make groups here")
	}
	for _, want := range []string{"memory:not available", "limit memory cannot be enforced", "limit pids cannot be enforced"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

// TestDescendants compares both ways to find them.
func TestDescendants(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sleep 100 & sh -c 'sleep 100 & sleep 100; :' & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
	}()
	root := cmd.Process.Pid
	within10(t, "four descendants", func() bool { d, err := Descendants(root); return err == nil && len(d) == 4 })
	a, aerr := Descendants(root)
	b, berr := descendantsByParent(root)
	slices.Sort(a)
	slices.Sort(b)
	if aerr != nil || berr != nil || !slices.Equal(a, b) {
		t.Errorf("%v, %v and %v, %v", a, aerr, b, berr)
	}
	s, err := TreeUsage(append(a, root))
	if err != nil || s.Pids != 5 || s.Memory == 0 || s.BytesRead == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	own, err := TreeUsage([]int{os.Getpid(), 1<<31 - 1})
	if err != nil || own.CPU == 0 || own.Memory < 1<<20 || own.Pids < 2 {
		t.Errorf("%+v, %v", own, err)
	}
	if d, err := Descendants(1<<31 - 1); err == nil {
		t.Errorf("nobody has descendants %v", d)
	}
}

// TestBeside holds the imitations of version 2 to what the kernel does, with
// whichever controller is there to be enabled.
func TestBeside(t *testing.T) {
	h := liveHost(t, "beside", Options{})
	if !h.Leaf() {
		t.Skip("NOT CHECKED: no version 2 hierarchy")
	}
	top := path.Dir(h.leaf().path)
	offered := list(h.leaf().home, "cgroup.controllers")
	if len(offered) == 0 {
		t.Skip("NOT CHECKED: no controller in " + top)
	}
	c := offered[0]
	already := slices.Contains(list(h.leaf().home, "cgroup.subtree_control"), c)
	if why := h.enable(h.leaf().home, top, []string{c}); len(why) > 0 {
		t.Skipf("NOT CHECKED: %v", why)
	}
	home := path.Join(top, fmt.Sprintf("test-beside-%d", os.Getpid()))
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
		if _, err := removeGroup(unix.AT_FDCWD, home, time.Now().Add(busy)); err != nil {
			t.Error(err)
		}
		if !already {
			if err := put(h.leaf().home, "cgroup.subtree_control", "-"+c); err != nil {
				t.Error(err)
			}
		}
	}()
	if err := put(unix.AT_FDCWD, home+"/cgroup.procs", fmt.Sprint(cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	fd, err := h.openDir(home, true)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if why := h.enable(fd, home, []string{c}); !strings.Contains(why[c].why, "processes of its own") {
		t.Errorf("enabled %s beneath a group with processes: %v", c, why)
	}
	if why := h.enable(fd, home, []string{"perf_nonsense"}); !strings.Contains(why["perf_nonsense"].why, "does not offer") {
		t.Errorf("enabled a controller that does not exist: %v", why)
	}
	other := &Host{id: h.id + "-b"}
	tr := &tree{v2: true, dir: -1, home: -1, back: -1}
	ok, why := other.beside(tr, home, []string{c})
	if !ok || len(why) > 0 || tr.path != path.Join(top, prefix+other.id) {
		t.Fatalf("%v, %v, %q", ok, why, tr.path)
	}
	if why := other.enable(tr.dir, tr.path, []string{c}); len(why) > 0 || !slices.Contains(list(tr.dir, "cgroup.subtree_control"), c) {
		t.Error(why)
	}
	tr.close()
	if err := other.rmdir(tr.path); err != nil {
		t.Error(err)
	}
	if ok, why := other.beside(tr, top, []string{c}); ok || !strings.Contains(why[c].fix, "/init") {
		t.Errorf("found a place beside the root: %v", why)
	}
}

func TestKillTree(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("NOT CHECKED: no setsid to make sessions with: ", err)
	}
	cmd := exec.Command("/proc/self/exe")
	// A hundred that are nobody's children, and one that makes more.
	cmd.Env = append(os.Environ(), role+"=reaper", role+"_SCRIPT="+`
		for i in 1 2 3 4 5 6 7 8 9 0; do for j in 1 2 3 4 5 6 7 8 9 0; do (setsid sh -c 'kill -STOP $$' &); done; done
		(setsid sh -c 'while :; do (setsid sleep 1000 &); sleep 0.002; done' &)
		kill -STOP $$`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	within10(t, "a hundred processes", func() bool { d, err := Descendants(cmd.Process.Pid); return err == nil && len(d) >= 100 })
	before, err := Descendants(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := KillTree(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, or the reaper's own exit when it had no more children
	for _, pid := range before {
		if s, err := statOf(pid); err == nil && s.state != 'Z' {
			t.Errorf("%+v is alive", s)
		}
	}
	if err := KillTree(os.Getpid()); err == nil {
		t.Error("it would kill this process")
	}
}
