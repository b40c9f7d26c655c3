package agentos_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
)

// real is a directory of the test by its real path.
func real(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overlay runs a behaviour with an overlay over dir at /d and opens what it captured, for
// the caller to close.
func overlay(t testing.TB, k *agentos.Kernel, dir string, args ...string) (*agentos.Captured, outcome) {
	t.Helper()
	o := guest(t, k, agentos.Spec{Grants: []agentos.Grant{{Kind: agentos.GrantOverlay, Host: dir, Guest: "/d"}}}, args...)
	c, err := agentos.OpenCaptured(k.StateDir(), o.Run)
	must(t, err)
	return c, o
}

func outcomes(list []*agentos.Change) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Path + " " + c.Outcome + "\n")
	}
	return b.String()
}

func TestCaptured(t *testing.T) {
	k := open(t, nil)
	dir := real(t)
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o644))
	c, o := overlay(t, k, dir, "write", "/d/a", "new")
	defer func() { must(t, c.Close()) }()
	if o.Cause != "exited" || o.Captured != 1 || o.View[0].Right != "overlay" {
		t.Fatalf("report %+v", o.Report)
	}
	read := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "a"))
		must(t, err)
		return string(b)
	}
	list, err := c.Changes(t.Context())
	if err != nil || len(list) != 1 || outcomes(list) != "a committed\n" || read() != "old" {
		t.Fatalf("%v, %v; the host has %q", list, err, read())
	}
	if old, new, err := c.Contents(list[0], 10); err != nil || string(old) != "old" || string(new) != "new" {
		t.Errorf("contents %q, %q, %v", old, new, err)
	}
	if _, _, err := c.Contents(list[0], 2); !errors.Is(err, agentos.ErrTooLarge) {
		t.Errorf("contents of two bytes: %v", err)
	}
	if _, err := agentos.OpenCaptured(k.StateDir(), o.Run); !errors.Is(err, statedir.ErrBusy) {
		t.Errorf("a second holder: %v", err)
	}
	if _, err := c.Commit(t.Context(), []string{"b"}, false); !errors.Is(err, agentos.ErrNoChange) {
		t.Errorf("a path without a change: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Commit(cancelled, nil, false); !errors.Is(err, context.Canceled) || read() != "old" {
		t.Errorf("cancelled: %v", err)
	}
	if list, err := c.Commit(t.Context(), nil, false); err != nil || outcomes(list) != "a committed\n" || read() != "new" || c.Left() != 0 {
		t.Errorf("%v, %v; the host has %q", list, err, read())
	}
	e, err := k.StateDir().Find(o.Run)
	if err != nil || e.Uncommitted {
		t.Errorf("entry %+v, %v", e, err)
	}
}

