package memfs_test

import (
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

func TestConformance(t *testing.T) {
	fstest.Run(t, func(t *testing.T) vfs.FileSystem {
		a := limit.NewAccount(limit.Caps{abi.LimitDisk: 64 << 20})
		t.Cleanup(func() {
			if held := a.Held(); len(held) > 0 {
				t.Errorf("still charged after close: %v", held)
			}
		})
		return memfs.New(a, memfs.Options{})
	}, fstest.Caps{})
}

func TestFullSuite(t *testing.T) {
	fstest.RunFull(t, func(t *testing.T, room int64) vfs.FileSystem {
		a := limit.NewAccount(limit.Caps{abi.LimitDisk: uint64(room)})
		t.Cleanup(func() {
			if held := a.Held(); len(held) > 0 {
				t.Errorf("still charged after close: %v", held)
			}
		})
		return memfs.New(a, memfs.Options{})
	}, fstest.Caps{})
}

// dir makes a file system with a limit and returns its root.
func dir(t *testing.T, disk uint64) (*memfs.FS, *limit.Account, vfs.Dir) {
	t.Helper()
	a := limit.NewAccount(limit.Caps{abi.LimitDisk: disk})
	fs := memfs.New(a, memfs.Options{})
	n, errno := fs.Root()
	if errno != abi.OK {
		t.Fatal(errno)
	}
	d, ok := n.(vfs.Dir)
	if !ok {
		t.Fatalf("%T cannot change", n)
	}
	return fs, a, d
}

func write(t *testing.T, h vfs.Handle, off int64, n int) (int, abi.Errno) {
	t.Helper()
	k, _, errno := h.WriteAt([][]byte{make([]byte, n)}, off)
	return k, errno
}

// Space is charged before it is used and returned with the last name and handle.
func TestSpaceIsReturned(t *testing.T) {
	fs, a, d := dir(t, 1<<20)
	n, h, errno := d.Create("f", 0o644, abi.ORead|abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	empty := fs.Used()
	if _, errno := write(t, h, 0, 100_000); errno != abi.OK {
		t.Fatal(errno)
	}
	if got := fs.Used() - empty; got < 100_000 || got > 120_000 {
		t.Errorf("100,000 bytes cost %d", got)
	}
	if a.Used(abi.LimitDisk) != fs.Used() || a.Used(abi.LimitMemory) != fs.Used() {
		t.Errorf("charged %d disk and %d memory for %d", a.Used(abi.LimitDisk), a.Used(abi.LimitMemory), fs.Used())
	}
	if errno := h.Truncate(1); errno != abi.OK {
		t.Fatal(errno)
	}
	if got := fs.Used() - empty; got > 2*4096 {
		t.Errorf("one byte costs %d", got)
	}
	if errno := d.Remove("f", false); errno != abi.OK {
		t.Fatal(errno)
	}
	if fs.Used() == 0 {
		t.Error("an open file's space was returned")
	}
	if errno := h.Close(); errno != abi.OK {
		t.Fatal(errno)
	}
	n.Close()
	if got := fs.Used(); got != 0 {
		t.Errorf("%d bytes are left charged", got)
	}
	d.Close()
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFull(t *testing.T) {
	fs, a, d := dir(t, 40_000)
	n, h, errno := d.Create("f", 0o644, abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer n.Close()
	k, errno := write(t, h, 0, 100_000)
	if errno != abi.OK || k == 0 || k >= 40_000 {
		t.Errorf("first write: %d, %s", k, errno)
	}
	if k, errno = write(t, h, int64(k), 4096); k != 0 || errno != abi.ENOSPC {
		t.Errorf("write to a full file system: %d, %s", k, errno)
	}
	if st, _ := n.Stat(); st.Size >= 40_000 {
		t.Errorf("size %d", st.Size)
	}
	made := 0
	for ; made < 1000; made++ {
		if errno = d.Mkdir(string(rune('a'+made%26))+string(rune('a'+made/26)), 0o755); errno != abi.OK {
			break
		}
	}
	if errno != abi.ENOSPC {
		t.Errorf("after %d directories: %s", made, errno)
	}
	if used := a.Used(abi.LimitDisk); used > 40_000 {
		t.Errorf("used %d of 40,000", used)
	}
	if errno := d.Remove("f", false); errno != abi.OK {
		t.Errorf("remove from a full file system: %s", errno)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	if held := a.Held(); len(held) > 0 {
		t.Errorf("after close: %v", held)
	}
	if errno := h.Close(); errno != abi.OK {
		t.Errorf("close after close: %s", errno)
	}
}

// A hole costs nothing, however large, and the way to a far block is paid for.
func TestHolesAreFree(t *testing.T) {
	fs, _, d := dir(t, 1<<20)
	n, h, errno := d.Create("f", 0o644, abi.ORead|abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer n.Close()
	before := fs.Used()
	if errno := h.Truncate(1 << 45); errno != abi.OK {
		t.Fatal(errno)
	}
	if fs.Used() != before {
		t.Errorf("a hole cost %d", fs.Used()-before)
	}
	if _, errno := write(t, h, 1<<45-1, 1); errno != abi.OK {
		t.Fatal(errno)
	}
	if got := fs.Used() - before; got < 2*4096 || got > 8*4096 {
		t.Errorf("a far byte cost %d", got)
	}
	if errno := h.Truncate(0); errno != abi.OK {
		t.Fatal(errno)
	}
	if fs.Used() != before {
		t.Errorf("after truncating, %d bytes are left", fs.Used()-before)
	}
	if errno := h.Truncate(1 << 60); errno != abi.EFBIG {
		t.Errorf("truncate to 2^60: %s", errno)
	}
	if k, errno := write(t, h, 1<<60, 1); k != 0 || errno != abi.EFBIG {
		t.Errorf("write at 2^60: %d, %s", k, errno)
	}
	_ = h.Close()
}

// What allocate promised is there when everything else is gone.
func TestAllocate(t *testing.T) {
	fs, a, d := dir(t, 1<<20)
	n, h, errno := d.Create("f", 0o644, abi.ORead|abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	alloc, ok := h.(vfs.Allocator)
	if !ok {
		t.Fatal("no allocate")
	}
	if errno := alloc.Allocate(0, 1<<40); errno != abi.ENOSPC {
		t.Errorf("allocate more than there is: %s", errno)
	}
	if st, _ := n.Stat(); st.Size != 0 {
		t.Errorf("a refused allocate left the size at %d", st.Size)
	}
	if errno := alloc.Allocate(1000, 200_000); errno != abi.OK {
		t.Fatal(errno)
	}
	if st, _ := n.Stat(); st.Size != 201_000 {
		t.Errorf("size %d", st.Size)
	}
	if !a.Charge(abi.LimitDisk, a.Limit(abi.LimitDisk)-a.Used(abi.LimitDisk)) {
		t.Fatal("cannot fill up")
	}
	for off := int64(0); off < 201_000; off += 1000 {
		if k, errno := write(t, h, off, 1000); k != 1000 || errno != abi.OK {
			t.Fatalf("write at %d, which was reserved: %d, %s", off, k, errno)
		}
	}
	a.Uncharge(abi.LimitDisk, a.Used(abi.LimitDisk)-fs.Used())
	_ = h.Close()
	if errno := d.Remove("f", false); errno != abi.OK {
		t.Fatal(errno)
	}
	n.Close()
	if fs.Used() != 0 {
		t.Errorf("%d bytes are left", fs.Used())
	}
}

func BenchmarkRead4K(b *testing.B) {
	fs := memfs.New(nil, memfs.Options{})
	n, _ := fs.Root()
	d, ok := n.(vfs.Dir)
	if !ok {
		b.Fatal("no directory")
	}
	_, h, errno := d.Create("f", 0o644, abi.ORead|abi.OWrite)
	if errno != abi.OK {
		b.Fatal(errno)
	}
	buf := make([]byte, 4096)
	bufs := [][]byte{buf}
	for off := int64(0); off < 1<<20; off += 4096 {
		if _, _, errno := h.WriteAt(bufs, off); errno != abi.OK {
			b.Fatal(errno)
		}
	}
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		if _, errno := h.ReadAt(bufs, off); errno != abi.OK {
			b.Fatal(errno)
		}
		off = (off + 4096) & (1<<20 - 1)
	}
}
