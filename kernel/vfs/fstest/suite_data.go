package fstest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// limits checks offsets at the ends.
func (s *suite) limits() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	s.write(h, 0, "data")
	one := [][]byte{make([]byte, 10)}
	for _, off := range []int64{-1, math.MinInt64, math.MaxInt64, math.MaxInt64 - 9} {
		if k, errno := h.ReadAt(one, off); k != 0 || errno != abi.EINVAL {
			s.Errorf("read at %d: %d, %s", off, k, errno)
		}
		if k, _, errno := h.WriteAt(one, off); k != 0 || errno != abi.EINVAL {
			s.Errorf("write at %d: %d, %s", off, k, errno)
		}
	}
	if k, errno := h.ReadAt(one, math.MaxInt64-10); k != 0 || errno != abi.OK {
		s.Errorf("read of the last bytes there could be: %d, %s", k, errno)
	}
	s.want("truncate to -1", h.Truncate(-1), abi.EINVAL)
	s.want("truncate to the least", h.Truncate(math.MinInt64), abi.EINVAL)
	if a, ok := h.(vfs.Allocator); ok {
		s.want("allocate before the file", a.Allocate(-1, 10), abi.EINVAL)
		s.want("allocate nothing", a.Allocate(0, 0), abi.EINVAL)
		s.want("allocate less", a.Allocate(0, -1), abi.EINVAL)
	}
	if st := s.stat(n); st.Size != 4 {
		s.Errorf("what was refused left %d bytes", st.Size)
	}
	// A file system may have files of any size; where it ends, it says EFBIG and
	// changes nothing.
	switch errno := h.Truncate(1 << 62); errno {
	case abi.OK:
		s.ok("truncate", h.Truncate(4))
	case abi.EFBIG:
		if k, _, errno := h.WriteAt(one, 1<<62); k != 0 || errno != abi.EFBIG {
			s.Errorf("write at 2^62: %d, %s", k, errno)
		}
		if a, ok := h.(vfs.Allocator); ok {
			s.want("allocate at 2^62", a.Allocate(1<<62, 10), abi.EFBIG)
		}
	default:
		s.Errorf("truncate to 2^62: %s", errno)
	}
	if got := s.all(h); got != "data" {
		s.Errorf("what was refused left %q", got)
	}
	s.ok("close", h.Close())
}

// allocates checks that reserving space makes a file longer and never shorter,
// and leaves what is there.
func (s *suite) allocates() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	defer func() { s.ok("close", h.Close()) }()
	a, ok := h.(vfs.Allocator)
	if !ok {
		s.Log("not checked: allocate, which this file system has not")
		return
	}
	s.write(h, 0, strings.Repeat("x", 10_000))
	s.write(h, 20_000, "end")
	switch errno := a.Allocate(5000, 100); errno {
	case abi.OK:
	case abi.ENOTSUP:
		s.Log("not checked: allocate, which the host's file system has not")
		return
	default:
		s.Fatalf("allocate: %s", errno)
	}
	if st := s.stat(n); st.Size != 20_003 {
		s.Errorf("within the file: size %d", st.Size)
	}
	s.ok("allocate over the hole and the end", a.Allocate(9000, 50_000))
	want := strings.Repeat("x", 10_000) + strings.Repeat("\x00", 10_000) + "end" + strings.Repeat("\x00", 59_000-20_003)
	if got := s.all(h); got != want {
		s.Errorf("after allocate %d bytes, or others", len(got))
	}
	s.ok("truncate", h.Truncate(10))
	s.ok("allocate", a.Allocate(0, 5))
	if got := s.all(h); got != want[:10] {
		s.Errorf("after truncate and allocate %q", got)
	}
	r, errno := n.Open(abi.ORead)
	s.ok("open", errno)
	if a, ok := r.(vfs.Allocator); ok {
		s.want("allocate on what is open for reading", a.Allocate(0, 100), abi.EBADF)
	}
	s.ok("close", r.Close())
}

