//go:build unix

package hostfs

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

func TestReadOnly(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "sub/file"), "hello")
		check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "out")))
		fs := open(t, dir, Options{})
		root := mustRoot(t, fs)
		file := mustWalk(t, root, "sub/file")
		if got := readNode(t, file); got != "hello" {
			t.Errorf("read %q", got)
		}
		st, e := file.Stat()
		want(t, "stat", e, abi.OK)
		if st.Type != abi.TypeRegular || st.Size != 5 || st.Nlink != 1 || st.Mode != 0o644 {
			t.Errorf("stat %+v", st)
		}
		for _, f := range []abi.OpenFlags{abi.OWrite, abi.ORead | abi.OWrite, abi.OTrunc, abi.ORead | abi.OTrunc, abi.OWrite | abi.OAppend} {
			_, e := file.Open(f)
			want(t, "open for writing", e, abi.EROFS)
		}
		_, _, e = root.Create("new", 0o644, abi.OWrite)
		want(t, "create", e, abi.EROFS)
		want(t, "mkdir", root.Mkdir("new", 0o755), abi.EROFS)
		want(t, "remove", root.Remove("out", false), abi.EROFS)
		want(t, "symlink", root.Symlink("new", "x"), abi.EROFS)
		want(t, "link", root.Link("new", file), abi.EROFS)
		want(t, "rename", root.Rename("out", root, "new"), abi.EROFS)
		now := int64(0)
		want(t, "set times", file.SetTimes(&now, nil), abi.EROFS)
		h := mustOpen(t, file, abi.ORead)
		_, _, e = h.WriteAt([][]byte{{1}}, 0)
		want(t, "write to a handle for reading", e, abi.EBADF)
		want(t, "truncate a handle for reading", h.Truncate(0), abi.EBADF)
		if data, err := os.ReadFile(filepath.Join(dir, "sub/file")); err != nil || string(data) != "hello" {
			t.Errorf("the file is now %q, %v", data, err)
		}
	})
}

func TestHandleDoesWhatItsFlagsSay(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "f"), "0123456789")
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		f := mustWalk(t, root, "f")

		h := mustOpen(t, f, abi.OWrite)
		_, e := h.ReadAt([][]byte{make([]byte, 1)}, 0)
		want(t, "read through a handle for writing", e, abi.EBADF)

		none := mustOpen(t, f, 0)
		_, e = none.ReadAt([][]byte{make([]byte, 1)}, 0)
		want(t, "read through a handle without access", e, abi.EBADF)
		_, _, e = none.WriteAt([][]byte{{1}}, 0)
		want(t, "write through a handle without access", e, abi.EBADF)
		want(t, "sync without access", none.Sync(false), abi.OK)

		_, e = f.Open(abi.ORead | abi.OTrunc)
		want(t, "truncating while reading", e, abi.EINVAL)
		_, e = root.Open(abi.OWrite)
		want(t, "writing a directory", e, abi.EISDIR)
		d := mustOpen(t, root, abi.ORead)
		_, e = d.ReadAt([][]byte{make([]byte, 1)}, 0)
		want(t, "reading a directory", e, abi.EISDIR)
		rh := mustOpen(t, f, abi.ORead)
		_, e = rh.Readdir(0, 10)
		want(t, "listing a file", e, abi.ENOTDIR)
		_, e = d.Readdir(0, 0)
		want(t, "listing nothing", e, abi.EINVAL)
		_, e = f.Readlink()
		want(t, "readlink of a file", e, abi.EINVAL)
		_, e = f.Lookup("x")
		want(t, "lookup in a file", e, abi.ENOTDIR)

		// Vectors, offsets, holes, and the end.
		n, end, e := h.WriteAt([][]byte{[]byte("ab"), nil, []byte("cd")}, 20)
		if n != 4 || end != 24 || e != abi.OK {
			t.Errorf("write: %d, %d, %v", n, end, e)
		}
		if got, wantText := readNode(t, f), "0123456789"+strings.Repeat("\x00", 10)+"abcd"; got != wantText {
			t.Errorf("contents %q, want %q", got, wantText)
		}
		a, b := make([]byte, 3), make([]byte, 5)
		if n, e := rh.ReadAt([][]byte{a, b}, 1); n != 8 || e != abi.OK || string(a)+string(b) != "12345678" {
			t.Errorf("readv: %d %v %q %q", n, e, a, b)
		}
		if n, e := rh.ReadAt([][]byte{a}, 24); n != 0 || e != abi.OK {
			t.Errorf("read at the end: %d %v", n, e)
		}
		if n, e := rh.ReadAt([][]byte{a}, 1<<40); n != 0 || e != abi.OK {
			t.Errorf("read past the end: %d %v", n, e)
		}
		_, e = rh.ReadAt([][]byte{a}, -1)
		want(t, "read before the start", e, abi.EINVAL)
		_, _, e = h.WriteAt([][]byte{a}, -1)
		want(t, "write before the start", e, abi.EINVAL)
		want(t, "negative size", h.Truncate(-1), abi.EINVAL)
		want(t, "truncate", h.Truncate(3), abi.OK)
		if got := readNode(t, f); got != "012" {
			t.Errorf("truncated to %q", got)
		}
		want(t, "sync", h.Sync(false), abi.OK)
		want(t, "datasync", h.Sync(true), abi.OK)
		want(t, "sync of a directory", d.Sync(false), abi.OK)

		// Appending from two handles.
		a1, a2 := mustOpen(t, f, abi.OWrite|abi.OAppend), mustOpen(t, f, abi.OWrite|abi.OAppend)
		if n, end, e := a1.WriteAt([][]byte{[]byte("AA")}, 0); n != 2 || end != 5 || e != abi.OK {
			t.Errorf("append: %d %d %v", n, end, e)
		}
		if n, end, e := a2.WriteAt([][]byte{[]byte("BBB")}, 0); n != 3 || end != 8 || e != abi.OK {
			t.Errorf("append: %d %d %v", n, end, e)
		}
		if got := readNode(t, f); got != "012AABBB" {
			t.Errorf("appended to %q", got)
		}
		tr := mustOpen(t, f, abi.OWrite|abi.OTrunc)
		if got := readNode(t, f); got != "" {
			t.Errorf("OTrunc left %q", got)
		}
		want(t, "close", tr.Close(), abi.OK)
		want(t, "close again", tr.Close(), abi.EBADF)
		_, _, e = tr.WriteAt([][]byte{{1}}, 0)
		want(t, "write after close", e, abi.EBADF)
	})
}

