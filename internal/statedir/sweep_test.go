//go:build unix

package statedir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// die ends a run as a kill would: the lock goes, everything else stays.
func die(t *testing.T, r *Run) {
	t.Helper()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	must(t, errors.Join(r.root.Close(), r.marker.Close(), r.dir.release()))
}

func sweep(t *testing.T, d *Dir) SweepResult {
	t.Helper()
	res, err := d.Sweep(context.Background())
	must(t, err)
	return res
}

func TestSweepFinishesADeadRun(t *testing.T) {
	d := fresh(t)
	r, err := d.Create(Description{Program: "p.wasm", Name: "n", Domain: "wasm", PID: 3})
	must(t, err)
	s, err := r.Scratch()
	must(t, err)
	must(t, s.MkdirAll("x/y", 0o700))
	must(t, s.Close())
	l, err := r.Listen()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(r.Path(), tmpPrefix+"report"), []byte("{"), 0o600))
	neighbour := create(t, d)

	if res := sweep(t, d); res.Any() {
		t.Errorf("a sweep beside live runs did %+v", res)
	}
	must(t, l.Close())
	die(t, r)
	if e := find(t, d, r.ID()); e.Live || e.Finished {
		t.Errorf("dead entry %+v", e)
	}
	if res, want := sweep(t, d), (SweepResult{Crashed: 1, Scratch: 1, Sockets: 1, Temporary: 1}); res != want {
		t.Errorf("Sweep = %+v, want %+v", res, want)
	}
	if res := sweep(t, d); res.Any() {
		t.Errorf("the second sweep did %+v", res)
	}
	e := find(t, d, r.ID())
	body, err := e.Report()
	must(t, err)
	if !e.Finished || causeOf(t, e) != "kernel_error" {
		t.Errorf("swept entry %+v: %s", e, body)
	}
	checkContract(t, body)
	var rep struct {
		Run, Name, Program, Domain, Detail string
		PID                                uint32
		ExitCode                           int `json:"exit_code"`
	}
	must(t, json.Unmarshal(body, &rep))
	if rep.Run != r.ID() || rep.Name != "n" || rep.Program != "p.wasm" || rep.Domain != "wasm" || rep.PID != 3 || rep.ExitCode != 134 || !strings.Contains(rep.Detail, "the kernel was killed") {
		t.Errorf("report %+v", rep)
	}
	if !find(t, d, neighbour.ID()).Live {
		t.Error("the neighbour is not live")
	}
}

// checkContract holds the report of a crash against the fields of every report:
// present, and lists and objects never null.
func checkContract(t *testing.T, body []byte) {
	t.Helper()
	var got map[string]json.RawMessage
	must(t, json.Unmarshal(body, &got))
	for _, f := range []string{"version", "run", "name", "program", "domain", "pid", "cause", "exit_code", "detail", "states", "usage", "cleanup", "denials", "view", "enforcement", "chain"} {
		if len(got[f]) == 0 {
			t.Errorf("the report has no %s", f)
		}
	}
	for _, f := range []string{"wall_ns", "cpu_ns", "memory_peak_bytes", "syscalls", "denials", "bytes_read", "bytes_written", "events", "events_dropped"} {
		if !bytes.Contains(got["usage"], []byte(`"`+f+`":`)) {
			t.Errorf("usage has no %s", f)
		}
	}
	for _, f := range []string{"resources_freed", "bytes_freed", "by_type", "duration_us", "errors"} {
		if !bytes.Contains(got["cleanup"], []byte(`"`+f+`":`)) {
			t.Errorf("cleanup has no %s", f)
		}
	}
	if bytes.Contains(body, []byte("null")) {
		t.Errorf("null in %s", body)
	}
}

