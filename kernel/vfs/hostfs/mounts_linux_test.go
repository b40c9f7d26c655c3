//go:build linux && !hostfs_portable

package hostfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

func TestMounts(t *testing.T) { inner(t, innerOptions{mounts: true}) }

// TestInnerMounts runs in a mount namespace of its own.
func TestInnerMounts(t *testing.T) {
	onlyInner(t, "TestMounts")
	variants(t, testMounts)
}

func mount(t testing.TB, src, dst, fstype string, flags uintptr, data string) {
	t.Helper()
	if fstype == "" {
		flags |= unix.MS_BIND
	}
	if err := unix.Mount(src, dst, fstype, flags, data); err != nil {
		t.Fatalf("mount %s %s on %s: %v", fstype, src, dst, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dst, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dst, err)
		}
	})
}

func testMounts(t *testing.T, open opener) {
	top := t.TempDir()
	for _, d := range []string{"grant/proc", "grant/state", "grant/inside", "grant/tiny", "grant/ro", "grant/late", "grant/sub", "state/runs", "src"} {
		check(t, os.MkdirAll(filepath.Join(top, d), 0o755))
	}
	for _, f := range []string{"grant/file", "grant/cmdline", "grant/null", "state/runs/secret", "src/f"} {
		write(t, filepath.Join(top, f), "data")
	}
	in := func(p string) string { return filepath.Join(top, p) }
	mount(t, "/proc", in("grant/proc"), "", 0, "")
	mount(t, "/proc/cmdline", in("grant/cmdline"), "", 0, "")
	mount(t, "/dev/null", in("grant/null"), "", 0, "")
	mount(t, in("state"), in("grant/state"), "", 0, "")
	mount(t, in("state/runs"), in("grant/inside"), "", 0, "")
	mount(t, "tmpfs", in("grant/tiny"), "tmpfs", 0, "size=64k")
	mount(t, in("src"), in("grant/ro"), "", 0, "")
	check(t, unix.Mount("", in("grant/ro"), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))

	id, err := Identify(in("state"))
	check(t, err)
	fs := open(t, in("grant"), Options{Write: true, Hidden: []ID{id}})
	root := mustRoot(t, fs)
	for _, name := range []string{"proc", "cmdline", "null", "state"} {
		_, e := root.Lookup(name)
		want(t, "lookup "+name, e, abi.ENOENT)
		want(t, "remove "+name, root.Remove(name, false), abi.ENOENT)
		want(t, "replace "+name, root.Rename("file", root, name), abi.EACCES)
	}
	l := list(t, root, 4)
	for _, name := range []string{"proc", "state"} {
		if _, ok := l[name]; ok {
			t.Errorf("%s is listed", name)
		}
	}
	// A bind mount of the inside of the hidden directory needs the list of mounts.
	if fs.has.statx && fs.has.proc {
		_, e := root.Lookup("inside")
		want(t, "lookup inside", e, abi.ENOENT)
		if _, ok := l["inside"]; ok {
			t.Error("inside is listed")
		}
		var oe *OpenError
		if _, err := Open(in("grant/inside"), Options{Hidden: []ID{id}}); !errors.As(err, &oe) || oe.Reason != IsHidden {
			t.Errorf("granting inside: %v", err)
		}
	} else {
		t.Log("a bind mount of the inside of the hidden directory: not covered without statx and /proc")
	}

	// A full file system.
	tiny := mustWalk(t, root, "tiny").(vfs.Dir)
	n, h, e := tiny.Create("f", 0o644, abi.OWrite)
	if e != abi.OK {
		t.Fatal(e)
	}
	defer n.Close()
	defer h.Close()
	data := make([]byte, 1<<16)
	for off := int64(0); e == abi.OK; {
		var k int
		k, off, e = h.WriteAt([][]byte{data}, off)
		if e == abi.OK && k == 0 {
			t.Fatal("nothing was written, and no error")
		}
	}
	want(t, "write to a full file system", e, abi.ENOSPC)
	want(t, "rename to another mount", root.Rename("file", tiny, "file"), abi.EXDEV)
	want(t, "link to another mount", tiny.Link("file", mustWalk(t, root, "file")), abi.EXDEV)
	want(t, "removing a mount point", root.Remove("tiny", true), abi.EBUSY)

	// A read-only mount below a write grant.
	ro := mustWalk(t, root, "ro").(vfs.Dir)
	if got := readNode(t, mustWalk(t, ro, "f")); got != "data" {
		t.Errorf("read %q", got)
	}
	_, _, e = ro.Create("x", 0o644, abi.OWrite)
	want(t, "create on a read-only mount", e, abi.EROFS)
	_, e = mustWalk(t, ro, "f").Open(abi.OWrite)
	want(t, "write on a read-only mount", e, abi.EROFS)

	// Mounts that come later are judged too, and a verdict about one does not
	// carry over to the next in its place.
	late := in("grant/late")
	for range 3 {
		check(t, unix.Mount("tmpfs", late, "tmpfs", 0, "size=64k"))
		mustWalk(t, root, "late")
		check(t, unix.Unmount(late, unix.MNT_DETACH))
		check(t, unix.Mount("proc", late, "proc", 0, ""))
		_, e = root.Lookup("late")
		want(t, "a proc mounted later", e, abi.ENOENT)
		check(t, unix.Unmount(late, unix.MNT_DETACH))
	}

	// A device made by the host inside the grant.
	if err := unix.Mknod(in("grant/sub/dev"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Logf("a device node inside the grant: NOT CHECKED: %v", err)
	} else {
		sub := mustWalk(t, root, "sub").(vfs.Dir)
		_, e := sub.Lookup("dev")
		want(t, "lookup of a device", e, abi.ENOENT)
		if l := list(t, sub, 1); len(l) != 0 {
			t.Errorf("listed: %v", l)
		}
		want(t, "unlink a device", sub.Remove("dev", false), abi.ENOENT)
		want(t, "rename over a device", root.Rename("file", sub, "dev"), abi.EACCES)
		_, _, e = sub.Create("dev", 0o644, abi.OWrite)
		want(t, "create over a device", e, abi.EACCES)
	}
}

func TestFindMount(t *testing.T) {
	const text = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n" +
		"short line\n" +
		`30 22 0:26 /a\040b /mnt/x\134y rw master:1 - tmpfs tmpfs rw` + "\n"
	m, ok := findMount(text, 30)
	if want := (mountEntry{dev: "0:26", root: "/a b", point: `/mnt/x\y`, fsType: "tmpfs"}); !ok || m != want {
		t.Errorf("%+v %v", m, ok)
	}
	if _, ok := findMount(text, 31); ok {
		t.Error("found a mount that is not there")
	}
	for _, s := range []string{`\`, `\0`, `\04`, `\999`, `a\`, `\\\`} {
		if got := unescape(s); got != s {
			t.Errorf("unescape(%q) = %q", s, got)
		}
	}
	for _, c := range []struct {
		p, dir string
		want   bool
	}{{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a", "/", true}, {"/", "/a", false}} {
		if under(c.p, c.dir) != c.want {
			t.Errorf("under(%q, %q)", c.p, c.dir)
		}
	}
}

func TestMountCacheIsBounded(t *testing.T) {
	var m mounts
	for i := range uint64(5 * maxMounts) {
		m.put(mountKey{i, true}, true)
	}
	if len(m.ok) > maxMounts {
		t.Errorf("%d entries", len(m.ok))
	}
}