func TestNames(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		for _, bad := range []string{"", ".", "..", "/", "a/b", "../x", "a\x00b", "/etc"} {
			_, e := root.Lookup(bad)
			want(t, "lookup "+bad, e, abi.EINVAL)
			_, _, e = root.Create(bad, 0o644, abi.OWrite)
			want(t, "create "+bad, e, abi.EINVAL)
			want(t, "mkdir "+bad, root.Mkdir(bad, 0o755), abi.EINVAL)
			want(t, "remove "+bad, root.Remove(bad, true), abi.EINVAL)
			want(t, "symlink "+bad, root.Symlink(bad, "t"), abi.EINVAL)
			want(t, "rename from "+bad, root.Rename(bad, root, "x"), abi.EINVAL)
			want(t, "rename to "+bad, root.Rename("x", root, bad), abi.EINVAL)
			want(t, "link "+bad, root.Link(bad, root), abi.EPERM)
		}
		n255, n256 := strings.Repeat("n", 255), strings.Repeat("n", 256)
		_, e := root.Lookup(n256)
		want(t, "lookup of 256 bytes", e, abi.ENAMETOOLONG)
		want(t, "mkdir of 256 bytes", root.Mkdir(n256, 0o755), abi.ENAMETOOLONG)
		want(t, "mkdir of 255 bytes", root.Mkdir(n255, 0o755), abi.OK)
		mustWalk(t, root, n255)
		odd := []string{"\xff\xfe", "new\nline", " ", "...", "-rf", `back\slash`, "\xc0\xaf", "😀"}
		for _, name := range odd {
			n, h, e := root.Create(name, 0o600, abi.OWrite)
			if e == abi.EILSEQ {
				continue // a host file system that wants UTF-8
			}
			want(t, "create "+name, e, abi.OK)
			if e == abi.OK {
				h.Close()
				n.Close()
			}
			mustWalk(t, root, name)
			if _, ok := list(t, root, 3)[name]; !ok {
				t.Errorf("%q is not listed", name)
			}
		}
		_, e = root.Lookup("absent")
		want(t, "lookup of nothing", e, abi.ENOENT)
	})
}

