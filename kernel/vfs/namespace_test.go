package vfs_test

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/devfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// world is a namespace with something in it.
type world struct {
	*testing.T
	ns  *vfs.Namespace
	acc *fstest.Open
}

// newWorld mounts an empty file system at each path and fills them with tree:
// "/d/" is a directory, "/f" a file that holds its own path, "/l -> x" a link.
func newWorld(t *testing.T, mounts []string, tree ...string) *world {
	t.Helper()
	w := &world{T: t, ns: vfs.NewNamespace(vfs.Options{}), acc: fstest.NewOpen()}
	account := limit.NewAccount(limit.Caps{})
	var tracked []*fstest.Tracker
	for _, m := range mounts {
		fs := fstest.Track(memfs.New(account, memfs.Options{}))
		tracked = append(tracked, fs)
		if err := w.ns.Mount(m, fs); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := w.ns.Close(); err != nil {
			t.Error(err)
		}
		if held := account.Held(); len(held) > 0 {
			t.Errorf("still charged: %v", held)
		}
		for i, fs := range tracked {
			if n, faults := fs.Live(), fs.Faults(); n != 0 || len(faults) > 0 {
				t.Errorf("%s: %d handles were not closed; %v", mounts[i], n, faults)
			}
		}
	})
	for _, e := range tree {
		if link, target, ok := strings.Cut(e, " -> "); ok {
			w.ok(e, w.ns.Symlink(w.acc, target, w.base("/"), link))
		} else if strings.HasSuffix(e, "/") {
			w.ok(e, w.ns.Mkdir(w.acc, w.base("/"), e, 0o755))
		} else {
			w.put(e, e)
		}
	}
	return w
}

// rules replaces what decides.
func (w *world) rules(rules ...perm.PathRule) { w.acc = fstest.NewOpen(rules...) }

func (w *world) ok(what string, errno abi.Errno) {
	w.Helper()
	if errno != abi.OK {
		w.Fatalf("%s: %s", what, errno)
	}
}

