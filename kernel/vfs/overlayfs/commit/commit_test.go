//go:build unix

package commit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// everyChange lays out a host and changes a copy of it in every way.
func everyChange(t testing.TB) (string, *tree) {
	host := t.TempDir()
	lay(t, host, "keep=same", "mod=old", "gone=x", "mode=m", "time=t", "dir/a=1", "dir/sub/b=2", "dir/sub/deep/c=3",
		"tofile/x=1", "tofile/y/z=2", "todir=file", "tolink=file", "fromlink->keep", "link->keep", "golink->keep", "linkdir->keep",
		"opaque/old=1", "opaque/both=1", "h1=hard", "moved/in/f=f")
	must(t, os.Link(filepath.Join(host, "h1"), filepath.Join(host, "h2")))
	s := capture(t, host, func(d string) {
		lay(t, d, "mod=new content", "added=a", "new/deep/er/f=1", "new/empty/")
		remove(t, d, "gone", "dir", "golink")
		must(t, os.Chmod(filepath.Join(d, "mode"), 0o600))
		must(t, os.Chtimes(filepath.Join(d, "time"), time.Time{}, time.Unix(1e9, 5)))
		remove(t, d, "tofile", "todir", "tolink", "fromlink", "link", "linkdir")
		lay(t, d, "tofile=now a file", "todir/in/it=1", "tolink->keep", "fromlink=was a link", "link->mod", "linkdir/x=1")
		remove(t, d, "opaque")
		lay(t, d, "opaque/both=2", "opaque/new=1")
		remove(t, d, "h1", "h2")
		lay(t, d, "h1=changed through one name")
		must(t, os.Link(filepath.Join(d, "h1"), filepath.Join(d, "h2")))
		must(t, os.Link(filepath.Join(d, "h1"), filepath.Join(d, "new/h3")))
		must(t, os.Rename(filepath.Join(d, "moved"), filepath.Join(d, "elsewhere")))
		lay(t, d, "readonly/f=1")
		must(t, os.Chmod(filepath.Join(d, "readonly"), 0o500))
		t.Cleanup(func() { must(t, os.Chmod(filepath.Join(d, "readonly"), 0o700)) })
	})
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(host, "readonly"), 0o700) }) // may not be there
	return host, s
}

func TestEveryChange(t *testing.T) {
	host, s := everyChange(t)
	changes := len(s.List)
	for p, r := range inspect(t, host, s, Options{}) {
		if r.Outcome != Committed {
			t.Errorf("inspect: %s: %s %s", p, r.Outcome, r.Why)
		}
	}
	if len(s.Changes()) != changes {
		t.Error("Inspect journaled something")
	}
	got := apply(t, host, s, Options{})
	if len(got) != changes {
		t.Errorf("%d results for %d changes", len(got), changes)
	}
	for p, r := range got {
		if r.Outcome != Committed || r.Why != "" {
			t.Errorf("%s: %s %s", p, r.Outcome, r.Why)
		}
	}
	same(t, host, s.Merged)
	if left := s.Changes(); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
	if left := temporaries(t, host); left != nil {
		t.Errorf("left %q", left)
	}
	a, err := os.Stat(filepath.Join(host, "h1"))
	must(t, err)
	for _, n := range []string{"h2", "new/h3"} {
		if b, err := os.Stat(filepath.Join(host, n)); err != nil || !os.SameFile(a, b) {
			t.Errorf("%s is not the same file as h1: %v", n, err)
		}
	}
}

// TestAgain commits what the host has already, as after a kill before the journal.
func TestAgain(t *testing.T) {
	host, s := everyChange(t)
	apply(t, host, s, Options{})
	must(t, os.Remove(s.Log))
	for p, r := range apply(t, host, s, Options{}) {
		if !r.Outcome.Done() {
			t.Errorf("%s: %s %s", p, r.Outcome, r.Why)
		}
	}
	same(t, host, s.Merged)
}