func TestSweepKeepsAReportThatWasWritten(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	must(t, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)))
	die(t, r)
	if res, want := sweep(t, d), (SweepResult{Closed: 1}); res != want {
		t.Errorf("Sweep = %+v, want %+v", res, want)
	}
	if causeOf(t, find(t, d, r.ID())) != "exited" {
		t.Error("the report was overwritten")
	}

	r = create(t, d) // a damaged one counts as none
	must(t, os.WriteFile(filepath.Join(r.Path(), reportFile), []byte(`{"version":`), 0o600))
	die(t, r)
	if res := sweep(t, d); res.Crashed != 1 || causeOf(t, find(t, d, r.ID())) != "kernel_error" {
		t.Errorf("Sweep = %+v", res)
	}
	r = create(t, d) // closed by a kernel that could not write one
	must(t, r.Close())
	if res := sweep(t, d); res.Crashed != 1 {
		t.Errorf("Sweep = %+v", res)
	}
	checkClean(t, d.path)
}

// TestSweepHalfMadeRecords puts the directory into every state that a kill inside
// Create can leave, in order.
func TestSweepHalfMadeRecords(t *testing.T) {
	states := []func(d *Dir, id string) error{
		func(d *Dir, id string) error { return os.WriteFile(filepath.Join(d.path, liveDir, id), nil, 0o600) },
		func(d *Dir, id string) error { return os.Mkdir(filepath.Join(d.path, stagingDir, id), 0o700) },
		func(d *Dir, id string) error {
			return os.Link(filepath.Join(d.path, liveDir, id), filepath.Join(d.path, stagingDir, id, lockFile))
		},
		func(d *Dir, id string) error {
			return os.WriteFile(filepath.Join(d.path, stagingDir, id, descriptionFile), []byte("{"), 0o600)
		},
	}
	for n := range states {
		d := fresh(t)
		id := d.nextID()
		for _, f := range states[:n+1] {
			must(t, f(d, id))
		}
		want := SweepResult{}
		if n > 0 {
			want.HalfCreated = 1
		}
		if res := sweep(t, d); res != want {
			t.Errorf("state %d: Sweep = %+v", n, res)
		}
		checkClean(t, d.path)
	}
	d := fresh(t)
	must(t, os.Mkdir(filepath.Join(d.path, stagingDir, d.nextID()), 0o700)) // its name in live/ was lost
	if res := sweep(t, d); res.HalfCreated != 1 {
		t.Errorf("Sweep = %+v", res)
	}
	checkClean(t, d.path)

	r := create(t, d) // a power failure took the description
	die(t, r)
	must(t, os.Truncate(filepath.Join(r.Path(), descriptionFile), 0))
	if res := sweep(t, d); res.HalfCreated != 1 {
		t.Errorf("Sweep = %+v", res)
	}
	checkClean(t, d.path)
}

// TestCreatorYieldsToASweeper plays the two races of create against a sweeper that
// comes between the name in live/ and its lock.
func TestCreatorYieldsToASweeper(t *testing.T) {
	d := fresh(t)
	id := d.nextID()
	marker := filepath.Join(d.path, liveDir, id)
	must(t, os.WriteFile(marker, nil, 0o600))
	if r, err := d.create(id, Description{}); r != nil || err != nil {
		t.Errorf("create of an id that is taken = %v, %v", r, err)
	}
	f, err := os.OpenFile(marker, os.O_RDWR, 0)
	must(t, err)
	if ok, err := lockShared(f); !ok || err != nil {
		t.Fatal("no shared lock", err)
	}
	g, err := os.OpenFile(marker, os.O_RDWR, 0)
	must(t, err)
	if ok, err := lockExclusive(g); ok || err != nil {
		t.Errorf("a creator locks what a sweeper holds: %v, %v", ok, err)
	}
	if ok, err := lockShared(g); !ok || err != nil {
		t.Errorf("two sweepers exclude each other: %v, %v", ok, err)
	}
	must(t, errors.Join(f.Close(), g.Close()))
	sweep(t, d)
	missing(t, marker)
}

