package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/devfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

func (w *world) file(path string, flags abi.OpenFlags) *vfs.File {
	w.Helper()
	f, errno := w.ns.Open(w.acc, w.base("/"), path, flags, 0o644)
	w.ok("open "+path, errno)
	w.Cleanup(func() { w.ok("close", f.Unref()) })
	return f
}

func vec(parts ...string) [][]byte {
	var out [][]byte
	for _, p := range parts {
		out = append(out, []byte(p))
	}
	return out
}

func (w *world) moves(what string, n int, errno abi.Errno, want int) {
	w.Helper()
	if n != want || errno != abi.OK {
		w.Errorf("%s: %d, %s, want %d", what, n, errno, want)
	}
}

func TestFileAccess(t *testing.T) {
	w := newWorld(t, []string{"/"}, "/d/", "/f")
	r, wr, d := w.file("f", abi.ORead), w.file("f", abi.OWrite), w.file("d", abi.ORead|abi.ODirectory)
	_, errno := r.Write(vec("x"))
	w.want("write to a file open for reading", errno, abi.EBADF)
	_, errno = r.Pwrite(vec("x"), 0)
	w.want("pwrite to a file open for reading", errno, abi.EBADF)
	w.want("truncate a file open for reading", r.Truncate(0), abi.EINVAL)
	w.want("allocate in a file open for reading", r.Allocate(0, 1), abi.EBADF)
	_, errno = wr.Read(vec("x"))
	w.want("read from a file open for writing", errno, abi.EBADF)
	_, errno = wr.Pread(vec("x"), 0)
	w.want("pread from a file open for writing", errno, abi.EBADF)
	_, errno = d.Read(vec("x"))
	w.want("read a directory", errno, abi.EISDIR)
	_, errno = d.Write(vec("x"))
	w.want("write a directory", errno, abi.EBADF)
	_, errno = d.SeekTo(0, abi.SeekSet)
	w.want("rewind a directory", errno, abi.EBADF)
	_, errno = d.SeekTo(0, abi.SeekEnd)
	w.want("seek to the end of a directory", errno, abi.EBADF)
	_, errno = r.Readdir(w.acc, 0, 1)
	w.want("list a file", errno, abi.ENOTDIR)
	_, errno = d.Readdir(w.acc, 0, 0)
	w.want("list nothing", errno, abi.EINVAL)
	_, errno = r.Pread(vec("x"), -1)
	w.want("pread before the start", errno, abi.EINVAL)
	w.want("truncate below zero", wr.Truncate(-1), abi.EINVAL)
	w.want("allocate nothing", wr.Allocate(0, 0), abi.EINVAL)
	w.want("allocate too far", wr.Allocate(math.MaxInt64, 1), abi.EFBIG)
	w.want("advise", r.Advise(0, 0), abi.OK)
	w.want("advise below zero", r.Advise(-1, 0), abi.EINVAL)
	w.want("sync", r.Sync(true), abi.OK)
	if d.Base() == nil || r.Base() != nil || r.Type() != abi.TypeRegular || d.Type() != abi.TypeDirectory || r.Path() != "/f" {
		t.Error("a file is not described as what it is")
	}
}

