//go:build linux && !hostfs_portable

package hostfs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// swapper exchanges two names of a directory until stopped.
func swapper(t *testing.T, a, b string, each func()) (stop func() int) {
	t.Helper()
	var quit atomic.Bool
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for !quit.Load() {
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("exchange: %v", err)
				return
			}
			n++
			if each != nil {
				each()
			}
		}
	})
	return func() int { quit.Store(true); wg.Wait(); return n }
}

const rounds = 1000 // in each variant

// TestSwappedDirectory races a lookup against a directory that turns into a link
// leading out and back.
func TestSwappedDirectory(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		top := t.TempDir()
		write(t, filepath.Join(top, "outside/secret"), "OUTSIDE")
		write(t, filepath.Join(top, "grant/a/secret"), "inside")
		check(t, os.Symlink("../outside", filepath.Join(top, "grant/b")))
		root := mustRoot(t, open(t, filepath.Join(top, "grant"), Options{Write: true}))
		stop := swapper(t, filepath.Join(top, "grant/a"), filepath.Join(top, "grant/b"), nil)
		defer stop()
		var in, link int
		// Whichever is there while the other side has the processor is met more
		// often; go on until both have been.
		for i := 0; i < rounds || i < 20*rounds && min(in, link) < 20; i++ {
			a, e := root.Lookup("a")
			if e != abi.OK {
				t.Fatalf("lookup: %v", e)
			}
			f, e := a.Lookup("secret")
			switch e {
			case abi.OK:
				in++
				if got := readNode(t, f); got != "inside" {
					t.Fatalf("read %q", got)
				}
				f.Close()
			case abi.ENOTDIR:
				link++
			default:
				t.Fatalf("lookup below: %v", e)
			}
			if f, e := root.(vfs.Pather).LookupPath("a/secret"); e == abi.OK {
				if got := readNode(t, f); got != "inside" {
					t.Fatalf("read %q", got)
				}
				f.Close()
			}
			// Changing things must not get out either.
			name := fmt.Sprint("new", i)
			if d := a.(vfs.Dir); d.Mkdir(name, 0o700) == abi.OK {
				want(t, "rmdir", d.Remove(name, true), abi.OK)
			}
			a.Close()
		}
		ents, err := os.ReadDir(filepath.Join(top, "outside"))
		if err != nil || len(ents) != 1 {
			t.Errorf("outside there is now %v, %v", ents, err)
		}
		t.Logf("%d exchanges, %d times a directory, %d times a link", stop(), in, link)
	})
}

// TestSwappedFIFO races open against a file that turns into a FIFO without peer.
// To block would hang the test; to open it at all would let a writer in.
func TestSwappedFIFO(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		write(t, a, "file")
		check(t, unix.Mkfifo(b, 0o600))
		keep, err := unix.Open(b, unix.O_PATH|unix.O_CLOEXEC, 0)
		check(t, err)
		defer func() { check(t, unix.Close(keep)) }()
		fs := open(t, dir, Options{Write: true})
		root := mustRoot(t, fs)
		touched := 0
		stop := swapper(t, a, b, func() {
			// A FIFO can be opened for writing without waiting only if it has a reader.
			if fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", keep), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				touched++
				_ = unix.Close(fd)
			}
		})
		defer stop()
		var file, fifo int
		for range rounds {
			n, e := root.Lookup("a")
			if e != abi.OK {
				t.Fatalf("lookup: %v", e)
			}
			h, e := n.Open(abi.ORead)
			switch e {
			case abi.OK:
				file++
				if got := contents(t, h); got != "file" {
					t.Fatalf("read %q", got)
				}
				h.Close()
			case abi.ENXIO:
				fifo++
			case abi.ESTALE:
				if fs.has.proc {
					t.Fatal("ESTALE although the handle itself is reopened")
				}
			default:
				t.Fatalf("open: %v", e)
			}
			n.Close()
		}
		n := stop()
		if touched > 0 && fs.has.proc {
			t.Errorf("the FIFO was opened %d times", touched)
		}
		t.Logf("%d exchanges, %d times a file, %d times a FIFO, FIFO touched %d times", n, file, fifo, touched)
	})
}