func TestConflicts(t *testing.T) {
	host := t.TempDir()
	setup := func() *tree {
		remove(t, host, "a", "b", "c", "d", "e", "f", "g", "link", "dir", "new", "typed", "touched", "chmod", "gonedir")
		lay(t, host, "a=1", "b=1", "c=1", "d=1", "e=1", "link->a", "dir/x=1", "typed=1", "touched=1", "chmod=1", "gonedir/f=1", "same=1", "f=1")
		return capture(t, host, func(d string) {
			lay(t, d, "a=2", "b=2", "c=2", "new=2", "typed=2", "touched=2", "gonedir/f=2", "same=2", "f=2")
			remove(t, d, "d", "dir", "link")
			lay(t, d, "link->b")
			must(t, os.Chmod(filepath.Join(d, "e"), 0o600))
			must(t, os.Chmod(filepath.Join(d, "chmod"), 0o600))
		})
	}
	disturb := func() {
		lay(t, host, "a=changed by somebody", "new=somebody's", "d=other", "e=33", "dir/more=1", "same=2")
		remove(t, host, "b", "link", "typed", "gonedir")
		lay(t, host, "link->c", "typed/")
		must(t, os.Chmod(filepath.Join(host, "chmod"), 0o640))
		// The same length and time, by a tool that restores times.
		p := filepath.Join(host, "touched")
		fi, err := os.Stat(p)
		must(t, err)
		must(t, os.WriteFile(p, []byte("x"), 0o644))
		must(t, os.Chtimes(p, time.Time{}, fi.ModTime()))
	}
	outcomes := []string{"a conflict", "b conflict", "c committed", "chmod conflict", "d conflict", "dir blocked", "dir/x committed", "e conflict",
		"gonedir/f conflict", "link conflict", "new conflict", "same already", "touched conflict", "typed conflict", "f committed"}
	s := setup()
	disturb()
	got := apply(t, host, s, Options{})
	outcomes[5] = "dir conflict" // what is left in it is not of the run
	want(t, got, outcomes...)
	if b, err := os.ReadFile(filepath.Join(host, "a")); err != nil || string(b) != "changed by somebody" {
		t.Errorf("a is %q, %v", b, err)
	}
	if got := len(s.Changes()); got != 11 {
		t.Errorf("%d changes left, want 11", got)
	}

	// By force, where there is a place for it.
	for p, r := range apply(t, host, s, Options{Force: true}) {
		wanted := Committed
		switch p {
		case "dir", "gonedir/f":
			wanted = Conflict
		}
		if r.Outcome != wanted {
			t.Errorf("by force: %s: %s %s", p, r.Outcome, r.Why)
		}
	}
	for p, text := range map[string]string{"a": "2", "b": "2", "new": "2", "typed": "2", "touched": "2", "dir/more": "1", "e": "33"} {
		if b, err := os.ReadFile(filepath.Join(host, p)); err != nil || string(b) != text {
			t.Errorf("%s is %q, %v", p, b, err)
		}
	}
}