// access checks that a handle does what it was opened for.
func (s *suite) access() {
	s.put(s.top, "f", "data")
	n := s.lookup("f")
	defer n.Close()
	for _, flags := range []abi.OpenFlags{0, abi.ORead, abi.OWrite, abi.ORead | abi.OWrite, abi.OAppend, abi.OAppend | abi.ORead, abi.OAppend | abi.OWrite} {
		h, errno := n.Open(flags)
		s.ok(fmt.Sprintf("open %b", flags), errno)
		want := func(what string, got abi.Errno, needs abi.OpenFlags) {
			s.Helper()
			wanted := abi.OK
			if flags&needs == 0 {
				wanted = abi.EBADF
			}
			s.want(fmt.Sprintf("%s with %b", what, flags), got, wanted)
		}
		_, errno = h.ReadAt([][]byte{make([]byte, 2)}, 0)
		want("read", errno, abi.ORead)
		_, _, errno = h.WriteAt([][]byte{[]byte("data")}, 0)
		want("write", errno, abi.OWrite)
		want("truncate", h.Truncate(4), abi.OWrite)
		s.ok("sync", h.Sync(false))
		s.ok("datasync", h.Sync(true))
		if _, errno := h.Readdir(0, 1); errno != abi.ENOTDIR {
			s.Errorf("list a file: %s", errno)
		}
		s.ok("close", h.Close())
	}
	if h, errno := n.Open(abi.ORead | abi.OTrunc); errno != abi.EINVAL {
		s.Errorf("open to truncate without writing: %s", errno)
		if errno == abi.OK {
			s.ok("close", h.Close())
		}
	}
	if got := s.content(n); got != "data" {
		s.Errorf("content %q", got)
	}
	d, errno := s.top.Open(abi.ORead)
	s.ok("open", errno)
	s.ok("sync a directory", d.Sync(false))
	s.ok("datasync a directory", d.Sync(true))
	s.want("truncate a directory", d.Truncate(0), abi.EISDIR)
	if _, _, errno := d.WriteAt([][]byte{[]byte("x")}, 0); errno != abi.EISDIR {
		s.Errorf("write a directory: %s", errno)
	}
	s.ok("close", d.Close())
}

