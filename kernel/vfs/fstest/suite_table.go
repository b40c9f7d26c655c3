package fstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// everyOperation tries every operation on every kind of object.
func (s *suite) everyOperation() {
	types := []string{"nothing", "file", "empty", "full", "link"}
	if s.caps.NoSymlinks {
		types = types[:4]
	}
	const (
		ok, noent, exist, notdir, isdir, notempty = abi.OK, abi.ENOENT, abi.EEXIST, abi.ENOTDIR, abi.EISDIR, abi.ENOTEMPTY
		inval, loop, perm                         = abi.EINVAL, abi.ELOOP, abi.EPERM
	)
	closing := func(n vfs.Node, h vfs.Handle, errno abi.Errno) abi.Errno {
		if errno != abi.OK {
			return errno
		}
		if h != nil {
			errno = h.Close()
		}
		if n != nil {
			n.Close()
		}
		return errno
	}
	// on opens the object and does something to its node.
	on := func(f func(n vfs.Node) abi.Errno) func(vfs.Dir) abi.Errno {
		return func(d vfs.Dir) abi.Errno {
			n, errno := d.Lookup("x")
			if errno != abi.OK {
				return errno
			}
			defer n.Close()
			return f(n)
		}
	}
	opens := func(flags abi.OpenFlags) func(vfs.Dir) abi.Errno {
		return on(func(n vfs.Node) abi.Errno {
			h, errno := n.Open(flags)
			return closing(nil, h, errno)
		})
	}
	asDir := func(f func(vfs.Dir) abi.Errno) func(vfs.Dir) abi.Errno {
		return on(func(n vfs.Node) abi.Errno {
			d, is := n.(vfs.Dir)
			if !is {
				return abi.ENOTDIR
			}
			return f(d)
		})
	}
	table := []struct {
		what string
		op   func(vfs.Dir) abi.Errno
		want [5]abi.Errno // nothing, file, empty directory, full directory, symbolic link
	}{
		{"create", func(d vfs.Dir) abi.Errno { return closing(d.Create("x", 0o644, abi.OWrite)) }, [5]abi.Errno{ok, exist, exist, exist, exist}},
		{"mkdir", func(d vfs.Dir) abi.Errno { return d.Mkdir("x", 0o755) }, [5]abi.Errno{ok, exist, exist, exist, exist}},
		{"symlink", func(d vfs.Dir) abi.Errno { return d.Symlink("x", "t") }, [5]abi.Errno{ok, exist, exist, exist, exist}},
		{"link to it", func(d vfs.Dir) abi.Errno {
			n, errno := d.Lookup("other")
			if errno != abi.OK {
				return errno
			}
			defer n.Close()
			return d.Link("x", n)
		}, [5]abi.Errno{ok, exist, exist, exist, exist}},
		{"link of it", on(func(n vfs.Node) abi.Errno { return s.top.Link("made", n) }), [5]abi.Errno{noent, ok, perm, perm, ok}},
		{"unlink", func(d vfs.Dir) abi.Errno { return d.Remove("x", false) }, [5]abi.Errno{noent, ok, isdir, isdir, ok}},
		{"rmdir", func(d vfs.Dir) abi.Errno { return d.Remove("x", true) }, [5]abi.Errno{noent, notdir, ok, notempty, notdir}},
		{"rename to a free name", func(d vfs.Dir) abi.Errno { return d.Rename("x", d, "made") }, [5]abi.Errno{noent, ok, ok, ok, ok}},
		{"rename over a file", func(d vfs.Dir) abi.Errno { return d.Rename("x", d, "other") }, [5]abi.Errno{noent, ok, notdir, notdir, ok}},
		{"rename a file over it", func(d vfs.Dir) abi.Errno { return d.Rename("other", d, "x") }, [5]abi.Errno{ok, ok, isdir, isdir, ok}},
		{"rename a directory over it", func(d vfs.Dir) abi.Errno { return d.Rename("dir", d, "x") }, [5]abi.Errno{ok, notdir, ok, notempty, notdir}},
		{"rename over an empty directory", func(d vfs.Dir) abi.Errno { return d.Rename("x", d, "dir") }, [5]abi.Errno{noent, isdir, ok, ok, isdir}},
		{"rename onto itself", func(d vfs.Dir) abi.Errno { return d.Rename("x", d, "x") }, [5]abi.Errno{noent, ok, ok, ok, ok}},
		{"rename into it", asDir(func(d vfs.Dir) abi.Errno { return s.top.Rename("other", d, "made") }), [5]abi.Errno{noent, notdir, ok, ok, notdir}},
		{"rename out of it", asDir(func(d vfs.Dir) abi.Errno { return d.Rename("in", s.top, "made") }), [5]abi.Errno{noent, notdir, noent, ok, notdir}},
		{"rename it into itself", asDir(func(d vfs.Dir) abi.Errno { return s.top.Rename("x", d, "made") }), [5]abi.Errno{noent, notdir, inval, inval, notdir}},
		{"create in it", asDir(func(d vfs.Dir) abi.Errno { return closing(d.Create("made", 0o644, abi.OWrite)) }), [5]abi.Errno{noent, notdir, ok, ok, notdir}},
		{"mkdir in it", asDir(func(d vfs.Dir) abi.Errno { return d.Mkdir("made", 0o755) }), [5]abi.Errno{noent, notdir, ok, ok, notdir}},
		{"symlink in it", asDir(func(d vfs.Dir) abi.Errno { return d.Symlink("made", "t") }), [5]abi.Errno{noent, notdir, ok, ok, notdir}},
		{"remove from it", asDir(func(d vfs.Dir) abi.Errno { return d.Remove("in", false) }), [5]abi.Errno{noent, notdir, noent, ok, notdir}},
		{"lookup in it", on(func(n vfs.Node) abi.Errno { m, errno := n.Lookup("in"); return closing(m, nil, errno) }), [5]abi.Errno{noent, notdir, noent, ok, notdir}},
		{"readlink", on(func(n vfs.Node) abi.Errno { _, errno := n.Readlink(); return errno }), [5]abi.Errno{noent, inval, inval, inval, ok}},
		{"stat", on(func(n vfs.Node) abi.Errno { _, errno := n.Stat(); return errno }), [5]abi.Errno{noent, ok, ok, ok, ok}},
		{"set times", on(func(n vfs.Node) abi.Errno { t := int64(7); return n.SetTimes(&t, &t) }), [5]abi.Errno{noent, ok, ok, ok, ok}},
		{"open to read", opens(abi.ORead), [5]abi.Errno{noent, ok, ok, ok, loop}},
		{"open for nothing", opens(0), [5]abi.Errno{noent, ok, ok, ok, loop}},
		{"open to write", opens(abi.OWrite), [5]abi.Errno{noent, ok, isdir, isdir, loop}},
		{"open to append", opens(abi.OWrite | abi.OAppend), [5]abi.Errno{noent, ok, isdir, isdir, loop}},
		{"open to truncate", opens(abi.OWrite | abi.OTrunc), [5]abi.Errno{noent, ok, isdir, isdir, loop}},
		{"list", on(func(n vfs.Node) abi.Errno {
			h, errno := n.Open(abi.ORead)
			if errno != abi.OK {
				return errno
			}
			_, errno = h.Readdir(0, 10)
			return max(errno, closing(nil, h, abi.OK))
		}), [5]abi.Errno{noent, notdir, ok, ok, loop}},
	}
	for _, row := range table {
		if strings.Contains(row.what, "symlink") && s.caps.NoSymlinks || strings.HasPrefix(row.what, "link") && s.caps.NoLinks {
			continue
		}
		for i, typ := range types {
			s.put(s.top, "other", "other")
			s.ok("mkdir", s.top.Mkdir("dir", 0o755))
			switch typ {
			case "file":
				s.put(s.top, "x", "x")
			case "empty", "full":
				s.ok("mkdir", s.top.Mkdir("x", 0o755))
				if typ == "full" {
					d := s.dir("x")
					s.put(d, "in", "in")
					d.Close()
				}
			case "link":
				s.ok("symlink", s.top.Symlink("x", "other"))
			}
			before := s.shape()
			got, want := row.op(s.top), row.want[i]
			if row.what == "set times" && typ == "link" && s.caps.NoLinkTimes {
				want = abi.ENOTSUP
			}
			s.want(fmt.Sprintf("%s, of %s", row.what, typ), got, want)
			if got != abi.OK && s.shape() != before {
				s.Errorf("%s, of %s, was refused and changed %q to %q", row.what, typ, before, s.shape())
			}
			s.clear(s.top)
		}
	}
}