func TestOffsets(t *testing.T) {
	w := newWorld(t, []string{"/"})
	f := w.file("f", abi.ORead|abi.OWrite|abi.OCreate)
	n, errno := f.Write(vec("hello", " ", "world"))
	w.moves("write", n, errno, 11)
	seek := func(off int64, whence uint32, want int64, wantErrno abi.Errno) {
		t.Helper()
		if got, errno := f.SeekTo(off, whence); got != want || errno != wantErrno {
			t.Errorf("seek %d from %d: %d, %s", off, whence, got, errno)
		}
	}
	seek(0, abi.SeekCur, 11, abi.OK)
	seek(-5, abi.SeekEnd, 6, abi.OK)
	seek(-7, abi.SeekCur, 0, abi.EINVAL)
	seek(0, 3, 0, abi.EINVAL)
	seek(math.MaxInt64, abi.SeekCur, 0, abi.EOVERFLOW)
	seek(math.MinInt64, abi.SeekSet, 0, abi.EINVAL)
	seek(0, abi.SeekCur, 6, abi.OK)
	buf := make([]byte, 3)
	n, errno = f.Read([][]byte{buf})
	w.moves("read", n, errno, 3)
	if string(buf) != "wor" {
		t.Errorf("read %q", buf)
	}
	n, errno = f.Pread([][]byte{buf}, 0)
	w.moves("pread", n, errno, 3)
	n, errno = f.Pwrite(vec("HE"), 0)
	w.moves("pwrite", n, errno, 2)
	seek(0, abi.SeekCur, 9, abi.OK)
	seek(100, abi.SeekSet, 100, abi.OK)
	n, errno = f.Read([][]byte{buf})
	w.moves("read past the end", n, errno, 0)
	if got := w.read("/", "f"); got != "HEllo world" {
		t.Errorf("holds %q", got)
	}
	big := make([]byte, abi.MaxTransfer)
	n, errno = f.Pwrite([][]byte{big[:10], big, big}, 0)
	w.moves("a long write", n, errno, abi.MaxTransfer)
}

func TestAppendFlag(t *testing.T) {
	w := newWorld(t, []string{"/"})
	f := w.file("f", abi.ORead|abi.OWrite|abi.OCreate)
	n, errno := f.Write(vec("one"))
	w.moves("write", n, errno, 3)
	_, errno = f.SeekTo(0, abi.SeekSet)
	w.ok("seek", errno)
	w.ok("append", f.SetFlags(abi.OAppend))
	n, errno = f.Write(vec("two"))
	w.moves("append", n, errno, 3)
	if off, _ := f.SeekTo(0, abi.SeekCur); off != 6 {
		t.Errorf("after appending the offset is %d", off)
	}
	w.ok("do not append", f.SetFlags(0))
	n, errno = f.Pwrite(vec("O"), 0)
	w.moves("write", n, errno, 1)
	if got := w.read("/", "f"); got != "Onetwo" {
		t.Errorf("holds %q", got)
	}
	w.want("create as a flag", f.SetFlags(abi.OCreate), abi.EINVAL)
	w.ok("access does not change", f.SetFlags(abi.OSync|abi.ONonblock))
	if got := f.Flags(); got != abi.ORead|abi.OWrite|abi.OSync|abi.ONonblock {
		t.Errorf("flags %b", got)
	}
	n, errno = f.Write(vec("!"))
	w.moves("synced write", n, errno, 1)
}

