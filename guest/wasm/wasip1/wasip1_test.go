package wasip1

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// recorder is a Host that answers with what a test wants and keeps the last
// call, whose windows into guest memory it also fills.
type recorder struct {
	errno  abi.Errno
	answer func(c *abi.Call)
	last   abi.Call
	calls  int
	bytes  int // in Buf of all calls
	pauses int
}

var errLeft = errors.New("left")

func (r *recorder) Enter(c *abi.Call) {
	r.calls++
	n := 0
	for _, b := range c.Buf {
		n += len(b)
	}
	r.bytes += n
	c.Errno = r.errno
	c.Ret = uint64(n)
	if r.answer != nil {
		r.answer(c)
	}
	r.last = *c
	r.last.Buf = slices.Clone(c.Buf)
	r.last.Polls = slices.Clone(c.Polls)
}

func (r *recorder) Pause() { r.pauses++ }

func (r *recorder) Leave(c *abi.Call, code uint32) {
	r.last = *c
	panic(errLeft)
}

func newProcess(pages int) (*Process, *recorder) {
	r := new(recorder)
	return &Process{Mem: make([]byte, pages<<16), Host: r}, r
}

// invoke performs a function by name and returns its error number.
func invoke(t testing.TB, p *Process, name string, args ...uint64) uint16 {
	t.Helper()
	for _, f := range Functions() {
		if f.Name == name {
			if len(args) != len(f.Params) {
				t.Fatalf("%s takes %d arguments", name, len(f.Params))
			}
			stack := append(slices.Clone(args), 0)
			f.Invoke(p, stack)
			return uint16(stack[0])
		}
	}
	t.Fatalf("no function %s", name)
	return 0
}

func TestErrnosAreExhaustive(t *testing.T) {
	seen := make(map[uint16]abi.Errno)
	for e := range abi.NumErrnos {
		n := Errno(e)
		if (e == abi.OK) != (n == 0) || n > 76 {
			t.Errorf("%s is %d", e, n)
		}
		if was, ok := seen[n]; ok {
			t.Errorf("%s and %s are both %d", was, e, n)
		}
		seen[n] = e
	}
	if Errno(abi.NumErrnos) != Errno(abi.EIO) {
		t.Error("a value outside the enumeration")
	}
	// A few by WASI's own numbers.
	for e, n := range map[abi.Errno]uint16{abi.EBADF: 8, abi.EINVAL: 28, abi.ENOENT: 44, abi.ENOSYS: 52, abi.ENOTCAPABLE: 76} {
		if Errno(e) != n {
			t.Errorf("%s is %d, want %d", e, Errno(e), n)
		}
	}
}

func TestFileTypesAreExhaustive(t *testing.T) {
	want := map[abi.FileType]byte{abi.TypeBlockDevice: 1, abi.TypeCharDevice: 2, abi.TypeDirectory: 3, abi.TypeRegular: 4, abi.TypeSocket: 6, abi.TypeSymlink: 7}
	for f := range abi.NumFileTypes {
		if filetype(f) != want[f] {
			t.Errorf("%s is %d, want %d", f, filetype(f), want[f])
		}
	}
}

// All of preview 1 is there, with the types of its definition.
func TestTableIsComplete(t *testing.T) {
	const names = "args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get fd_advise fd_allocate " +
		"fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size " +
		"fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek " +
		"fd_sync fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times path_link path_open " +
		"path_readlink path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise " +
		"sched_yield random_get sock_accept sock_recv sock_send sock_shutdown"
	have := make(map[string]bool)
	for _, f := range Functions() {
		have[f.Name] = true
		if strings.Trim(f.Params, "iI") != "" {
			t.Errorf("%s: params %q", f.Name, f.Params)
		}
	}
	list := strings.Fields(names)
	if len(list) != len(have) {
		t.Errorf("%d functions, want %d", len(have), len(list))
	}
	for _, n := range list {
		if !have[n] {
			t.Errorf("no %s", n)
		}
	}
}