func TestChanges(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		n, h, e := root.Create("f", 0o7777, abi.ORead|abi.OWrite)
		if e != abi.OK {
			t.Fatal(e)
		}
		defer n.Close()
		defer h.Close()
		fi, err := os.Lstat(filepath.Join(dir, "f"))
		check(t, err)
		if fi.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 {
			t.Errorf("a guest made %v", fi.Mode())
		}
		if _, _, e := h.WriteAt([][]byte{[]byte("data")}, 0); e != abi.OK {
			t.Fatal(e)
		}
		_, _, e = root.Create("f", 0o644, abi.OWrite)
		want(t, "create again", e, abi.EEXIST)
		want(t, "mkdir", root.Mkdir("d", 0o7777), abi.OK)
		if fi, err = os.Lstat(filepath.Join(dir, "d")); err != nil || fi.Mode()&(os.ModeSetuid|os.ModeSticky) != 0 {
			t.Errorf("a guest made %v, %v", fi.Mode(), err)
		}
		want(t, "mkdir again", root.Mkdir("d", 0o755), abi.EEXIST)
		d := mustWalk(t, root, "d").(vfs.Dir)

		want(t, "symlink", root.Symlink("l", "../../../etc/passwd"), abi.OK)
		l := mustWalk(t, root, "l")
		if target, e := l.Readlink(); e != abi.OK || target != "../../../etc/passwd" {
			t.Errorf("readlink %q %v", target, e)
		}
		_, e = l.Open(abi.ORead)
		want(t, "open a link", e, abi.ELOOP)
		_, e = l.Lookup("x")
		want(t, "lookup through a link", e, abi.ENOTDIR)
		if st, e := l.Stat(); e != abi.OK || st.Type != abi.TypeSymlink {
			t.Errorf("stat of a link: %+v %v", st, e)
		}

		want(t, "link", d.Link("hard", n), abi.OK)
		hard := mustWalk(t, d, "hard")
		s1, _ := n.Stat()
		s2, _ := hard.Stat()
		if s1.Ino != s2.Ino || s1.Dev != s2.Dev || s2.Nlink != 2 {
			t.Errorf("hard link: %+v, %+v", s1, s2)
		}
		want(t, "link over", root.Link("l", n), abi.EEXIST)
		want(t, "link a directory", root.Link("dd", d), abi.EPERM)

		want(t, "rename across directories", root.Rename("f", d, "g"), abi.OK)
		if st, e := mustWalk(t, d, "g").Stat(); e != abi.OK || st.Ino != s1.Ino {
			t.Errorf("renamed: %+v %v", st, e)
		}
		if got := contents(t, h); got != "data" {
			t.Errorf("an open file lost its data when renamed: %q", got)
		}
		write(t, filepath.Join(dir, "other"), "other")
		want(t, "rename over a file", root.Rename("other", d, "g"), abi.OK)
		if got := readNode(t, mustWalk(t, d, "g")); got != "other" {
			t.Errorf("replaced: %q", got)
		}
		want(t, "rename of nothing", root.Rename("f", d, "x"), abi.ENOENT)
		want(t, "mkdir", root.Mkdir("e", 0o755), abi.OK)
		want(t, "rename a file over a directory", d.Rename("g", root, "e"), abi.EISDIR)
		want(t, "rename a directory into itself", root.Rename("d", d, "in"), abi.EINVAL)
		want(t, "rename a directory over a file", root.Rename("d", root, "l"), abi.ENOTDIR)
		want(t, "rename into a file", d.Rename("g", hard, "x"), abi.ENOTDIR)

		want(t, "rmdir of a file", d.Remove("g", true), abi.ENOTDIR)
		if e := root.Remove("d", false); e != abi.EISDIR && e != abi.EPERM {
			t.Errorf("unlink of a directory: %v", e)
		}
		want(t, "rmdir of a full directory", root.Remove("d", true), abi.ENOTEMPTY)
		want(t, "unlink", d.Remove("g", false), abi.OK)
		want(t, "unlink again", d.Remove("g", false), abi.ENOENT)
		want(t, "unlink the other name", d.Remove("hard", false), abi.OK)
		if got := contents(t, h); got != "data" {
			t.Errorf("an unlinked open file lost its data: %q", got)
		}
		want(t, "rmdir", root.Remove("d", true), abi.OK)
		_, _, e = d.Create("late", 0o644, abi.OWrite)
		want(t, "create in a removed directory", e, abi.ENOENT)
		want(t, "unlink a link", root.Remove("l", false), abi.OK)

		other := mustRoot(t, open(t, t.TempDir(), Options{Write: true}))
		want(t, "rename to another file system", root.Rename("x", other, "x"), abi.EXDEV)
		want(t, "link from another file system", other.Link("x", n), abi.EXDEV)
	})
}

