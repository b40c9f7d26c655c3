package fstest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

func (s *suite) renaming() {
	type kind int
	const (
		none kind = iota
		file
		empty
		full
	)
	put := func(name string, k kind) {
		switch k {
		case file:
			s.put(s.top, name, name)
		case empty, full:
			s.ok("mkdir", s.top.Mkdir(name, 0o755))
			if k == full {
				d := s.dir(name)
				s.put(d, "in", name)
				d.Close()
			}
		}
	}
	clean := func(name string) {
		n, errno := s.try(name)
		if errno != abi.OK {
			return
		}
		defer n.Close()
		d, ok := n.(vfs.Dir)
		if s.stat(n).Type != abi.TypeDirectory || !ok {
			s.ok("remove", s.top.Remove(name, false))
			return
		}
		if errno := d.Remove("in", false); errno != abi.OK && errno != abi.ENOENT {
			s.Fatalf("remove: %s", errno)
		}
		s.ok("rmdir", s.top.Remove(name, true))
	}
	table := []struct {
		from, to kind
		want     abi.Errno
	}{
		{none, none, abi.ENOENT}, {none, file, abi.ENOENT}, {none, empty, abi.ENOENT},
		{file, none, abi.OK}, {file, file, abi.OK}, {file, empty, abi.EISDIR}, {file, full, abi.EISDIR},
		{empty, none, abi.OK}, {empty, file, abi.ENOTDIR}, {empty, empty, abi.OK}, {empty, full, abi.ENOTEMPTY},
		{full, none, abi.OK}, {full, file, abi.ENOTDIR}, {full, empty, abi.OK}, {full, full, abi.ENOTEMPTY},
	}
	for _, row := range table {
		put("a", row.from)
		put("b", row.to)
		what := fmt.Sprintf("rename %d over %d", row.from, row.to)
		s.want(what, s.top.Rename("a", s.top, "b"), row.want)
		if row.want == abi.OK {
			s.gone("a")
			if row.from == file {
				if got := s.at("b"); got != "a" {
					s.Errorf("%s: content %q", what, got)
				}
			}
			if row.from == full {
				if got := s.at("b/in"); got != "a" {
					s.Errorf("%s: content %q", what, got)
				}
			}
		}
		clean("a")
		clean("b")
	}
	s.put(s.top, "same", "x")
	s.ok("rename onto itself", s.top.Rename("same", s.top, "same"))
	if got := s.at("same"); got != "x" {
		s.Errorf("content %q", got)
	}
}

func (s *suite) renameInto() {
	s.ok("mkdir", s.top.Mkdir("a", 0o755))
	a := s.dir("a")
	defer a.Close()
	s.ok("mkdir", a.Mkdir("b", 0o755))
	b := s.dir("a/b")
	defer b.Close()
	s.want("rename into itself", s.top.Rename("a", a, "x"), abi.EINVAL)
	s.want("rename into what it holds", s.top.Rename("a", b, "x"), abi.EINVAL)
	s.ok("mkdir", s.top.Mkdir("c", 0o755))
	c := s.dir("c")
	defer c.Close()
	s.ok("rename across", a.Rename("b", c, "b2"))
	s.gone("a/b")
	s.want("rename the other way", s.top.Rename("c", b, "x"), abi.EINVAL)
	s.ok("rename", s.top.Rename("a", b, "x"))
	n := s.lookup("c/b2/x")
	n.Close()
}

// handleStays checks that a node is the object, not the name.
func (s *suite) handleStays() {
	s.put(s.top, "f", "mine")
	n := s.lookup("f")
	defer n.Close()
	s.ok("rename", s.top.Rename("f", s.top, "g"))
	s.put(s.top, "f", "other")
	if s.caps.NoReopen {
		h, errno := n.Open(abi.ORead)
		s.want("open what was renamed", errno, abi.ESTALE)
		if errno == abi.OK {
			s.ok("close", h.Close())
		}
	} else if got := s.content(n); got != "mine" {
		s.Errorf("after a rename the handle reads %q", got)
	}
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	d := s.dir("d")
	defer d.Close()
	s.ok("rename", s.top.Rename("d", s.top, "e"))
	s.put(d, "in", "x")
	if got := s.at("e/in"); got != "x" {
		s.Errorf("content %q", got)
	}
}

// list reads a directory, max entries at a time.
func (s *suite) list(n vfs.Node, max int) []abi.Dirent {
	s.Helper()
	h, errno := n.Open(abi.ORead)
	s.ok("open", errno)
	defer func() { s.ok("close", h.Close()) }()
	var all []abi.Dirent
	cookie := uint64(0)
	for {
		ents, errno := h.Readdir(cookie, max)
		s.ok("readdir", errno)
		if len(ents) == 0 {
			return all
		}
		if len(ents) > max {
			s.Fatalf("readdir of %d returned %d", max, len(ents))
		}
		all = append(all, ents...)
		cookie = ents[len(ents)-1].Next
	}
}

