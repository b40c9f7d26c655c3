package fstest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Caps say what a file system cannot do, so that the suite leaves it out and
// says so.
type Caps struct {
	NoLinks    bool // no hard links
	NoSymlinks bool
	NoRawNames bool // names must be UTF-8
	FoldsCase  bool // names that differ in case are the same
	NoCtime    bool // the time of change is not kept
	// NoReopen: a node whose name was changed or removed cannot be opened any
	// more. It is never another object.
	NoReopen bool
	// ByName: nor can it be described or changed.
	ByName      bool
	NoLinkTimes bool // the times of a symbolic link cannot be set
	Slow        bool // large directories are made a tenth of the size
}

// Run runs the suite. make returns an empty file system that can change; the
// suite closes it.
func Run(t *testing.T, make func(t *testing.T) vfs.FileSystem, caps Caps) {
	tests := []struct {
		name string
		skip bool
		f    func(*suite)
	}{
		{"Root", false, (*suite).root},
		{"Create", false, (*suite).create},
		{"ReadWrite", false, (*suite).readWrite},
		{"Holes", false, (*suite).holes},
		{"Append", false, (*suite).appending},
		{"Truncate", false, (*suite).truncating},
		{"Directories", false, (*suite).directories},
		{"Remove", false, (*suite).removing},
		{"Unlinked", false, (*suite).unlinked},
		{"UnlinkedFully", caps.ByName, (*suite).unlinkedFully},
		{"Sparse", false, (*suite).sparse},
		{"Limits", false, (*suite).limits},
		{"Allocate", false, (*suite).allocates},
		{"Access", false, (*suite).access},
		{"Appenders", false, (*suite).appenders},
		{"EveryOperation", false, (*suite).everyOperation},
		{"EveryName", false, (*suite).everyName},
		{"Targets", caps.NoSymlinks, (*suite).targets},
		{"Symlinks", caps.NoSymlinks, (*suite).symlinks},
		{"Links", caps.NoLinks, (*suite).links},
		{"Rename", false, (*suite).renaming},
		{"RenameIntoItself", false, (*suite).renameInto},
		{"HandleStays", false, (*suite).handleStays},
		{"Readdir", false, (*suite).readdir},
		{"ReaddirWhileChanging", false, (*suite).readdirChanging},
		{"RenamedWhileListed", false, (*suite).renamedWhileListed},
		{"Many", false, (*suite).many},
		{"Times", false, (*suite).times},
		{"TimeRules", false, (*suite).timeRules},
		{"FarTimes", false, (*suite).farTimes},
		{"Modes", false, (*suite).modes},
		{"LinkCounts", false, (*suite).linkCounts},
		{"Names", false, (*suite).names},
		{"RawNames", caps.NoRawNames, (*suite).rawNames},
		{"NotADirectory", false, (*suite).notADirectory},
		{"Hammer", false, (*suite).hammer},
		{"AfterClose", false, (*suite).afterClose},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.skip {
				t.Skip("not checked: the file system says that it cannot")
			}
			s := &suite{T: t, caps: caps, fs: make(t)}
			s.run(test.f)
		})
	}
}

// run opens the root, runs one test, and closes the file system.
func (s *suite) run(f func(*suite)) {
	s.Helper()
	n, errno := s.fs.Root()
	if errno != abi.OK {
		s.Fatalf("root: %v", errno)
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		s.Fatalf("the root, a %T, cannot change", n)
	}
	s.top = dir
	f(s)
	dir.Close()
	if err := s.fs.Close(); err != nil {
		s.Errorf("close: %v", err)
	}
}

type suite struct {
	*testing.T
	caps Caps
	fs   vfs.FileSystem
	top  vfs.Dir
}

// want compares the error of an operation.
func (s *suite) want(what string, got, want abi.Errno) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func (s *suite) ok(what string, errno abi.Errno) {
	s.Helper()
	if errno != abi.OK {
		s.Fatalf("%s: %s", what, errno)
	}
}

// lookup walks rel from the root, component by component.
func (s *suite) lookup(rel string) vfs.Node {
	s.Helper()
	n, errno := s.try(rel)
	s.ok("lookup "+rel, errno)
	return n
}

func (s *suite) try(rel string) (vfs.Node, abi.Errno) {
	at, errno := s.fs.Root()
	for _, name := range strings.Split(rel, "/") {
		if errno != abi.OK {
			return nil, errno
		}
		var next vfs.Node
		next, errno = at.Lookup(name)
		at.Close()
		at = next
	}
	return at, errno
}

