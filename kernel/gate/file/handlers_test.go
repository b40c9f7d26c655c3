package file

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// machine is a process with files and the handlers to work on them.
type machine struct {
	*testing.T
	p    *proc.Process
	root abi.FD
}

const fileLimit = 8

func newMachine(t *testing.T, rules ...perm.PathRule) *machine {
	t.Helper()
	account := limit.NewAccount(limit.Caps{abi.LimitFiles: fileLimit, abi.LimitDisk: 1 << 20})
	p := proc.New(proc.Options{
		Account: account, Denials: new(perm.Denials),
		Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: append([]perm.PathRule{{Guest: "/w", Right: perm.Write, Host: "/h/w"}}, rules...)}), nil),
	})
	ns := vfs.NewNamespace(vfs.Options{})
	if err := ns.Mount("/w", memfs.New(account, memfs.Options{})); err != nil {
		t.Fatal(err)
	}
	p.SetNS(ns)
	p.SetFDs(proc.NewFDTable(account))
	m := &machine{T: t, p: p}
	f, errno := ns.OpenDir("/w")
	m.ok("open the directory", errno)
	m.root, errno = p.FDs().Reserve()
	m.ok("reserve", errno)
	if !p.FDs().Commit(m.root, proc.Descriptor{File: f, Base: f.Base(), Preopen: "/w", Rights: 0xff, Inherit: 0x0f}) {
		t.Fatal("commit")
	}
	t.Cleanup(func() {
		for _, d := range p.FDs().Release() {
			m.ok("close", d.File.Unref())
		}
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
		if held := account.Held(); len(held) > 0 {
			t.Errorf("still charged: %v", held)
		}
	})
	return m
}

func (m *machine) ok(what string, errno abi.Errno) {
	m.Helper()
	if errno != abi.OK {
		m.Fatalf("%s: %s", what, errno)
	}
}

// call performs nr and checks its error.
func (m *machine) call(nr abi.Sysno, c abi.Call, want abi.Errno) *abi.Call {
	m.Helper()
	c.Nr = nr
	m.p.SetCall(&c)
	if got := Handlers()[nr](m.p, &c); got != want {
		m.Errorf("%s %q: got %s, want %s", nr, c.Path, got, want)
	}
	return &c
}

func (m *machine) open(path string, flags abi.OpenFlags) abi.FD {
	m.Helper()
	return abi.FD(m.call(abi.SysOpen, abi.Call{FD: m.root, Path: path, Open: flags, Arg: [2]uint64{0x3, 0}}, abi.OK).Ret)
}

func TestEveryRowHasAHandler(t *testing.T) {
	h := Handlers()
	for _, row := range abi.Rows() {
		want := row.Nr != abi.SysPoll && row.Category != abi.CatNetwork && slices.Contains([]abi.Object{abi.ObjDescriptor, abi.ObjPath, abi.ObjTwoPaths}, row.Touches)
		if got := h[row.Nr] != nil; got != want {
			t.Errorf("%s: handler %v, want %v", row.Name, got, want)
		}
	}
}

