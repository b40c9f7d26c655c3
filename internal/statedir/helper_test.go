//go:build unix

package statedir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary play the part of another kernel.
func TestMain(m *testing.M) {
	if role := os.Getenv("STATEDIR_TEST_ROLE"); role != "" {
		os.Exit(playRole(role, os.Getenv("STATEDIR_TEST_DIR")))
	}
	os.Exit(m.Run())
}

// open opens a state directory for the duration of the test.
func open(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func fresh(t testing.TB) *Dir {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state"))
}

func create(t testing.TB, d *Dir) *Run {
	t.Helper()
	r, err := d.Create(Description{Program: "p.wasm", Domain: "wasm", Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// finished makes a record with a report and returns its id.
func finished(t testing.TB, d *Dir) string {
	t.Helper()
	r := create(t, d)
	must(t, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)))
	must(t, r.Close())
	return r.ID()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func find(t testing.TB, d *Dir, id string) *Entry {
	t.Helper()
	e, err := d.Find(id)
	must(t, err)
	return e
}

func causeOf(t testing.TB, e *Entry) string {
	t.Helper()
	b, err := e.Report()
	must(t, err)
	var r struct {
		Version int    `json:"version"`
		Cause   string `json:"cause"`
	}
	must(t, json.Unmarshal(b, &r))
	if r.Version != 1 {
		t.Fatalf("report of %s has version %d", e.ID, r.Version)
	}
	return r.Cause
}

func missing(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", path, err)
	}
}

func dirNames(t testing.TB, path string) []string {
	t.Helper()
	list, err := os.ReadDir(path)
	must(t, ignoreMissing(err))
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// checkClean holds the state directory at path, in which no kernel lives, against
// everything that a sweep promises.
func checkClean(t testing.TB, path string) {
	t.Helper()
	for _, n := range dirNames(t, path) {
		switch n {
		case "version", runsDir, liveDir, stagingDir, trashDir, cacheDir:
		default:
			t.Errorf("unexpected %s in the state directory", n)
		}
	}
	for _, part := range []string{liveDir, stagingDir, trashDir} {
		if left := dirNames(t, filepath.Join(path, part)); len(left) != 0 {
			t.Errorf("%s holds %q", part, left)
		}
	}
	for _, id := range dirNames(t, filepath.Join(path, runsDir)) {
		for _, n := range dirNames(t, filepath.Join(path, runsDir, id)) {
			if n == scratchDir || n == socketFile || strings.HasPrefix(n, tmpPrefix) {
				t.Errorf("run %s still has %s", id, n)
			}
		}
	}
	d, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := d.List()
	must(t, err)
	for _, e := range entries {
		if e.Live || !e.Finished || e.Problem != nil || e.Description.Program == "" {
			t.Errorf("record %+v", e)
			continue
		}
		causeOf(t, e)
		if _, err := e.Denials(); err != nil {
			t.Errorf("denials of %s: %v", e.ID, err)
		}
	}
	must(t, d.Close())
}

// quickDir returns a temporary directory, in memory where the system has such a
// place, for tests that would otherwise measure the disk.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "statedir")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}
