package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fake is a tree of ordinary files that looks like the control groups of a host.
type fake struct {
	t      *testing.T
	root   string
	mounts map[string][]string // version 1: mount point → controllers; version 2: nil
	v2Root string              // a group without a parent that matters
}

// filesV1 are the control files that a version 1 controller puts into a group. What
// is written is empty at first, because ordinary files keep the end of what was there.
func filesV1(c string) map[string]string {
	switch c {
	case memory:
		return map[string]string{"memory.limit_in_bytes": "", "memory.memsw.limit_in_bytes": "",
			"memory.usage_in_bytes": "4096", "memory.max_usage_in_bytes": "8192", "memory.failcnt": "3",
			"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}
	case cpu:
		return map[string]string{"cpu.cfs_quota_us": "", "cpu.cfs_period_us": "", "cpu.shares": "",
			"cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 5000\n"}
	case cpuacct:
		return map[string]string{"cpuacct.usage": "7000"}
	case pids:
		return map[string]string{"pids.max": "", "pids.current": "5", "pids.events": "max 6\n"}
	case freezer:
		return map[string]string{"freezer.state": "THAWED"}
	}
	return nil
}

func filesV2(c string) map[string]string {
	switch c {
	case memory:
		return map[string]string{"memory.max": "", "memory.swap.max": "", "memory.oom.group": "",
			"memory.current": "4096", "memory.peak": "8192", "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n"}
	case cpu:
		return map[string]string{"cpu.max": "", "cpu.weight": ""}
	case pids:
		return map[string]string{"pids.max": "", "pids.current": "5", "pids.peak": "7", "pids.events": "max 6\n"}
	}
	return nil
}

func (f *fake) write(dir string, files map[string]string) {
	for name, text := range files {
		if err := os.WriteFile(path.Join(dir, name), []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fake) read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// group makes a group with its control files, given the path from the fake's root.
func (f *fake) group(dir, procs string) string {
	dir = path.Join(f.root, dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	f.made(dir)
	f.write(dir, map[string]string{"cgroup.procs": procs})
	return dir
}

// made does what the kernel does when a group is made.
func (f *fake) made(dir string) {
	for point, controllers := range f.mounts {
		if dir != f.root+point && !strings.HasPrefix(dir, f.root+point+"/") {
			continue
		}
		f.write(dir, map[string]string{"cgroup.procs": ""})
		if controllers != nil {
			f.write(dir, map[string]string{"tasks": ""})
			for _, c := range controllers {
				f.write(dir, filesV1(c))
			}
			continue
		}
		have := ""
		if up, err := os.ReadFile(path.Join(path.Dir(dir), "cgroup.subtree_control")); err == nil {
			have = string(up)
		}
		f.write(dir, map[string]string{"cgroup.controllers": have, "cgroup.subtree_control": "", "cgroup.freeze": "0", "cgroup.kill": "",
			"cgroup.events": "populated 0\nfrozen 0\n",
			"cpu.stat":      "usage_usec 7\nnr_throttled 4\nthrottled_usec 5\n"})
		for _, c := range strings.Fields(have) {
			f.write(dir, filesV2(c))
		}
	}
}

// gone empties a directory of files, so that it can be removed as a group can.
func (f *fake) gone(dir string) {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Remove(p)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Error(err)
	}
}

// enable does what the kernel does when a controller is enabled.
func (f *fake) enable(dir, c string) error {
	if !slices.Contains(strings.Fields(f.read(dir+"/cgroup.controllers")), c) {
		return unix.ENOENT
	}
	if dir != f.root+f.v2Root && strings.TrimSpace(f.read(dir+"/cgroup.procs")) != "" {
		return unix.EBUSY
	}
	fd, err := os.OpenFile(dir+"/cgroup.subtree_control", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer fd.Close()
	_, err = fd.WriteString(c + " ")
	return err
}

const (
	mountV2   = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountV2RO = "30 23 0:26 / /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	allV1     = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n" +
		"39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	ownV1 = "7:pids:/\n6:freezer:/\n4:memory:/own/group\n2:cpu,cpuacct:/\n1:name=systemd:/\n"
)

// layout is a host.
type layout struct {
	name       string
	info, own  string
	mounts     map[string][]string
	v2Root     string
	controls   map[string]string // version 2 groups → their processes, parents first
	offer      string            // what the kernel has for version 2; all if empty
	subtree    map[string]string // what is enabled for the children of a group
	unwritable bool              // by us
	options    Options

	want   map[string]string // fact → what its sentence contains
	path   map[string]string // controller → directory of our groups
	thread bool
	leaf   bool
}

var (
	pointsV1 = map[string][]string{"/sys/fs/cgroup/cpu,cpuacct": {cpu, cpuacct}, "/sys/fs/cgroup/memory": {memory},
		"/sys/fs/cgroup/freezer": {freezer}, "/sys/fs/cgroup/pids": {pids}}
	pointV2 = map[string][]string{"/sys/fs/cgroup": nil}
	hybrid  = map[string][]string{"/sys/fs/cgroup/cpu,cpuacct": {cpu, cpuacct}, "/sys/fs/cgroup/memory": {memory},
		"/sys/fs/cgroup/freezer": {freezer}, "/sys/fs/cgroup/pids": {pids}, "/sys/fs/cgroup/unified": nil}
)

const session = "/user.slice/user-1000.slice/user@1000.service/app.slice"

var layouts = []layout{
	{
		name: "pure v2, in the root", info: mountV2, own: "0::/\n", mounts: pointV2, v2Root: "/sys/fs/cgroup",
		controls: map[string]string{"": "1\n2\n"},
		want:     map[string]string{cpu: "v2", cpuacct: "v2", memory: "v2", pids: "v2", freezer: "v2", kill: "v2"},
		path:     map[string]string{memory: "/sys/fs/cgroup/agentos-k1"},
		leaf:     true,
	},
	{
		name: "a delegated user session", info: mountV2, own: "0::" + session + "/a.scope\n", mounts: pointV2,
		controls: map[string]string{session: "", session + "/a.scope": "7\n"},
		subtree:  map[string]string{session: "memory pids "},
		want:     map[string]string{cpu: "v2", memory: "v2", pids: "v2"},
		path:     map[string]string{memory: "/sys/fs/cgroup" + session + "/agentos-k1"},
		leaf:     true,
	},
	{
		name: "a session that was not given the processors", info: mountV2, own: "0::" + session + "/a.scope\n", mounts: pointV2,
		controls: map[string]string{session: "", session + "/a.scope": "7\n"}, offer: "memory pids",
		want: map[string]string{cpu: "does not offer it", memory: "v2", pids: "v2", freezer: "v2"},
		leaf: true,
	},
	{
		name: "v2 with nothing to give", info: mountV2, own: "0::/a\n", mounts: pointV2,
		controls: map[string]string{"/a": "7\n"}, offer: "hugetlb",
		want: map[string]string{cpu: "does not offer it", memory: "does not offer it", freezer: "v2", kill: "v2", cpuacct: "v2"},
		path: map[string]string{kill: "/sys/fs/cgroup/a/agentos-k1"},
		leaf: true,
	},
	{
		name: "a container with everything in its root", info: mountV2, own: "0::/\n", mounts: pointV2, v2Root: "/elsewhere",
		controls: map[string]string{"": "1\n2\n"},
		want:     map[string]string{cpu: "processes of its own", memory: "/init && for p", pids: "processes of its own", freezer: "v2", kill: "v2"},
		path:     map[string]string{kill: "/sys/fs/cgroup/agentos-k1"},
		leaf:     true,
	},
	{
		name: "a user session that is not ours", info: mountV2, own: "0::/system.slice/ssh.scope\n", mounts: pointV2, unwritable: true,
		controls: map[string]string{"/system.slice": "", "/system.slice/ssh.scope": "7\n"},
		want:     map[string]string{memory: "not ours", kill: "systemd-run --user", freezer: "not available"},
	},
	{
		name: "read-only", info: mountV2RO, own: "0::/\n", mounts: pointV2,
		controls: map[string]string{"": "1\n"},
		want:     map[string]string{memory: "mounted read-only", pids: "mounted read-only", kill: "mounted read-only"},
	},
	{
		name: "pure v1", info: allV1, own: ownV1, mounts: pointsV1, thread: true,
		want: map[string]string{cpu: "v1", cpuacct: "v1", memory: "v1", pids: "v1", freezer: "v1", kill: "by freezing"},
		path: map[string]string{memory: "/sys/fs/cgroup/memory/own/group/agentos-k1", cpu: "/sys/fs/cgroup/cpu,cpuacct/agentos-k1"},
	},
	{
		name: "hybrid", info: allV1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", own: ownV1 + "0::/\n",
		mounts: hybrid, v2Root: "/sys/fs/cgroup/unified", offer: "hugetlb", thread: true, leaf: true,
		want: map[string]string{cpu: "v1", cpuacct: "v1", memory: "v1", pids: "v1", freezer: "v1", kill: "v2"},
	},
	{
		name: "hybrid without a leaf", info: allV1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", own: ownV1 + "0::/\n",
		mounts: hybrid, v2Root: "/sys/fs/cgroup/unified", offer: "hugetlb", thread: true, options: Options{NoLeaf: true},
		want: map[string]string{memory: "v1", kill: "by freezing"},
	},
	{
		name: "v1 of a container that sees only its own group",
		info: "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n39 31 0:36 /docker /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n",
		own:  "7:pids:/docker/abc\n6:freezer:/docker/abc\n4:memory:/docker/abc\n", mounts: map[string][]string{"/sys/fs/cgroup/memory": {memory}, "/sys/fs/cgroup/pids": {pids}},
		thread: true,
		want:   map[string]string{memory: "v1", pids: "read-only", freezer: "not mounted", cpu: "not available"},
		path:   map[string]string{memory: "/sys/fs/cgroup/memory/agentos-k1"},
	},
	{
		name: "outside the cgroup namespace", info: mountV2, own: "0::/../other\n", mounts: pointV2,
		controls: map[string]string{"": ""},
		want:     map[string]string{memory: "outside", kill: "outside"},
	},
	{name: "nothing", own: "0::/\n", want: map[string]string{memory: "not available", kill: "not mounted"}},
}

// host builds the layout and probes it.
func (l *layout) host(t *testing.T) (*fake, *Host) {
	t.Helper()
	f := &fake{t: t, root: t.TempDir(), mounts: l.mounts, v2Root: l.v2Root}
	f.write(f.root, map[string]string{"mountinfo": l.info, "own": l.own})
	for point, cs := range l.mounts {
		f.group(point, "")
		if slices.Contains(cs, memory) {
			f.group(point+"/own/group", "")
		}
	}
	for point, cs := range l.mounts {
		if cs != nil {
			continue
		}
		offer := map[string]string{"cgroup.controllers": "cpu memory pids io", "cgroup.subtree_control": ""}
		if l.offer != "" {
			offer["cgroup.controllers"] = l.offer
		}
		f.write(f.root+point, offer)
		for _, g := range slices.Sorted(func(yield func(string) bool) {
			for g := range l.controls {
				if !yield(g) {
					return
				}
			}
		}) {
			dir := f.group(point+g, l.controls[g])
			f.write(dir, offer)
			f.write(dir, map[string]string{"cgroup.subtree_control": l.subtree[g]})
		}
	}
	o := l.options
	o.site = site{root: f.root, mountinfo: f.root + "/mountinfo", own: f.root + "/own", made: f.made, gone: f.gone, enable: f.enable}
	if !l.unwritable {
		return f, o.Probe("k1")
	}
	for d := f.root; ; d = path.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil || path.Dir(d) == os.TempDir() || d == "/" {
			break
		}
	}
	return f, asNobody(t, func() *Host { return o.Probe("k1") })
}

// asNobody runs f with the file permissions of an ordinary user.
func asNobody(t *testing.T, f func() *Host) *Host {
	if os.Getuid() != 0 {
		return f()
	}
	const nobody = 65534
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(nobody); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := unix.SetfsuidRetUid(0); err != nil {
			t.Error(err)
		}
	}()
	return f()
}

func TestLayouts(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			f, h := l.host(t)
			facts := h.Facts()
			for fact, want := range l.want {
				if !strings.Contains(facts[fact], want) {
					t.Errorf("%s is %q, which does not say %q", fact, facts[fact], want)
				}
			}
			for c, want := range l.path {
				if h.by[c] == nil || h.by[c].path != f.root+want {
					t.Errorf("%s is %+v, not in %s", c, h.by[c], want)
				}
			}
			if h.ByThread() != l.thread || h.Leaf() != l.leaf {
				t.Errorf("by thread %v, leaf %v", h.ByThread(), h.Leaf())
			}
			limits := Limits{Memory: 64 << 20, Pids: 32, CPUs: 0.5, Weight: 8}
			g, missing, err := h.New("run1", limits, false)
			lacks := 0
			for limit, c := range map[string]string{LimitMemory: memory, LimitPids: pids, LimitCPUs: cpu, LimitWeight: cpu} {
				has := strings.HasPrefix(facts[c], "control group")
				if !has {
					lacks++
				}
				if slices.ContainsFunc(Unmet(err), func(u *Unenforced) bool { return u.Limit == limit }) == has {
					t.Errorf("limit %s with %q: %v", limit, facts[c], err)
				}
			}
			if (err == nil) != (lacks == 0) || (g == nil) != (err != nil) || len(missing) != 0 {
				t.Fatalf("group %v, missing %q, error %v", g, missing, err)
			}
			if err != nil {
				g, missing, err = h.New("run1", limits, true)
				if err != nil || len(missing) != lacks {
					t.Fatalf("best effort: missing %q, error %v", missing, err)
				}
			}
			if g != nil {
				l.checkGroup(t, f, h, g)
				if err := g.Close(); err != nil {
					t.Error(err)
				}
				if err := g.Close(); err != nil {
					t.Error("closed again:", err)
				}
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			err = filepath.WalkDir(f.root, func(p string, d fs.DirEntry, err error) error {
				if err == nil && strings.Contains(p, prefix) {
					err = fmt.Errorf("%s is left", p)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// checkGroup looks at what was written for the limits of TestLayouts.
func (l *layout) checkGroup(t *testing.T, f *fake, h *Host, g *Group) {
	wantV1 := map[string]map[string]string{
		memory: {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"},
		pids:   {"pids.max": "32"},
		cpu:    {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpu.shares": "3461"},
	}
	wantV2 := map[string]map[string]string{
		memory: {"memory.max": "67108864", "memory.swap.max": "0", "memory.oom.group": "1"},
		pids:   {"pids.max": "32"},
		cpu:    {"cpu.max": "50000 100000", "cpu.weight": "338"},
	}
	for c, tr := range h.by {
		want := wantV1[c]
		if tr.v2 {
			want = wantV2[c]
		}
		for name, value := range want {
			if got := f.read(path.Join(tr.path, g.id, name)); got != value {
				t.Errorf("%s is %q, not %q", name, got, value)
			}
		}
	}
	s, err := g.Stats()
	if err != nil {
		t.Error(err)
	}
	want := Stats{}
	if h.Has(cpuacct) {
		want.CPU = 7000
	}
	if h.Has(cpu) {
		want.Throttled, want.Waited = 4, 5000
	}
	if h.Has(memory) {
		want.Memory, want.MemoryPeak, want.OOMKills, want.MemoryFull = 4096, 8192, 2, 3
	}
	if h.Has(pids) {
		want.Pids, want.PidsPeak, want.PidsFull = 5, 5, 6
		if h.by[pids].v2 {
			want.PidsPeak = 7
		}
	}
	if s != want {
		t.Errorf("stats are %+v, not %+v", s, want)
	}
}

func TestNames(t *testing.T) {
	_, h := layouts[0].host(t)
	for _, id := range []string{"", ".", "..", "a/b", "../x", "cgroup procs", "-x", "a\n", strings.Repeat("x", 200)} {
		if g, err := h.Make(id); err == nil {
			t.Errorf("made a group named %q: %v", id, g)
		}
		if f := Probe(id).Facts(); strings.HasPrefix(f[memory], "control group") {
			t.Errorf("probed as %q", id)
		}
	}
}

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		cpus float64
		q, p uint64
	}{{1, 100000, 100000}, {0.1, 10000, 100000}, {3.5, 350000, 100000}, {0.01, 1000, 100000}, {0.005, 5000, 1000000}, {0.001, 1000, 1000000}} {
		if q, p, ok := quota(c.cpus); !ok || q != c.q || p != c.p {
			t.Errorf("%g processors are %d in %d, %v", c.cpus, q, p, ok)
		}
	}
	for _, bad := range []float64{-1, 0.0001, 1e9, nan()} {
		if q, p, ok := quota(bad); ok {
			t.Errorf("%g processors are %d in %d", bad, q, p)
		}
	}
}

func nan() float64 { z := 0.0; return z / z }

// TestRefusals has the host refuse single limits, in a group that it did make.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		layout string
		limits Limits
		remove string // control file that this kernel does not have
		limit  string
	}{
		{"pure v2, in the root", Limits{Memory: 1 << 20, Weight: 5}, "memory.max", LimitMemory},
		{"pure v2, in the root", Limits{Pids: 5, Weight: 5}, "pids.max", LimitPids},
		{"pure v2, in the root", Limits{CPUs: 1, Weight: 5}, "cpu.max", LimitCPUs},
		{"pure v2, in the root", Limits{Weight: 6}, "cpu.weight", LimitWeight},
		{"pure v2, in the root", Limits{Weight: 11}, "", LimitWeight},
		{"pure v2, in the root", Limits{CPUs: -2, Weight: 5}, "", LimitCPUs},
		{"pure v1", Limits{Memory: 1 << 20, Weight: 5}, "memory.limit_in_bytes", LimitMemory},
		{"pure v1", Limits{CPUs: 1, Weight: 5}, "cpu.cfs_quota_us", LimitCPUs},
	} {
		i := slices.IndexFunc(layouts, func(l layout) bool { return l.name == c.layout })
		_, h := layouts[i].host(t)
		g, err := h.Make("r")
		if err != nil {
			t.Fatal(err)
		}
		if c.remove != "" {
			for _, tr := range h.trees {
				os.Remove(path.Join(tr.path, g.id, c.remove))
			}
		}
		err = g.Limit(c.limits)
		var u *Unenforced
		if !errors.As(err, &u) || u.Limit != c.limit || len(Unmet(err)) != 1 {
			t.Errorf("%+v without %s: %v", c.limits, c.remove, err)
		}
	}
}
