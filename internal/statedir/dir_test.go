//go:build unix

package statedir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	cwd, err := os.Getwd()
	must(t, err)
	for _, tt := range []struct {
		env  map[string]string
		want string // empty: unavailable
	}{
		{map[string]string{"AGENTOS_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/s"},
		{map[string]string{"AGENTOS_STATE": "rel/s", "HOME": "/h"}, filepath.Join(cwd, "rel/s")},
		{map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/agentos"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/agentos"},
		{map[string]string{"HOME": "/h"}, "/h/.local/state/agentos"},
		{map[string]string{"HOME": "h"}, ""},
		{map[string]string{}, ""},
	} {
		got, err := Locate(func(k string) string { return tt.env[k] })
		if got != tt.want {
			t.Errorf("Locate(%v) = %q, %v; want %q", tt.env, got, err, tt.want)
		}
		if u := (*Unavailable)(nil); tt.want == "" && (!errors.As(err, &u) || u.Fix == "") {
			t.Errorf("Locate(%v): error %v", tt.env, err)
		}
	}
}

// unavailable opens path, expects a refusal that says reason, and returns its advice.
func unavailable(t *testing.T, o Options, reason string) (fix string) {
	t.Helper()
	d, err := Open(o)
	if err == nil {
		must(t, d.Close())
		t.Fatalf("Open(%s) succeeded, want %q", o.Path, reason)
	}
	var u *Unavailable
	if !errors.As(err, &u) || !strings.Contains(u.Reason, reason) {
		t.Fatalf("Open(%s) = %v, want %q", o.Path, err, reason)
	}
	return u.Fix
}

func TestOpenChecksTheDirectory(t *testing.T) {
	tmp := t.TempDir()
	mk := func(name string, mode fs.FileMode) string {
		p := filepath.Join(tmp, name)
		must(t, os.Mkdir(p, 0o700))
		must(t, os.Chmod(p, mode))
		return p
	}
	real700 := mk("real", 0o700)
	must(t, os.Symlink(real700, filepath.Join(tmp, "link")))
	must(t, os.Symlink(tmp, filepath.Join(tmp, "parentlink")))
	must(t, os.WriteFile(filepath.Join(tmp, "file"), nil, 0o600))

	unavailable(t, Options{Path: filepath.Join(tmp, "link")}, "symbolic link")
	unavailable(t, Options{Path: filepath.Join(tmp, "link") + "/"}, "symbolic link")
	unavailable(t, Options{Path: filepath.Join(tmp, "file")}, "not a directory")
	unavailable(t, Options{Path: filepath.Join(tmp, "file", "below")}, "cannot be created")
	for _, mode := range []fs.FileMode{0o750, 0o701, 0o777, 0o710} {
		p := mk("mode"+mode.String(), mode)
		fix := unavailable(t, Options{Path: p}, "open to others")
		if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != mode || !strings.Contains(fix, "chmod 700") {
			t.Errorf("mode %v became %v (%v), fix %q", mode, fi.Mode(), err, fix)
		}
	}
	foreign := mk("foreign", 0o700)
	must(t, os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600))
	unavailable(t, Options{Path: foreign}, "not empty")
	if got := dirNames(t, foreign); len(got) != 1 {
		t.Errorf("a foreign directory now holds %q", got)
	}

	d := open(t, filepath.Join(tmp, "parentlink", "real")) // a parent may be a link
	dev, ino := d.ID()
	fi, err := os.Stat(real700)
	must(t, err)
	if wd, wi := deviceAndInode(fi); dev != wd || ino != wi || ino == 0 {
		t.Errorf("ID = %d, %d; want %d, %d", dev, ino, wd, wi)
	}

	if os.Geteuid() != 0 {
		t.Log("not checked: a directory of another user (needs root to make one)")
		return
	}
	other := mk("other", 0o700)
	must(t, os.Chown(other, 12345, -1))
	unavailable(t, Options{Path: other}, "belongs to user 12345")
}