func (s *suite) dir(rel string) vfs.Dir {
	s.Helper()
	n := s.lookup(rel)
	d, ok := n.(vfs.Dir)
	if !ok {
		s.Fatalf("%s, a %T, is no directory", rel, n)
	}
	return d
}

// put makes a file with content.
func (s *suite) put(dir vfs.Dir, name, content string) {
	s.Helper()
	n, h, errno := dir.Create(name, 0o644, abi.OWrite)
	s.ok("create "+name, errno)
	s.write(h, 0, content)
	s.ok("close", h.Close())
	n.Close()
}

func (s *suite) write(h vfs.Handle, off int64, data ...string) {
	s.Helper()
	var bufs [][]byte
	total := 0
	for _, d := range data {
		bufs = append(bufs, []byte(d))
		total += len(d)
	}
	n, _, errno := h.WriteAt(bufs, off)
	s.ok("write", errno)
	if n != total {
		s.Fatalf("write: %d of %d bytes", n, total)
	}
}

// content reads a whole file.
func (s *suite) content(n vfs.Node) string {
	s.Helper()
	h, errno := n.Open(abi.ORead)
	s.ok("open", errno)
	defer func() { s.ok("close", h.Close()) }()
	return s.all(h)
}

func (s *suite) all(h vfs.Handle) string {
	s.Helper()
	var out []byte
	for {
		buf := make([]byte, 1000)
		n, errno := h.ReadAt([][]byte{buf[:7], buf[7:]}, int64(len(out)))
		s.ok("read", errno)
		if n == 0 {
			return string(out)
		}
		out = append(out, buf[:n]...)
	}
}

// at opens rel and returns its content.
func (s *suite) at(rel string) string {
	s.Helper()
	n := s.lookup(rel)
	defer n.Close()
	return s.content(n)
}

func (s *suite) stat(n vfs.Node) abi.Stat {
	s.Helper()
	st, errno := n.Stat()
	s.ok("stat", errno)
	return st
}

func (s *suite) gone(rel string) {
	s.Helper()
	n, errno := s.try(rel)
	if errno == abi.OK {
		n.Close()
	}
	s.want("lookup "+rel, errno, abi.ENOENT)
}

func (s *suite) root() {
	a, b := s.stat(s.top), s.stat(s.top)
	if a.Type != abi.TypeDirectory || a.Ino == 0 || a.Ino != b.Ino || a.Dev != b.Dev {
		s.Errorf("root: %+v, then %+v", a, b)
	}
	again, errno := s.fs.Root()
	s.ok("root again", errno)
	if st := s.stat(again); st.Ino != a.Ino || st.Dev != a.Dev {
		s.Errorf("the root is %d:%d and %d:%d", a.Dev, a.Ino, st.Dev, st.Ino)
	}
	again.Close()
	s.gone("nothing")
}

func (s *suite) create() {
	n, h, errno := s.top.Create("f", 0o600, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	if st := s.stat(n); st.Type != abi.TypeRegular || st.Size != 0 || st.Nlink != 1 || st.Mode&0o077 != 0 {
		s.Errorf("created: %+v", st)
	}
	s.write(h, 0, "hello")
	s.ok("close", h.Close())
	if _, _, errno := s.top.Create("f", 0o600, abi.OWrite); errno != abi.EEXIST {
		s.Errorf("create again: %s, want EEXIST", errno)
	}
	if got := s.at("f"); got != "hello" {
		s.Errorf("content %q", got)
	}
	found := s.lookup("f")
	defer found.Close()
	if a, b := s.stat(n), s.stat(found); a.Ino != b.Ino || b.Size != 5 {
		s.Errorf("created %+v, found %+v", a, b)
	}
}

func (s *suite) readWrite() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	s.write(h, 0, string(want[:5]), "", string(want[5:9000]), string(want[9000:]))
	if got := s.all(h); got != string(want) {
		s.Error("what was written in pieces reads differently")
	}
	s.write(h, 4090, "ABCDEFGHIJKL") // across a block
	copy(want[4090:], "ABCDEFGHIJKL")
	if got := s.all(h); got != string(want) {
		s.Error("an overwrite reads differently")
	}
	buf := make([]byte, 10)
	k, errno := h.ReadAt([][]byte{buf}, int64(len(want))-3)
	if k != 3 || errno != abi.OK {
		s.Errorf("read at the end: %d, %s", k, errno)
	}
	for _, off := range []int64{int64(len(want)), 1 << 40} {
		if k, errno = h.ReadAt([][]byte{buf}, off); k != 0 || errno != abi.OK {
			s.Errorf("read past the end at %d: %d, %s", off, k, errno)
		}
	}
	if k, errno = h.ReadAt(nil, 0); k != 0 || errno != abi.OK {
		s.Errorf("read of nothing: %d, %s", k, errno)
	}
	s.ok("sync", h.Sync(false))
	s.ok("datasync", h.Sync(true))
	s.ok("close", h.Close())
}

