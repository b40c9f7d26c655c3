package statedir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// SweepResult counts what a sweep did.
type SweepResult struct {
	Crashed     int // runs whose kernel died without a report; they have one now
	Closed      int // runs with a report whose kernel died before it had closed them
	HalfCreated int // records that a kill interrupted while they were made; removed
	Scratch     int // scratch directories removed
	Sockets     int // stale control sockets removed
	Temporary   int // half-written files removed
	Trash       int // interrupted removals finished
	CacheTemps  int // stale temporary directories of the program cache removed
	Left        int // things that could not be removed; the error says why
}

// Any reports whether the sweep found anything.
func (s SweepResult) Any() bool { return s != SweepResult{} }

// CacheTempAge is how long a cache/tmp-* that nobody has locked is left alone: far
// longer than a compilation may take.
const CacheTempAge = time.Hour

// Sweep clears what dead kernels left: scratch space, sockets, half-written files,
// half-made records, interrupted removals. A run that died without a report gets one
// with the cause kernel_error. Live runs, uncommitted overlays, and records of a
// newer layout are left alone. It looks only at what is named as unfinished, so its
// cost does not grow with the number of records. Any number of sweeps may run at
// once. Errors do not stop it; they come joined, wrapping ErrReadOnly or ErrFull
// where that is the cause. A cancelled ctx stops it between two items.
func (d *Dir) Sweep(ctx context.Context) (SweepResult, error) {
	var res SweepResult
	var errs []error
	trashed, err := d.trashed()
	errs = append(errs, err)
	live, err := d.runIDs(liveDir)
	errs = append(errs, err)
	patience := time.Now().Add(orphanPatience)
	for _, id := range live {
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		errs = append(errs, d.sweepMarked(id, patience, &res))
	}
	errs = append(errs, d.sweepStaging(&res), d.sweepCache(&res))
	// What was found is in the trash by now. Deleting it may take long, so it
	// comes last.
	left, err := d.emptyTrash(ctx)
	res.Trash = max(trashed-left, 0)
	res.Left = left
	errs = append(errs, err)
	return res, writeError(errors.Join(errs...))
}

// trashed counts the interrupted removals.
func (d *Dir) trashed() (int, error) {
	trash, err := d.sub(trashDir, false)
	if err != nil {
		return 0, ignoreMissing(err)
	}
	list, err := names(trash)
	return len(list), err
}