// appenders checks that what several append at once is all there, whole, and
// where each was told.
func (s *suite) appenders() {
	s.put(s.top, "f", "")
	const writers, each = 4, 100
	type part struct {
		text string
		end  int64
	}
	var mu sync.Mutex
	var parts []part
	var wg sync.WaitGroup
	for w := range writers {
		n := s.lookup("f")
		h, errno := n.Open(abi.OWrite | abi.OAppend)
		s.ok("open", errno)
		wg.Go(func() {
			defer n.Close()
			for i := range each {
				text := fmt.Sprintf("<%d:%d%s>", w, i, strings.Repeat("-", i*31%97))
				k, end, errno := h.WriteAt([][]byte{[]byte(text[:3]), []byte(text[3:])}, math.MaxInt64)
				if k != len(text) || errno != abi.OK {
					s.Errorf("append: %d of %d, %s", k, len(text), errno)
				}
				mu.Lock()
				parts = append(parts, part{text, end})
				mu.Unlock()
			}
			if errno := h.Close(); errno != abi.OK {
				s.Errorf("close: %s", errno)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(parts, func(a, b part) int { return int(a.end - b.end) })
	var all strings.Builder
	for _, p := range parts {
		all.WriteString(p.text)
		if int64(all.Len()) != p.end {
			s.Fatalf("%q was said to end at %d, and ends at %d", p.text, p.end, all.Len())
		}
	}
	if got := s.at("f"); got != all.String() {
		s.Errorf("%d bytes hold something else than the %d that were appended", len(got), all.Len())
	}
}

// unlinkedFully uses a file that has no name any more in every way there is.
func (s *suite) unlinkedFully() {
	s.put(s.top, "over", "new")
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	s.write(h, 0, "0123456789")
	s.ok("rename over what is open", s.top.Rename("over", s.top, "f"))
	if st := s.stat(n); st.Nlink != 0 || st.Size != 10 {
		s.Errorf("replaced: %+v", st)
	}
	s.ok("truncate", h.Truncate(4))
	s.write(h, 100_000, "far")
	if got := s.all(h); len(got) != 100_003 || !strings.HasPrefix(got, "0123\x00") || !strings.HasSuffix(got, "\x00far") {
		s.Errorf("after truncate and write: %d bytes", len(got))
	}
	s.ok("sync", h.Sync(false))
	a, m := int64(1_000_000_000_000_000_001), int64(1_000_000_000_000_000_002)
	s.ok("set times", n.SetTimes(&a, &m))
	again, errno := n.Open(abi.ORead | abi.OWrite | abi.OTrunc)
	if s.caps.NoReopen {
		s.want("open again", errno, abi.ESTALE)
	} else {
		s.ok("open again", errno)
		if got := s.all(h); got != "" {
			s.Errorf("truncated by another handle: %q", got)
		}
		s.ok("close", again.Close())
	}
	if !s.caps.NoLinks {
		want := abi.ENOENT
		if s.caps.NoReopen {
			want = abi.ESTALE
		}
		s.want("link what has no name", s.top.Link("back", n), want)
		s.gone("back")
	}
	s.ok("close", h.Close())
	n.Close()
	if got := s.at("f"); got != "new" {
		s.Errorf("content %q", got)
	}
	// The same for a directory.
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	d := s.dir("d")
	defer d.Close()
	dh, errno := d.Open(abi.ORead)
	s.ok("open", errno)
	s.ok("rmdir", s.top.Remove("d", true))
	ents, errno := dh.Readdir(0, 10)
	if len(ents) != 0 || errno != abi.ENOENT {
		s.Errorf("list a removed directory: %v, %s", names(ents), errno)
	}
	if _, errno := d.Lookup("x"); errno != abi.ENOENT {
		s.Errorf("lookup in a removed directory: %s", errno)
	}
	s.put(s.top, "g", "")
	s.want("rename into a removed directory", s.top.Rename("g", d, "g"), abi.ENOENT)
	s.want("remove from a removed directory", d.Remove("g", false), abi.ENOENT)
	if !s.caps.NoLinks {
		g := s.lookup("g")
		s.want("link into a removed directory", d.Link("g", g), abi.ENOENT)
		g.Close()
	}
	if !s.caps.NoSymlinks {
		s.want("symlink in a removed directory", d.Symlink("l", "x"), abi.ENOENT)
	}
	s.ok("close", dh.Close())
}

// sparse checks holes against a plain array.
func (s *suite) sparse() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	model := make([]byte, 300_000)
	size := 0
	for i := range 60 {
		off, k := i*7919*31%290_000, 1+i*577%9000
		data := bytes.Repeat([]byte{byte(i + 1)}, min(k, len(model)-off))
		if i%9 == 8 {
			s.ok("truncate", h.Truncate(int64(off)))
			if off < size {
				clear(model[off:])
			}
			size = off
			continue
		}
		s.write(h, int64(off), string(data))
		copy(model[off:], data)
		size = max(size, off+len(data))
	}
	if got := s.all(h); got != string(model[:size]) {
		s.Errorf("%d bytes read differently from the %d written", len(got), size)
	}
	s.write(h, 1<<40, "end")
	if st := s.stat(n); st.Size != 1<<40+3 {
		s.Errorf("size %d", st.Size)
	}
	buf := make([]byte, 5000)
	if k, errno := h.ReadAt([][]byte{buf}, 1<<39); k != len(buf) || errno != abi.OK || bytes.Count(buf, []byte{0}) != len(buf) {
		s.Errorf("a far hole: %d, %s", k, errno)
	}
	s.ok("close", h.Close())
}