func (w *world) want(what string, got, want abi.Errno) {
	w.Helper()
	if got != want {
		w.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// dir opens a directory until the test ends.
func (w *world) dir(guest string) *vfs.File {
	w.Helper()
	f, errno := w.ns.OpenDir(guest)
	w.ok("open directory "+guest, errno)
	w.Cleanup(func() { w.ok("close", f.Unref()) })
	return f
}

func (w *world) base(guest string) *vfs.Base { return w.dir(guest).Base() }

func (w *world) put(path, content string) {
	w.Helper()
	f, errno := w.ns.Open(w.acc, w.base("/"), path, abi.OWrite|abi.OCreate|abi.OTrunc, 0o644)
	w.ok("create "+path, errno)
	_, errno = f.Write([][]byte{[]byte(content)})
	w.ok("write", errno)
	w.ok("close", f.Unref())
}

func (w *world) open(base, path string, flags abi.OpenFlags) abi.Errno {
	w.Helper()
	f, errno := w.ns.Open(w.acc, w.base(base), path, flags, 0o644)
	if errno == abi.OK {
		w.ok("close", f.Unref())
	}
	return errno
}

func (w *world) read(base, path string) string {
	w.Helper()
	f, errno := w.ns.Open(w.acc, w.base(base), path, abi.ORead, 0)
	if errno != abi.OK {
		return errno.String()
	}
	defer func() { w.ok("close", f.Unref()) }()
	buf := make([]byte, 1000)
	n, errno := f.Read([][]byte{buf})
	w.ok("read", errno)
	return string(buf[:n])
}

func (w *world) list(guest string) []string {
	w.Helper()
	var out []string
	f, errno := w.ns.Open(w.acc, w.base("/"), guest, abi.ORead|abi.ODirectory, 0)
	w.ok("open "+guest, errno)
	defer func() { w.ok("close", f.Unref()) }()
	for cookie := uint64(0); ; {
		ents, errno := f.Readdir(w.acc, cookie, 2)
		w.ok("readdir", errno)
		if len(ents) == 0 {
			slices.Sort(out)
			return out
		}
		for _, e := range ents {
			out = append(out, e.Name)
		}
		cookie = ents[len(ents)-1].Next
	}
}

func TestWalk(t *testing.T) {
	w := newWorld(t, []string{"/"}, "/d/", "/d/e/", "/d/e/f", "/g", "/d/up -> ../g", "/abs -> /d/e", "/d/loop -> loop",
		"/d/e/back -> ..", "/dangling -> nowhere", "/slash -> d/", "/tofile -> g", "/dots -> ./././d/../d/e/f", "/d/escape -> ../../g")
	long := strings.Repeat("n", 256)
	tests := []struct {
		base, path string
		follow     bool
		want       abi.Errno
		typ        abi.FileType
	}{
		{"/", "d/e/f", true, abi.OK, abi.TypeRegular},
		{"/", "/d/e/f", true, abi.OK, abi.TypeRegular},
		{"/", "//d///e//f", true, abi.OK, abi.TypeRegular},
		{"/", "d/e/../e/./f", true, abi.OK, abi.TypeRegular},
		{"/", ".", true, abi.OK, abi.TypeDirectory},
		{"/", "/", true, abi.OK, abi.TypeDirectory},
		{"/", "d/..", true, abi.OK, abi.TypeDirectory},
		{"/", "d/.", true, abi.OK, abi.TypeDirectory},
		{"/", "d/e/./.", true, abi.OK, abi.TypeDirectory},
		{"/", "d/e/../.", true, abi.OK, abi.TypeDirectory},
		{"/", "", true, abi.ENOENT, 0},
		{"/", "g\x00", true, abi.EINVAL, 0},
		{"/", "\x00", true, abi.EINVAL, 0},
		{"/", long, true, abi.ENAMETOOLONG, 0},
		{"/", long + "/x", true, abi.ENAMETOOLONG, 0},
		{"/", strings.Repeat("d/../", 900), true, abi.ENAMETOOLONG, 0},
		{"/", strings.Repeat("d/../", 800), true, abi.OK, abi.TypeDirectory},
		{"/", "nope", true, abi.ENOENT, 0},
		{"/", "nope/x", true, abi.ENOENT, 0},
		{"/", "nope/../g", true, abi.ENOENT, 0},
		{"/", "g/x", true, abi.ENOTDIR, 0},
		{"/", "g/..", true, abi.ENOTDIR, 0},
		{"/", "g/.", true, abi.ENOTDIR, 0},
		{"/", "g/", true, abi.ENOTDIR, 0},
		{"/", "d/", false, abi.OK, abi.TypeDirectory},
		{"/", "d/up", true, abi.OK, abi.TypeRegular},
		{"/", "d/up", false, abi.OK, abi.TypeSymlink},
		{"/", "d/up/", false, abi.ENOTDIR, 0},
		{"/", "slash", false, abi.OK, abi.TypeSymlink},
		{"/", "slash/", false, abi.OK, abi.TypeDirectory},
		{"/", "slash/e/f", false, abi.OK, abi.TypeRegular},
		{"/", "abs/f", true, abi.OK, abi.TypeRegular},
		{"/", "abs/../../g", true, abi.OK, abi.TypeRegular},
		{"/", "dots", true, abi.OK, abi.TypeRegular},
		{"/", "d/loop", true, abi.ELOOP, 0},
		{"/", "d/loop", false, abi.OK, abi.TypeSymlink},
		{"/", "d/loop/x", false, abi.ELOOP, 0},
		{"/", "dangling", true, abi.ENOENT, 0},
		{"/", "d/e/back/e/back/up", true, abi.OK, abi.TypeRegular},
		{"/", "tofile/x", true, abi.ENOTDIR, 0},
		// A base cannot be left, whether or not the target exists.
		{"/", "..", true, abi.EPERM, 0},
		{"/", "d/../..", true, abi.EPERM, 0},
		{"/", "d/escape", true, abi.EPERM, 0},
		{"/d", "e/f", true, abi.OK, abi.TypeRegular},
		{"/d", "../g", true, abi.EPERM, 0},
		{"/d", "../nope", true, abi.EPERM, 0},
		{"/d", "..", true, abi.EPERM, 0},
		{"/d", "e/../..", true, abi.EPERM, 0},
		{"/d", "up", true, abi.EPERM, 0},
		{"/d", "up", false, abi.OK, abi.TypeSymlink},
		{"/d", "/d/e", true, abi.EPERM, 0},
		{"/d", "/", true, abi.EPERM, 0},
		{"/d", "/nope", true, abi.EPERM, 0},
		{"/d/e", "back", true, abi.EPERM, 0},
		{"/d/e", "f/..", true, abi.ENOTDIR, 0},
	}
	for _, test := range tests {
		st, errno := w.ns.Stat(w.acc, w.base(test.base), test.path, test.follow)
		if errno != test.want || st.Type != test.typ {
			t.Errorf("stat %.40q from %s, follow %v: %s %s, want %s %s", test.path, test.base, test.follow, errno, st.Type, test.want, test.typ)
		}
	}
	if got := w.read("/", "d/up"); got != "/g" {
		t.Errorf("through a link: %q", got)
	}
	w.want("open a link unfollowed", w.open("/", "d/up", abi.ORead|abi.ONofollow), abi.ELOOP)
	chain := newWorld(t, []string{"/"}, "/l0")
	for i := 1; i <= 41; i++ {
		name := func(i int) string { return "l" + string(rune('0'+i/10)) + string(rune('0'+i%10)) }
		target := name(i - 1)
		if i == 1 {
			target = "l0"
		}
		chain.ok("symlink", chain.ns.Symlink(chain.acc, target, chain.base("/"), name(i)))
	}
	chain.want("40 links", chain.open("/", "l40", abi.ORead), abi.OK)
	chain.want("41 links", chain.open("/", "l41", abi.ORead), abi.ELOOP)
}

func TestOpen(t *testing.T) {
	w := newWorld(t, []string{"/"}, "/d/", "/f", "/l -> f", "/dl -> d", "/new -> d/made", "/out -> nowhere/x")
	const R, W, C, X, T, D, N = abi.ORead, abi.OWrite, abi.OCreate, abi.OExcl, abi.OTrunc, abi.ODirectory, abi.ONofollow
	tests := []struct {
		path  string
		flags abi.OpenFlags
		want  abi.Errno
	}{
		{"d", R, abi.OK}, {"d", W, abi.EISDIR}, {"d", R | T, abi.EISDIR}, {"d", R | C, abi.EISDIR}, {"d", R | C | X, abi.EEXIST}, {"d", R | D, abi.OK},
		{"f", R | D, abi.ENOTDIR}, {"f/", R, abi.ENOTDIR}, {"f", R | C, abi.OK}, {"f", W | C | X, abi.EEXIST}, {"f/", R | C, abi.ENOTDIR},
		{"l", R | N, abi.ELOOP}, {"l", W | C | X, abi.EEXIST}, {"l", W | C | N, abi.ELOOP}, {"l", R | C, abi.OK},
		{"dl", R | D, abi.OK}, {"dl", R | D | N, abi.ELOOP}, {"dl/", R | D | N, abi.OK},
		{"x/", W | C, abi.EISDIR}, {"x", R, abi.ENOENT}, {"x", R | C | D, abi.EINVAL}, {"nope/x", W | C, abi.ENOENT},
		{"out", W | C, abi.ENOENT}, {"new", W | C, abi.OK}, {"d/made", R, abi.OK}, {".", W | C, abi.EISDIR}, {"..", W | C, abi.EPERM},
		{"", R | C, abi.ENOENT}, {"a\x00b", W | C, abi.EINVAL}, {strings.Repeat("x", 256), W | C, abi.ENAMETOOLONG},
	}
	for _, test := range tests {
		if got := w.open("/", test.path, test.flags); got != test.want {
			t.Errorf("open %.20q %b: %s, want %s", test.path, test.flags, got, test.want)
		}
	}
}

func TestMutations(t *testing.T) {
	w := newWorld(t, []string{"/"}, "/d/", "/d/e/", "/f", "/l -> f", "/dl -> d", "/gone -> x")
	b := w.base("/")
	w.want("mkdir .", w.ns.Mkdir(w.acc, b, ".", 0), abi.EEXIST)
	w.want("mkdir over a file", w.ns.Mkdir(w.acc, b, "f/", 0), abi.EEXIST)
	w.want("mkdir x/", w.ns.Mkdir(w.acc, b, "x/", 0o755), abi.OK)
	w.want("mkdir a/b", w.ns.Mkdir(w.acc, b, "a/b", 0o755), abi.ENOENT)
	w.want("rmdir .", w.ns.Rmdir(w.acc, b, "d/."), abi.EINVAL)
	w.want("rmdir ..", w.ns.Rmdir(w.acc, b, "d/e/.."), abi.ENOTEMPTY)
	w.want("rmdir full", w.ns.Rmdir(w.acc, b, "d"), abi.ENOTEMPTY)
	w.want("rmdir file/", w.ns.Rmdir(w.acc, b, "f/"), abi.ENOTDIR)
	w.want("rmdir x/", w.ns.Rmdir(w.acc, b, "x/"), abi.OK)
	w.want("unlink dir", w.ns.Unlink(w.acc, b, "d"), abi.EISDIR)
	w.want("unlink dir/", w.ns.Unlink(w.acc, b, "d/"), abi.EISDIR)
	w.want("unlink file/", w.ns.Unlink(w.acc, b, "f/"), abi.ENOTDIR)
	w.want("unlink .", w.ns.Unlink(w.acc, b, "."), abi.EISDIR)
	w.want("symlink over", w.ns.Symlink(w.acc, "x", b, "f"), abi.EEXIST)
	w.want("symlink new/", w.ns.Symlink(w.acc, "x", b, "new/"), abi.ENOENT)
	w.want("symlink dir/", w.ns.Symlink(w.acc, "x", b, "d/"), abi.EEXIST)
	w.want("symlink to nothing", w.ns.Symlink(w.acc, "", b, "new"), abi.ENOENT)
	w.want("link dir", w.ns.Link(w.acc, b, "d", false, b, "d2"), abi.EPERM)
	w.want("link new/", w.ns.Link(w.acc, b, "f", false, b, "new/"), abi.ENOENT)
	w.want("link over", w.ns.Link(w.acc, b, "f", false, b, "l"), abi.EEXIST)
	w.want("link a link", w.ns.Link(w.acc, b, "l", false, b, "l2"), abi.OK)
	w.want("link its target", w.ns.Link(w.acc, b, "l", true, b, "f2"), abi.OK)
	if st, _ := w.ns.Stat(w.acc, b, "f2", false); st.Type != abi.TypeRegular || st.Nlink != 2 {
		t.Errorf("f2 is %+v", st)
	}
	if s, errno := w.ns.Readlink(w.acc, b, "l2"); s != "f" || errno != abi.OK {
		t.Errorf("l2: %q %s", s, errno)
	}
	_, errno := w.ns.Readlink(w.acc, b, "dl/")
	w.want("readlink dl/", errno, abi.EINVAL)
	w.want("rename file/", w.ns.Rename(w.acc, b, "f/", b, "g"), abi.ENOTDIR)
	w.want("rename to file/", w.ns.Rename(w.acc, b, "f", b, "g/"), abi.ENOTDIR)
	w.want("rename dir/", w.ns.Rename(w.acc, b, "d/e/", b, "e2/"), abi.OK)
	w.want("rename .", w.ns.Rename(w.acc, b, ".", b, "x"), abi.EBUSY)
	w.want("rename nothing", w.ns.Rename(w.acc, b, "nope", b, "x"), abi.ENOENT)
	w.want("rename link", w.ns.Rename(w.acc, b, "gone", b, "gone2"), abi.OK)
	at := int64(5)
	w.want("times of a link", w.ns.SetTimes(w.acc, b, "l", false, &at, &at), abi.OK)
	w.want("times of nothing", w.ns.SetTimes(w.acc, b, "gone2", true, &at, &at), abi.ENOENT)
	if st, _ := w.ns.Stat(w.acc, b, "f", false); st.Mtime == 5 {
		t.Error("setting the times of a link changed its target")
	}
}

func TestMounts(t *testing.T) {
	w := newWorld(t, []string{"/a/b", "/a/b/c/d", "/tmp"}, "/a/b/f", "/a/b/c/d/g", "/tmp/t")
	if err := w.ns.Mount("/dev", devfs.New()); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][]string{"/": {"a", "dev", "tmp"}, "/a": {"b"}, "/a/b": {"c", "f"}, "/a/b/c": {"d"}, "/a/b/c/d": {"g"},
		"/dev": {"full", "null", "random", "urandom", "zero"}} {
		if got := w.list(dir); !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", dir, got, want)
		}
	}
	if got := w.read("/", "a/b/../b/c/d/g"); got != "/a/b/c/d/g" {
		t.Errorf("read %q", got)
	}
	b := w.base("/")
	w.want("create in a synthetic directory", w.open("/", "a/x", abi.OWrite|abi.OCreate), abi.EACCES)
	w.want("create on the way to a mount", w.open("/", "a/b/c/x", abi.OWrite|abi.OCreate), abi.EACCES)
	w.want("mkdir of a mount", w.ns.Mkdir(w.acc, b, "a/b", 0o755), abi.EEXIST)
	w.want("mkdir of the way to a mount", w.ns.Mkdir(w.acc, b, "a", 0o755), abi.EEXIST)
	w.want("rmdir of a mount", w.ns.Rmdir(w.acc, b, "tmp"), abi.EBUSY)
	w.want("rmdir of the way", w.ns.Rmdir(w.acc, b, "a/b/c"), abi.EBUSY)
	w.want("unlink of a mount", w.ns.Unlink(w.acc, b, "tmp"), abi.EBUSY)
	w.want("rename of a mount", w.ns.Rename(w.acc, b, "tmp", b, "tmp2"), abi.EBUSY)
	w.want("rename of the way", w.ns.Rename(w.acc, b, "a/b/c", b, "a/b/x"), abi.EBUSY)
	w.want("rename over the way", w.ns.Rename(w.acc, b, "a/b/f", b, "a/b/c"), abi.EBUSY)
	w.want("rename across mounts", w.ns.Rename(w.acc, b, "a/b/f", b, "tmp/f"), abi.EXDEV)
	w.want("link across mounts", w.ns.Link(w.acc, b, "a/b/f", false, b, "tmp/f"), abi.EXDEV)
	at := int64(1)
	w.want("times of a synthetic directory", w.ns.SetTimes(w.acc, b, "a", true, &at, nil), abi.EACCES)
	w.want("write to a device", w.open("/", "dev/null", abi.OWrite|abi.OTrunc), abi.OK)
	w.want("create a device", w.open("/", "dev/new", abi.OWrite|abi.OCreate), abi.EROFS)
	st, errno := w.ns.Stat(w.acc, b, "a", true)
	if errno != abi.OK || st.Type != abi.TypeDirectory || st.Ino == 0 {
		t.Errorf("a synthetic directory: %+v, %s", st, errno)
	}
	// A directory that exists shows through on the way to a mount beneath it.
	v := newWorld(t, []string{"/w", "/w/x/deep"})
	v.want("the way is synthetic", v.open("/", "w/x/f", abi.OWrite|abi.OCreate), abi.EACCES)
	if err := v.ns.Mount("/w", memfs.New(nil, memfs.Options{})); err == nil {
		t.Error("two mounts at one place")
	}
	if err := v.ns.Mount("rel", memfs.New(nil, memfs.Options{})); err == nil {
		t.Error("a mount at a relative path")
	}
}