func (s *suite) holes() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	defer n.Close()
	s.write(h, 100_000, "end")
	want := strings.Repeat("\x00", 100_000) + "end"
	if got := s.all(h); got != want {
		s.Error("a hole does not read as zeros")
	}
	s.write(h, 50_000, "mid")
	if got := s.all(h); got != want[:50_000]+"mid"+want[50_003:] {
		s.Error("a write into a hole went wrong")
	}
	s.ok("truncate", h.Truncate(1<<33))
	s.write(h, 1<<33, "far")
	if st := s.stat(n); st.Size != 1<<33+3 {
		s.Errorf("size %d", st.Size)
	}
	buf := make([]byte, 8)
	if k, errno := h.ReadAt([][]byte{buf}, 1<<33-2); errno != abi.OK || string(buf[:k]) != "\x00\x00far" {
		s.Errorf("far: %q, %s", buf[:k], errno)
	}
	s.ok("truncate", h.Truncate(3))
	if got := s.all(h); got != "\x00\x00\x00" {
		s.Errorf("after truncate %q", got)
	}
	s.ok("close", h.Close())
}

func (s *suite) appending() {
	s.put(s.top, "f", "one")
	n := s.lookup("f")
	defer n.Close()
	h, errno := n.Open(abi.OWrite | abi.OAppend)
	s.ok("open", errno)
	k, end, errno := h.WriteAt([][]byte{[]byte("tw"), []byte("o")}, 0)
	if k != 3 || end != 6 || errno != abi.OK {
		s.Errorf("append: %d, end %d, %s", k, end, errno)
	}
	s.ok("close", h.Close())
	if got := s.content(n); got != "onetwo" {
		s.Errorf("content %q", got)
	}
}

func (s *suite) truncating() {
	s.put(s.top, "f", strings.Repeat("x", 10_000))
	n := s.lookup("f")
	defer n.Close()
	h, errno := n.Open(abi.ORead | abi.OWrite)
	s.ok("open", errno)
	s.ok("truncate", h.Truncate(5000))
	s.ok("truncate", h.Truncate(9000))
	if got, want := s.all(h), strings.Repeat("x", 5000)+strings.Repeat("\x00", 4000); got != want {
		s.Error("what was cut off came back")
	}
	s.ok("truncate", h.Truncate(0))
	if st := s.stat(n); st.Size != 0 {
		s.Errorf("size %d", st.Size)
	}
	s.write(h, 0, "new")
	s.ok("close", h.Close())
	h, errno = n.Open(abi.OWrite | abi.OTrunc)
	s.ok("open to truncate", errno)
	s.ok("close", h.Close())
	if got := s.content(n); got != "" {
		s.Errorf("content %q", got)
	}
}

func (s *suite) directories() {
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	s.want("mkdir again", s.top.Mkdir("d", 0o755), abi.EEXIST)
	d := s.dir("d")
	defer d.Close()
	if st := s.stat(d); st.Type != abi.TypeDirectory {
		s.Errorf("made %+v", st)
	}
	s.ok("mkdir", d.Mkdir("e", 0o755))
	s.put(d, "f", "x")
	if got := s.at("d/f"); got != "x" {
		s.Errorf("content %q", got)
	}
	if h, errno := d.Open(abi.OWrite); errno == abi.OK {
		s.Error("a directory was opened for writing")
		s.ok("close", h.Close())
	}
	h, errno := d.Open(abi.ORead)
	s.ok("open", errno)
	if _, errno := h.ReadAt([][]byte{make([]byte, 1)}, 0); errno != abi.EISDIR {
		s.Errorf("read of a directory: %s", errno)
	}
	s.ok("close", h.Close())
}