func TestUnnamed(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "tool=#!", "was=#!", ".git/config=old", ".git/hooks/", "bin/")
	must(t, os.Chmod(filepath.Join(host, "tool"), 0o755))
	must(t, os.Chmod(filepath.Join(host, "was"), 0o755))
	s := capture(t, host, func(d string) {
		lay(t, d, "tool=changed", "bin/new=#!", "plain=x", ".git/config=evil", ".git/hooks/pre-commit=evil", "sub/.vscode/tasks.json={}", "fresh=1", ".bashrc=x", "sub/.git/HEAD=x")
		must(t, os.Chmod(filepath.Join(d, "bin/new"), 0o700))
		must(t, os.Chtimes(filepath.Join(d, "was"), time.Time{}, time.Unix(1e9, 0))) // executable as before, and the same
		must(t, os.Chmod(filepath.Join(d, "fresh"), 0o645))
	})
	asked := []string{"tool unnamed", "bin/new unnamed", ".git/config unnamed", ".git/hooks/pre-commit unnamed", "sub/.vscode unnamed", "fresh unnamed", ".bashrc unnamed"}
	rest := []string{"plain committed", "sub committed", "sub/.vscode/tasks.json unnamed", "was committed", "sub/.git committed", "sub/.git/HEAD committed"}
	want(t, inspect(t, host, s, Options{}), append(append([]string(nil), asked...), rest...)...)
	want(t, apply(t, host, s, Options{}), append(append([]string(nil), asked...), append(rest[:2:2], "sub/.vscode/tasks.json blocked", "was committed", "sub/.git committed", "sub/.git/HEAD committed")...)...)
	// A directory around them does not name them.
	want(t, apply(t, host, s, Options{Named: []string{".git", "bin"}}), ".git/config unnamed", ".git/hooks/pre-commit unnamed", "bin/new unnamed")
	want(t, apply(t, host, s, Options{Named: []string{"."}}), "tool unnamed", "bin/new unnamed", ".git/config unnamed", ".git/hooks/pre-commit unnamed", "sub/.vscode unnamed", "sub/.vscode/tasks.json blocked", "fresh unnamed", ".bashrc unnamed")
	// Their own names do, and for what is protected its own or one in it.
	want(t, apply(t, host, s, Options{Named: []string{"tool", "bin/new", ".git/config", ".git/hooks", "sub/.vscode", ".bashrc", "fresh"}}),
		"tool committed", "bin/new committed", ".git/config committed", ".git/hooks/pre-commit committed", "sub/.vscode committed", "sub/.vscode/tasks.json committed", ".bashrc committed", "fresh committed")
	same(t, host, s.Merged)
}

func TestNamed(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "a/x=1", "a/y=1", "b=1", "file=1")
	s := capture(t, host, func(d string) {
		lay(t, d, "a/x=2", "new/sub/f=1", "new/other=1", "b=2")
		remove(t, d, "a/y", "file")
		lay(t, d, "file/in=1")
	})
	want(t, apply(t, host, s, Options{Named: []string{"new/sub/f", "file/in"}}), "new committed", "new/sub committed", "new/sub/f committed", "file committed", "file/in committed")
	want(t, apply(t, host, s, Options{Named: []string{"a"}}), "a/x committed", "a/y committed")
	if _, err := Apply(context.Background(), openHost(t, host, true), s, Options{Run: testRun, Root: host, Named: []string{"b", "a"}}); !errors.Is(err, ErrNoChange) || !strings.Contains(err.Error(), "a:") {
		t.Errorf("a name without a change: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(host, "b")); err != nil || string(b) != "1" {
		t.Errorf("b is %q, %v: it was committed although another name was wrong", b, err)
	}
	want(t, apply(t, host, s, Options{}), "b committed", "new/other committed")
	same(t, host, s.Merged)
}

func TestLeavingLinks(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "dir/sub/f=1", "up->..", "out->/etc", "in->dir/sub")
	s := capture(t, host, func(d string) {
		lay(t, d, "abs->/etc/passwd", "dot->../x", "dir/sub/ok->../../dir", "dir/sub/far->../../../x", "through->out/passwd", "viaup->dir/../up/x",
			"fine->in/../f", "over->in/../../../x", "dangling->nothing/here", "maybe->nothing/../x", "self->self", "here->.", "slash->dir//sub/.")
	})
	want(t, apply(t, host, s, Options{Force: true, Named: []string{"."}}),
		"abs refused", "dot refused", "dir/sub/ok committed", "dir/sub/far refused", "through refused", "viaup refused", "fine committed", "over refused",
		"dangling committed", "maybe refused", "self committed", "here committed", "slash committed")
	// Naming one does not help.
	want(t, apply(t, host, s, Options{Named: []string{"abs"}}), "abs refused")
	if _, err := os.Lstat(filepath.Join(host, "abs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("abs: %v", err)
	}
}

