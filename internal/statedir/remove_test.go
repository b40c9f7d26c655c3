//go:build unix

package statedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// deepTree makes a chain of n directories, each with a file, below dir. The path of
// the last is longer than any path may be.
func deepTree(t *testing.T, dir string, n int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	name := strings.Repeat("d", 100)
	for range n {
		must(t, unix.Mkdirat(at, name, 0o700))
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Close(at))
		at = next
		f, err := unix.Openat(at, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		must(t, err)
		must(t, unix.Close(f))
	}
	must(t, unix.Close(at))
}

func TestRemoveHostileTrees(t *testing.T) {
	quick := quickDir(t)
	outside := filepath.Join(quick, "outside")
	must(t, os.MkdirAll(filepath.Join(outside, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(outside, "f"), []byte("keep"), 0o600))
	d := open(t, filepath.Join(quick, "state"))
	r := create(t, d)
	s, err := r.Scratch()
	must(t, err)
	must(t, s.Close())
	scratch := filepath.Join(r.Path(), scratchDir)
	deepTree(t, scratch, 1100)
	for i := range 600 {
		must(t, os.Mkdir(filepath.Join(scratch, fmt.Sprint(i)), 0o700))
	}
	must(t, os.Symlink(outside, filepath.Join(scratch, "link")))
	must(t, os.Symlink(outside, filepath.Join(scratch, "7", "link")))
	must(t, os.Symlink("..", filepath.Join(scratch, "7", "up")))
	must(t, mkfifo(filepath.Join(scratch, "7", "fifo")))
	must(t, os.Link(filepath.Join(outside, "f"), filepath.Join(scratch, "7", "hard")))
	before := descriptors(t)
	must(t, r.WriteReport([]byte(`{"version":1}`)))
	must(t, r.Close())
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	checkClean(t, d.path)
	if b, err := os.ReadFile(filepath.Join(outside, "f")); err != nil || string(b) != "keep" {
		t.Errorf("outside: %q, %v", b, err)
	}
	if got := dirNames(t, outside); len(got) != 2 {
		t.Errorf("outside holds %q", got)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	return len(dirNames(t, "/dev/fd"))
}

// TestRemoveALinkInPlaceOfADirectory: what a name leads to does not matter.
func TestRemoveALinkInPlaceOfADirectory(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "f"), nil, 0o600))
	d := fresh(t)
	r := create(t, d)
	must(t, os.Symlink(outside, filepath.Join(r.Path(), scratchDir)))
	must(t, r.WriteReport([]byte(`{"version":1}`)))
	must(t, r.Close())
	must(t, os.Symlink(outside, filepath.Join(d.path, trashDir, "x")))
	if res := sweep(t, d); res.Trash != 1 {
		t.Errorf("Sweep = %+v", res)
	}
	if got := dirNames(t, outside); len(got) != 1 {
		t.Errorf("outside holds %q", got)
	}
	checkClean(t, d.path)
}

// TestManyRemovers lets several delete one tree, as sweepers of several kernels do.
func TestManyRemovers(t *testing.T) {
	d := open(t, filepath.Join(quickDir(t), "state"))
	for range 5 {
		top := filepath.Join(d.path, trashDir, "tree")
		for i := range 30 {
			must(t, os.MkdirAll(filepath.Join(top, fmt.Sprint(i%5), fmt.Sprint(i), "x", "y", "z"), 0o700))
			must(t, os.WriteFile(filepath.Join(top, fmt.Sprint(i%5), fmt.Sprint(i), "x", "f"), nil, 0o600))
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if left, err := d.emptyTrash(context.Background()); err != nil || left != 0 {
					t.Errorf("%d left: %v", left, err)
				}
			})
		}
		wg.Wait()
		sweep(t, d) // what one lifted after another had listed
		checkClean(t, d.path)
	}
}