func TestOpenCreatesPrivately(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "state")
	unavailable(t, Options{Path: path, NoCreate: true}, "does not exist")
	missing(t, filepath.Dir(path))
	d := open(t, path)
	cache, err := d.Cache()
	must(t, err)
	if cache != filepath.Join(path, "cache") || d.Path() != path {
		t.Errorf("Cache = %s, Path = %s", cache, d.Path())
	}
	r := create(t, d)
	must(t, r.WriteReport([]byte("{}")))
	must(t, filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		must(t, err)
		fi, err := e.Info()
		must(t, err)
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v", p, fi.Mode())
		}
		return nil
	}))
	open(t, path) // again, now that it exists
	if again, err := Open(Options{Path: path, NoCreate: true}); err != nil {
		t.Error(err)
	} else {
		must(t, again.Close())
		must(t, again.Close())
		if _, err := again.Create(Description{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Create on a closed Dir: %v", err)
		}
	}
}

func TestNewerLayoutIsRefused(t *testing.T) {
	d := fresh(t)
	id := finished(t, d)
	must(t, os.WriteFile(filepath.Join(d.path, runsDir, id, versionFile), []byte("2\n"), 0o600))
	e := find(t, d, id)
	var n *NewerLayout
	if !errors.As(e.Problem, &n) || n.Found != 2 || n.Known != 1 {
		t.Errorf("a record of a newer layout: %v", e.Problem)
	}
	res, err := d.Prune(context.Background(), PrunePolicy{})
	if err != nil || res.Unreadable != 1 || len(res.Removed) != 0 {
		t.Errorf("Prune = %+v, %v", res, err)
	}

	version := filepath.Join(d.path, "version")
	must(t, os.WriteFile(version, []byte("7\n"), 0o600))
	if _, err := Open(Options{Path: d.path}); !errors.As(err, &n) || n.Found != 7 {
		t.Errorf("Open of a newer layout: %v", err)
	}
	for _, bad := range []string{"", "x", "0\n", "-1\n", "1 2\n", strings.Repeat("1", 70<<10)} {
		must(t, os.WriteFile(version, []byte(bad), 0o600))
		unavailable(t, Options{Path: d.path}, "cannot be used")
	}
}

// TestRunsOutliveTheirDir: a kernel may close the directory first.
func TestRunsOutliveTheirDir(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	must(t, d.Close())
	if _, err := d.Create(Description{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Create = %v", err)
	}
	s, err := r.Scratch()
	must(t, err)
	must(t, s.Close())
	must(t, errors.Join(r.WriteReport([]byte(`{"version":1}`)), r.Close()))
	checkClean(t, d.path)
	if _, err := d.List(); !errors.Is(err, ErrClosed) {
		t.Errorf("List = %v", err)
	}
}

// TestSwappedPathDoesNotMatter replaces the directory under an open Dir.
func TestSwappedPathDoesNotMatter(t *testing.T) {
	d := fresh(t)
	trap := t.TempDir()
	moved := d.path + ".moved"
	must(t, os.Rename(d.path, moved))
	must(t, os.Symlink(trap, d.path))
	id := finished(t, d)
	if _, err := os.Stat(filepath.Join(moved, runsDir, id, reportFile)); err != nil {
		t.Error(err)
	}
	if got := dirNames(t, trap); len(got) != 0 {
		t.Errorf("the swapped-in directory holds %q", got)
	}
	if _, err := d.Sweep(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestPartsAreNoLinks replaces a part of the directory by a link to elsewhere.
func TestPartsAreNoLinks(t *testing.T) {
	for _, part := range []string{runsDir, liveDir, stagingDir, trashDir, cacheDir} {
		d := fresh(t)
		must(t, d.Close())
		trap := t.TempDir()
		must(t, os.RemoveAll(filepath.Join(d.path, part)))
		must(t, os.Symlink(trap, filepath.Join(d.path, part)))
		d = open(t, d.path)
		if part == cacheDir {
			if _, err := d.Cache(); err == nil {
				t.Error("Cache followed a link")
			}
			continue
		}
		r, err := d.Create(Description{})
		if r != nil { // trash is not needed yet
			err = r.Abandon()
		}
		if err == nil {
			t.Errorf("%s: a link was followed", part)
		}
		if got := dirNames(t, trap); len(got) != 0 {
			t.Errorf("%s: the target holds %q", part, got)
		}
	}
}

func TestErrorsReadWell(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&Unavailable{Path: "/s", Reason: "is a symbolic link", Fix: "name the directory itself"}, "the state directory /s is a symbolic link (name the directory itself)"},
		{&Unavailable{Reason: "has no place", Err: ErrFull}, "the state directory has no place: the state directory is full"},
		{&Ambiguous{Ref: "01", Matches: []string{"a", "b", "c", "d", "e"}}, `"01" names several runs: a, b, c, d and 1 more`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
