//go:build linux && !hostfs_portable

package hostfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// TestWholeHost grants / and looks for the ways from there into this process,
// the operating system's kernel, devices, and the state directory.
func TestWholeHost(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		state := t.TempDir()
		write(t, filepath.Join(state, "runs/secret"), "secret")
		id, err := Identify(state)
		check(t, err)
		fs := open(t, "/", Options{Write: true, Hidden: []ID{id}})
		root := mustRoot(t, fs)
		pid := os.Getpid()
		for _, p := range []string{
			"proc", "proc/self", "proc/self/mem", "proc/self/environ", "proc/self/root/etc/passwd",
			fmt.Sprintf("proc/%d/mem", pid), "proc/1/environ", "proc/thread-self", "proc/sys/kernel/core_pattern",
			"sys", "sys/kernel", "sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/kernel/debug", "sys/kernel/security",
			"dev/null", "dev/zero", "dev/mem", "dev/kmsg", "dev/fuse", "dev/tty", "dev/ptmx", "dev/pts", "dev/pts/0",
			"dev/stdin/..", "dev/fd/0", strings.TrimPrefix(state, "/"), strings.TrimPrefix(state, "/") + "/runs/secret",
		} {
			n, e := walk(t, root, strings.ReplaceAll(p, "/..", "/x"))
			if e == abi.OK {
				n.Close()
				t.Errorf("/%s is visible", p)
			} else if e != abi.ENOENT && e != abi.ENOTDIR {
				t.Errorf("/%s: %v", p, e)
			}
		}
		// The rest of the host is there.
		mustWalk(t, root, "etc/passwd")
		top := list(t, root, 5)
		for _, name := range []string{"proc", "sys"} {
			if _, ok := top[name]; ok {
				t.Errorf("/%s is listed", name)
			}
			// Invisible is not absent: it is neither made, replaced, nor moved.
			want(t, "mkdir /"+name, root.Mkdir(name, 0o755), abi.EACCES)
			_, _, e := root.Create(name, 0o644, abi.OWrite)
			want(t, "create /"+name, e, abi.EACCES)
			want(t, "symlink /"+name, root.Symlink(name, "x"), abi.EACCES)
			want(t, "rmdir /"+name, root.Remove(name, true), abi.ENOENT)
			want(t, "rename /"+name, root.Rename(name, root, "x"), abi.ENOENT)
		}
		if _, ok := top["etc"]; !ok {
			t.Error("/etc is not listed")
		}
		// Links lead out of nothing: they are returned, not followed.
		if dev, e := walk(t, root, "dev"); e == abi.OK {
			defer dev.Close()
			for name, ent := range list(t, dev, 7) {
				if ent.Type == abi.TypeCharDevice || ent.Type == abi.TypeBlockDevice {
					t.Errorf("/dev/%s is listed as %v", name, ent.Type)
				}
				if n, e := dev.Lookup(name); e != abi.OK {
					t.Errorf("/dev/%s is listed, but: %v", name, e)
				} else {
					n.Close()
				}
			}
			d := dev.(vfs.Dir)
			want(t, "unlink a device", d.Remove("null", false), abi.ENOENT)
			want(t, "rename a device", d.Rename("null", d, "null2"), abi.ENOENT)
			want(t, "mkdir over a device", d.Mkdir("null", 0o755), abi.EACCES)
		}
	})
}

func TestForbiddenRoots(t *testing.T) {
	for _, c := range []struct {
		path, fs string
	}{
		{"/proc", "proc"}, {"/proc/self", "proc"}, {"/proc/self/environ", "proc"}, {"/proc/self/fd", "proc"},
		{"/sys", "sysfs"}, {"/sys/kernel", "sysfs"}, {"/dev/pts", "devpts"},
	} {
		if _, err := os.Stat(c.path); err != nil {
			t.Logf("%s: not checked: %v", c.path, err)
			continue
		}
		_, err := Open(c.path, Options{})
		var oe *OpenError
		if !errors.As(err, &oe) || oe.Reason != ForbiddenFS || oe.FSType != c.fs || !strings.Contains(oe.Error(), c.fs) {
			t.Errorf("%s: %v, want a forbidden %s", c.path, err, c.fs)
		}
	}
}

