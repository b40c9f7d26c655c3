package fstest

import (
	"math"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// tick changes a file until the file system's clock has moved, so that whatever
// is changed after has another time than whatever was changed before.
func (s *suite) tick() {
	s.Helper()
	n, errno := s.top.Lookup("clock")
	if errno == abi.ENOENT {
		s.put(s.top, "clock", "")
		n, errno = s.top.Lookup("clock")
	}
	s.ok("lookup clock", errno)
	defer n.Close()
	first := s.now(n)
	for range 10_000_000 {
		if s.now(n) > first {
			return
		}
	}
	s.Fatal("the clock of the file system stands still")
}

// now is the file system's clock, taken from a write.
func (s *suite) now(n vfs.Node) int64 {
	s.Helper()
	h, errno := n.Open(abi.OWrite)
	s.ok("open", errno)
	s.write(h, 0, "x")
	s.ok("close", h.Close())
	return s.stat(n).Mtime
}

// timeRules checks which operations move which times.
func (s *suite) timeRules() {
	s.put(s.top, "f", "0123456789")
	s.put(s.top, "other", "x")
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	f, d := s.lookup("f"), s.dir("d")
	defer f.Close()
	defer d.Close()
	h, errno := f.Open(abi.ORead | abi.OWrite)
	s.ok("open", errno)
	link := func(op func() abi.Errno) func() abi.Errno {
		if s.caps.NoLinks {
			return nil
		}
		return op
	}
	symlink := func(op func() abi.Errno) func() abi.Errno {
		if s.caps.NoSymlinks {
			return nil
		}
		return op
	}
	writes := func(data string, off int64) func() abi.Errno {
		return func() abi.Errno {
			_, _, errno := h.WriteAt([][]byte{[]byte(data)}, off)
			return errno
		}
	}
	creates := func(name string) func() abi.Errno {
		return func() abi.Errno {
			n, h, errno := d.Create(name, 0o644, abi.OWrite)
			if errno == abi.OK {
				n.Close()
				errno = h.Close()
			}
			return errno
		}
	}
	const (
		same = "-"
		data = "mtime ctime"
		meta = "ctime"
		any  = "?" // POSIX leaves it open
	)
	stamp := int64(1_300_000_000_000_000_007)
	table := []struct {
		what     string
		op       func() abi.Errno
		want     abi.Errno
		file     string // what moves of f
		dir, top string // what moves of d, and of the root
	}{
		{"nothing", func() abi.Errno { return abi.OK }, abi.OK, same, same, same},
		{"write", writes("abc", 3), abi.OK, data, same, same},
		{"write of nothing", writes("", 3), abi.OK, same, same, same},
		{"refused write", writes("abc", -1), abi.EINVAL, same, same, same},
		{"truncate", func() abi.Errno { return h.Truncate(5) }, abi.OK, data, same, same},
		{"longer", func() abi.Errno { return h.Truncate(500) }, abi.OK, data, same, same},
		{"refused truncate", func() abi.Errno { return h.Truncate(-1) }, abi.EINVAL, same, same, same},
		{"read", func() abi.Errno { _, errno := h.ReadAt([][]byte{make([]byte, 4)}, 0); return errno }, abi.OK, same, same, same},
		{"sync", func() abi.Errno { return h.Sync(false) }, abi.OK, same, same, same},
		{"set times", func() abi.Errno { return f.SetTimes(&stamp, nil) }, abi.OK, meta, same, same},
		{"create", creates("new"), abi.OK, same, data, same},
		{"refused create", creates("new"), abi.EEXIST, same, same, same},
		{"mkdir", func() abi.Errno { return d.Mkdir("sub", 0o755) }, abi.OK, same, data, same},
		{"refused mkdir", func() abi.Errno { return d.Mkdir("sub", 0o755) }, abi.EEXIST, same, same, same},
		{"rmdir", func() abi.Errno { return d.Remove("sub", true) }, abi.OK, same, data, same},
		{"remove", func() abi.Errno { return d.Remove("new", false) }, abi.OK, same, data, same},
		{"refused remove", func() abi.Errno { return d.Remove("new", false) }, abi.ENOENT, same, same, same},
		{"symlink", symlink(func() abi.Errno { return d.Symlink("l", "x") }), abi.OK, same, data, same},
		{"link", link(func() abi.Errno { return d.Link("hard", f) }), abi.OK, meta, data, same},
		{"rename onto itself", link(func() abi.Errno { return s.top.Rename("f", d, "hard") }), abi.OK, same, same, same},
		{"remove one of two", link(func() abi.Errno { return d.Remove("hard", false) }), abi.OK, meta, data, same},
		{"rename within", func() abi.Errno { return s.top.Rename("f", s.top, "g") }, abi.OK, any, same, data},
		{"rename across", func() abi.Errno { return s.top.Rename("g", d, "f") }, abi.OK, any, data, data},
		{"rename over", func() abi.Errno { return s.top.Rename("other", d, "f") }, abi.OK, any, data, data},
		{"move the directory", func() abi.Errno { return s.top.Rename("d", s.top, "e") }, abi.OK, same, any, data},
	}
	for _, row := range table {
		if row.op == nil {
			continue
		}
		if s.caps.ByName && strings.HasPrefix(row.what, "rename within") {
			break // from here on f and d are not what they were called
		}
		nodes := []vfs.Node{f, d, s.top}
		var before [3]abi.Stat
		s.tick()
		for i, n := range nodes {
			before[i] = s.stat(n)
		}
		s.want(row.what, row.op(), row.want)
		for i, n := range nodes {
			want := []string{row.file, row.dir, row.top}[i]
			after := s.stat(n)
			var moved []string
			if after.Mtime != before[i].Mtime {
				moved = append(moved, "mtime")
			}
			if s.caps.NoCtime {
				want = strings.TrimSuffix(strings.TrimSpace(strings.ReplaceAll(want, "ctime", "")), " ")
			} else if after.Ctime != before[i].Ctime {
				moved = append(moved, "ctime")
			}
			if after.Ctime < before[i].Ctime {
				s.Errorf("%s: the time of change of %s went back", row.what, []string{"the file", "d", "the root"}[i])
			}
			got := strings.Join(moved, " ")
			switch {
			case want == any && (got == "" || got == "ctime"), got == want, got == "" && want == same:
			default:
				s.Errorf("%s: of %s moved %q, not %q", row.what, []string{"the file", "d", "the root"}[i], got, want)
			}
		}
	}
	s.ok("close", h.Close())
}

// farTimes checks times at the edges. A file system that cannot say a time says
// the nearest that it can.
func (s *suite) farTimes() {
	s.put(s.top, "f", "x")
	n := s.lookup("f")
	defer n.Close()
	for _, at := range []int64{0, 1, 999_999_999, 1_000_000_000, -1, -999_999_999, -1_000_000_000, -300_000_000_000_000_001,
		int64(1)<<31*1e9 - 1, 4_102_444_800_123_456_789} {
		a, m := at, at+7
		s.ok("set times", n.SetTimes(&a, &m))
		if st := s.stat(n); st.Atime != a || st.Mtime != m {
			s.Errorf("set %d and %d, got %d and %d", a, m, st.Atime, st.Mtime)
		}
	}
	for _, at := range []int64{math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1} {
		if errno := n.SetTimes(nil, &at); errno == abi.EINVAL {
			continue // it says so
		} else if errno != abi.OK {
			s.Errorf("set %d: %s", at, errno)
		}
		got := s.stat(n).Mtime
		clamped := got%1e9 == 0 && (at > 0) == (got > 0)
		if got != at && !clamped {
			s.Errorf("set %d, got %d, which is neither that nor an end of what can be said", at, got)
		}
	}
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	d := s.dir("d")
	defer d.Close()
	a, m := int64(1_234_567_890_123_456_789), int64(987_654_321_987_654_321)
	s.ok("set times of a directory", d.SetTimes(&a, &m))
	if st := s.stat(d); st.Mtime != m || st.Atime != a {
		s.Errorf("directory: set %d and %d, got %d and %d", a, m, st.Atime, st.Mtime)
	}
	if s.caps.NoSymlinks || s.caps.NoLinkTimes {
		return
	}
	s.ok("symlink", s.top.Symlink("l", "f"))
	l := s.lookup("l")
	defer l.Close()
	before := s.stat(n)
	s.ok("set times of a link", l.SetTimes(&a, &m))
	if st := s.stat(l); st.Mtime != m || st.Atime != a {
		s.Errorf("link: set %d and %d, got %d and %d", a, m, st.Atime, st.Mtime)
	}
	if st := s.stat(n); st.Mtime != before.Mtime {
		s.Error("the times of a link were set on what it leads to")
	}
}

// modes checks the permission bits of what is made. The host's umask may take
// those of others.
func (s *suite) modes() {
	for i, mode := range []uint32{0o600, 0o700, 0o400, 0o755, 0o644, 0o7777} {
		name := string(rune('a' + i))
		n, h, errno := s.top.Create(name, mode, abi.ORead)
		s.ok("create", errno)
		s.ok("close", h.Close())
		s.ok("mkdir", s.top.Mkdir("d"+name, mode|0o700))
		d := s.lookup("d" + name)
		for _, made := range []struct {
			st   abi.Stat
			mode uint32
		}{{s.stat(n), mode}, {s.stat(d), mode | 0o700}} {
			if made.st.Mode&^made.mode != 0 || made.st.Mode&0o700 != made.mode&0o700 || made.st.Mode&^0o777 != 0 {
				s.Errorf("made with %o: %o", made.mode, made.st.Mode)
			}
		}
		n.Close()
		d.Close()
	}
}

// linkCounts checks the links of directories: either always 1, which says that
// they are not counted, or 2 and one for each directory within.
func (s *suite) linkCounts() {
	counted := s.stat(s.top).Nlink != 1
	check := func(what string, n vfs.Node, dirs uint64) {
		s.Helper()
		want := uint64(1)
		if counted {
			want = 2 + dirs
		}
		if got := s.stat(n).Nlink; got != want {
			s.Errorf("%s: %d links, want %d", what, got, want)
		}
	}
	check("an empty root", s.top, 0)
	for _, name := range []string{"a", "b", "c"} {
		s.ok("mkdir", s.top.Mkdir(name, 0o755))
	}
	s.put(s.top, "f", "")
	check("with three directories and a file", s.top, 3)
	a, b := s.dir("a"), s.dir("b")
	defer a.Close()
	defer b.Close()
	s.ok("rename", s.top.Rename("c", a, "c"))
	check("the root after a move", s.top, 2)
	check("a after a move", a, 1)
	s.ok("mkdir", b.Mkdir("c", 0o755))
	s.ok("rename over", a.Rename("c", b, "c"))
	check("a after a move over", a, 0)
	check("b after a move over", b, 1)
	s.ok("rename", b.Rename("c", b, "d"))
	check("b after a rename", b, 1)
	s.want("rmdir", s.top.Remove("b", true), abi.ENOTEMPTY)
	check("the root after a refusal", s.top, 2)
	s.ok("rmdir", b.Remove("d", true))
	s.ok("rmdir", s.top.Remove("b", true))
	check("the root after a removal", s.top, 1)
	if got := s.stat(b).Nlink; got > 1 {
		s.Errorf("a removed directory has %d links", got)
	}
	if s.caps.NoLinks {
		return
	}
	f := s.lookup("f")
	defer f.Close()
	for i := range 20 {
		s.ok("link", a.Link(string(rune('a'+i)), f))
	}
	if got := s.stat(f).Nlink; got != 21 {
		s.Errorf("%d links", got)
	}
	s.ok("rename onto itself", a.Rename("a", a, "b"))
	if got := s.stat(f).Nlink; got != 21 {
		s.Errorf("after a rename of one name onto another: %d links", got)
	}
	s.put(s.top, "g", "")
	s.ok("rename over one of them", s.top.Rename("g", a, "a"))
	if got := s.stat(f).Nlink; got != 20 {
		s.Errorf("after a replacement: %d links", got)
	}
	if s.caps.NoSymlinks {
		return
	}
	s.ok("symlink", s.top.Symlink("l", "nowhere"))
	l := s.lookup("l")
	defer l.Close()
	s.ok("link to a symbolic link", s.top.Link("l2", l))
	l2 := s.lookup("l2")
	defer l2.Close()
	if one, two := s.stat(l), s.stat(l2); one.Ino != two.Ino || two.Nlink != 2 || two.Type != abi.TypeSymlink {
		s.Errorf("a linked symbolic link: %+v, %+v", one, two)
	}
}