func names(ents []abi.Dirent) []string {
	out := make([]string, len(ents))
	for i, e := range ents {
		out[i] = e.Name
	}
	slices.Sort(out)
	return out
}

func (s *suite) readdir() {
	if got := s.list(s.top, 10); len(got) != 0 {
		s.Errorf("an empty directory lists %v", names(got))
	}
	s.put(s.top, "f", "")
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	want := []string{"d", "f"}
	types := map[string]abi.FileType{"f": abi.TypeRegular, "d": abi.TypeDirectory}
	if !s.caps.NoSymlinks {
		s.ok("symlink", s.top.Symlink("l", "f"))
		want = append(want, "l")
		types["l"] = abi.TypeSymlink
	}
	for max := 1; max < 5; max++ {
		ents := s.list(s.top, max)
		if got := names(ents); !slices.Equal(got, want) {
			s.Errorf("%d at a time: %v", max, got)
		}
		for _, e := range ents {
			n := s.lookup(e.Name)
			if st := s.stat(n); e.Type != types[e.Name] || e.Ino != st.Ino {
				s.Errorf("listed %+v, is %+v", e, st)
			}
			n.Close()
		}
	}
	// A cookie resumes where it was given out, also on another handle.
	ents := s.list(s.top, 10)
	h, errno := s.top.Open(abi.ORead)
	s.ok("open", errno)
	rest, errno := h.Readdir(ents[0].Next, 10)
	s.ok("readdir", errno)
	if !slices.Equal(names(rest), names(ents[1:])) {
		s.Errorf("resumed after %s: %v", ents[0].Name, names(rest))
	}
	s.ok("close", h.Close())
}

// readdirChanging checks that every entry that stays is seen exactly once while
// others come and go.
func (s *suite) readdirChanging() {
	stay := map[string]int{}
	for i := range 40 {
		s.put(s.top, fmt.Sprintf("stay%d", i), "")
		s.put(s.top, fmt.Sprintf("go%d", i), "")
		stay[fmt.Sprintf("stay%d", i)] = 0
	}
	h, errno := s.top.Open(abi.ORead)
	s.ok("open", errno)
	cookie := uint64(0)
	for round := 0; ; round++ {
		ents, errno := h.Readdir(cookie, 3)
		s.ok("readdir", errno)
		if len(ents) == 0 {
			break
		}
		if round > 500 {
			s.Fatal("the listing does not end")
		}
		for _, e := range ents {
			if n, ok := stay[e.Name]; ok {
				stay[e.Name] = n + 1
			}
		}
		cookie = ents[len(ents)-1].Next
		if round < 40 {
			s.ok("remove", s.top.Remove(fmt.Sprintf("go%d", (round*7)%40), false))
			s.put(s.top, fmt.Sprintf("new%d", round), "")
		}
	}
	s.ok("close", h.Close())
	for name, n := range stay {
		if n != 1 {
			s.Errorf("%s was listed %d times", name, n)
		}
	}
}

func (s *suite) times() {
	s.put(s.top, "f", "x")
	n := s.lookup("f")
	defer n.Close()
	before := s.stat(n)
	if before.Mtime == 0 || before.Atime == 0 {
		s.Errorf("times of a new file: %+v", before)
	}
	a, m := int64(1_600_000_000_123_456_789), int64(1_500_000_000_987_654_321)
	s.ok("set both", n.SetTimes(&a, &m))
	if st := s.stat(n); st.Atime != a || st.Mtime != m {
		s.Errorf("set %d and %d, got %d and %d", a, m, st.Atime, st.Mtime)
	}
	m2 := int64(1_400_000_000_000_000_001)
	s.ok("set one", n.SetTimes(nil, &m2))
	if st := s.stat(n); st.Atime != a || st.Mtime != m2 {
		s.Errorf("set one: %d and %d", st.Atime, st.Mtime)
	}
	s.ok("set none", n.SetTimes(nil, nil))
	if st := s.stat(n); st.Atime != a || st.Mtime != m2 {
		s.Errorf("set none: %d and %d", st.Atime, st.Mtime)
	}
	if st := s.stat(n); !s.caps.NoCtime && st.Ctime < before.Ctime {
		s.Errorf("the time of change went back from %d to %d", before.Ctime, st.Ctime)
	}
	h, errno := n.Open(abi.OWrite)
	s.ok("open", errno)
	s.write(h, 0, "y")
	s.ok("close", h.Close())
	if st := s.stat(n); st.Mtime == m2 {
		s.Error("a write left the time of change of the data")
	}
}

