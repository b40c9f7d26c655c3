//go:build linux && !hostfs_portable

package hostfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// TestLookupPath holds the lookup of several components at once to what one by
// one gives, wherever it answers at all.
func TestLookupPath(t *testing.T) {
	top := t.TempDir()
	write(t, filepath.Join(top, "grant/a/b/c/f"), "deep")
	write(t, filepath.Join(top, "outside/b/f"), "OUTSIDE")
	write(t, filepath.Join(top, "state/runs/f"), "secret")
	check(t, os.Symlink("../outside", filepath.Join(top, "grant/out")))
	check(t, os.Symlink("b", filepath.Join(top, "grant/a/link")))
	check(t, unix.Mkfifo(filepath.Join(top, "grant/a/fifo"), 0o600))
	id, err := Identify(filepath.Join(top, "state"))
	check(t, err)
	fs, err := Open(filepath.Join(top, "grant"), Options{Hidden: []ID{id}})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	if fs.rootInfo.mountKind != mountUnique || !fs.has.openat2 {
		if fs.direct {
			t.Error("paths are looked up whole on a host that cannot do so safely")
		}
		t.Skip("NOT CHECKED: this host has no unique mount numbers")
	}
	if !fs.direct {
		t.Fatal("the state directory is taken to lie beneath the grant")
	}
	root := mustRoot(t, fs)
	p := root.(vfs.Pather)
	for _, c := range []struct {
		rel  string
		want abi.Errno
	}{
		{"a/b", abi.OK}, {"a/b/c/f", abi.OK}, {"a/fifo", abi.OK},
		{"a/absent", abi.ENOENT}, {"absent/b", abi.ENOENT}, {"a/b/c/f/x", abi.ENOTDIR},
		{"out/b", abi.ELOOP}, {"a/link", abi.ELOOP}, {"a/link/c", abi.ELOOP},
		{"a/../a", abi.EINVAL}, {"../outside", abi.EINVAL}, {"a//b", abi.EINVAL}, {"/a/b", abi.EINVAL}, {"a/b/", abi.EINVAL}, {"a/\x00", abi.EINVAL},
		{strings.Repeat("a/", 2048) + "x", abi.ELOOP},
		{"a/" + strings.Repeat("n", 256), abi.ENAMETOOLONG},
	} {
		n, e := p.LookupPath(c.rel)
		want(t, c.rel, e, c.want)
		if e != abi.OK {
			continue
		}
		s1, _ := n.Stat()
		s2, _ := mustWalk(t, root, c.rel).Stat()
		s1.Atime, s2.Atime = 0, 0
		if s1 != s2 {
			t.Errorf("%s: %+v, one by one %+v", c.rel, s1, s2)
		}
		n.Close()
	}
	_, e := mustWalk(t, root, "a/b/c/f").(vfs.Pather).LookupPath("x/y")
	want(t, "below a file", e, abi.ENOTDIR)

	// Where something is hidden beneath, every step is looked at.
	for _, grant := range []string{top, "/"} {
		whole, err := Open(grant, Options{Hidden: []ID{id}})
		check(t, err)
		if whole.direct {
			t.Errorf("%s: paths are looked up whole across the state directory", grant)
		}
		rel := strings.TrimPrefix(filepath.Join(top, "state/runs/f"), strings.TrimSuffix(grant, "/")+"/")
		_, e := mustRoot(t, whole).(vfs.Pather).LookupPath(rel)
		want(t, "the state from "+grant, e, abi.ELOOP)
		check(t, whole.Close())
	}
	// Nothing hidden: the file systems of the kernel are other mounts.
	whole, err := Open("/", Options{})
	check(t, err)
	for _, rel := range []string{"proc/self/mem", "proc/self", "sys/kernel/x", "dev/null", "dev/pts/0"} {
		if _, e := mustRoot(t, whole).(vfs.Pather).LookupPath(rel); e == abi.OK {
			t.Errorf("/%s was opened", rel)
		}
	}
	check(t, whole.Close())
}

// TestHiddenFile hides a single file, and keeps the way to it in place.
func TestHiddenFile(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		top := t.TempDir()
		write(t, filepath.Join(top, "d/e/key"), "secret")
		write(t, filepath.Join(top, "d/e/open"), "x")
		id, err := Identify(filepath.Join(top, "d/e/key"))
		check(t, err)
		root := mustRoot(t, open(t, top, Options{Write: true, Hidden: []ID{id}}))
		e := mustWalk(t, root, "d/e").(vfs.Dir)
		_, errno := e.Lookup("key")
		want(t, "lookup", errno, abi.ENOENT)
		want(t, "replace", e.Rename("open", e, "key"), abi.EACCES)
		want(t, "remove", e.Remove("key", false), abi.ENOENT)
		want(t, "move its directory", mustWalk(t, root, "d").(vfs.Dir).Rename("e", root, "f"), abi.EACCES)
		want(t, "move above", root.Rename("d", root, "f"), abi.EACCES)
		if l := list(t, e, 10); len(l) != 1 {
			t.Errorf("listed: %v", l)
		}
		// An identity made by hand hides the object, under every name it has.
		check(t, os.Link(filepath.Join(top, "d/e/open"), filepath.Join(top, "two")))
		byHand, err := Identify(filepath.Join(top, "two"))
		check(t, err)
		root = mustRoot(t, open(t, top, Options{Hidden: []ID{{Dev: byHand.Dev, Ino: byHand.Ino}}}))
		for _, p := range []string{"two", "d/e/open"} {
			_, errno := walk(t, root, p)
			want(t, p, errno, abi.ENOENT)
		}
	})
}