func TestKindsThatAreNeverCommitted(t *testing.T) {
	host := t.TempDir()
	s := &tree{Merged: t.TempDir(), Log: filepath.Join(t.TempDir(), "done")}
	for typ := abi.FileType(0); typ < abi.NumFileTypes; typ++ {
		if typ != abi.TypeRegular && typ != abi.TypeDirectory && typ != abi.TypeSymlink {
			s.List = append(s.List, overlayfs.Change{Path: typ.String(), Kind: overlayfs.Added, Type: typ, Mode: 0o666})
		}
	}
	want(t, apply(t, host, s, Options{Force: true}), "unknown refused", "char_device refused", "block_device refused", "fifo refused", "socket refused")
	if list, err := os.ReadDir(host); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"../x", "/x", "a/../../x", "", "a//b", "a/", "x\x00y"} {
		s := &tree{List: []overlayfs.Change{{Path: bad, Kind: overlayfs.Added, Type: abi.TypeDirectory}}}
		if _, err := Apply(context.Background(), openHost(t, host, true), s, Options{Run: testRun, Root: host}); err == nil {
			t.Errorf("the path %q was taken", bad)
		}
	}
}

// TestSpecialBits: what a run wrote never ends with another identity's rights.
func TestSpecialBits(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "suid=1", "sticky/")
	must(t, os.Chmod(filepath.Join(host, "suid"), 0o755|os.ModeSetuid|os.ModeSetgid))
	must(t, os.Chmod(filepath.Join(host, "sticky"), 0o777|os.ModeSticky))
	s := capture(t, host, func(d string) {
		lay(t, d, "suid=2", "new=x", "sticky/f=1")
		must(t, os.Chmod(filepath.Join(d, "sticky"), 0o755))
	})
	for i := range s.List {
		if s.List[i].Path == "new" {
			s.List[i].Mode = 0o7644
		}
	}
	want(t, apply(t, host, s, Options{Named: []string{".", "suid"}}), "suid committed", "new committed", "sticky committed", "sticky/f committed")
	for p, mode := range map[string]os.FileMode{"suid": 0o755, "new": 0o644, "sticky": 0o755 | os.ModeSticky | os.ModeDir} {
		if fi, err := os.Stat(filepath.Join(host, p)); err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", p, fi.Mode(), err, mode)
		}
	}
}

func TestUmask(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "old=1")
	s := capture(t, host, func(d string) {
		lay(t, d, "old=2", "new=1")
		must(t, os.Chmod(filepath.Join(d, "old"), 0o666))
		must(t, os.Chmod(filepath.Join(d, "new"), 0o666))
	})
	_, err := Apply(context.Background(), openHost(t, host, true), s, Options{Run: testRun, Root: host, Umask: 0o027})
	must(t, err)
	for p, mode := range map[string]os.FileMode{"old": 0o666, "new": 0o640} {
		if fi, err := os.Stat(filepath.Join(host, p)); err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", p, fi.Mode(), err, mode)
		}
	}
}

// TestHidden: what no grant shows, the state directory, is not written either, though
// the run could make directories of its name.
func TestHidden(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "state/version=1", "other=1")
	id, err := hostfs.Identify(filepath.Join(host, "state"))
	must(t, err)
	s := &tree{Merged: t.TempDir(), Log: filepath.Join(t.TempDir(), "done")}
	lay(t, s.Merged, "f=evil")
	s.List = []overlayfs.Change{
		{Path: "state", Kind: overlayfs.Added, Type: abi.TypeDirectory, Mode: 0o755},
		{Path: "state/f", Kind: overlayfs.Added, Type: abi.TypeRegular, Mode: 0o644, Size: 4, Object: "f"},
		{Path: "state/version", Kind: overlayfs.Added, Type: abi.TypeRegular, Mode: 0o644, Size: 4, Object: "f"},
	}
	for _, force := range []bool{false, true} {
		res, err := Apply(context.Background(), openHost(t, host, true, id), s, Options{Run: testRun, Root: host, Force: force})
		must(t, err)
		for _, r := range res {
			if r.Outcome.Done() {
				t.Errorf("%s: %s", r.Change.Path, r.Outcome)
			}
		}
	}
	if list, err := os.ReadDir(filepath.Join(host, "state")); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// swapper is a host file system on which somebody does something at a moment.