func TestOverlaysAreNeverSweptOrPruned(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	file := filepath.Join(r.Path(), overlayDir, "work")
	must(t, os.Mkdir(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte("precious"), 0o600))
	must(t, os.Remove(filepath.Join(r.Path(), descriptionFile))) // even without a description
	die(t, r)
	sweep(t, d)
	if res, err := d.Prune(context.Background(), PrunePolicy{}); err != nil || res.Uncommitted != 1 || len(res.Removed) != 0 {
		t.Errorf("Prune = %+v, %v", res, err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
	if e := find(t, d, r.ID()); !e.Uncommitted || !e.Finished {
		t.Errorf("entry %+v", e)
	}
}

func TestPrune(t *testing.T) {
	d := fresh(t)
	at := time.Now()
	d.now = func() time.Time { return at }
	var ids []string
	for range 6 {
		ids = append(ids, finished(t, d))
		at = at.Add(time.Hour)
	}
	live := create(t, d)
	lost := create(t, d) // died, and its name in live/ was lost: a sweep cannot know
	die(t, lost)
	must(t, os.Remove(filepath.Join(d.path, liveDir, lost.ID())))
	sweep(t, d)

	ctx := context.Background()
	prune := func(p PrunePolicy) PruneResult {
		t.Helper()
		res, err := d.Prune(ctx, p)
		must(t, err)
		return res
	}
	res := prune(PrunePolicy{DryRun: true})
	if !slices.Equal(res.Removed, append(slices.Clone(ids), lost.ID())) || res.Live != 1 || res.Crashed != 1 || res.Kept != 0 {
		t.Errorf("dry run %+v", res)
	}
	if res = prune(PrunePolicy{Keep: 100}); len(res.Removed) != 0 || res.Kept != 7 || res.Crashed != 1 {
		t.Errorf("keep 100: %+v", res)
	}
	if causeOf(t, find(t, d, lost.ID())) != "kernel_error" {
		t.Error("the lost run was not finished")
	}
	// at is six hours after the first run began.
	if res = prune(PrunePolicy{OlderThan: 5*time.Hour + time.Minute}); !slices.Equal(res.Removed, ids[:1]) || res.Kept != 6 {
		t.Errorf("older than: %+v", res)
	}
	if res = prune(PrunePolicy{Keep: 2, OlderThan: time.Minute}); !slices.Equal(res.Removed, ids[1:5]) || res.Kept != 2 {
		t.Errorf("keep 2: %+v", res)
	}
	if res = prune(PrunePolicy{}); len(res.Removed) != 2 || res.Live != 1 {
		t.Errorf("all: %+v", res)
	}
	if !find(t, d, live.ID()).Live {
		t.Error("the live run is gone")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	finished(t, d)
	if res, err := d.Prune(cancelled, PrunePolicy{}); !errors.Is(err, context.Canceled) || len(res.Removed) != 0 {
		t.Errorf("cancelled: %+v, %v", res, err)
	}
	if _, err := d.Sweep(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled sweep: %v", err)
	}
}

func TestSweepCache(t *testing.T) {
	d := fresh(t)
	cache, err := d.Cache()
	must(t, err)
	mk := func(name string) string {
		p := filepath.Join(cache, name)
		must(t, os.MkdirAll(filepath.Join(p, "sub"), 0o700))
		return p
	}
	stale, young, program := mk("tmp-stale"), mk("tmp-young"), mk("0123abcd")
	locked, lockedFile := mk("tmp-locked"), mk("tmp-lockfile")
	must(t, os.WriteFile(filepath.Join(lockedFile, "lock"), nil, 0o600))
	old := time.Now().Add(-2 * CacheTempAge)
	for _, p := range []string{stale, program, locked, lockedFile} {
		must(t, os.Chtimes(p, old, old))
	}
	for _, p := range []string{locked, filepath.Join(lockedFile, "lock")} {
		f, err := os.Open(p)
		must(t, err)
		if ok, err := lockExclusive(f); !ok || err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // read-only
	}
	if res, want := sweep(t, d), (SweepResult{CacheTemps: 1}); res != want {
		t.Errorf("Sweep = %+v", res)
	}
	if got := dirNames(t, cache); !slices.Equal(got, []string{filepath.Base(program), "tmp-locked", "tmp-lockfile", "tmp-young"}) {
		t.Errorf("the cache holds %q", got)
	}
	_ = young
}