// TestOverlayWithoutState: what would be lost is refused.
func TestOverlayWithoutState(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*agentos.Config)
	}{
		{"none", func(c *agentos.Config) { c.NoState = true }},
		{"not writable", func(c *agentos.Config) {
			c.State = filepath.Join(t.TempDir(), "state")
			d, err := statedir.Open(statedir.Options{Path: c.State})
			must(t, err)
			must(t, d.Close())
			must(t, os.Chmod(filepath.Join(c.State, "live"), 0o500))
			if os.Geteuid() == 0 { // who may write everywhere is stopped by something in the way
				must(t, os.Remove(filepath.Join(c.State, "live")))
				must(t, os.WriteFile(filepath.Join(c.State, "live"), nil, 0o600))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := open(t, c.change)
			dir := real(t)
			_, err := k.Run(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"write", "/d/a", "x"},
				Grants: []agentos.Grant{{Kind: agentos.GrantOverlay, Host: dir, Guest: "/d"}}})
			var se *agentos.StartError
			if !errors.As(err, &se) || se.Status != 125 || se.Code != "AGENTOS-STATE" {
				t.Errorf("error %v", err)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
}

// TestOverlayHidesState: an overlay around the state directory neither shows it nor
// lets a commit write into it.
func TestOverlayHidesState(t *testing.T) {
	top := real(t)
	state := filepath.Join(top, "state")
	k := open(t, func(c *agentos.Config) { c.State = state; c.InProcess = false })
	o := guest(t, k, agentos.Spec{Grants: []agentos.Grant{{Kind: agentos.GrantOverlay, Host: top, Guest: "/d"}}}, "ls", "/d")
	if strings.Contains(o.out, "state") || o.Captured != 0 {
		t.Errorf("printed %q, captured %d", o.out, o.Captured)
	}
	before, err := os.ReadDir(state)
	must(t, err)
	o = guest(t, k, agentos.Spec{Grants: []agentos.Grant{{Kind: agentos.GrantOverlay, Host: top, Guest: "/d"}}}, "mkdir", "/d/state/evil")
	if o.Captured > 0 { // the name is free in the overlay
		c, err := agentos.OpenCaptured(k.StateDir(), o.Run)
		must(t, err)
		list, err := c.Commit(t.Context(), nil, true)
		must(t, err)
		for _, ch := range list {
			if ch.Done() {
				t.Errorf("%s: %s", ch.Path, ch.Outcome)
			}
		}
		must(t, c.Close())
	}
	if after, err := os.ReadDir(state); err != nil || len(after) != len(before) {
		t.Errorf("the state directory holds %v, %v", after, err)
	}
}

// TestDirectoryReplaced: a commit does not go where the directory's path leads by
// then, if that is through a link or to nothing.
func TestDirectoryReplaced(t *testing.T) {
	k := open(t, nil)
	top := real(t)
	dir, other := filepath.Join(top, "dir"), filepath.Join(top, "other")
	must(t, errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(other, 0o755)))
	c, _ := overlay(t, k, dir, "write", "/d/a", "x")
	defer func() { must(t, c.Close()) }()
	must(t, errors.Join(os.Remove(dir), os.Symlink(other, dir)))
	if list, err := c.Commit(t.Context(), nil, false); err == nil {
		t.Errorf("committed through a link: %s", outcomes(list))
	}
	must(t, os.Remove(dir))
	if list, err := c.Commit(t.Context(), nil, false); err == nil {
		t.Errorf("committed to nothing: %s", outcomes(list))
	}
	if list, err := os.ReadDir(other); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := c.Discard(t.Context()); n != 1 || err != nil {
		t.Errorf("discarded %d, %v", n, err)
	}
}

// TestOverlayPermissions: an overlay permits what a write grant does.
func TestOverlayPermissions(t *testing.T) {
	k := open(t, nil)
	dir := real(t)
	must(t, os.MkdirAll(filepath.Join(dir, "secret"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "ro"), 0o755))
	over := agentos.Grant{Kind: agentos.GrantOverlay, Host: dir, Guest: "/d"}
	for _, c := range []struct {
		name   string
		grants []agentos.Grant
		path   string
		code   string
	}{
		{"protected", []agentos.Grant{over}, "/d/.bashrc", "AGENTOS-DENIED-PROTECTED"},
		{"denied", []agentos.Grant{over, {Kind: agentos.GrantDeny, Host: filepath.Join(dir, "secret")}}, "/d/secret/x", "AGENTOS-DENIED-DENIED"},
		{"read only", []agentos.Grant{over, {Host: filepath.Join(dir, "ro"), Guest: "/d/ro"}}, "/d/ro/x", "AGENTOS-DENIED-READ-ONLY"},
	} {
		o := guest(t, k, agentos.Spec{Grants: c.grants}, "write", c.path, "x")
		if o.ExitCode == 0 || len(o.Denials) == 0 || o.Denials[0].Code != c.code || o.Captured != 0 {
			t.Errorf("%s: %d, captured %d, %+v", c.name, o.ExitCode, o.Captured, o.Denials)
		}
	}
	for _, grants := range [][]agentos.Grant{
		{over, {Kind: agentos.GrantWrite, Host: dir, Guest: "/d"}},
		{{Kind: agentos.GrantWrite, Host: dir, Guest: "/d"}, over},
		{over, {Kind: agentos.GrantWrite, Host: filepath.Join(dir, "later"), Guest: "/d/later"}},
		{{Kind: agentos.GrantOverlay, Host: filepath.Join(dir, "nothing")}},
	} {
		_, err := k.Run(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Grants: grants})
		var se *agentos.StartError
		if !errors.As(err, &se) || se.Code != "AGENTOS-GRANT" {
			t.Errorf("%+v: %v", grants, err)
		}
	}
}

// TestDamagedStore: what cannot be read can be discarded, and nothing else.
func TestDamagedStore(t *testing.T) {
	k := open(t, nil)
	dir := real(t)
	c, o := overlay(t, k, dir, "write", "/d/a", "x")
	must(t, c.Close())
	journal := filepath.Join(k.StateDir().Path(), "runs", o.Run, "overlay", "1", "journal")
	must(t, errors.Join(os.Remove(journal), os.Mkdir(journal, 0o700)))
	c, err := agentos.OpenCaptured(k.StateDir(), o.Run)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	if _, err := c.Changes(t.Context()); err == nil {
		t.Error("a damaged store was shown")
	}
	for _, paths := range [][]string{nil, {"a"}} {
		if _, err := c.Commit(t.Context(), paths, true); err == nil {
			t.Errorf("a damaged store was committed: %q", paths)
		}
	}
	if _, err := c.Discard(t.Context()); err != nil {
		t.Errorf("discard: %v", err)
	}
	if e, err := k.StateDir().Find(o.Run); err != nil || e.Uncommitted {
		t.Errorf("entry %+v, %v", e, err)
	}
}