// TestSwappedTruncate makes sure that a file swapped in is never truncated in
// another's place, not even where re-opening goes by name.
func TestSwappedTruncate(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), "")
		write(t, filepath.Join(dir, "precious"), "precious")
		fs := open(t, dir, Options{Write: true})
		root := mustRoot(t, fs)
		n := mustWalk(t, root, "a")
		check(t, unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "a"), unix.AT_FDCWD, filepath.Join(dir, "precious"), unix.RENAME_EXCHANGE))
		h, e := n.Open(abi.OWrite | abi.OTrunc)
		if e == abi.OK {
			h.Close()
		} else if fs.has.proc || e != abi.ESTALE {
			t.Errorf("open: %v", e)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(data) != "precious" {
			t.Errorf("the file swapped in now holds %q, %v", data, err)
		}
	})
}

// TestCloseWhileUsed closes handles under operations, with other descriptors
// being opened all the time to take over any number freed too early.
func TestCloseWhileUsed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "right"), "right")
	write(t, filepath.Join(dir, "wrong"), "WRONG")
	fs, err := Open(dir, Options{})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	root := mustRoot(t, fs)
	var quit atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		for !quit.Load() {
			fd, err := unix.Open(filepath.Join(dir, "wrong"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			_ = unix.Close(fd)
		}
	})
	for range 500 {
		n, e := root.Lookup("right")
		if e != abi.OK {
			t.Fatal(e)
		}
		h, e := n.Open(abi.ORead)
		if e != abi.OK {
			t.Fatal(e)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				buf := make([]byte, 5)
				for {
					k, e := h.ReadAt([][]byte{buf}, 0)
					if e == abi.EBADF {
						break
					}
					if e != abi.OK || string(buf[:k]) != "right" {
						t.Errorf("read %q, %v", buf[:k], e)
						break
					}
				}
				for {
					st, e := n.Stat()
					if e == abi.EBADF {
						return
					}
					if e != abi.OK || st.Type != abi.TypeRegular {
						t.Errorf("stat %+v, %v", st, e)
						return
					}
				}
			})
		}
		want(t, "close", h.Close(), abi.OK)
		n.Close()
		wg.Wait()
	}
	quit.Store(true)
	other.Wait()
}

// TestNoDescriptorLeaks counts descriptors around everything that opens some.
func TestNoDescriptorLeaks(t *testing.T) {
	count := func() int {
		ents, err := os.ReadDir("/proc/self/fd")
		check(t, err)
		return len(ents)
	}
	variants(t, func(t *testing.T, _ opener) {}) // whatever the first use opens for good
	before := count()
	t.Run("body", func(t *testing.T) {
		variants(t, func(t *testing.T, open opener) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "d/f"), "x")
			check(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
			check(t, os.Mkdir(filepath.Join(dir, "state"), 0o700))
			id, err := Identify(filepath.Join(dir, "state"))
			check(t, err)
			fs := open(t, dir, Options{Write: true, Hidden: []ID{id}})
			for _, p := range []string{"state", "absent", "fifo"} {
				if bad, err := Open(filepath.Join(dir, p), Options{Hidden: []ID{id}}); err == nil {
					t.Errorf("%s was granted: %v", p, bad.Close())
				}
			}
			for range 20 {
				r, e := fs.Root()
				if e != abi.OK {
					t.Fatal(e)
				}
				root := r.(vfs.Dir)
				_, e = walk(t, root, "state")
				want(t, "state", e, abi.ENOENT)
				_, e = walk(t, root, "d/absent")
				want(t, "absent", e, abi.ENOENT)
				f, _ := walk(t, root, "d/f")
				h, _ := f.Open(abi.ORead | abi.OWrite)
				none, _ := f.Open(0)
				f.Close()
				fifo, _ := walk(t, root, "fifo")
				_, e = fifo.Open(abi.ORead)
				want(t, "open", e, abi.ENXIO)
				fifo.Close()
				n, h2, e := root.Create("new", 0o600, abi.OWrite)
				want(t, "create", e, abi.OK)
				_, _, e = root.Create("state", 0o600, abi.OWrite)
				want(t, "create", e, abi.EACCES)
				want(t, "rename", root.Rename("d", root, "e"), abi.OK)
				want(t, "rename", root.Rename("e", root, "d"), abi.OK)
				want(t, "link", root.Link("two", n), abi.OK)
				want(t, "remove", root.Remove("two", false), abi.OK)
				want(t, "remove", root.Remove("new", false), abi.OK)
				list(t, root, 2)
				n.Close()
				root.Close()
				for _, h := range []vfs.Handle{h, h2, none} {
					want(t, "close", h.Close(), abi.OK)
				}
			}
		})
	})
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
