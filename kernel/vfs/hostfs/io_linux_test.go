//go:build linux && !hostfs_portable

package hostfs

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// TestTryReadAt holds the reading that does not wait equal to the one that may.
func TestTryReadAt(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	check(t, os.WriteFile(filepath.Join(dir, "f"), data, 0o600))
	fs, err := Open(dir, Options{Write: true})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	root := mustRoot(t, fs)
	h := mustOpen(t, mustWalk(t, root, "f"), abi.ORead)
	try := h.(TryReader)
	direct := 0
	for _, off := range []int64{0, 1, 4095, 4096, 16000, 16383, 16384, 20000} {
		for _, size := range []int{0, 1, 100, 4096, 20000} {
			a, b := make([]byte, size), make([]byte, size)
			n1, e1 := h.ReadAt([][]byte{a[:size/2], a[size/2:]}, off)
			n2, e2 := try.TryReadAt([][]byte{b[:size/2], b[size/2:]}, off)
			if e2 == abi.EAGAIN {
				continue
			}
			direct++
			if n1 != n2 || e1 != e2 || !bytes.Equal(a[:n1], b[:n2]) {
				t.Errorf("at %d, %d bytes: %d %v, trying %d %v", off, size, n1, e1, n2, e2)
			}
		}
	}
	if direct == 0 {
		t.Log("NOT CHECKED: this file system never reads without waiting")
	}
	_, e := try.TryReadAt([][]byte{make([]byte, 1)}, -1)
	want(t, "before the start", e, abi.EINVAL)
	w := mustOpen(t, mustWalk(t, root, "f"), abi.OWrite)
	_, e = w.(TryReader).TryReadAt([][]byte{make([]byte, 1)}, 0)
	want(t, "through a handle for writing", e, abi.EBADF)
	want(t, "allocate", w.(vfs.Allocator).Allocate(0, int64(len(data))+4096), abi.OK)
	if st, _ := mustWalk(t, root, "f").Stat(); st.Size != int64(len(data))+4096 {
		t.Errorf("allocated to %d bytes", st.Size)
	}
	want(t, "allocate nothing", w.(vfs.Allocator).Allocate(0, 0), abi.EINVAL)
	want(t, "allocate while reading", h.(vfs.Allocator).Allocate(0, 1), abi.EBADF)
}

// TestManyVectors passes more buffers than the host takes at once.
func TestManyVectors(t *testing.T) {
	dir := t.TempDir()
	fs, err := Open(dir, Options{Write: true})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	n, h, e := mustRoot(t, fs).Create("f", 0o600, abi.ORead|abi.OWrite)
	if e != abi.OK {
		t.Fatal(e)
	}
	defer n.Close()
	defer h.Close()
	bufs := make([][]byte, 3*maxVecs)
	for i := range bufs {
		bufs[i] = []byte{byte(i)}
	}
	k, end, e := h.WriteAt(bufs, 0)
	if k != maxVecs || end != maxVecs || e != abi.OK {
		t.Errorf("write: %d %d %v", k, end, e)
	}
	if k, e := h.ReadAt(bufs, 0); k != maxVecs || e != abi.OK {
		t.Errorf("read: %d %v", k, e)
	}
}

// TestSharedAppend appends through one handle from several goroutines: the
// offsets returned are all different and each record is where its end says.
func TestSharedAppend(t *testing.T) {
	dir := t.TempDir()
	fs, err := Open(dir, Options{Write: true})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	n, h, e := mustRoot(t, fs).Create("f", 0o600, abi.OWrite|abi.OAppend)
	if e != abi.OK {
		t.Fatal(e)
	}
	defer n.Close()
	defer h.Close()
	const writers, records = 4, 100
	var mu sync.Mutex
	ends := map[int64]byte{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rec := bytes.Repeat([]byte{'a' + byte(w)}, 8)
			for range records {
				k, end, e := h.WriteAt([][]byte{rec}, 0)
				if k != len(rec) || e != abi.OK {
					t.Errorf("append: %d %v", k, e)
					return
				}
				mu.Lock()
				ends[end] = rec[0]
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(filepath.Join(dir, "f"))
	check(t, err)
	if len(ends) != writers*records || len(data) != 8*writers*records {
		t.Fatalf("%d ends, %d bytes", len(ends), len(data))
	}
	for end, c := range ends {
		if !bytes.Equal(data[end-8:end], bytes.Repeat([]byte{c}, 8)) {
			t.Errorf("at %d: %q, want %c", end, data[end-8:end], c)
		}
	}
}
