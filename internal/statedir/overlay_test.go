//go:build unix

package statedir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// captured is a run that ended and left captured writes.
func captured(t testing.TB, d *Dir) string {
	t.Helper()
	r := create(t, d)
	path, err := r.Overlay()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(path, "work"), []byte("precious"), 0o600))
	must(t, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)))
	must(t, r.Close())
	return r.ID()
}

func TestOverlay(t *testing.T) {
	d := fresh(t)
	id := captured(t, d)
	sweep(t, d)
	if res, err := d.Prune(context.Background(), PrunePolicy{}); err != nil || res.Uncommitted != 1 || len(res.Removed) != 0 {
		t.Fatalf("Prune = %+v, %v", res, err)
	}
	o, err := d.OpenOverlay(id)
	must(t, err)
	if b, err := os.ReadFile(filepath.Join(o.Path(), "work")); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := d.OpenOverlay(id); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	must(t, o.Close())
	if o, err = d.OpenOverlay(id); err != nil {
		t.Fatal(err)
	}
	must(t, o.Remove())
	must(t, o.Remove()) // what is gone is gone
	if _, err := d.OpenOverlay(id); !errors.Is(err, ErrNothingCaptured) {
		t.Errorf("after the removal: %v", err)
	}
	must(t, o.Close())
	if find(t, d, id).Uncommitted {
		t.Error("the run still counts as uncommitted")
	}
	checkClean(t, d.path)
	if res, err := d.Prune(context.Background(), PrunePolicy{}); err != nil || len(res.Removed) != 1 {
		t.Errorf("Prune = %+v, %v", res, err)
	}
	if _, err := d.OpenOverlay(id); !errors.Is(err, ErrNoRun) {
		t.Errorf("a pruned run: %v", err)
	}
}

func TestOverlayOfALiveRun(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	if _, err := d.OpenOverlay(r.ID()); !errors.Is(err, ErrLive) {
		t.Errorf("without one: %v", err)
	}
	path, err := r.Overlay()
	must(t, err)
	if _, err := d.OpenOverlay(r.ID()); !errors.Is(err, ErrLive) {
		t.Errorf("with one: %v", err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi, err)
	}
	must(t, r.DropOverlay())
	must(t, r.DropOverlay())
	missing(t, path)
	must(t, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)))
	must(t, r.Close())
	if _, err := r.Overlay(); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestOverlayLockOutlivesRemoval: whoever opened the directory before it was removed
// and gets its lock after that has nothing.
func TestOverlayLockOutlivesRemoval(t *testing.T) {
	d := fresh(t)
	id := captured(t, d)
	run, err := d.openRun(id)
	must(t, err)
	defer func() { must(t, run.Close()) }()
	root, err := run.OpenRoot(overlayDir)
	must(t, err)
	defer func() { must(t, root.Close()) }()
	o, err := d.OpenOverlay(id)
	must(t, err)
	must(t, errors.Join(o.Remove(), o.Close()))
	late := &Overlay{dir: d, id: id, root: root}
	if err := late.take(run); !errors.Is(err, ErrNothingCaptured) {
		t.Errorf("take = %v", err)
	}
}