func TestLifeOfAFile(t *testing.T) {
	m := newMachine(t)
	fd := m.open("f", abi.ORead|abi.OWrite|abi.OCreate|abi.OExcl)
	if c := m.call(abi.SysWrite, abi.Call{FD: fd, Buf: [][]byte{[]byte("hello "), []byte("world")}}, abi.OK); c.Ret != 11 {
		t.Errorf("wrote %d", c.Ret)
	}
	if c := m.call(abi.SysSeek, abi.Call{FD: fd, Off: -5, Flags: abi.SeekCur}, abi.OK); c.Ret != 6 {
		t.Errorf("at %d", c.Ret)
	}
	buf := make([]byte, 20)
	if c := m.call(abi.SysRead, abi.Call{FD: fd, Buf: [][]byte{buf}}, abi.OK); string(buf[:c.Ret]) != "world" {
		t.Errorf("read %q", buf[:c.Ret])
	}
	m.call(abi.SysPwrite, abi.Call{FD: fd, Buf: [][]byte{[]byte("HE")}}, abi.OK)
	if c := m.call(abi.SysPread, abi.Call{FD: fd, Buf: [][]byte{buf[:5]}}, abi.OK); c.Ret != 5 || string(buf[:5]) != "HEllo" {
		t.Errorf("pread %q", buf[:5])
	}
	m.call(abi.SysTruncate, abi.Call{FD: fd, Off: 3}, abi.OK)
	m.call(abi.SysAllocate, abi.Call{FD: fd, Off: 0, Len: 100}, abi.OK)
	m.call(abi.SysAdvise, abi.Call{FD: fd, Len: 10}, abi.OK)
	m.call(abi.SysFutimes, abi.Call{FD: fd, Flags: abi.SetAtime | abi.SetMtime, Time: [2]int64{5, 6}}, abi.OK)
	m.call(abi.SysFutimes, abi.Call{FD: fd, Flags: abi.SetAtime | abi.SetAtimeNow}, abi.EINVAL)
	if c := m.call(abi.SysFstat, abi.Call{FD: fd}, abi.OK); c.Stat.Size != 100 || c.Stat.Atime != 5 || c.Stat.Mtime != 6 {
		t.Errorf("fstat %+v", c.Stat)
	}
	m.call(abi.SysUtimes, abi.Call{FD: m.root, Path: "f", Flags: abi.SetMtimeNow}, abi.OK)
	if c := m.call(abi.SysStat, abi.Call{FD: m.root, Path: "f"}, abi.OK); c.Stat.Mtime < 1e18 || c.Stat.Atime != 5 {
		t.Errorf("stat %+v", c.Stat)
	}
	m.call(abi.SysSync, abi.Call{FD: fd}, abi.OK)
	m.call(abi.SysDatasync, abi.Call{FD: fd}, abi.OK)
	m.call(abi.SysFcntl, abi.Call{FD: fd, Open: abi.OAppend}, abi.OK)
	if c := m.call(abi.SysFdinfo, abi.Call{FD: fd}, abi.OK); c.Info.Type != abi.TypeRegular || c.Info.Flags != abi.ORead|abi.OWrite|abi.OAppend || c.Info.Rights != 0x3 || c.Info.Inherit != 0 || c.Info.Preopen != "" {
		t.Errorf("fdinfo %+v", c.Info)
	}
	m.call(abi.SysOpen, abi.Call{FD: m.root, Path: "f", Open: abi.ORead, Arg: [2]uint64{0x10, 0}}, abi.ENOTCAPABLE)
	m.call(abi.SysOpen, abi.Call{FD: m.root, Path: "f", Open: abi.ORead, Arg: [2]uint64{0, 0x10}}, abi.ENOTCAPABLE)
	m.call(abi.SysRights, abi.Call{FD: fd, Arg: [2]uint64{0x4, 0}}, abi.ENOTCAPABLE)
	m.call(abi.SysRights, abi.Call{FD: fd, Arg: [2]uint64{0x1, 0}}, abi.OK)
	m.call(abi.SysRights, abi.Call{FD: fd, Arg: [2]uint64{0x3, 0}}, abi.ENOTCAPABLE)
	m.call(abi.SysClose, abi.Call{FD: fd}, abi.OK)
	m.call(abi.SysClose, abi.Call{FD: fd}, abi.EBADF)
	if r, w := m.p.BytesRead.Load(), m.p.BytesWritten.Load(); r != 10 || w != 13 {
		t.Errorf("counted %d read and %d written", r, w)
	}
}