func TestTimes(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "f"), "x")
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		f := mustWalk(t, root, "f")
		before, _ := f.Stat()
		m := int64(1_000_000_000_123_456_789)
		want(t, "set mtime", f.SetTimes(nil, &m), abi.OK)
		st, _ := f.Stat()
		if st.Mtime != m || st.Atime != before.Atime {
			t.Errorf("times %d %d, want %d %d", st.Atime, st.Mtime, before.Atime, m)
		}
		a := int64(5_000_000_001)
		want(t, "set atime", f.SetTimes(&a, nil), abi.OK)
		if st, _ = f.Stat(); st.Mtime != m || st.Atime != a {
			t.Errorf("times %d %d, want %d %d", st.Atime, st.Mtime, a, m)
		}
		want(t, "of a directory", root.SetTimes(&a, &m), abi.OK)
		want(t, "set nothing", f.SetTimes(nil, nil), abi.OK)
	})
}

func TestFIFOsAndSockets(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		fifo := filepath.Join(dir, "fifo")
		check(t, syscall.Mkfifo(fifo, 0o666))
		// A bound path must fit a sockaddr; t.TempDir may be longer.
		short, err := os.MkdirTemp("/tmp", "s")
		check(t, err)
		t.Cleanup(func() { os.RemoveAll(short) })
		ln, err := net.Listen("unix", filepath.Join(short, "sock"))
		check(t, err)
		t.Cleanup(func() { ln.Close() })
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		sroot := mustRoot(t, open(t, short, Options{Write: true}))
		try := func(what string) {
			n := mustWalk(t, root, "fifo")
			for _, f := range []abi.OpenFlags{abi.ORead, abi.OWrite, abi.ORead | abi.OWrite, 0, abi.OWrite | abi.OTrunc, abi.ORead | abi.ONonblock} {
				_, e := n.Open(f)
				want(t, what, e, abi.ENXIO)
			}
			if st, e := n.Stat(); e != abi.OK || st.Type != abi.TypeFIFO {
				t.Errorf("stat of a FIFO: %+v %v", st, e)
			}
			_, _, e := root.Create("fifo", 0o644, abi.OWrite)
			want(t, "create over a FIFO", e, abi.EEXIST)
		}
		try("no peer")
		// Were the FIFO opened at all, the one at its other end would notice.
		rw, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0)
		check(t, err)
		try("a peer")
		check(t, rw.Close())
		if ent := list(t, root, 10)["fifo"]; ent.Type != abi.TypeFIFO {
			t.Errorf("FIFO listed as %v", ent.Type)
		}
		s := mustWalk(t, sroot, "sock")
		_, e := s.Open(abi.ORead)
		want(t, "open a socket", e, abi.ENXIO)
		if ent := list(t, sroot, 10)["sock"]; ent.Type != abi.TypeSocket {
			t.Errorf("socket listed as %v", ent.Type)
		}
		want(t, "rename a FIFO", root.Rename("fifo", root, "fifo2"), abi.OK)
		want(t, "remove a FIFO", root.Remove("fifo2", false), abi.OK)
	})
}

func TestSetuid(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		p := filepath.Join(dir, "suid")
		write(t, p, "code")
		root := mustRoot(t, open(t, dir, Options{Write: true}))
		for _, m := range []os.FileMode{os.ModeSetuid | 0o755, os.ModeSetuid | 0o600, os.ModeSetgid | 0o775} {
			check(t, os.Chmod(p, m))
			n := mustWalk(t, root, "suid")
			for _, f := range []abi.OpenFlags{abi.OWrite, abi.ORead | abi.OWrite, abi.OWrite | abi.OTrunc} {
				_, e := n.Open(f)
				want(t, "write a privileged file", e, abi.EACCES)
			}
			if got := readNode(t, n); got != "code" {
				t.Errorf("read %q", got)
			}
		}
	})
}