func TestPathOpen(t *testing.T) {
	p, r := newProcess(1)
	copy(p.Mem[100:], "dir/file")
	r.answer = func(c *abi.Call) { c.Ret = 9 }
	for _, c := range []struct {
		dirflags, oflags, rights, fdflags uint64
		want                              abi.OpenFlags
	}{
		{1, 0, RightFdRead, 0, abi.ORead},
		{0, 0, RightFdRead, 0, abi.ORead | abi.ONofollow},
		{1, 1 | 8, RightFdWrite, 1, abi.OWrite | abi.OCreate | abi.OTrunc | abi.OAppend},
		{1, 1 | 4, RightFdRead | RightFdWrite, 4 | 16, abi.ORead | abi.OWrite | abi.OCreate | abi.OExcl | abi.ONonblock | abi.OSync},
		{1, 2, RightFdReaddir, 0, abi.ORead | abi.ODirectory},
		{1, 0, 0, 2 | 8, abi.ORead | abi.ODsync | abi.ORsync},
		// Go asks for everything but writing when it opens to read.
		{1, 0, 0xffffffff &^ (RightFdDatasync | RightFdWrite | RightFdAllocate | RightPathFilestatSetSize), 0, abi.ORead},
	} {
		if e := invoke(t, p, "path_open", 3, c.dirflags, 100, 8, c.oflags, c.rights, 77, c.fdflags, 200); e != 0 {
			t.Fatalf("errno %d", e)
		}
		l := r.last
		if l.Open != c.want || l.FD != 3 || l.Path != "dir/file" || l.Arg != [2]uint64{c.rights & RightsAll, 77} || l.Via != "path_open" {
			t.Errorf("call %+v, want flags %b", l, c.want)
		}
		if fd := le.Uint32(p.Mem[200:]); fd != 9 {
			t.Errorf("descriptor %d", fd)
		}
	}
	if p.call.Path != "" {
		t.Error("the path is kept")
	}
	for _, bad := range [][]uint64{
		{3, 2, 100, 8, 0, 0, 0, 0, 200}, {3, 1, 100, 8, 16, 0, 0, 0, 200}, {3, 1, 100, 8, 0, 0, 0, 32, 200},
	} {
		if e := invoke(t, p, "path_open", bad...); e != Errno(abi.EINVAL) {
			t.Errorf("%v: errno %d", bad, e)
		}
	}
}

// TestPathOpenTruncate: who may make files in a directory may truncate in it, if
// what it opens there may.
func TestPathOpenTruncate(t *testing.T) {
	p, r := newProcess(1)
	copy(p.Mem[100:], "dir")
	const makes, cuts = RightPathCreateFile | RightPathOpen, RightPathFilestatSetSize
	for _, c := range []struct{ base, inheriting, want uint64 }{
		{makes, makes | cuts, makes | cuts},
		{makes, makes, makes},
		{RightPathOpen, makes | cuts, RightPathOpen},
	} {
		if e := invoke(t, p, "path_open", 3, 1, 100, 3, 2, c.base, c.inheriting, 0, 200); e != 0 {
			t.Fatalf("errno %d", e)
		}
		if r.last.Arg != [2]uint64{c.want, c.inheriting} {
			t.Errorf("rights %b, want %b", r.last.Arg, c.want)
		}
	}
}