// A grant of a single file is a directory with one entry.
func TestFileGrant(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.ns.Mount("/a/b.txt", &fileFS{FS: memfs.New(nil, memfs.Options{})}); err != nil {
		t.Fatal(err)
	}
	w.rules(perm.PathRule{Guest: "/a/b.txt", Right: perm.Write, Host: "/host/b.txt"})
	if got := w.list("/a"); !slices.Equal(got, []string{"b.txt"}) {
		t.Errorf("listed %v", got)
	}
	w.want("write", w.open("/a", "b.txt", abi.OWrite), abi.OK)
	w.want("another", w.open("/a", "c.txt", abi.ORead), abi.ENOENT)
	w.want("create another", w.open("/a", "c.txt", abi.OWrite|abi.OCreate), abi.EACCES)
	w.want("as a directory", w.open("/a", "b.txt/", abi.ORead), abi.ENOTDIR)
	w.want("beneath", w.open("/a", "b.txt/x", abi.ORead), abi.ENOTDIR)
	w.want("unlink", w.ns.Unlink(w.acc, w.base("/a"), "b.txt"), abi.EBUSY)
	w.want("open the directory of a file", dirErr(w.ns.OpenDir("/a/b.txt")), abi.ENOTDIR)
	if !slices.Contains(w.acc.Unfound, "/a/c.txt") {
		t.Errorf("hidden: %v", w.acc.Unfound)
	}
}