func TestGrantOfAFile(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		p := filepath.Join(dir, "only")
		write(t, p, "one")
		write(t, filepath.Join(dir, "beside"), "secret")
		check(t, os.Symlink("only", filepath.Join(dir, "link")))
		for _, path := range []string{p, filepath.Join(dir, "link")} {
			fs := open(t, path, Options{Write: true})
			root := mustRoot(t, fs)
			if got := readNode(t, root); got != "one" {
				t.Errorf("read %q", got)
			}
			for _, name := range []string{"beside", "only"} {
				_, e := root.Lookup(name)
				want(t, "lookup in a file", e, abi.ENOTDIR)
				_, _, e = root.Create("x", 0o644, abi.OWrite)
				want(t, "create in a file", e, abi.ENOTDIR)
			}
			h := mustOpen(t, root, abi.OWrite)
			if _, _, e := h.WriteAt([][]byte{[]byte("one")}, 0); e != abi.OK {
				t.Errorf("write: %v", e)
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	check(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	short, err := os.MkdirTemp("/tmp", "s")
	check(t, err)
	defer os.RemoveAll(short)
	ln, err := net.Listen("unix", filepath.Join(short, "sock"))
	check(t, err)
	defer ln.Close()
	check(t, os.MkdirAll(filepath.Join(dir, "state/runs"), 0o700))
	write(t, filepath.Join(dir, "state/runs/file"), "x")
	state, err := Identify(filepath.Join(dir, "state"))
	check(t, err)
	check(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	for _, c := range []struct {
		path   string
		reason Reason
	}{
		{filepath.Join(dir, "absent"), Missing},
		{filepath.Join(dir, "file/below"), NotDirectory},
		{filepath.Join(dir, "fifo"), IsFIFO},
		{filepath.Join(short, "sock"), IsSocket},
		{"/dev/null", IsDevice},
		{filepath.Join(dir, "loop"), Failed},
		{filepath.Join(dir, "state"), IsHidden},
		{filepath.Join(dir, "state/runs"), IsHidden},
		{filepath.Join(dir, "state/runs/file"), IsHidden},
	} {
		fs, err := Open(c.path, Options{Hidden: []ID{state}})
		var oe *OpenError
		if !errors.As(err, &oe) || oe.Reason != c.reason || fs != nil {
			t.Errorf("%s: %v, want %q", c.path, err, c.reason)
			continue
		}
		if !strings.HasPrefix(oe.Error(), c.path+" ") || oe.Reason.String() == "?" {
			t.Errorf("unhelpful: %q", oe.Error())
		}
	}
	if _, err := Identify(filepath.Join(dir, "absent")); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("identify: %v", err)
	}
}

func TestCloseKeepsHandlesSafe(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d/f"), "x")
	fs, err := Open(dir, Options{Write: true})
	check(t, err)
	root := mustRoot(t, fs)
	d := mustWalk(t, root, "d").(vfs.Dir)
	f := mustWalk(t, d, "f")
	h := mustOpen(t, f, abi.ORead|abi.OWrite)
	check(t, fs.Close())
	check(t, fs.Close())
	if _, e := fs.Root(); e != abi.EIO {
		t.Errorf("root after close: %v", e)
	}
	// What still works may; nothing may crash or give another file.
	ok := func(what string, e abi.Errno) {
		if e != abi.OK && e != abi.EIO {
			t.Errorf("%s after close: %v", what, e)
		}
	}
	_, e := f.Stat()
	ok("stat", e)
	_, e = h.ReadAt([][]byte{make([]byte, 1)}, 0)
	ok("read", e)
	if h2, e := f.Open(abi.ORead); e == abi.OK {
		h2.Close()
	} else {
		ok("open", e)
	}
	if n, h2, e := d.Create("new", 0o600, abi.OWrite); e == abi.OK {
		n.Close()
		h2.Close()
	} else {
		ok("create", e)
	}
	ok("times", f.SetTimes(nil, nil))
	ok("rename", d.Rename("f", d, "g"))
	f.Close()
	f.Close()
	_, e = f.Stat()
	want(t, "stat of a closed handle", e, abi.EBADF)
}

// TestTwoGrantsOfOneFile wants one file to show as one under both.
func TestTwoGrantsOfOneFile(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "d/f"), "x")
		a, e1 := mustWalk(t, mustRoot(t, open(t, dir, Options{})), "d/f").Stat()
		b, e2 := mustWalk(t, mustRoot(t, open(t, filepath.Join(dir, "d"), Options{Write: true})), "f").Stat()
		c, e3 := mustRoot(t, open(t, filepath.Join(dir, "d/f"), Options{})).Stat()
		if e1 != abi.OK || e2 != abi.OK || e3 != abi.OK || a.Dev != b.Dev || a.Ino != b.Ino || a.Dev != c.Dev || a.Ino != c.Ino {
			t.Errorf("%+v %v, %+v %v, %+v %v", a, e1, b, e2, c, e3)
		}
		if id, err := Identify(dir); err != nil || a.Dev == id.Dev {
			t.Errorf("the host's device number shows: %+v %v", id, err)
		}
	})
}