// sweepMarked finishes one run named in live/ if its kernel is dead. It holds the
// shared lock all the while, which keeps a creator that has made the name but not
// locked it yet from going on (see create).
func (d *Dir) sweepMarked(id string, patience time.Time, res *SweepResult) (err error) {
	live, err := d.sub(liveDir, false)
	if err != nil {
		return ignoreMissing(err)
	}
	if fi, err := live.Lstat(id); err != nil || !fi.Mode().IsRegular() {
		return ignoreMissing(err) // not ours, or gone
	}
	marker, err := live.Open(id)
	if err != nil {
		return ignoreMissing(err)
	}
	defer func() { err = errors.Join(err, marker.Close()) }()
	dead, err := lockShared(marker)
	for err == nil && !dead && time.Now().Before(patience) && d.kernelGone(id) {
		time.Sleep(orphanPatience / 100)
		dead, err = lockShared(marker)
	}
	if err != nil || !dead {
		return err
	}
	switch _, err := d.toTrash(stagingDir + "/" + id); {
	case err == nil:
		res.HalfCreated++
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.finish(id, res); err != nil {
		return fmt.Errorf("sweeping run %s: %w", id, err)
	}
	return ignoreMissing(live.Remove(id)) // last: a kill before this leaves it to the next sweep
}

// orphanPatience bounds how long one sweep waits for the children of dead kernels. A
// child that is killed off its kernel between fork and exec holds, until it has
// executed its program, every lock that the kernel held.
const orphanPatience = time.Second

// kernelGone reports whether a run's record names a kernel that is no longer
// there. A kernel in another pid namespace looks gone and holds its lock for good,
// so this alone proves nothing.
func (d *Dir) kernelGone(id string) bool {
	for _, where := range [...]string{runsDir, stagingDir} {
		root, err := d.root.OpenRoot(where + "/" + id)
		if err != nil {
			continue
		}
		desc, err := readDescription(root, id)
		_ = root.Close() // nothing was written through it
		if err == nil && desc.KernelPID > 0 {
			return processGone(desc.KernelPID)
		}
	}
	return false
}

// finish does for a dead run what its kernel could not; scratch space goes to the
// trash. It is idempotent and may run in several processes at once.
func (d *Dir) finish(id string, res *SweepResult) (err error) {
	root, err := d.openRun(id)
	if errors.Is(err, ErrNoRun) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	// A run is in live/ under the same lock, but that name may have been made by
	// hand: ask the record's own lock, too.
	if dead, err := isDead(root); err != nil || !dead {
		return err
	}
	desc, derr := readDescription(root, id)
	if n := (*NewerLayout)(nil); errors.As(derr, &n) {
		return nil
	}

	switch err := root.Remove(socketFile); {
	case err == nil:
		res.Sockets++
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	switch _, err := d.toTrash(runsDir + "/" + id + "/" + scratchDir); {
	case err == nil:
		res.Scratch++
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	list, err := names(root)
	if err != nil {
		return err
	}
	for _, n := range list {
		if strings.HasPrefix(n, tmpPrefix) {
			if err := ignoreMissing(root.Remove(n)); err != nil {
				return err
			}
			res.Temporary++
		}
	}

	report, rerr := readBounded(root, reportFile, maxReport)
	if rerr == nil && json.Valid(report) {
		res.Closed++
		return nil
	}
	if derr != nil && !exists(root, overlayDir) {
		// Nothing says what this was: a power failure took the description.
		if _, err := d.toTrash(runsDir + "/" + id); err != nil {
			return ignoreMissing(err)
		}
		res.HalfCreated++
		return nil
	}
	body, err := crashReport(id, desc)
	if err != nil {
		return err
	}
	// The record may be pruned under our hands: then there is nothing to say.
	if err := writeAtomic(root, reportFile, body, true); err != nil {
		return ignoreMissing(err)
	}
	res.Crashed++
	return nil
}

// sweepStaging removes half-made records without a name in live/. A creator makes
// that name first, so they have no creator.
func (d *Dir) sweepStaging(res *SweepResult) error {
	ids, err := d.runIDs(stagingDir)
	if err != nil || len(ids) == 0 {
		return err
	}
	live, err := d.sub(liveDir, true)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if exists(live, id) {
			continue
		}
		switch _, err := d.toTrash(stagingDir + "/" + id); {
		case err == nil:
			res.HalfCreated++
		case !errors.Is(err, fs.ErrNotExist): // it was completed or swept since the listing
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sweepCache removes cache/tmp-* that are old and that no process has locked, either
// as a directory or by a file named lock in it.
func (d *Dir) sweepCache(res *SweepResult) error {
	cache, err := d.sub(cacheDir, false)
	if err != nil {
		return ignoreMissing(err)
	}
	list, err := names(cache)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range list {
		if !strings.HasPrefix(n, "tmp-") {
			continue
		}
		fi, err := cache.Lstat(n)
		if err != nil || d.now().Sub(fi.ModTime()) < CacheTempAge {
			errs = append(errs, ignoreMissing(err))
			continue
		}
		if fi.IsDir() {
			if free, err := unlockedTemp(cache, n); err != nil || !free {
				errs = append(errs, ignoreMissing(err))
				continue
			}
		}
		switch _, err := d.toTrash(cacheDir + "/" + n); {
		case err == nil:
			res.CacheTemps++
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// unlockedTemp reports whether nobody holds a lock on the directory or its lock file.
func unlockedTemp(cache *os.Root, name string) (free bool, err error) {
	root, err := cache.OpenRoot(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if dead, err := isDead(root); err != nil || !dead {
		return false, err
	}
	f, err := root.Open(".")
	if err != nil {
		return false, err
	}
	free, err = lockShared(f)
	return free, errors.Join(err, f.Close())
}

// crashReport is the report of a run whose kernel wrote none. Its fields are those
// of every report; what is not known is zero or empty.
func crashReport(id string, desc Description) ([]byte, error) {
	type usage struct {
		WallNS          int64 `json:"wall_ns"`
		CPUNS           int64 `json:"cpu_ns"`
		MemoryPeakBytes int64 `json:"memory_peak_bytes"`
		Syscalls        int64 `json:"syscalls"`
		Denials         int64 `json:"denials"`
		BytesRead       int64 `json:"bytes_read"`
		BytesWritten    int64 `json:"bytes_written"`
		Events          int64 `json:"events"`
		EventsDropped   int64 `json:"events_dropped"`
	}
	type cleanup struct {
		ResourcesFreed int64            `json:"resources_freed"`
		BytesFreed     int64            `json:"bytes_freed"`
		ByType         map[string]int64 `json:"by_type"`
		DurationUS     int64            `json:"duration_us"`
		Errors         []string         `json:"errors"`
	}
	return json.Marshal(struct {
		Version     int               `json:"version"`
		Run         string            `json:"run"`
		Name        string            `json:"name"`
		Program     string            `json:"program"`
		Domain      string            `json:"domain"`
		PID         uint32            `json:"pid"`
		Cause       string            `json:"cause"`
		ExitCode    int               `json:"exit_code"`
		Detail      string            `json:"detail"`
		States      []string          `json:"states"`
		Usage       usage             `json:"usage"`
		Cleanup     cleanup           `json:"cleanup"`
		Denials     []string          `json:"denials"`
		View        []string          `json:"view"`
		Enforcement map[string]string `json:"enforcement"`
		Chain       string            `json:"chain"`
	}{
		Version: 1, Run: id, Name: desc.Name, Program: desc.Program, Domain: desc.Domain, PID: desc.PID,
		Cause: "kernel_error", ExitCode: 134,
		Detail: "the kernel was killed, or could not write its report",
		States: []string{}, Cleanup: cleanup{ByType: map[string]int64{}, Errors: []string{}},
		Denials: []string{}, View: []string{}, Enforcement: map[string]string{},
	})
}