func TestPaths(t *testing.T) {
	m := newMachine(t)
	m.call(abi.SysMkdir, abi.Call{FD: m.root, Path: "d"}, abi.OK)
	m.call(abi.SysSymlink, abi.Call{FD: m.root, Path: "l", Path2: "d/f"}, abi.OK)
	if c := m.call(abi.SysReadlink, abi.Call{FD: m.root, Path: "l"}, abi.OK); c.Link != "d/f" || c.Ret != 3 {
		t.Errorf("readlink %q", c.Link)
	}
	fd := m.open("l", abi.OWrite|abi.OCreate)
	m.call(abi.SysClose, abi.Call{FD: fd}, abi.OK)
	m.call(abi.SysStat, abi.Call{FD: m.root, Path: "d/f", Flags: abi.LookupDir}, abi.ENOTDIR)
	m.call(abi.SysLink, abi.Call{FD: m.root, FD2: m.root, Path: "l", Path2: "g", Flags: abi.LookupFollow}, abi.OK)
	if c := m.call(abi.SysStat, abi.Call{FD: m.root, Path: "g"}, abi.OK); c.Stat.Type != abi.TypeRegular || c.Stat.Nlink != 2 {
		t.Errorf("linked %+v", c.Stat)
	}
	d := m.open("d", abi.ORead|abi.ODirectory)
	m.call(abi.SysRename, abi.Call{FD: m.root, FD2: d, Path: "g", Path2: "h"}, abi.OK)
	c := m.call(abi.SysReaddir, abi.Call{FD: d, Len: 10}, abi.OK)
	if len(c.Ents) != 2 || c.Ret != 2 || c.Ents[0].Name != "f" || c.Ents[1].Name != "h" {
		t.Errorf("listed %+v", c.Ents)
	}
	if c = m.call(abi.SysReaddir, abi.Call{FD: d, Off: int64(c.Ents[0].Next), Len: 1}, abi.OK); len(c.Ents) != 1 || c.Ents[0].Name != "h" {
		t.Errorf("resumed %+v", c.Ents)
	}
	m.call(abi.SysStat, abi.Call{FD: d, Path: "../l"}, abi.EPERM)
	m.call(abi.SysUnlink, abi.Call{FD: d, Path: "f"}, abi.OK)
	m.call(abi.SysRmdir, abi.Call{FD: m.root, Path: "d"}, abi.ENOTEMPTY)
	m.call(abi.SysUnlink, abi.Call{FD: d, Path: "h"}, abi.OK)
	m.call(abi.SysRmdir, abi.Call{FD: m.root, Path: "d"}, abi.OK)
	m.call(abi.SysMkdir, abi.Call{FD: d, Path: "x"}, abi.ENOENT)
	m.call(abi.SysClose, abi.Call{FD: d}, abi.OK)
}

// Every handler refuses a descriptor that is not open, and those that walk refuse
// one that is no directory.
func TestBadDescriptors(t *testing.T) {
	m := newMachine(t)
	fd := m.open("f", abi.ORead|abi.OWrite|abi.OCreate)
	for nr := range Handlers() {
		for _, bad := range []abi.FD{-1, 99, abi.NoFD, 1 << 30, -1 << 31} {
			m.call(nr, abi.Call{FD: bad, FD2: bad, Path: "x", Path2: "y"}, abi.EBADF)
		}
		switch nr.Row().Touches {
		case abi.ObjPath, abi.ObjTwoPaths:
			m.call(nr, abi.Call{FD: fd, FD2: m.root, Path: "x", Path2: "y"}, abi.ENOTDIR)
			if nr.Row().Touches == abi.ObjTwoPaths {
				m.call(nr, abi.Call{FD: m.root, FD2: fd, Path: "x", Path2: "y"}, abi.ENOTDIR)
				m.call(nr, abi.Call{FD: m.root, FD2: 99, Path: "x", Path2: "y"}, abi.EBADF)
			}
		}
	}
}

// An open that fails gives back the number that it had reserved.
func TestOpenGivesBack(t *testing.T) {
	m := newMachine(t)
	before := m.p.Account().Used(abi.LimitFiles)
	for range 3 * fileLimit {
		m.call(abi.SysOpen, abi.Call{FD: m.root, Path: "none", Open: abi.ORead}, abi.ENOENT)
		m.call(abi.SysOpen, abi.Call{FD: m.root, Path: ".git/config", Open: abi.OWrite | abi.OCreate}, abi.ENOENT)
		m.call(abi.SysOpen, abi.Call{FD: m.root, Path: ".bashrc", Open: abi.OWrite | abi.OCreate}, abi.EACCES)
	}
	if got := m.p.Account().Used(abi.LimitFiles); got != before {
		t.Errorf("%d descriptors are charged, %d were before", got, before)
	}
	var open []abi.FD
	for i := before; i < fileLimit; i++ {
		open = append(open, m.open("f", abi.ORead|abi.OWrite|abi.OCreate))
	}
	m.call(abi.SysOpen, abi.Call{FD: m.root, Path: "made", Open: abi.OWrite | abi.OCreate}, abi.EMFILE)
	m.call(abi.SysStat, abi.Call{FD: m.root, Path: "made"}, abi.ENOENT) // nothing was done
	m.call(abi.SysRenumber, abi.Call{FD: open[1], FD2: open[0]}, abi.OK)
	m.call(abi.SysFstat, abi.Call{FD: open[1]}, abi.EBADF)
	m.call(abi.SysRenumber, abi.Call{FD: open[0], FD2: open[0]}, abi.OK)
	m.call(abi.SysRenumber, abi.Call{FD: open[0], FD2: open[1]}, abi.EBADF)
	if again := m.open("f", abi.ORead); again != open[1] {
		t.Errorf("the lowest free number is %d, got %d", open[1], again)
	}
}