func (s *suite) removing() {
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	d := s.dir("d")
	s.put(d, "f", "x")
	s.want("remove a directory as a file", s.top.Remove("d", false), abi.EISDIR)
	s.want("remove a file as a directory", d.Remove("f", true), abi.ENOTDIR)
	s.want("remove what is not there", d.Remove("g", false), abi.ENOENT)
	s.want("remove a directory that is not there", d.Remove("g", true), abi.ENOENT)
	s.want("remove a full directory", s.top.Remove("d", true), abi.ENOTEMPTY)
	s.ok("remove", d.Remove("f", false))
	s.gone("d/f")
	s.ok("rmdir", s.top.Remove("d", true))
	s.gone("d")
	s.want("mkdir in a removed directory", d.Mkdir("x", 0o755), abi.ENOENT)
	if _, _, errno := d.Create("x", 0o644, abi.OWrite); errno != abi.ENOENT {
		s.Errorf("create in a removed directory: %s", errno)
	}
	d.Close()
}

func (s *suite) unlinked() {
	n, h, errno := s.top.Create("f", 0o644, abi.ORead|abi.OWrite)
	s.ok("create", errno)
	s.write(h, 0, "before")
	s.ok("remove", s.top.Remove("f", false))
	s.gone("f")
	s.write(h, 6, " after")
	if got := s.all(h); got != "before after" {
		s.Errorf("an unlinked open file holds %q", got)
	}
	if !s.caps.ByName {
		if st := s.stat(n); st.Nlink != 0 || st.Size != 12 {
			s.Errorf("unlinked: %+v", st)
		}
	}
	s.put(s.top, "f", "other")
	if got := s.all(h); got != "before after" {
		s.Error("a new file of the name shows through")
	}
	s.ok("close", h.Close())
	n.Close()
	if got := s.at("f"); got != "other" {
		s.Errorf("content %q", got)
	}
}

func (s *suite) symlinks() {
	s.put(s.top, "f", "x")
	for _, target := range []string{"f", "nowhere", "/abs/olute", "../..", strings.Repeat("t/", 100) + "t"} {
		s.ok("symlink", s.top.Symlink("l", target))
		s.want("symlink again", s.top.Symlink("l", target), abi.EEXIST)
		l := s.lookup("l")
		if st := s.stat(l); st.Type != abi.TypeSymlink || st.Size != int64(len(target)) {
			s.Errorf("symlink to %q: %+v", target, st)
		}
		if got, errno := l.Readlink(); got != target || errno != abi.OK {
			s.Errorf("readlink: %q, %s", got, errno)
		}
		if h, errno := l.Open(abi.ORead); errno != abi.ELOOP {
			s.Errorf("open of a symbolic link: %s, want ELOOP", errno)
			if errno == abi.OK {
				s.ok("close", h.Close())
			}
		}
		if n, errno := l.Lookup("x"); errno != abi.ENOTDIR {
			s.Errorf("lookup in a symbolic link: %s, want ENOTDIR", errno)
			if errno == abi.OK {
				n.Close()
			}
		}
		l.Close()
		s.ok("remove", s.top.Remove("l", false))
	}
	f := s.lookup("f")
	defer f.Close()
	if _, errno := f.Readlink(); errno != abi.EINVAL {
		s.Errorf("readlink of a file: %s", errno)
	}
	if got := s.content(f); got != "x" {
		s.Errorf("removing a link removed its target: %q", got)
	}
}

func (s *suite) links() {
	s.put(s.top, "f", "x")
	s.ok("mkdir", s.top.Mkdir("d", 0o755))
	f := s.lookup("f")
	defer f.Close()
	d := s.dir("d")
	defer d.Close()
	s.ok("link", d.Link("g", f))
	s.want("link again", d.Link("g", f), abi.EEXIST)
	g := s.lookup("d/g")
	defer g.Close()
	if a, b := s.stat(f), s.stat(g); a.Ino != b.Ino || a.Nlink != 2 {
		s.Errorf("linked: %+v and %+v", a, b)
	}
	h, errno := g.Open(abi.OWrite)
	s.ok("open", errno)
	s.write(h, 1, "y")
	s.ok("close", h.Close())
	if got := s.at("f"); got != "xy" {
		s.Errorf("content %q", got)
	}
	s.ok("remove", s.top.Remove("f", false))
	if got := s.at("d/g"); got != "xy" {
		s.Errorf("content %q", got)
	}
	if st := s.stat(g); st.Nlink != 1 {
		s.Errorf("nlink %d", st.Nlink)
	}
	if errno := s.top.Link("e", d); errno != abi.EPERM {
		s.Errorf("link of a directory: %s, want EPERM", errno)
	}
}