type swapper struct {
	vfs.FileSystem
	at func()
	n  int // at which opening of the root
}

func (s *swapper) Root() (vfs.Node, abi.Errno) {
	if s.n--; s.n == 0 {
		s.at()
	}
	return s.FileSystem.Root()
}

// TestComponentSwapped replaces a directory on the way by a symbolic link out of the
// grant, at each moment at which a commit starts a walk.
func TestComponentSwapped(t *testing.T) {
	for n := 1; ; n++ {
		host, outside := t.TempDir(), t.TempDir()
		lay(t, host, "d/e/f=1", "d/e/del=1")
		lay(t, outside, "e/f=1", "e/del=1")
		s := capture(t, host, func(d string) {
			lay(t, d, "d/e/f=evil", "d/e/new=evil", "d/n/x=evil")
			remove(t, d, "d/e/del")
		})
		fs := &swapper{FileSystem: openHost(t, host, true), n: n}
		fs.at = func() {
			must(t, os.Rename(filepath.Join(host, "d"), filepath.Join(host, "was")))
			must(t, os.Symlink(outside, filepath.Join(host, "d")))
		}
		_, err := Apply(context.Background(), fs, s, Options{Run: testRun, Root: host, Umask: umask()})
		must(t, err)
		got := scan(t, outside)
		if len(got) != 3 || got["e/f"].text != "1" || got["e/del"].text != "1" {
			t.Fatalf("swapped at walk %d: outside is now %v", n, got)
		}
		if fs.n > 0 { // the commit was over before
			if n < 6 {
				t.Errorf("only %d walks", n)
			}
			return
		}
	}
}

// TestSwappedWhileItRuns does the same from another goroutine, all the time.
func TestSwappedWhileItRuns(t *testing.T) {
	host, outside := t.TempDir(), t.TempDir()
	lay(t, host, "d/keep=1")
	lay(t, outside, "keep=1")
	s := capture(t, host, func(d string) {
		for i := range 200 {
			lay(t, d, "d/"+strings.Repeat("n", i+1)+"=evil")
		}
	})
	d, link := filepath.Join(host, "d"), filepath.Join(host, "was")
	must(t, os.Symlink(outside, link))
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				err = exchange(d, link)
			}
		}
		stopped <- err
	}()
	for range 20 {
		apply(t, host, s, Options{})
	}
	close(stop)
	if err := <-stopped; errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EINVAL) {
		t.Skip("this file system cannot exchange two names")
	} else if err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
		t.Errorf("outside is now %v, %v", list, err)
	}
}