// shape renders the names, types, and contents beneath the root.
func (s *suite) shape() string {
	s.Helper()
	var out []string
	var in func(d vfs.Node, at string)
	in = func(d vfs.Node, at string) {
		for _, e := range s.list(d, 100) {
			n, errno := d.Lookup(e.Name)
			s.ok("lookup", errno)
			st := s.stat(n)
			line := fmt.Sprintf("%s%s %s", at, e.Name, e.Type)
			switch e.Type {
			case abi.TypeRegular:
				line += fmt.Sprintf(" %d %q", st.Nlink, s.content(n))
			case abi.TypeDirectory:
				in(n, at+e.Name+"/")
			}
			out = append(out, line)
			n.Close()
		}
	}
	in(s.top, "")
	return strings.Join(sorted(out), "\n")
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// clear removes everything in a directory.
func (s *suite) clear(d vfs.Dir) {
	s.Helper()
	for _, e := range s.list(d, 100) {
		if e.Type == abi.TypeDirectory {
			n, errno := d.Lookup(e.Name)
			s.ok("lookup", errno)
			sub, ok := n.(vfs.Dir)
			if !ok {
				s.Fatalf("%T is no directory", n)
			}
			s.clear(sub)
			sub.Close()
		}
		s.ok("remove "+e.Name, d.Remove(e.Name, e.Type == abi.TypeDirectory))
	}
}

// everyName makes, finds, lists, renames, and removes names of every byte there
// can be in one, and refuses the others in every operation.
func (s *suite) everyName() {
	var list []string
	for b := 1; b < 256; b++ {
		if b == '/' || b > 127 && s.caps.NoRawNames {
			continue
		}
		if c := byte(b); s.caps.FoldsCase && c >= 'A' && c <= 'Z' {
			continue
		}
		list = append(list, "n"+string([]byte{byte(b)}))
	}
	long := strings.Repeat("n", 255)
	list = append(list, long, "..n", "...")
	for _, name := range list {
		s.put(s.top, name, name)
	}
	if got := names(s.list(s.top, 7)); strings.Join(got, "/") != strings.Join(sorted(list), "/") {
		s.Errorf("listed %q", got)
	}
	for _, name := range list {
		n, errno := s.top.Lookup(name)
		s.ok(fmt.Sprintf("lookup %q", name), errno)
		if got := s.content(n); got != name {
			s.Errorf("%q holds %q", name, got)
		}
		n.Close()
		s.ok("rename", s.top.Rename(name, s.top, "moved"))
		s.ok("remove", s.top.Remove("moved", false))
	}
	s.put(s.top, "f", "f")
	f := s.lookup("f")
	defer f.Close()
	refuse := func(name string, may ...abi.Errno) {
		s.Helper()
		check := func(what string, errno abi.Errno) {
			s.Helper()
			for _, m := range may {
				if errno == m {
					return
				}
			}
			s.Errorf("%s of a name of %d bytes, %.20q: %s, not %v", what, len(name), name, errno, may)
		}
		n, errno := s.top.Lookup(name)
		check("lookup", errno)
		if errno == abi.OK {
			n.Close()
		}
		_, _, errno = s.top.Create(name, 0o644, abi.OWrite)
		check("create", errno)
		check("mkdir", s.top.Mkdir(name, 0o755))
		check("remove", s.top.Remove(name, false))
		check("rmdir", s.top.Remove(name, true))
		check("rename", s.top.Rename(name, s.top, "g"))
		check("rename to", s.top.Rename("f", s.top, name))
		if !s.caps.NoSymlinks {
			check("symlink", s.top.Symlink(name, "t"))
		}
		if !s.caps.NoLinks {
			check("link", s.top.Link(name, f))
		}
	}
	refuse(long+"n", abi.ENAMETOOLONG)
	refuse(strings.Repeat("n", 5000), abi.ENAMETOOLONG)
	for _, bad := range []string{"", ".", "..", "a/b", "/", "a\x00b", "../f"} {
		refuse(bad, abi.EINVAL)
	}
	if got := s.shape(); got != `f regular 1 "f"` {
		s.Errorf("what was refused left %q", got)
	}
}

// targets checks symbolic links as long as they can be, and of any bytes.
func (s *suite) targets() {
	for _, target := range []string{strings.Repeat("t", 4095), strings.Repeat("é/", 1000), "a\nb", " ", "//", "/"} {
		errno := s.top.Symlink("l", target)
		if errno == abi.ENAMETOOLONG && len(target) > 1023 {
			s.Logf("not checked: a target of %d bytes, which this file system does not take", len(target))
			continue
		}
		s.ok("symlink", errno)
		l := s.lookup("l")
		if got, errno := l.Readlink(); got != target || errno != abi.OK {
			s.Errorf("a target of %d bytes: %d, %s", len(target), len(got), errno)
		}
		if st := s.stat(l); st.Size != int64(len(target)) {
			s.Errorf("a target of %d bytes: size %d", len(target), st.Size)
		}
		l.Close()
		s.ok("remove", s.top.Remove("l", false))
	}
	if !s.caps.NoRawNames {
		raw := "\xff\xfe/\x80"
		s.ok("symlink", s.top.Symlink("l", raw))
		l := s.lookup("l")
		if got, errno := l.Readlink(); got != raw || errno != abi.OK {
			s.Errorf("target %q, %s", got, errno)
		}
		l.Close()
		s.ok("remove", s.top.Remove("l", false))
	}
	s.want("a target of 4,096 bytes", s.top.Symlink("l", strings.Repeat("t", 4096)), abi.ENAMETOOLONG)
	s.want("no target", s.top.Symlink("l", ""), abi.ENOENT)
	s.gone("l")
}

// many lists a large directory: every name once, every cookie once, and each
// cookie resumes after its entry.
func (s *suite) many() {
	files := 10_000
	if testing.Short() || s.caps.Slow {
		files = 1000
	}
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	d := s.dir("d")
	defer d.Close()
	for i := range files {
		n, h, errno := d.Create(fmt.Sprintf("%d", i), 0o644, abi.OWrite)
		s.ok("create", errno)
		s.ok("close", h.Close())
		n.Close()
	}
	seen := map[string]bool{}
	cookies := map[uint64]bool{0: true}
	all := s.list(d, 100)
	for _, e := range all {
		if seen[e.Name] || cookies[e.Next] {
			s.Fatalf("%q, cookie %d, was there before", e.Name, e.Next)
		}
		seen[e.Name], cookies[e.Next] = true, true
	}
	if len(seen) != files {
		s.Errorf("listed %d of %d", len(seen), files)
	}
	h, errno := d.Open(abi.ORead)
	s.ok("open", errno)
	for i := 0; i < len(all)-1; i += 1 + len(all)/37 { // and back again: seeks
		for _, j := range []int{i, len(all) - 2 - i} {
			ents, errno := h.Readdir(all[j].Next, 1)
			s.ok("readdir", errno)
			if len(ents) != 1 || ents[0].Name != all[j+1].Name {
				s.Fatalf("after %q comes %v, not %q", all[j].Name, names(ents), all[j+1].Name)
			}
		}
	}
	if ents, errno := h.Readdir(all[len(all)-1].Next, 1); len(ents) != 0 || errno != abi.OK {
		s.Errorf("after the last: %v, %s", names(ents), errno)
	}
	for _, cookie := range []uint64{1, 1 << 31, 1<<32 + 7, 1<<63 - 1, 1 << 63, 1<<64 - 1} { // what a guest may make up
		ents, errno := h.Readdir(cookie, 3)
		if len(ents) > 3 || errno != abi.OK && errno != abi.EINVAL && errno != abi.ENOENT {
			s.Errorf("cookie %d: %d entries, %s", cookie, len(ents), errno)
		}
	}
	if _, errno := h.Readdir(0, 0); errno != abi.EINVAL {
		s.Errorf("list no entries: %s", errno)
	}
	if ents, errno := h.Readdir(0, files+1); errno != abi.OK || len(ents) == 0 {
		s.Errorf("from the beginning again: %d entries, %s", len(ents), errno)
	}
	s.ok("close", h.Close())
	for i := range files {
		s.ok("remove", d.Remove(fmt.Sprintf("%d", i), false))
	}
}

// renamedWhileListed renames what is listed to names before and after it, and
// takes away what was just listed: what stays is seen once.
func (s *suite) renamedWhileListed() {
	for _, max := range []int{1, 2, 5} {
		for i := range 60 {
			s.put(s.top, fmt.Sprintf("stay%d", i), "")
			s.put(s.top, fmt.Sprintf("move%d", i), "")
		}
		h, errno := s.top.Open(abi.ORead)
		s.ok("open", errno)
		count := map[string]int{}
		cookie := uint64(0)
		for round := 0; ; round++ {
			ents, errno := h.Readdir(cookie, max)
			s.ok("readdir", errno)
			if len(ents) == 0 {
				break
			}
			if round > 1000 {
				s.Fatal("the listing does not end")
			}
			for _, e := range ents {
				count[e.Name]++
				if strings.HasPrefix(e.Name, "moved") || strings.HasPrefix(e.Name, "stay") || round > 60 {
					continue
				}
				s.ok("rename", s.top.Rename(e.Name, s.top, fmt.Sprintf("moved%d", round)))
				if round%3 == 0 {
					s.ok("remove", s.top.Remove(fmt.Sprintf("moved%d", round), false))
				}
			}
			cookie = ents[len(ents)-1].Next
		}
		for i := range 60 {
			if n := count[fmt.Sprintf("stay%d", i)]; n != 1 {
				s.Errorf("%d at a time: stay%d was listed %d times", max, i, n)
			}
		}
		s.ok("close", h.Close())
		s.clear(s.top)
	}
}