// TestStateStaysInPlace tries to see, replace, or undermine the state directory
// through grants of what is above it.
func TestStateStaysInPlace(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		top := t.TempDir()
		write(t, filepath.Join(top, "home/.local/state/agentos/runs/x"), "secret")
		write(t, filepath.Join(top, "home/other"), "x")
		check(t, os.Mkdir(filepath.Join(top, "home/dir"), 0o755))
		// One of the ways to it goes through a link.
		check(t, os.Symlink("home", filepath.Join(top, "me")))
		id, err := Identify(filepath.Join(top, "me/.local/state/agentos"))
		check(t, err)
		fs := open(t, top, Options{Write: true, Hidden: []ID{id}})
		root := mustRoot(t, fs)
		home := mustWalk(t, root, "home").(vfs.Dir)
		state := mustWalk(t, home, ".local/state").(vfs.Dir)
		dir := mustWalk(t, home, "dir").(vfs.Dir)

		_, e := state.Lookup("agentos")
		want(t, "lookup", e, abi.ENOENT)
		if l := list(t, state, 1); len(l) != 0 {
			t.Errorf("listed: %v", l)
		}
		_, _, e = state.Create("agentos", 0o644, abi.OWrite)
		want(t, "create", e, abi.EACCES)
		want(t, "mkdir", state.Mkdir("agentos", 0o700), abi.EACCES)
		want(t, "symlink", state.Symlink("agentos", "/tmp"), abi.EACCES)
		want(t, "link", state.Link("agentos", mustWalk(t, home, "other")), abi.EACCES)
		want(t, "rmdir", state.Remove("agentos", true), abi.ENOENT)
		want(t, "unlink", state.Remove("agentos", false), abi.ENOENT)
		want(t, "move", state.Rename("agentos", dir, "mine"), abi.ENOENT)
		want(t, "replace", home.Rename("dir", state, "agentos"), abi.EACCES)
		want(t, "move its parent", mustWalk(t, home, ".local").(vfs.Dir).Rename("state", dir, "s"), abi.EACCES)
		want(t, "move its grandparent", home.Rename(".local", home, ".elsewhere"), abi.EACCES)
		want(t, "move further up", root.Rename("home", root, "h2"), abi.EACCES)
		want(t, "replace an ancestor", home.Rename("dir", home, ".local"), abi.EACCES)
		want(t, "remove the link to it", root.Remove("me", false), abi.EACCES)
		want(t, "move the link to it", root.Rename("me", root, "you"), abi.EACCES)
		want(t, "replace the link to it", home.Rename("other", root, "me"), abi.EACCES)
		// What leads nowhere near it moves as ever.
		want(t, "move a directory", home.Rename("dir", root, "moved"), abi.OK)
		want(t, "move a file beside it", home.Rename("other", state, "beside"), abi.OK)
		if data, err := os.ReadFile(filepath.Join(top, "me/.local/state/agentos/runs/x")); err != nil || string(data) != "secret" {
			t.Errorf("the state is now %q, %v", data, err)
		}
	})
}

func TestDeepPath(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		root := mustRoot(t, open(t, t.TempDir(), Options{Write: true}))
		// 40 components of 200 bytes lie beyond PATH_MAX for any path.
		name := strings.Repeat("d", 200)
		chain := []vfs.Dir{root}
		for range 40 {
			at := chain[len(chain)-1]
			want(t, "mkdir", at.Mkdir(name, 0o755), abi.OK)
			n, e := at.Lookup(name)
			if e != abi.OK {
				t.Fatal(e)
			}
			defer n.Close()
			chain = append(chain, n.(vfs.Dir))
		}
		last := chain[len(chain)-1]
		n, h, e := last.Create("f", 0o644, abi.OWrite)
		if e != abi.OK {
			t.Fatal(e)
		}
		defer n.Close()
		if _, _, e := h.WriteAt([][]byte{[]byte("deep")}, 0); e != abi.OK {
			t.Fatal(e)
		}
		want(t, "close", h.Close(), abi.OK)
		if got := readNode(t, n); got != "deep" {
			t.Errorf("read %q", got)
		}
		want(t, "link", root.Link("shallow", n), abi.OK)
		want(t, "unlink", last.Remove("f", false), abi.OK)
		for i := len(chain) - 2; i >= 0; i-- {
			want(t, "rmdir", chain[i].Remove(name, true), abi.OK)
		}
	})
}