func TestDenialsAreRecorded(t *testing.T) {
	m := newMachine(t, perm.PathRule{Guest: "/w/ro", Right: perm.Read, Host: "/h/w/ro"}, perm.PathRule{Host: "/h/w/no", Right: perm.None})
	for range 2 {
		m.call(abi.SysOpen, abi.Call{FD: m.root, Path: "no/f", Via: "path_open", Open: abi.ORead}, abi.ENOENT)
		m.call(abi.SysMkdir, abi.Call{FD: m.root, Path: "ro", Via: "path_create_directory"}, abi.EACCES)
		m.call(abi.SysMkdir, abi.Call{FD: m.root, Path: "./.vscode", Via: "path_create_directory"}, abi.EACCES)
	}
	var got []string
	for _, d := range m.p.Denials().List() {
		if d.Count != 2 || d.Layer != abi.LayerPath {
			t.Errorf("%+v", d)
		}
		got = append(got, strings.Join([]string{d.Nr.String(), d.Via, d.Reason.String(), d.Requested, strings.TrimSuffix(d.Canonical, "/"), d.Grant}, " "))
	}
	want := []string{
		"open path_open denied /w/no/f /w/no ",
		"mkdir path_create_directory read_only /w/ro /w/ro --write /h/w/ro:/w/ro",
		"mkdir path_create_directory protected /w/./.vscode /w/.vscode --unprotect /h/w/.vscode",
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// After the table was released nothing can be committed, and nothing leaks.
func TestOpenWhileEnding(t *testing.T) {
	m := newMachine(t)
	d, errno := m.p.FDs().Get(m.root)
	m.ok("get", errno)
	defer release(d.File)
	for _, d := range m.p.FDs().Release() {
		m.ok("close", d.File.Unref())
	}
	m.call(abi.SysOpen, abi.Call{FD: m.root, Path: "f", Open: abi.OWrite | abi.OCreate}, abi.EBADF)
}

func BenchmarkRead4K(b *testing.B) {
	account := limit.NewAccount(limit.Caps{})
	p := proc.New(proc.Options{Account: account, Denials: new(perm.Denials), Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{
		Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []perm.PathRule{{Guest: "/", Right: perm.Write}}}), nil)})
	ns := vfs.NewNamespace(vfs.Options{})
	if err := ns.Mount("/", memfs.New(account, memfs.Options{})); err != nil {
		b.Fatal(err)
	}
	p.SetNS(ns)
	p.SetFDs(proc.NewFDTable(account))
	dir, errno := ns.OpenDir("/")
	if errno != abi.OK {
		b.Fatal(errno)
	}
	f, errno := ns.Open(p, dir.Base(), "f", abi.ORead|abi.OWrite|abi.OCreate, 0o644)
	if errno != abi.OK {
		b.Fatal(errno)
	}
	if _, errno := f.Write([][]byte{bytes.Repeat([]byte("x"), 4096)}); errno != abi.OK {
		b.Fatal(errno)
	}
	fd, errno := p.FDs().Reserve()
	if errno != abi.OK || !p.FDs().Commit(fd, proc.Descriptor{File: f}) {
		b.Fatal(errno)
	}
	c := &abi.Call{FD: fd, Buf: [][]byte{make([]byte, 4096)}}
	b.ReportAllocs()
	for b.Loop() {
		c.Off = 0
		if errno := pread(p, c); errno != abi.OK || c.Ret != 4096 {
			b.Fatal(errno, c.Ret)
		}
	}
}