func TestCancelled(t *testing.T) {
	host, s := everyChange(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Apply(ctx, openHost(t, host, true), s, Options{Run: testRun, Root: host}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for _, run := range []string{"", "a/b", strings.Repeat("x", 65)} {
		if _, err := Apply(context.Background(), openHost(t, host, true), s, Options{Run: run, Root: host}); err == nil {
			t.Errorf("the run %q was taken", run)
		}
	}
}

// TestDamagedContent: a store that lost something commits nothing of it.
func TestDamagedContent(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "a=old", "b=old")
	s := capture(t, host, func(d string) { lay(t, d, "a=the new one", "b=new") })
	must(t, os.Truncate(filepath.Join(s.Merged, "a"), 3))
	want(t, apply(t, host, s, Options{}), "a failed", "b committed")
	if b, err := os.ReadFile(filepath.Join(host, "a")); err != nil || string(b) != "old" {
		t.Errorf("a is %q, %v", b, err)
	}
	if left := temporaries(t, host); left != nil {
		t.Errorf("left %q", left)
	}
}

// TestLeftovers: temporary files of a killed commit go, those of others stay.
func TestLeftovers(t *testing.T) {
	host := t.TempDir()
	lay(t, host, "d/f=1", "g=1")
	s := capture(t, host, func(d string) { lay(t, d, "d/f=2", "g=2") })
	mine, other := temporaryPrefix(testRun)+"0123", temporaryPrefix("other")+"0123"
	lay(t, host, mine+"=x", other+"=x", "d/"+mine+"->x", "d/"+mine+"dir/x=1")
	must(t, Clean(context.Background(), openHost(t, host, true), s, testRun))
	left := temporaries(t, host)
	if len(left) != 2 || filepath.Base(left[0]) != other || filepath.Base(left[1]) != mine+"dir" {
		t.Errorf("left %q", left)
	}
}

// TestOwner: who commits does not become the owner of what others own, if the host lets
// it be given.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can give files away")
	}
	host := t.TempDir()
	lay(t, host, "theirs=1", "type->x")
	must(t, os.Chown(filepath.Join(host, "theirs"), 12345, 23456))
	s := capture(t, host, func(d string) {
		lay(t, d, "theirs=2", "new=1")
		remove(t, d, "type")
		lay(t, d, "type=file")
	})
	want(t, apply(t, host, s, Options{}), "theirs committed", "new committed", "type committed")
	for p, uid := range map[string]uint32{"theirs": 12345, "new": 0, "type": 0} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(host, p), &st); err != nil || st.Uid != uid || st.Mode&0o777 != 0o644 {
			t.Errorf("%s belongs to %d, mode %o, %v", p, st.Uid, st.Mode, err)
		}
	}
}

// TestRootAndKilledBetween: mode and time of the granted directory itself, and what a
// commit that was killed between the two steps of one change leaves.
func TestRootAndKilledBetween(t *testing.T) {
	host := t.TempDir()
	must(t, os.Chmod(host, 0o755))
	lay(t, host, "mode=1", "tofile/x=1", "todir=1")
	s := capture(t, host, func(d string) {
		must(t, os.Chmod(filepath.Join(d, "mode"), 0o600))
		must(t, os.Chtimes(filepath.Join(d, "mode"), time.Time{}, time.Unix(1e9, 0)))
		remove(t, d, "tofile", "todir")
		lay(t, d, "tofile=2", "todir/y=2", "dir/z=2")
		must(t, os.Chmod(filepath.Join(d, "dir"), 0o500))
		t.Cleanup(func() { must(t, os.Chmod(filepath.Join(d, "dir"), 0o700)) })
	})
	t.Cleanup(func() { must(t, os.Chmod(filepath.Join(host, "dir"), 0o700)) })
	s.List = append(s.List, overlayfs.Change{Path: ".", Kind: overlayfs.Mode, Type: abi.TypeDirectory, Mode: 0o750, Mtime: 2e18,
		Was: &overlayfs.Base{Type: abi.TypeDirectory, Mode: 0o755}})
	must(t, os.Chmod(filepath.Join(host, "mode"), 0o600)) // and not yet its time
	must(t, os.RemoveAll(filepath.Join(host, "tofile")))  // and nothing there yet
	must(t, os.Remove(filepath.Join(host, "todir")))      // the same
	must(t, os.Mkdir(filepath.Join(host, "dir"), 0o700))  // not yet finished
	for p, r := range apply(t, host, s, Options{}) {
		if !r.Outcome.Done() {
			t.Errorf("%s: %s %s", p, r.Outcome, r.Why)
		}
	}
	same(t, host, s.Merged)
	if fi, err := os.Stat(host); err != nil || fi.Mode().Perm() != 0o750 || fi.ModTime().UnixNano() != 2e18 {
		t.Errorf("the root: %v, %v", fi, err)
	}
}