func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("already unprivileged: every other test has run so")
		return
	}
	inner(t, innerOptions{uid: 65534})
}

// TestInnerUnprivileged is TestUnprivileged's other half.
func TestInnerUnprivileged(t *testing.T) {
	onlyInner(t, "TestUnprivileged")
	if os.Geteuid() == 0 {
		t.Fatal("still root")
	}
	dir, err := os.MkdirTemp("/tmp", "hostfs")
	check(t, err)
	defer os.RemoveAll(dir)
	write(t, filepath.Join(dir, "mine"), "x")
	write(t, filepath.Join(dir, "closed"), "x")
	check(t, os.Chmod(filepath.Join(dir, "closed"), 0))
	check(t, os.Mkdir(filepath.Join(dir, "shut"), 0))
	var oe *OpenError
	if _, err := Open(filepath.Join(dir, "shut"), Options{}); !errors.As(err, &oe) || oe.Reason != Unreadable {
		t.Errorf("an unreadable directory: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "closed"), Options{}); !errors.As(err, &oe) || oe.Reason != Unreadable {
		t.Errorf("an unreadable file: %v", err)
	}
	variants(t, func(t *testing.T, open opener) {
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		_, e := mustWalk(t, root, "closed").Open(abi.ORead)
		want(t, "open without permission", e, abi.EACCES)
		_, e = mustWalk(t, root, "shut").Lookup("x")
		want(t, "lookup without permission", e, abi.EACCES)
		f := mustWalk(t, root, "mine")
		want(t, "link", root.Link("two", f), abi.OK)
		want(t, "unlink", root.Remove("two", false), abi.OK)
		m := int64(7)
		want(t, "times", f.SetTimes(&m, &m), abi.OK)
		whole := mustRoot(t, open(t, "/", Options{Write: true}))
		_, _, e = mustWalk(t, whole, "etc").(vfs.Dir).Create("x", 0o644, abi.OWrite)
		want(t, "create in /etc", e, abi.EACCES)
		_, e = mustWalk(t, whole, "etc/passwd").Open(abi.OWrite)
		want(t, "write /etc/passwd", e, abi.EACCES)
		_, e = walk(t, whole, "proc/self/mem")
		want(t, "own memory", e, abi.ENOENT)
	})
}

func TestNanos(t *testing.T) {
	for _, c := range []struct{ sec, nsec, want int64 }{
		{0, 0, 0}, {1, 5, 1_000_000_005}, {-1, 5, -999_999_995}, {-5, 0, -5_000_000_000},
		{1 << 62, 0, 1<<63 - 1}, {-1 << 63, 0, -1 << 63}, {1<<63 - 1, 999_999_999, 1<<63 - 1},
		{9_223_372_035, 0, 9_223_372_035_000_000_000}, {9_223_372_036, 854_775_806, 1<<63 - 2}, {9_223_372_036, 854_775_807, 1<<63 - 1},
		{9_223_372_036, 854_775_808, 1<<63 - 1}, {-9_223_372_037, 145_224_192, -1 << 63}, {-9_223_372_037, 145_224_193, -1<<63 + 1},
		{-9_223_372_037, 145_224_191, -1 << 63},
	} {
		if got := nanos(c.sec, c.nsec); got != c.want {
			t.Errorf("nanos(%d, %d) = %d, want %d", c.sec, c.nsec, got, c.want)
		}
	}
}