func dirErr(_ *vfs.File, errno abi.Errno) abi.Errno { return errno }

// fileFS has a file for its root.
type fileFS struct{ *memfs.FS }

func (f *fileFS) Root() (vfs.Node, abi.Errno) {
	root, errno := f.FS.Root()
	if errno != abi.OK {
		return nil, errno
	}
	defer root.Close()
	if n, errno := root.Lookup("f"); errno == abi.OK {
		return n, abi.OK
	}
	d, ok := root.(vfs.Dir)
	if !ok {
		return nil, abi.EIO
	}
	n, h, errno := d.Create("f", 0o644, abi.OWrite)
	if errno != abi.OK {
		return nil, errno
	}
	return n, h.Close()
}

func TestDeny(t *testing.T) {
	w := newWorld(t, []string{"/w"}, "/w/d/", "/w/d/secret/", "/w/d/secret/f", "/w/d/open", "/w/in -> d/secret/f", "/w/f", "/w/ro/", "/w/ro/f")
	w.rules(perm.PathRule{Guest: "/w", Right: perm.Write, Host: "/h/w"}, perm.PathRule{Guest: "/w/ro", Right: perm.Read, Host: "/h/w/ro"},
		perm.PathRule{Host: "/h/w/d/secret", Right: perm.None}, perm.PathRule{Guest: "/w/d/not", Right: perm.None})
	if got := w.list("/w/d"); !slices.Equal(got, []string{"open"}) {
		t.Errorf("listed %v", got)
	}
	b := w.base("/w")
	const R, WC = abi.ORead, abi.OWrite | abi.OCreate
	at := int64(1)
	for _, name := range []string{"secret", "not"} { // there, and not there: the same answers
		p := "d/" + name
		for what, errnos := range map[string][2]abi.Errno{
			"read":        {w.open("/w", p, R), abi.ENOENT},
			"read in":     {w.open("/w", p+"/f", R), abi.ENOENT},
			"read none":   {w.open("/w", p+"/g", R), abi.ENOENT},
			"write":       {w.open("/w", p+"/f", abi.OWrite), abi.EACCES},
			"create":      {w.open("/w", p+"/f", WC), abi.EACCES},
			"create excl": {w.open("/w", p, WC|abi.OExcl), abi.EACCES},
			"mkdir":       {w.ns.Mkdir(w.acc, b, p, 0o755), abi.EACCES},
			"mkdir in":    {w.ns.Mkdir(w.acc, b, p+"/x", 0o755), abi.EACCES},
			"rmdir":       {w.ns.Rmdir(w.acc, b, p), abi.EACCES},
			"unlink":      {w.ns.Unlink(w.acc, b, p), abi.EACCES},
			"unlink in":   {w.ns.Unlink(w.acc, b, p+"/f"), abi.EACCES},
			"rename from": {w.ns.Rename(w.acc, b, p, b, "x"), abi.EACCES},
			"rename to":   {w.ns.Rename(w.acc, b, "f", b, p), abi.EACCES},
			"rename in":   {w.ns.Rename(w.acc, b, "f", b, p+"/x"), abi.EACCES},
			"rename out":  {w.ns.Rename(w.acc, b, p+"/f", b, "x"), abi.EACCES},
			"rename top":  {w.ns.Rename(w.acc, b, "d", b, "d2"), abi.EACCES},
			"link from":   {w.ns.Link(w.acc, b, p+"/f", false, b, "x"), abi.EACCES},
			"link to":     {w.ns.Link(w.acc, b, "f", false, b, p), abi.EACCES},
			"symlink":     {w.ns.Symlink(w.acc, "x", b, p), abi.EACCES},
			"times":       {w.ns.SetTimes(w.acc, b, p, true, &at, &at), abi.EACCES},
		} {
			w.want(what+" "+p, errnos[0], errnos[1])
		}
		_, errno := w.ns.Stat(w.acc, b, p, true)
		w.want("stat "+p, errno, abi.ENOENT)
		_, errno = w.ns.Readlink(w.acc, b, p)
		w.want("readlink "+p, errno, abi.ENOENT)
		w.want("open dir "+p, w.open("/w", p, R|abi.ODirectory), abi.ENOENT)
		w.want("past "+p, w.open("/w", p+"/../open", R), abi.ENOENT)
	}
	w.want("through a link", w.open("/w", "in", R), abi.ENOENT)
	w.want("write through a link", w.open("/w", "in", abi.OWrite), abi.EACCES)
	w.want("rename over an ancestor", w.ns.Rename(w.acc, b, "ro", b, "d"), abi.EACCES)

	w.want("read-only: read", w.open("/w", "ro/f", R), abi.OK)
	w.want("read-only: write", w.open("/w", "ro/f", abi.OWrite), abi.EACCES)
	w.want("read-only: truncate", w.open("/w", "ro/f", R|abi.OTrunc), abi.EACCES)
	w.want("read-only: create", w.open("/w", "ro/x", WC), abi.EACCES)
	w.want("read-only: open-or-create", w.open("/w", "ro/f", R|abi.OCreate), abi.OK)
	w.want("read-only: mkdir of what is there", w.ns.Mkdir(w.acc, b, "ro", 0o755), abi.EEXIST)
	w.want("read-only: mkdir", w.ns.Mkdir(w.acc, b, "ro/x", 0o755), abi.EACCES)
	w.want("read-only: unlink", w.ns.Unlink(w.acc, b, "ro/f"), abi.EACCES)
	w.want("read-only: unlink nothing", w.ns.Unlink(w.acc, b, "ro/x"), abi.ENOENT)
	w.want("read-only: link out", w.ns.Link(w.acc, b, "ro/f", false, b, "x"), abi.EACCES)
	w.want("read-only: rename out", w.ns.Rename(w.acc, b, "ro/f", b, "x"), abi.EACCES)
	w.want("read-only: rename itself", w.ns.Rename(w.acc, b, "ro", b, "rw"), abi.EACCES)
	w.want("read-only: times", w.ns.SetTimes(w.acc, b, "ro/f", true, &at, &at), abi.EACCES)
	f, errno := w.ns.Open(w.acc, b, "ro/f", R, 0)
	w.ok("open", errno)
	w.want("read-only: futimes", f.SetTimes(w.acc, &at, &at), abi.EACCES)
	w.want("read-only: ftruncate", f.Truncate(0), abi.EINVAL)
	w.ok("close", f.Unref())
	if len(w.acc.Unfound) > 0 {
		t.Errorf("hidden: %v", w.acc.Unfound)
	}
}