func TestPaths(t *testing.T) {
	p, r := newProcess(1)
	copy(p.Mem[10:], "a\x00b")
	copy(p.Mem[20:], "a\xffb")
	for _, c := range []struct {
		ptr, n uint64
		want   abi.Errno
	}{
		{10, 1, abi.OK}, {10, 0, abi.OK}, {10, 3, abi.EINVAL}, {20, 3, abi.EILSEQ}, {0, 4097, abi.ENAMETOOLONG}, {0, 1 << 31, abi.ENAMETOOLONG},
		{65535, 2, abi.EFAULT}, {1 << 31, 1, abi.EFAULT}, {0xffffffff, 1, abi.EFAULT}, {65536, 0, abi.OK}, {65537, 0, abi.EFAULT},
		{1<<40 + 10, 1<<40 + 1, abi.OK}, // only 32 bits are the argument
	} {
		before := r.calls
		if e := invoke(t, p, "path_create_directory", 3, c.ptr, c.n); e != Errno(c.want) {
			t.Errorf("%d+%d: errno %d, want %s", c.ptr, c.n, e, c.want)
		}
		if (r.calls > before) != (c.want == abi.OK) {
			t.Errorf("%d+%d: the kernel was asked: %v", c.ptr, c.n, r.calls > before)
		}
	}
}