func (s *suite) names() {
	list := []string{strings.Repeat("n", 255), "...", "-", "with space", "new\nline", "ünï-cödé", "a\\b", "*?[", "~", "aux", ".hidden"}
	if !s.caps.FoldsCase {
		list = append(list, "Case", "case")
	}
	for _, name := range list {
		s.put(s.top, name, name)
	}
	for _, name := range list {
		n, errno := s.top.Lookup(name)
		s.ok("lookup "+name, errno)
		if got := s.content(n); got != name {
			s.Errorf("%q holds %q", name, got)
		}
		n.Close()
	}
	slices.Sort(list)
	if got := names(s.list(s.top, 100)); !slices.Equal(got, list) {
		s.Errorf("listed %q", got)
	}
}

func (s *suite) rawNames() {
	name := "raw\xff\xfe\x80"
	s.put(s.top, name, "x")
	if got := names(s.list(s.top, 10)); !slices.Equal(got, []string{name}) {
		s.Errorf("listed %q", got)
	}
	s.ok("remove", s.top.Remove(name, false))
}

func (s *suite) notADirectory() {
	s.put(s.top, "f", "x")
	f := s.lookup("f")
	defer f.Close()
	if n, errno := f.Lookup("x"); errno != abi.ENOTDIR {
		s.Errorf("lookup in a file: %s, want ENOTDIR", errno)
		if errno == abi.OK {
			n.Close()
		}
	}
	h, errno := f.Open(abi.ORead)
	s.ok("open", errno)
	if _, errno := h.Readdir(0, 1); errno != abi.ENOTDIR {
		s.Errorf("list a file: %s, want ENOTDIR", errno)
	}
	s.ok("close", h.Close())
}

// hammer uses one file system from many goroutines. What it checks is that each
// operation fails in a way it may, and that the race detector is content.
func (s *suite) hammer() {
	for i := range 3 {
		s.ok("mkdir", s.top.Mkdir(fmt.Sprintf("d%d", i), 0o755))
	}
	may := map[abi.Errno]bool{abi.OK: true, abi.ENOENT: true, abi.EEXIST: true, abi.ENOTEMPTY: true, abi.EISDIR: true,
		abi.ENOTDIR: true, abi.EINVAL: true, abi.ESTALE: true, abi.EBUSY: true}
	var wg sync.WaitGroup
	errs := make(chan string, 1000)
	check := func(what string, errno abi.Errno) {
		if !may[errno] {
			select {
			case errs <- what + ": " + errno.String():
			default:
			}
		}
	}
	for g := range 6 {
		wg.Go(func() {
			for i := range 150 {
				d, errno := s.top.Lookup(fmt.Sprintf("d%d", (g+i)%3))
				check("lookup", errno)
				if errno != abi.OK {
					continue
				}
				dir, ok := d.(vfs.Dir)
				if !ok {
					d.Close()
					continue
				}
				name := fmt.Sprintf("n%d", (g*7+i)%5)
				switch (g + i) % 7 {
				case 0, 1:
					n, h, errno := dir.Create(name, 0o644, abi.ORead|abi.OWrite)
					check("create", errno)
					if errno == abi.OK {
						_, _, errno = h.WriteAt([][]byte{[]byte("data")}, int64(i))
						check("write", errno)
						check("close", h.Close())
						n.Close()
					}
				case 2:
					check("remove", dir.Remove(name, false))
				case 3:
					check("rename", dir.Rename(name, s.top, name))
				case 4:
					check("rename back", s.top.Rename(name, dir, name))
				case 5:
					h, errno := dir.Open(abi.ORead)
					check("open", errno)
					if errno == abi.OK {
						_, errno = h.Readdir(0, 100)
						check("readdir", errno)
						check("close", h.Close())
					}
				default:
					n, errno := dir.Lookup(name)
					check("lookup", errno)
					if errno == abi.OK {
						_, errno = n.Stat()
						check("stat", errno)
						n.Close()
					}
				}
				d.Close()
			}
		})
	}
	wg.Wait()
	close(errs)
	for e := range errs {
		s.Error(e)
	}
}

// afterClose checks that what is still held is safe to use and to let go of.
func (s *suite) afterClose() {
	s.put(s.top, "f", "x")
	n := s.lookup("f")
	h, errno := n.Open(abi.ORead | abi.OWrite)
	s.ok("open", errno)
	if err := s.fs.Close(); err != nil {
		s.Errorf("close: %v", err)
	}
	may := func(what string, errno abi.Errno) {
		if errno != abi.OK && errno != abi.EIO && errno != abi.EBADF {
			s.Errorf("%s after close: %s", what, errno)
		}
	}
	_, errno = h.ReadAt([][]byte{make([]byte, 1)}, 0)
	may("read", errno)
	_, _, errno = h.WriteAt([][]byte{[]byte("y")}, 0)
	may("write", errno)
	_, errno = n.Stat()
	may("stat", errno)
	if m, errno := s.top.Lookup("f"); errno == abi.OK {
		m.Close()
	} else {
		may("lookup", errno)
	}
	may("mkdir", s.top.Mkdir("d", 0o755))
	may("close", h.Close())
	n.Close()
}