func TestProtected(t *testing.T) {
	w := newWorld(t, []string{"/w"}, "/w/.git/", "/w/.git/hooks/", "/w/.git/hooks/old", "/w/.git/HEAD", "/w/p/", "/w/evil/", "/w/evil/hooks/", "/w/f",
		"/w/.git/modules/", "/w/.git/modules/m/", "/w/.git/modules/m/config", "/w/plain/", "/w/via -> .git/hooks")
	w.rules(perm.PathRule{Guest: "/w", Right: perm.Write, Host: "/h/w"})
	b := w.base("/w")
	const WC = abi.OWrite | abi.OCreate
	at := int64(1)
	for what, errno := range map[string]abi.Errno{
		"create":                 w.open("/w", ".git/hooks/pre-commit", WC),
		"create elsewhere":       w.open("/w", "p/.bashrc", WC),
		"create through a link":  w.open("/w", "via/pre-commit", WC),
		"write":                  w.open("/w", ".git/hooks/old", abi.OWrite),
		"truncate":               w.open("/w", ".git/hooks/old", abi.ORead|abi.OTrunc),
		"unlink":                 w.ns.Unlink(w.acc, b, ".git/hooks/old"),
		"unlink what is not":     w.ns.Unlink(w.acc, b, ".mcp.json"),
		"rename from":            w.ns.Rename(w.acc, b, ".git/hooks", b, "x"),
		"rename to":              w.ns.Rename(w.acc, b, "f", b, ".git/config"),
		"rename over":            w.ns.Rename(w.acc, b, "f", b, ".git/hooks/old"),
		"rename of the prefix":   w.ns.Rename(w.acc, b, ".git", b, "git"),
		"rename onto the prefix": w.ns.Rename(w.acc, b, "evil", b, "p/.git"),
		"rename, other case":     w.ns.Rename(w.acc, b, "evil", b, "p/.GIT"),
		"rename the submodules":  w.ns.Rename(w.acc, b, ".git/modules", b, "m"),
		"rename onto submodules": w.ns.Rename(w.acc, b, "evil", b, ".git/worktrees"),
		"rename in a submodule":  w.ns.Rename(w.acc, b, ".git/modules/m", b, "m"),
		"rename to a submodule":  w.ns.Rename(w.acc, b, "plain", b, ".git/modules/n"),
		"link from":              w.ns.Link(w.acc, b, ".git/hooks/old", false, b, "x"),
		"link to":                w.ns.Link(w.acc, b, "f", false, b, ".git/config"),
		"symlink":                w.ns.Symlink(w.acc, "evil", b, ".vscode"),
		"symlink for the prefix": w.ns.Symlink(w.acc, "evil", b, "p/.git"),
		"file for the prefix":    w.open("/w", "p/.git", WC),
		"mkdir":                  w.ns.Mkdir(w.acc, b, ".vscode", 0o755),
		"mkdir in":               w.ns.Mkdir(w.acc, b, ".git/hooks/d", 0o755),
		"rmdir":                  w.ns.Rmdir(w.acc, b, "p/.git/hooks/"),
		"times":                  w.ns.SetTimes(w.acc, b, ".git/hooks", true, &at, &at),
		"times of a file":        w.ns.SetTimes(w.acc, b, ".git/hooks/old", true, &at, &at),
	} {
		if what == "rmdir" {
			w.want(what, errno, abi.ENOENT) // p/.git is not there
			continue
		}
		w.want(what, errno, abi.EACCES)
	}
	w.want("read", w.open("/w", ".git/hooks/old", abi.ORead), abi.OK)
	w.want("read what is not", w.open("/w", ".git/config", abi.ORead), abi.ENOENT)
	w.want("mkdir of the prefix", w.ns.Mkdir(w.acc, b, "p/.git", 0o755), abi.OK)
	w.want("mkdir of hooks in it", w.ns.Mkdir(w.acc, b, "p/.git/hooks", 0o755), abi.EACCES)
	w.want("write beside", w.open("/w", "p/.git/HEAD", WC), abi.OK)
	w.want("rename above", w.ns.Rename(w.acc, b, "p", b, "q"), abi.OK)
	w.want("still protected", w.open("/w", "q/.git/config", WC), abi.EACCES)
	w.want("rename files in a submodule", w.open("/w", ".git/modules/m/index.lock", WC), abi.OK)
	w.want("rename files in a submodule", w.ns.Rename(w.acc, b, ".git/modules/m/index.lock", b, ".git/modules/m/index"), abi.OK)
	if got := w.list("/w/.git"); !slices.Equal(got, []string{"HEAD", "hooks", "modules"}) {
		t.Errorf("listed %v", got)
	}
}

