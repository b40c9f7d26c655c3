package cgroup

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	ms := parseMounts("29 23 0:26 /a\\040b /sys/fs\\134x\\012/cgroup rw,nosuid shared:4 master:2 - cgroup2 none rw\n" +
		"32 31 0:29 / /c rw - cgroup cgroup ro,cpu,cpuacct\n" +
		"33 31 0:29 / /d rw - tmpfs cgroup rw\n" + "junk - cgroup x y\n" + "34 31 0:1 / rel rw - cgroup x y\n")
	if len(ms) != 2 || ms[0].root != "/a b" || ms[0].point != "/sys/fs\\x\n/cgroup" || !ms[0].v2 || ms[0].readOnly ||
		!ms[1].readOnly || ms[1].v2 || !slices.Equal(ms[1].super, []string{"ro", "cpu", "cpuacct"}) {
		t.Errorf("%+v", ms)
	}
}

func TestParsePlaces(t *testing.T) {
	ps := parsePlaces("3:cpu,cpuacct:/x:y/z\n0::/a\nx::/b\n4::/c\n5:pids:rel\n\n")
	if len(ps) != 2 || ps[0].path != "/x:y/z" || !slices.Equal(ps[0].controllers, []string{cpu, cpuacct}) || !ps[1].v2() || ps[1].path != "/a" {
		t.Errorf("%+v", ps)
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path, root, want string
		ok               bool
	}{
		{"/", "/", "", true}, {"/a/b", "/", "/a/b", true}, {"/a/b", "/a", "/b", true}, {"/a", "/a", "", true},
		{"/ab", "/a", "", false}, {"/../x", "/", "", false}, {"/", "/..", "", false}, {"/b", "/a", "", false}, {"/..a", "/", "/..a", true},
	} {
		if got, ok := within(c.path, c.root); got != c.want || ok != c.ok {
			t.Errorf("%s within %s is %q, %v", c.path, c.root, got, ok)
		}
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 41 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 7 0 9999 1 2 3"
	for _, name := range []string{"sh", "a b", ")", "x) R 1 (", "((", "\n) S 9"} {
		s, err := parseStat("42 (" + name + ")" + rest)
		if err != nil || s != (stat{pid: 42, ppid: 41, state: 'S', own: 30, waited: 70, threads: 7, start: 9999}) {
			t.Errorf("%q: %+v, %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "42 sh S 1", "x (sh)" + rest, "42 (sh) S 1 2", ")42 (", "42 (sh)" + strings.Replace(rest, "41", "-3", 1)} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("%q is %+v", bad, s)
		}
	}
}

func TestOwnStat(t *testing.T) {
	s, err := statOf(os.Getpid())
	if err != nil || s.pid != os.Getpid() || s.ppid != os.Getppid() || s.threads == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(allV1 + mountV2)
	f.Add("29 23 0:26 /a\\040b /x\\9\\ rw - cgroup2 none rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseMounts(text) {
			if m.point[0] != '/' || m.root[0] != '/' {
				t.Errorf("%+v", m)
			}
		}
	})
}

func FuzzParsePlaces(f *testing.F) {
	f.Add(ownV1, "/")
	f.Add("0::/../a\n", "/a")
	f.Fuzz(func(t *testing.T, text, root string) {
		for _, p := range parsePlaces(text) {
			rel, ok := within(p.path, root)
			if ok && (strings.Contains(rel+"/", "/../") || rel != "" && rel[0] != '/') {
				t.Errorf("%q within %q is %q", p.path, root, rel)
			}
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add(42, "x) R 1 (", 41)
	f.Fuzz(func(t *testing.T, pid int, name string, ppid int) {
		s, err := parseStat(fmt.Sprintf("%d (%s) S %d 1 1 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 5 6 7", pid, name, ppid))
		valid := pid >= 0 && pid < 1<<31 && ppid >= 0 && ppid < 1<<31
		if (err == nil) != valid || valid && (s.pid != pid || s.ppid != ppid || s.own != 3) {
			t.Errorf("%d %q %d: %+v, %v", pid, name, ppid, s, err)
		}
		// Whatever it is, it must not panic as it stands.
		_, _ = parseStat(name)
	})
}