func TestDevices(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.ns.Mount("/dev", devfs.New()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, errno := w.file("dev/null", abi.ORead).Read([][]byte{buf})
	w.moves("null", n, errno, 0)
	n, errno = w.file("dev/null", abi.OWrite).Write(vec("abc", "d"))
	w.moves("to null", n, errno, 4)
	copy(buf, "not zero")
	n, errno = w.file("dev/zero", abi.ORead).Read([][]byte{buf[:5], buf[5:]})
	w.moves("zero", n, errno, 64)
	if !bytes.Equal(buf, make([]byte, 64)) {
		t.Error("zero is not")
	}
	_, errno = w.file("dev/full", abi.OWrite).Write(vec("x"))
	w.want("to full", errno, abi.ENOSPC)
	for _, name := range []string{"random", "urandom"} {
		n, errno = w.file("dev/"+name, abi.ORead).Read([][]byte{buf})
		w.moves(name, n, errno, 64)
		if bytes.Equal(buf, make([]byte, 64)) {
			t.Errorf("%s is all zeros", name)
		}
		clear(buf)
	}
	w.want("unlink", w.ns.Unlink(w.acc, w.base("/"), "dev/null"), abi.EROFS)
	w.want("lookup in a device", w.open("/", "dev/null/x", abi.ORead), abi.ENOTDIR)
}

func TestStream(t *testing.T) {
	var out bytes.Buffer
	f := vfs.NewStream(strings.NewReader("input"), &out, vfs.StreamOptions{Type: abi.TypeCharDevice, Ino: 7})
	buf := make([]byte, 3)
	if n, errno := f.Read([][]byte{nil, buf}); n != 3 || errno != abi.OK || string(buf) != "inp" {
		t.Errorf("read %d %s %q", n, errno, buf)
	}
	if n, errno := f.Read([][]byte{buf}); n != 2 || errno != abi.OK {
		t.Errorf("read %d %s", n, errno)
	}
	if n, errno := f.Read([][]byte{buf}); n != 0 || errno != abi.OK {
		t.Errorf("read at the end %d %s", n, errno)
	}
	if n, errno := f.Write(vec("one ", "", "write")); n != 9 || errno != abi.OK || out.String() != "one write" {
		t.Errorf("write %d %s %q", n, errno, out.String())
	}
	if n, errno := f.Write(nil); n != 0 || errno != abi.OK {
		t.Errorf("write of nothing %d %s", n, errno)
	}
	_, seek := f.SeekTo(0, abi.SeekCur)
	_, pread := f.Pread([][]byte{buf}, 0)
	_, pwrite := f.Pwrite(vec("x"), 0)
	for what, errno := range map[string]abi.Errno{"seek": seek, "pread": pread, "pwrite": pwrite, "allocate": f.Allocate(0, 1), "advise": f.Advise(0, 0)} {
		if errno != abi.ESPIPE {
			t.Errorf("%s: %s", what, errno)
		}
	}
	if st, errno := f.Stat(); errno != abi.OK || st.Type != abi.TypeCharDevice || st.Ino != 7 {
		t.Errorf("stat %+v %s", st, errno)
	}
	if !f.Stream() || f.Latency() != vfs.Unbounded || f.Base() != nil || f.Truncate(0) != abi.EINVAL || f.Sync(false) != abi.EINVAL || f.SetFlags(abi.ONonblock) != abi.OK {
		t.Error("a stream is not described as one")
	}
	if errno := f.Unref(); errno != abi.OK {
		t.Error(errno)
	}
	in := vfs.NewStream(strings.NewReader("x"), nil, vfs.StreamOptions{})
	if _, errno := in.Write(vec("x")); errno != abi.EBADF {
		t.Errorf("write to input: %s", errno)
	}
	slow := vfs.NewStream(iotest.DataErrReader(strings.NewReader("last")), nil, vfs.StreamOptions{})
	if n, errno := slow.Read([][]byte{make([]byte, 10)}); n != 4 || errno != abi.OK {
		t.Errorf("data with an error: %d %s", n, errno)
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

func TestStreamErrors(t *testing.T) {
	r, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pw.Close() }()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		w    io.Writer
		want abi.Errno
	}{{pw, abi.EPIPE}, {brokenWriter{io.ErrClosedPipe}, abi.EPIPE}, {brokenWriter{os.ErrClosed}, abi.EPIPE}, {brokenWriter{errors.New("?")}, abi.EIO}} {
		f := vfs.NewStream(iotest.ErrReader(errors.New("?")), test.w, vfs.StreamOptions{})
		if n, errno := f.Write(vec("x")); n != 0 || errno != test.want {
			t.Errorf("write to %T: %d, %s, want %s", test.w, n, errno, test.want)
		}
		if _, errno := f.Read([][]byte{make([]byte, 1)}); errno != abi.EIO {
			t.Errorf("read: %s", errno)
		}
	}
}

// The output limit is reached exactly, over all streams of an account, and told
// of once it would be passed.
func TestOutputLimit(t *testing.T) {
	a := limit.NewAccount(limit.Caps{abi.LimitOutput: 1000})
	var mu sync.Mutex
	told := 0
	tell := func() { mu.Lock(); defer mu.Unlock(); told++ }
	var one, two bytes.Buffer
	f := vfs.NewStream(nil, &one, vfs.StreamOptions{Account: a, Exceeded: tell})
	g := vfs.NewStream(nil, &two, vfs.StreamOptions{Account: a, Exceeded: tell})
	var wg sync.WaitGroup
	for _, s := range []*vfs.File{f, g} {
		wg.Go(func() {
			for range 66 {
				_, _ = s.Write(vec("0123456789")) // refused at last
			}
		})
	}
	wg.Wait()
	if one.Len()+two.Len() != 1000 || a.Used(abi.LimitOutput) != 1000 || told != 32 {
		t.Errorf("wrote %d + %d, charged %d, told %d times", one.Len(), two.Len(), a.Used(abi.LimitOutput), told)
	}
	b := limit.NewAccount(limit.Caps{abi.LimitOutput: 7})
	var out bytes.Buffer
	h := vfs.NewStream(nil, &out, vfs.StreamOptions{Account: b})
	if n, errno := h.Write(vec("01234", "56789")); n != 7 || errno != abi.EDQUOT || out.String() != "0123456" {
		t.Errorf("%d, %s, %q", n, errno, out.String())
	}
}

func BenchmarkStat(b *testing.B) {
	for _, path := range []string{"f", "a/b/c/d/f", "a/b/../b/c/d/f"} {
		b.Run(path, func(b *testing.B) {
			ns := vfs.NewNamespace(vfs.Options{})
			if err := ns.Mount("/w", memfs.New(nil, memfs.Options{})); err != nil {
				b.Fatal(err)
			}
			acc := accessAll{perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []perm.PathRule{{Guest: "/w", Right: perm.Write, Host: "/h/w"}}})}
			dir, errno := ns.OpenDir("/w")
			if errno != abi.OK {
				b.Fatal(errno)
			}
			for _, d := range []string{"a", "a/b", "a/b/c", "a/b/c/d"} {
				if errno := ns.Mkdir(acc, dir.Base(), d, 0o755); errno != abi.OK {
					b.Fatal(errno)
				}
			}
			f, errno := ns.Open(acc, dir.Base(), path, abi.OWrite|abi.OCreate, 0o644)
			if errno != abi.OK {
				b.Fatal(errno)
			}
			defer func() { _ = f.Unref() }()
			b.ReportAllocs()
			for b.Loop() {
				if _, errno := ns.Stat(acc, dir.Base(), path, true); errno != abi.OK {
					b.Fatal(errno)
				}
			}
		})
	}
}

