//go:build linux && !hostfs_portable

package hostfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// BenchmarkOpenReadClose finds a file three directories down, reads 4 KiB, and
// lets go of everything. "os" is the same by its path, "root" by os.Root.
func BenchmarkOpenReadClose(b *testing.B) {
	dir := b.TempDir()
	write(b, filepath.Join(dir, "a/b/c/f"), string(make([]byte, 4096)))
	buf := make([]byte, 4096)
	fs, err := Open(dir, Options{})
	check(b, err)
	b.Cleanup(func() { check(b, fs.Close()) })
	state := b.TempDir()
	id, err := Identify(state)
	check(b, err)
	above, err := Open(filepath.Dir(filepath.Dir(dir)), Options{Hidden: []ID{id}})
	check(b, err)
	b.Cleanup(func() { check(b, above.Close()) })

	read := func(b *testing.B, n vfs.Node) {
		h, e := n.Open(abi.ORead)
		if e != abi.OK {
			b.Fatal(e)
		}
		if k, e := h.ReadAt([][]byte{buf}, 0); k != 4096 || e != abi.OK {
			b.Fatal(k, e)
		}
		h.Close()
	}
	b.Run("os", func(b *testing.B) {
		p := filepath.Join(dir, "a/b/c/f")
		for b.Loop() {
			f, err := os.Open(p)
			check(b, err)
			if k, err := f.ReadAt(buf, 0); k != 4096 {
				b.Fatal(k, err)
			}
			check(b, f.Close())
		}
	})
	b.Run("root", func(b *testing.B) {
		r, err := os.OpenRoot(dir)
		check(b, err)
		defer r.Close()
		for b.Loop() {
			f, err := r.Open("a/b/c/f")
			check(b, err)
			if k, err := f.ReadAt(buf, 0); k != 4096 {
				b.Fatal(k, err)
			}
			check(b, f.Close())
		}
	})
	b.Run("whole", func(b *testing.B) {
		root := mustRoot(b, fs).(vfs.Pather)
		for b.Loop() {
			n, e := root.LookupPath("a/b/c/f")
			if e != abi.OK {
				b.Fatal(e)
			}
			read(b, n)
			n.Close()
		}
	})
	for name, fs := range map[string]*FS{"one_by_one": fs, "one_by_one_hiding": above} {
		b.Run(name, func(b *testing.B) {
			from := mustWalk(b, mustRoot(b, fs), map[*FS]string{fs: "a", above: filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir) + "/a"}[fs])
			for b.Loop() {
				n, e := walk(b, from, "b/c/f")
				if e != abi.OK {
					b.Fatal(e)
				}
				read(b, n)
				n.Close()
			}
		})
	}
}

func BenchmarkSteps(b *testing.B) {
	dir := b.TempDir()
	write(b, filepath.Join(dir, "f"), string(make([]byte, 4096)))
	fs, err := Open(dir, Options{})
	check(b, err)
	b.Cleanup(func() { check(b, fs.Close()) })
	root := mustRoot(b, fs)
	f := mustWalk(b, root, "f")
	h := mustOpen(b, f, abi.ORead)
	bufs := [][]byte{make([]byte, 4096)}
	b.Run("lookup", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n, e := root.Lookup("f")
			if e != abi.OK {
				b.Fatal(e)
			}
			n.Close()
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h, e := f.Open(abi.ORead)
			if e != abi.OK {
				b.Fatal(e)
			}
			h.Close()
		}
	})
	b.Run("stat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, e := f.Stat(); e != abi.OK {
				b.Fatal(e)
			}
		}
	})
	b.Run("read4k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, e := h.ReadAt(bufs, 0); e != abi.OK {
				b.Fatal(e)
			}
		}
	})
	b.Run("try_read4k", func(b *testing.B) {
		b.ReportAllocs()
		try := h.(TryReader)
		direct := 0
		for b.Loop() {
			if _, e := try.TryReadAt(bufs, 0); e == abi.OK {
				direct++
			}
		}
		b.ReportMetric(float64(direct)/float64(b.N), "direct/op")
	})
	b.Run("os_read4k", func(b *testing.B) {
		f, err := os.Open(filepath.Join(dir, "f"))
		check(b, err)
		defer f.Close()
		for b.Loop() {
			if _, err := f.ReadAt(bufs[0], 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
