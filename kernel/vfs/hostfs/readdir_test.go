//go:build unix

package hostfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func TestReaddirPages(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		const count = 300
		for i := range count {
			name := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%200))
			if i%10 == 0 {
				check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
			} else {
				write(t, filepath.Join(dir, name), "")
			}
		}
		root := mustRoot(t, open(t, dir, Options{}))
		for _, page := range []int{1, 2, 7, 64, 1000, 1 << 30} {
			l := list(t, root, page)
			if len(l) != count {
				t.Errorf("pages of %d: %d entries, want %d", page, len(l), count)
			}
			for name, ent := range l {
				n, e := root.Lookup(name)
				if e != abi.OK {
					t.Fatalf("%s is listed, but: %v", name, e)
				}
				st, e := n.Stat()
				if e != abi.OK || st.Type != ent.Type || st.Ino != ent.Ino {
					t.Fatalf("%s: listed %+v, is %+v, %v", name, ent, st, e)
				}
				n.Close()
				if page != 64 {
					break // one page size looks at all of them
				}
			}
		}
		// Every cookie resumes right after its entry, in any order.
		h := mustOpen(t, root, abi.ORead)
		all, e := h.Readdir(0, 1<<20)
		for e == abi.OK && len(all) < count {
			var more []abi.Dirent
			more, e = h.Readdir(all[len(all)-1].Next, 1<<20)
			if len(more) == 0 {
				break
			}
			all = append(all, more...)
		}
		if e != abi.OK || len(all) != count {
			t.Fatalf("%d entries, %v", len(all), e)
		}
		for _, i := range []int{200, 3, 298, 0, 199, 200, 201, 150} {
			next, e := h.Readdir(all[i].Next, 1)
			if e != abi.OK || len(next) != 1 || next[0].Name != all[i+1].Name {
				t.Fatalf("after entry %d: %v %v, want %s", i, next, e, all[i+1].Name)
			}
		}
		if end, e := h.Readdir(all[count-1].Next, 5); e != abi.OK || len(end) != 0 {
			t.Errorf("after the last: %v %v", end, e)
		}
		// A rewind sees what is new; a cookie of the guest's own making is harmless.
		write(t, filepath.Join(dir, "fresh"), "")
		seen := false
		for cookie := uint64(0); ; {
			ents, e := h.Readdir(cookie, 100)
			if e != abi.OK || len(ents) == 0 {
				break
			}
			for _, ent := range ents {
				seen = seen || ent.Name == "fresh"
			}
			cookie = ents[len(ents)-1].Next
		}
		if !seen {
			t.Error("a rewound listing misses a new entry")
		}
		for _, cookie := range []uint64{1, 12345, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			ents, e := h.Readdir(cookie, 10)
			if e != abi.OK && e != abi.EINVAL {
				t.Errorf("cookie %d: %v %v", cookie, ents, e)
			}
		}
	})
}

// TestReaddirUnderChange lists a large directory while others are made and
// removed in it: what stays is seen exactly once.
func TestReaddirUnderChange(t *testing.T) {
	dir := t.TempDir()
	const count = 1500
	for i := range count {
		write(t, filepath.Join(dir, fmt.Sprint("stays", i)), "")
	}
	fs, err := Open(dir, Options{})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	root := mustRoot(t, fs)
	var quit atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !quit.Load(); i++ {
			p := filepath.Join(dir, fmt.Sprint("goes", i%50))
			if err := os.WriteFile(p, nil, 0o600); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			if err := os.Remove(p); err != nil {
				t.Errorf("remove: %v", err)
				return
			}
		}
	})
	for _, page := range []int{10, 100, 1000} {
		seen := map[string]int{}
		h := mustOpen(t, root, abi.ORead)
		for cookie := uint64(0); ; {
			ents, e := h.Readdir(cookie, page)
			if e != abi.OK {
				t.Fatal(e)
			}
			if len(ents) == 0 {
				break
			}
			for _, ent := range ents {
				seen[ent.Name]++
			}
			cookie = ents[len(ents)-1].Next
		}
		for i := range count {
			if n := seen[fmt.Sprint("stays", i)]; n != 1 {
				t.Errorf("pages of %d: stays%d seen %d times", page, i, n)
			}
		}
	}
	quit.Store(true)
	wg.Wait()
}

// TestReaddirShared lists through one handle from several goroutines.
func TestReaddirShared(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		write(t, filepath.Join(dir, fmt.Sprint("f", i)), "")
	}
	fs, err := Open(dir, Options{})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	h := mustOpen(t, mustRoot(t, fs), abi.ORead)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			n := 0
			for cookie := uint64(0); ; {
				ents, e := h.Readdir(cookie, 9)
				if e != abi.OK {
					t.Errorf("readdir: %v", e)
					return
				}
				if len(ents) == 0 {
					break
				}
				n += len(ents)
				cookie = ents[len(ents)-1].Next
			}
			if n != 200 {
				t.Errorf("%d entries, want 200", n)
			}
		})
	}
	wg.Wait()
}