// accessAll decides without recording.
type accessAll struct{ s *perm.Subject }

func (a accessAll) Subject() *perm.Subject                    { return a.s }
func (a accessAll) Decide(act abi.Action, p string) abi.Errno { return a.s.Path(act, p).Errno }
func (a accessAll) Hidden(string)                             {}

func BenchmarkFileRead4K(b *testing.B) {
	ns := vfs.NewNamespace(vfs.Options{})
	if err := ns.Mount("/", memfs.New(nil, memfs.Options{})); err != nil {
		b.Fatal(err)
	}
	acc := accessAll{perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []perm.PathRule{{Guest: "/", Right: perm.Write}}})}
	dir, errno := ns.OpenDir("/")
	if errno != abi.OK {
		b.Fatal(errno)
	}
	f, errno := ns.Open(acc, dir.Base(), "f", abi.ORead|abi.OWrite|abi.OCreate, 0o644)
	if errno != abi.OK {
		b.Fatal(errno)
	}
	buf := make([]byte, 4096)
	bufs := [][]byte{buf}
	if _, errno := f.Write(bufs); errno != abi.OK {
		b.Fatal(errno)
	}
	b.Run("pread", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n, _ := f.Pread(bufs, 0); n != 4096 {
				b.Fatal(n)
			}
		}
	})
	src := bytes.Clone(buf)
	b.Run("copy", func(b *testing.B) { // the floor
		for b.Loop() {
			copy(buf, src)
		}
	})
}