// unprivileged runs f as a user whom modes bind, with a directory of that user.
func unprivileged(t *testing.T, f func(dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		f(t.TempDir())
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("not checked: modes do not bind root, and only Linux has users by thread")
	}
	dir, err := os.MkdirTemp("", "statedir")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chown(dir, nobody, nobody))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its user
		err := becomeNobody()
		if err == nil {
			defer close(done) // also when f calls FailNow
			f(dir)
			return
		}
		done <- err
	}()
	must(t, <-done)
}

const nobody = 65534

func TestRemoveUnreadableDirectories(t *testing.T) {
	unprivileged(t, func(dir string) {
		d, err := Open(Options{Path: filepath.Join(dir, "state")})
		if err != nil {
			t.Error(err)
			return
		}
		r, err := d.Create(Description{Program: "p"})
		if err != nil {
			t.Error(err)
			return
		}
		s, err := r.Scratch()
		if err != nil {
			t.Error(err)
			return
		}
		for _, mode := range []os.FileMode{0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600} {
			inner := fmt.Sprintf("m%o/inner/more", mode)
			if err := errors.Join(s.MkdirAll(inner, 0o700), s.WriteFile(inner+"/f", nil, 0), s.Chmod(inner, mode),
				s.Chmod(filepath.Dir(inner), mode), s.Chmod(filepath.Dir(filepath.Dir(inner)), mode)); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(s.Close(), os.Chmod(filepath.Join(r.Path(), scratchDir), 0),
			r.WriteReport([]byte(`{"version":1}`)), r.Close(), d.Close()); err != nil {
			t.Error(err)
		}
		checkClean(t, filepath.Join(dir, "state"))
	})
}

// TestReadOnlyDirectory: what is there can be read, and what writes says why not.
func TestReadOnlyDirectory(t *testing.T) {
	unprivileged(t, func(dir string) {
		path := filepath.Join(dir, "state")
		d, err := Open(Options{Path: path})
		if err != nil {
			t.Error(err)
			return
		}
		id := finished(t, d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		modes := func(m os.FileMode) {
			for _, p := range []string{runsDir, liveDir, stagingDir, trashDir, "."} {
				if err := os.Chmod(filepath.Join(path, p), m); err != nil {
					t.Error(err)
				}
			}
		}
		modes(0o500)
		defer modes(0o700)
		if d, err = Open(Options{Path: path}); err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = d.Close() }() // only handles
		if _, err := d.Create(Description{}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Create = %v", err)
		}
		if _, err := d.Cache(); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Cache = %v", err)
		}
		if _, err := d.Prune(context.Background(), PrunePolicy{}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Prune = %v", err)
		}
		if res, err := d.Sweep(context.Background()); err != nil || res.Any() {
			t.Errorf("Sweep with nothing to do = %+v, %v", res, err)
		}
		if e, err := d.Find(id); err != nil || causeOf(t, e) != "exited" {
			t.Errorf("Find = %v", err)
		}

		closed := filepath.Join(dir, "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Error(err)
		}
		_, err = Open(Options{Path: filepath.Join(closed, "state")})
		if u := (*Unavailable)(nil); !errors.As(err, &u) || !errors.Is(err, ErrReadOnly) {
			t.Errorf("Open below a read-only directory = %v", err)
		}
	})
}

func TestWriteErrorsAreTold(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
	}{
		{unix.EROFS, ErrReadOnly}, {unix.EACCES, ErrReadOnly}, {unix.EPERM, ErrReadOnly},
		{unix.ENOSPC, ErrFull}, {unix.EDQUOT, ErrFull},
	} {
		err := writeError(&os.PathError{Op: "open", Path: "p", Err: tt.err})
		if !errors.Is(err, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("%v becomes %v", tt.err, err)
		}
		if again := writeError(err); again != err {
			t.Errorf("marked twice: %v", again)
		}
	}
	if err := writeError(unix.EIO); errors.Is(err, ErrFull) || errors.Is(err, ErrReadOnly) {
		t.Errorf("EIO becomes %v", err)
	}
	if writeError(nil) != nil {
		t.Error("nil becomes an error")
	}
}