func TestTwoPaths(t *testing.T) {
	p, r := newProcess(1)
	copy(p.Mem, "oldnew")
	for _, c := range []struct {
		name string
		args []uint64
		want string
	}{
		{"path_rename", []uint64{3, 0, 3, 4, 3, 3}, "rename 3 old 4 new 0"},
		{"path_link", []uint64{3, 1, 0, 3, 4, 3, 3}, "link 3 old 4 new 1"},
		{"path_symlink", []uint64{0, 3, 3, 3, 3}, "symlink 3 new 0 old 0"},
	} {
		r.last = abi.Call{}
		p.call.FD2 = 0
		if e := invoke(t, p, c.name, c.args...); e != 0 {
			t.Fatalf("errno %d", e)
		}
		if got := fmt.Sprint(r.last.Nr, " ", r.last.FD, " ", r.last.Path, " ", r.last.FD2, " ", r.last.Path2, " ", r.last.Flags); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func iovec(p *Process, at int, pairs ...uint32) {
	for i, v := range pairs {
		le.PutUint32(p.Mem[at+4*i:], v)
	}
}

func TestTransfer(t *testing.T) {
	p, r := newProcess(64)
	iovec(p, 0, 1000, 5, 2000, 0, 3000, 7)
	if e := invoke(t, p, "fd_write", 1, 0, 3, 500); e != 0 || le.Uint32(p.Mem[500:]) != 12 || len(r.last.Buf) != 2 {
		t.Errorf("errno %d, %d buffers", e, len(r.last.Buf))
	}
	if p.call.Buf != nil {
		t.Error("windows into guest memory are kept")
	}
	// More than one call moves is left for the next.
	iovec(p, 0, 0x10000, 0x90000, 0x10000, 0x90000, 0x10000, 1)
	if e := invoke(t, p, "fd_read", 0, 0, 3, 500); e != 0 || le.Uint32(p.Mem[500:]) != abi.MaxTransfer {
		t.Errorf("errno %d, %d bytes", e, le.Uint32(p.Mem[500:]))
	}
	for name, c := range map[string]struct {
		pairs     []uint32
		n, result uint64
		want      abi.Errno
	}{
		"outside":           {[]uint32{1000, 5, 64 << 16, 1}, 2, 500, abi.EFAULT},
		"wrapping":          {[]uint32{1000, 0xffffffff}, 1, 500, abi.EFAULT},
		"end":               {[]uint32{64 << 16, 0}, 1, 500, abi.OK},
		"outside but late":  {[]uint32{0, 2 << 20, 0xfffffff0, 1}, 2, 500, abi.EFAULT},
		"many":              {nil, 1025, 500, abi.EINVAL},
		"list outside":      {nil, 1, 64<<16 - 2, abi.EFAULT},
		"result outside":    {[]uint32{1000, 5}, 1, 64<<16 - 3, abi.EFAULT},
		"nothing":           {nil, 0, 500, abi.OK},
		"high bits ignored": {[]uint32{1000, 5}, 1<<32 | 1, 1<<32 | 500, abi.OK},
	} {
		iovec(p, 0, c.pairs...)
		before := r.calls
		if e := invoke(t, p, "fd_write", 1, 0, c.n, c.result); e != Errno(c.want) {
			t.Errorf("%s: errno %d, want %s", name, e, c.want)
		}
		if (r.calls > before) != (c.want == abi.OK) {
			t.Errorf("%s: the kernel was asked: %v", name, r.calls > before)
		}
	}
	if e := invoke(t, p, "fd_write", 1, 64<<16-4, 1, 500); e != Errno(abi.EFAULT) {
		t.Errorf("list beyond the end: %d", e)
	}
	r.errno = abi.EIO
	le.PutUint32(p.Mem[500:], 77)
	if e := invoke(t, p, "fd_pread", 1, 0, 0, 33, 500); e != Errno(abi.EIO) || le.Uint32(p.Mem[500:]) != 77 || r.last.Off != 33 {
		t.Errorf("errno %d, result %d", e, le.Uint32(p.Mem[500:]))
	}
	if e := invoke(t, p, "fd_pwrite", 1, 0, 0, 1<<63, 500); e != Errno(abi.EINVAL) {
		t.Errorf("negative offset: %d", e)
	}
}

func TestStrings(t *testing.T) {
	p, r := newProcess(1)
	list := []string{"a", "", "xyz"}
	r.answer = func(c *abi.Call) { c.Strs = list }
	if e := invoke(t, p, "args_sizes_get", 0, 4); e != 0 || le.Uint32(p.Mem) != 3 || le.Uint32(p.Mem[4:]) != 7 {
		t.Errorf("errno %d, sizes % x", e, p.Mem[:8])
	}
	if e := invoke(t, p, "args_get", 16, 100); e != 0 || !bytes.Equal(p.Mem[100:107], []byte("a\x00\x00xyz\x00")) {
		t.Errorf("errno %d, text %q", e, p.Mem[100:107])
	}
	for i, want := range []uint32{100, 102, 103} {
		if got := le.Uint32(p.Mem[16+4*i:]); got != want {
			t.Errorf("pointer %d is %d", i, got)
		}
	}
	if e := invoke(t, p, "environ_get", 65530, 100); e != Errno(abi.EFAULT) {
		t.Errorf("errno %d", e)
	}
	if e := invoke(t, p, "environ_get", 0, 65530); e != Errno(abi.EFAULT) {
		t.Errorf("errno %d", e)
	}
	if r.last.Nr != abi.SysEnviron {
		t.Error("environ_get asked for", r.last.Nr)
	}
	r.errno = abi.EPERM
	if e := invoke(t, p, "environ_sizes_get", 0, 4); e != Errno(abi.EPERM) {
		t.Errorf("errno %d", e)
	}
}

func TestStats(t *testing.T) {
	p, r := newProcess(1)
	r.answer = func(c *abi.Call) {
		c.Stat = abi.Stat{Dev: 1, Ino: 2, Type: abi.TypeRegular, Nlink: 3, Size: 4, Atime: 5, Mtime: 6, Ctime: -7}
	}
	if e := invoke(t, p, "fd_filestat_get", 5, 64); e != 0 {
		t.Fatal(e)
	}
	got := p.Mem[64:128]
	for off, want := range map[int]uint64{0: 1, 8: 2, 16: 4, 24: 3, 32: 4, 40: 5, 48: 6, 56: 0} {
		if v := le.Uint64(got[off:]); v != want {
			t.Errorf("offset %d is %d, want %d", off, v, want)
		}
	}
	r.answer = func(c *abi.Call) {
		c.Info = abi.FDInfo{Type: abi.TypeCharDevice, Flags: abi.OAppend | abi.ONonblock | abi.ORead, Rights: ^uint64(0), Inherit: ^uint64(0)}
	}
	if e := invoke(t, p, "fd_fdstat_get", 5, 64); e != 0 || p.Mem[64] != 2 || le.Uint16(p.Mem[66:]) != 5 {
		t.Errorf("errno %d, fdstat % x", e, p.Mem[64:88])
	}
	if rights := le.Uint64(p.Mem[72:]); rights&(RightFdSeek|RightFdTell) != 0 || rights&RightFdWrite == 0 {
		t.Errorf("rights of a terminal %b", rights)
	}
}

func TestPrestat(t *testing.T) {
	p, r := newProcess(1)
	r.answer = func(c *abi.Call) {
		c.Info = abi.FDInfo{Type: abi.TypeDirectory}
		if c.FD == 3 {
			c.Info.Preopen = "/data"
		}
	}
	if e := invoke(t, p, "fd_prestat_get", 3, 8); e != 0 || le.Uint32(p.Mem[8:]) != 0 || le.Uint32(p.Mem[12:]) != 5 {
		t.Errorf("errno %d, % x", e, p.Mem[8:16])
	}
	if e := invoke(t, p, "fd_prestat_get", 4, 8); e != Errno(abi.EBADF) {
		t.Errorf("errno %d", e)
	}
	if e := invoke(t, p, "fd_prestat_dir_name", 3, 8, 5); e != 0 || string(p.Mem[8:13]) != "/data" {
		t.Errorf("errno %d, %q", e, p.Mem[8:13])
	}
	if e := invoke(t, p, "fd_prestat_dir_name", 3, 8, 4); e != Errno(abi.ENAMETOOLONG) {
		t.Errorf("errno %d", e)
	}
}

func TestTimes(t *testing.T) {
	p, r := newProcess(1)
	for f := range uint64(20) {
		e := invoke(t, p, "fd_filestat_set_times", 4, 10, 1<<63+5, f)
		bad := f&3 == 3 || f&12 == 12 || f > 15
		if (e != 0) != bad {
			t.Errorf("flags %d: errno %d", f, e)
		}
		if !bad && r.last.Time != [2]int64{10, 1<<63 - 1} {
			t.Errorf("times %v", r.last.Time)
		}
	}
	if e := invoke(t, p, "path_filestat_set_times", 3, 1, 0, 1, 1, 2, 1|8); e != Errno(abi.EINVAL) { // a NUL
		t.Errorf("errno %d", e)
	}
	p.Mem[0] = 'x'
	if e := invoke(t, p, "path_filestat_set_times", 3, 1, 0, 1, 1, 2, 1|8); e != 0 || r.last.Flags != abi.LookupFollow|abi.SetAtime|abi.SetMtimeNow {
		t.Errorf("errno %d, flags %b", e, r.last.Flags)
	}
}

// directory answers readdir over names, with cookies that are not dense.
func directory(names []string) func(c *abi.Call) {
	return func(c *abi.Call) {
		c.Stat = abi.Stat{Type: abi.TypeDirectory, Ino: 7}
		c.Ents = nil
		if c.Nr != abi.SysReaddir {
			return
		}
		for i, n := range names {
			if next := uint64(i+1) * 1000; next > uint64(c.Off) && len(c.Ents) < int(c.Len) {
				c.Ents = append(c.Ents, abi.Dirent{Next: next, Ino: next, Type: abi.TypeRegular, Name: n})
			}
		}
	}
}

// Reading a directory through a buffer of any size, as C libraries do, sees
// every entry once.
func TestReaddir(t *testing.T) {
	names := []string{}
	for i := range 50 {
		names = append(names, strings.Repeat("n", i%20+1)+fmt.Sprint(i))
	}
	for _, size := range []uint64{60, 64, 100, 500, 4096, 60000} {
		p, r := newProcess(1)
		r.answer = directory(names)
		var got []string
		cookie := uint64(0)
		for {
			if e := invoke(t, p, "fd_readdir", 3, 0, size, cookie, 65532); e != 0 {
				t.Fatalf("errno %d", e)
			}
			used := uint64(le.Uint32(p.Mem[65532:]))
			b := p.Mem[:used]
			for len(b) >= sizeDirent {
				n := int(le.Uint32(b[16:]))
				if len(b) < sizeDirent+n {
					break
				}
				got = append(got, string(b[sizeDirent:sizeDirent+n]))
				cookie = le.Uint64(b)
				b = b[sizeDirent+n:]
			}
			if used < size {
				break
			}
		}
		if want := append([]string{".", ".."}, names...); !slices.Equal(got, want) {
			t.Fatalf("size %d: %q", size, got)
		}
	}
	p, r := newProcess(1)
	r.answer = func(c *abi.Call) { c.Stat = abi.Stat{Type: abi.TypeRegular} }
	if e := invoke(t, p, "fd_readdir", 3, 0, 100, 0, 200); e != Errno(abi.ENOTDIR) {
		t.Errorf("errno %d", e)
	}
}

func TestPoll(t *testing.T) {
	p, r := newProcess(1)
	sub := func(i int, user uint64, tag byte, word uint32, timeout uint64, flags uint16) {
		b := p.Mem[48*i:]
		le.PutUint64(b, user)
		b[8] = tag
		le.PutUint32(b[16:], word)
		le.PutUint64(b[24:], timeout)
		le.PutUint16(b[40:], flags)
	}
	sub(0, 11, 0, 1, 1<<63, 1)
	sub(1, 12, 1, 5, 0, 0)
	sub(2, 13, 2, 6, 0, 0)
	r.answer = func(c *abi.Call) {
		c.Polls[1].Ready, c.Polls[1].Bytes, c.Polls[1].Hangup = true, 99, true
		c.Polls[2].Ready, c.Polls[2].Errno = true, abi.EBADF
	}
	// The events may lie over the subscriptions.
	if e := invoke(t, p, "poll_oneoff", 0, 0, 3, 1000); e != 0 || le.Uint32(p.Mem[1000:]) != 2 {
		t.Fatalf("errno %d, %d events", e, le.Uint32(p.Mem[1000:]))
	}
	want := []abi.Poll{
		{Kind: abi.PollClock, Clock: abi.ClockMonotonic, Absolute: true, Timeout: 1<<63 - 1, FD: abi.NoFD, User: 11},
		{Kind: abi.PollRead, FD: 5, User: 12, Ready: true, Bytes: 99, Hangup: true},
		{Kind: abi.PollWrite, FD: 6, User: 13, Ready: true, Errno: abi.EBADF},
	}
	if !slices.Equal(r.last.Polls, want) {
		t.Errorf("polls %+v", r.last.Polls)
	}
	if u, typ, n, f := le.Uint64(p.Mem), p.Mem[10], le.Uint64(p.Mem[16:]), le.Uint16(p.Mem[24:]); u != 12 || typ != 1 || n != 99 || f != 1 {
		t.Errorf("event % x", p.Mem[:32])
	}
	if u, e, typ := le.Uint64(p.Mem[32:]), le.Uint16(p.Mem[40:]), p.Mem[42]; u != 13 || e != Errno(abi.EBADF) || typ != 2 {
		t.Errorf("event % x", p.Mem[32:64])
	}
	sub(0, 1, 3, 0, 0, 0)
	if e := invoke(t, p, "poll_oneoff", 0, 0, 1, 1000); e != Errno(abi.EINVAL) {
		t.Errorf("unknown kind: %d", e)
	}
	sub(0, 1, 0, 4, 0, 0)
	if e := invoke(t, p, "poll_oneoff", 0, 0, 1, 1000); e != Errno(abi.EINVAL) {
		t.Errorf("unknown clock: %d", e)
	}
	for _, n := range []uint64{0, 4097, 0xffffffff} {
		if e := invoke(t, p, "poll_oneoff", 0, 0, n, 1000); e != Errno(abi.EINVAL) {
			t.Errorf("%d subscriptions: %d", n, e)
		}
	}
}

func TestRandomInSteps(t *testing.T) {
	p, r := newProcess(40)
	if e := invoke(t, p, "random_get", 0, 40<<16); e != 0 || r.calls != 3 || r.bytes != 40<<16 || r.pauses != 2 {
		t.Errorf("errno %d, %d calls, %d bytes, %d pauses", e, r.calls, r.bytes, r.pauses)
	}
	if e := invoke(t, p, "random_get", 1, 40<<16); e != Errno(abi.EFAULT) {
		t.Errorf("errno %d", e)
	}
}

func TestSockets(t *testing.T) {
	p, r := newProcess(1)
	le.PutUint32(p.Mem[8:], 64) // one buffer of 10 bytes
	le.PutUint32(p.Mem[12:], 10)
	for name, c := range map[string]struct {
		args  []uint64
		nr    abi.Sysno
		flags uint32
		open  abi.OpenFlags
		need  uint64
	}{
		"sock_accept":   {[]uint64{5, 4, 100}, abi.SysAccept, 0, abi.ONonblock, RightSockAccept},
		"sock_recv":     {[]uint64{5, 8, 1, 1<<32 | 3, 100, 104}, abi.SysReceive, abi.ReceivePeek | abi.ReceiveAll, 0, RightFdRead},
		"sock_send":     {[]uint64{5, 8, 1, 0, 100}, abi.SysSend, 0, 0, RightFdWrite},
		"sock_shutdown": {[]uint64{5, 2}, abi.SysShutdown, abi.ShutdownWrite, 0, RightSockShutdown},
	} {
		r.errno = abi.OK
		if e := invoke(t, p, name, c.args...); e != 0 {
			t.Errorf("%s: %d", name, e)
		}
		if l := r.last; l.Nr != c.nr || l.FD != 5 || l.Flags != c.flags || c.open != 0 && l.Open != c.open || l.Arg[0] != c.need || l.Via != name {
			t.Errorf("%s: %+v", name, l)
		}
		r.errno = abi.ENOTSOCK
		if e := invoke(t, p, name, c.args...); e != Errno(abi.ENOTSOCK) {
			t.Errorf("%s: %d", name, e)
		}
	}
	r.errno = abi.OK
	for name, args := range map[string][]uint64{
		"sock_accept": {5, 1, 100}, "sock_recv": {5, 8, 1, 4, 100, 104}, "sock_send": {5, 8, 1, 1, 100}, "sock_shutdown": {5, 4},
	} {
		if e := invoke(t, p, name, args...); e != Errno(abi.EINVAL) {
			t.Errorf("%s with a flag that does not exist: %d", name, e)
		}
	}
}

func TestExitLeaves(t *testing.T) {
	p, r := newProcess(1)
	defer func() {
		if v := recover(); v != errLeft || r.last.Nr != abi.SysExit || r.last.Arg[0] != 3 {
			t.Errorf("%v, call %+v", v, r.last)
		}
	}()
	invoke(t, p, "proc_exit", 3)
}

func TestHotCallsDoNotAllocate(t *testing.T) {
	p, _ := newProcess(1)
	iovec(p, 0, 1000, 4096)
	stack := make([]uint64, 8)
	for _, f := range Functions() {
		args, ok := map[string][]uint64{
			"clock_time_get": {0, 0, 64}, "fd_read": {0, 0, 1, 64}, "fd_write": {1, 0, 1, 64}, "fd_seek": {0, 0, 0, 64},
			"fd_filestat_get": {0, 64}, "sched_yield": {}, "random_get": {64, 8},
		}[f.Name]
		if !ok {
			continue
		}
		p.Host = quiet{}
		if n := testing.AllocsPerRun(100, func() { copy(stack, args); f.Invoke(p, stack) }); n != 0 {
			t.Errorf("%s allocates %v times", f.Name, n)
		}
	}
}

type quiet struct{}

func (quiet) Enter(c *abi.Call)       { c.Errno = abi.OK }
func (quiet) Pause()                  {}
func (quiet) Leave(*abi.Call, uint32) {}