// An absolute link is followed where its target lies beneath the mount point that
// the walk began at, and nowhere else.
func TestAbsoluteLinks(t *testing.T) {
	w := newWorld(t, []string{"/m", "/n", "/m/sub"}, "/m/d/", "/m/d/f", "/n/g", "/m/sub/h",
		"/m/in -> /m/d/f", "/m/slashes -> //m///d//", "/m/self -> /m", "/m/selfslash -> /m/", "/m/d/back -> /m/in", "/m/twice -> /m/self/in",
		"/m/sublink -> /m/sub/h", "/m/none -> /m/nope", "/m/over -> /m/d/../../n/g", "/m/dots -> /./m/d/f", "/m/up -> /n/../m/d/f",
		"/m/other -> /n/g", "/m/root -> /", "/m/like -> /mm/d/f", "/m/loop -> /m/loop", "/m/d/in -> /m/d/f", "/n/away -> /m/d/f")
	w.rules(perm.PathRule{Guest: "/m", Right: perm.Write}, perm.PathRule{Guest: "/n", Right: perm.Write})
	for _, test := range []struct {
		base, path string
		want       abi.Errno
		typ        abi.FileType
	}{
		{"/m", "in", abi.OK, abi.TypeRegular},
		{"/m", "slashes/f", abi.OK, abi.TypeRegular},
		{"/m", "self", abi.OK, abi.TypeDirectory},
		{"/m", "self/d/f", abi.OK, abi.TypeRegular},
		{"/m", "selfslash", abi.OK, abi.TypeDirectory},
		{"/m", "d/back", abi.OK, abi.TypeRegular},
		{"/m", "twice", abi.OK, abi.TypeRegular},
		{"/m", "sublink", abi.OK, abi.TypeRegular},
		{"/m/sub", "../sublink", abi.EPERM, 0},
		{"/m", "none", abi.ENOENT, 0},
		{"/m", "over", abi.EPERM, 0},
		{"/m", "dots", abi.EPERM, 0},
		{"/m", "up", abi.EPERM, 0},
		{"/m", "other", abi.EPERM, 0},
		{"/m", "root", abi.EPERM, 0},
		{"/m", "like", abi.EPERM, 0},
		{"/m", "loop", abi.ELOOP, 0},
		{"/m/d", "in", abi.EPERM, 0}, // d may be moved
		{"/n", "away", abi.EPERM, 0},
		{"/", "n/away", abi.OK, abi.TypeRegular},
		{"/", "m/up", abi.OK, abi.TypeRegular},
	} {
		st, errno := w.ns.Stat(w.acc, w.base(test.base), test.path, true)
		if errno != test.want || st.Type != test.typ {
			t.Errorf("stat %q from %s: %s %s, want %s %s", test.path, test.base, errno, st.Type, test.want, test.typ)
		}
	}
}

func TestHidden(t *testing.T) {
	w := newWorld(t, []string{"/w", "/tmp"}, "/w/l -> ../etc/passwd", "/w/d/")
	w.rules(perm.PathRule{Guest: "/w", Right: perm.Write, Host: "/h/w"}, perm.PathRule{Guest: "/tmp", Right: perm.Write})
	w.want("", w.open("/", "/etc/passwd", abi.ORead), abi.ENOENT)
	w.want("", w.open("/w", "l", abi.ORead), abi.EPERM)
	w.want("", w.open("/w", "d/../../home/x", abi.ORead), abi.EPERM)
	w.want("", w.open("/", "tmp/socket", abi.ORead), abi.ENOENT)
	w.want("", w.open("/", "w/none", abi.ORead), abi.ENOENT) // covered by a grant of the host: no news
	if want := []string{"/etc/passwd", "/etc/passwd", "/home/x", "/tmp/socket"}; !slices.Equal(w.acc.Unfound, want) {
		t.Errorf("hidden %q, want %q", w.acc.Unfound, want)
	}
}

// Handles outlive what they were reached through, and closing lets go of all.
func TestClose(t *testing.T) {
	w := newWorld(t, []string{"/", "/m"}, "/d/", "/d/f")
	d, errno := w.ns.OpenDir("/d")
	w.ok("open", errno)
	dot, errno := w.ns.Open(w.acc, d.Base(), ".", abi.ORead|abi.ODirectory, 0)
	w.ok("open .", errno)
	root, errno := w.ns.OpenDir("/m")
	w.ok("open", errno)
	w.ok("close", d.Unref())
	if _, errno := w.ns.Stat(w.acc, dot.Base(), "f", true); errno != abi.OK {
		t.Errorf("stat from a directory whose origin was closed: %s", errno)
	}
	w.ok("close", dot.Unref())
	if err := w.ns.Close(); err != nil {
		t.Fatal(err)
	}
	_, errno = w.ns.Stat(w.acc, root.Base(), ".", true)
	w.want("stat after close", errno, abi.EIO)
	_, errno = w.ns.OpenDir("/")
	w.want("open after close", errno, abi.EIO)
	w.ok("close", root.Unref())
	if err := w.ns.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

// One namespace is used and closed from many goroutines; the race detector and
// the account at the end are the judges.
func TestConcurrentClose(t *testing.T) {
	w := newWorld(t, []string{"/", "/m/n"}, "/d/", "/d/f")
	root := w.dir("/")
	var wg sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 4 {
		wg.Go(func() {
			acc := fstest.NewOpen()
			for i := range 300 {
				f, errno := w.ns.Open(acc, root.Base(), "d/f", abi.ORead|abi.OWrite, 0)
				if errno == abi.OK {
					_, _ = f.Write([][]byte{[]byte("x")}) // EIO once it is closed
					_ = f.Unref()
				} else if errno != abi.EIO {
					t.Errorf("open: %s", errno)
				}
				if i == 50 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	if err := w.ns.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestMountWhileWalking mounts while walks and listings go on: from directories that
// were open before, what is mounted is found, and nothing is lost on the way.
func TestMountWhileWalking(t *testing.T) {
	w := newWorld(t, []string{"/a/b", "/tmp"}, "/a/b/f", "/tmp/d/", "/tmp/d/own")
	root, a, d := w.dir("/"), w.dir("/a"), w.dir("/tmp/d")
	const mounts = 50
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			acc := fstest.NewOpen()
			for !done.Load() {
				for _, p := range []string{"a/b/f", "tmp/d/own"} {
					if _, errno := w.ns.Stat(acc, root.Base(), p, true); errno != abi.OK {
						t.Errorf("%s: %s", p, errno)
						return
					}
				}
				if f, errno := w.ns.OpenDir("/a"); errno == abi.OK {
					ents, errno := f.Readdir(acc, 0, 1000)
					if errno != abi.OK || len(ents) == 0 || ents[0].Name != "b" {
						t.Errorf("/a lists %v, %s", ents, errno)
					}
					_ = f.Unref()
				}
			}
		})
	}
	for i := range mounts {
		for _, p := range []string{"/a/m", "/tmp/d/m"} {
			p += strconv.Itoa(i)
			if err := w.ns.Mount(p, memfs.New(nil, memfs.Options{})); err != nil {
				t.Fatal(err)
			}
			name := path.Base(p)
			base := a.Base()
			if p[1] == 't' {
				base = d.Base()
			}
			st, errno := w.ns.Stat(w.acc, base, name, true)
			if errno != abi.OK || st.Type != abi.TypeDirectory {
				t.Errorf("%s from an open directory: %+v, %s", p, st, errno)
			}
			if point, covered, beneath := w.ns.Covered(p + "/x"); point != p || !covered || beneath {
				t.Errorf("%s/x is shown by %s, %t, %t", p, point, covered, beneath)
			}
		}
	}
	done.Store(true)
	wg.Wait()
	if point, covered, beneath := w.ns.Covered("/a"); covered || !beneath {
		t.Errorf("/a is shown by %q, %t", point, beneath)
	}
	if got := len(w.list("/a")); got != mounts+1 {
		t.Errorf("/a lists %d", got)
	}
	// A listing goes on as it began: its cookies mean what they meant.
	if ents, errno := a.Readdir(w.acc, 1, 1000); errno != abi.OK || len(ents) != 0 {
		t.Errorf("a listing that was at its end goes on with %v, %s", ents, errno)
	}
	w.want("rename of what leads to a new mount", w.ns.Rename(w.acc, w.base("/"), "tmp/d", w.base("/"), "tmp/e"), abi.EBUSY)
	w.want("removal of a new mount", w.ns.Rmdir(w.acc, d.Base(), "m0"), abi.EBUSY)
}
