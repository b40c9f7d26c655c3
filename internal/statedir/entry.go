package statedir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Entry is the record of a run as it was when it was read.
type Entry struct {
	ID          string
	Live        bool // its kernel holds the lock
	Finished    bool // it has a report
	Uncommitted bool // it has captured writes that were neither committed nor discarded
	Description Description
	// Problem says why the record cannot be understood, for example a
	// *NewerLayout; nil if it can. Description is then empty.
	Problem error

	dir  *Dir
	dead bool // proven: nobody holds the lock
}

// runIDs lists the ids in a part of the directory, oldest first.
func (d *Dir) runIDs(part string) ([]string, error) {
	s, err := d.sub(part, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := names(s)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(n string) bool { return !isRunID(n) })
	slices.Sort(list)
	return list, nil
}

// List reads all records, oldest first. Its cost grows with their number.
func (d *Dir) List() ([]*Entry, error) { return d.list(runsDir, nil) }

// ListLive reads the records of live runs, oldest first. Its cost does not grow
// with the number of finished ones.
func (d *Dir) ListLive() ([]*Entry, error) {
	return d.list(liveDir, func(e *Entry) bool { return e.Live })
}

func (d *Dir) list(part string, keep func(*Entry) bool) ([]*Entry, error) {
	ids, err := d.runIDs(part)
	if err != nil {
		return nil, err
	}
	entries := make([]*Entry, 0, len(ids))
	for _, id := range ids {
		e, err := d.entry(id)
		if errors.Is(err, ErrNoRun) { // not yet in place, or pruned meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if keep == nil || keep(e) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Last returns the youngest record, live or not; ErrNoRun if there is none.
func (d *Dir) Last() (*Entry, error) {
	ids, err := d.runIDs(runsDir)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(ids) {
		e, err := d.entry(id)
		if !errors.Is(err, ErrNoRun) {
			return e, err
		}
	}
	return nil, ErrNoRun
}

// Find resolves what a person typed: a whole id, or the beginning or the end of
// one (ids of one day begin alike, so the end is the handier half). A whole id wins,
// then a prefix. Errors are ErrNoRun or an *Ambiguous.
func (d *Dir) Find(ref string) (*Entry, error) {
	ref = strings.ToLower(ref)
	if isRunID(ref) {
		return d.entry(ref)
	}
	noRun := fmt.Errorf("%w: %q", ErrNoRun, ref)
	if ref == "" {
		return nil, noRun
	}
	ids, err := d.runIDs(runsDir)
	if err != nil {
		return nil, err
	}
	for _, match := range []func(s, part string) bool{strings.HasPrefix, strings.HasSuffix} {
		var m []string
		for _, id := range ids {
			if match(id, ref) {
				m = append(m, id)
			}
		}
		switch len(m) {
		case 0:
		case 1:
			return d.entry(m[0])
		default:
			return nil, &Ambiguous{Ref: ref, Matches: m}
		}
	}
	return nil, noRun
}

// openRun opens the record's directory; ErrNoRun if there is none.
func (d *Dir) openRun(id string) (*os.Root, error) {
	runs, err := d.sub(runsDir, false)
	if err == nil {
		var fi fs.FileInfo
		if fi, err = runs.Lstat(id); err == nil && !fi.IsDir() {
			return nil, fmt.Errorf("%w: %s is not a directory", ErrNoRun, id)
		}
	}
	if err == nil {
		var r *os.Root
		if r, err = runs.OpenRoot(id); err == nil {
			return r, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoRun, id)
	}
	return nil, err
}

// entry reads one record.
func (d *Dir) entry(id string) (*Entry, error) {
	root, err := d.openRun(id)
	if err != nil {
		return nil, err
	}
	e := &Entry{ID: id, dir: d}
	e.read(root)
	if err := root.Close(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Entry) read(root *os.Root) {
	var err error
	e.dead, err = isDead(root)
	e.Live = !e.dead && err == nil
	fi, rerr := root.Lstat(reportFile)
	e.Finished = rerr == nil && fi.Size() > 0 // a power failure may leave the bare name
	e.Uncommitted = exists(root, overlayDir)
	if err == nil {
		e.Description, err = readDescription(root, e.ID)
	}
	e.Problem = err
}

// isDead reports whether no kernel holds the run's lock. A record without a lock
// has no kernel: it appears with its lock already held.
func isDead(root *os.Root) (bool, error) {
	if fi, err := root.Lstat(lockFile); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, err
	} else if !fi.Mode().IsRegular() {
		return false, errors.New("the lock is not a regular file")
	}
	f, err := root.Open(lockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	dead, err := lockShared(f)
	return dead, errors.Join(err, f.Close()) // closing gives the lock up
}

func exists(root *os.Root, name string) bool {
	_, err := root.Lstat(name)
	return err == nil
}

func readDescription(root *os.Root, id string) (Description, error) {
	v, err := readVersion(root, versionFile)
	if err != nil {
		return Description{}, err
	}
	if v > LayoutVersion {
		return Description{}, &NewerLayout{Path: runsDir + "/" + id, Found: v, Known: LayoutVersion}
	}
	b, err := readBounded(root, descriptionFile, maxSmall)
	if err != nil {
		return Description{}, err
	}
	var desc Description
	if err := json.Unmarshal(b, &desc); err != nil {
		return Description{}, fmt.Errorf("%s: %w", descriptionFile, err)
	}
	if desc.Run != id {
		return Description{}, fmt.Errorf("%s describes run %.40q", descriptionFile, desc.Run)
	}
	return desc, nil
}

// file reads a file of the record; missing is the error if there is none.
func (e *Entry) file(name string, limit int64, missing error) ([]byte, error) {
	root, err := e.dir.openRun(e.ID)
	if err != nil {
		return nil, err
	}
	b, err := readBounded(root, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		err = missing
	}
	return b, errors.Join(err, root.Close())
}

// Path returns the path of the record, for messages.
func (e *Entry) Path() string { return filepath.Join(e.dir.path, runsDir, e.ID) }

// Report returns the run's report, one JSON document; ErrNoReport if it has none
// yet. It reads the present state, which may be younger than e.
func (e *Entry) Report() ([]byte, error) {
	b, err := e.file(reportFile, maxReport, ErrNoReport)
	if err == nil && !json.Valid(b) {
		return nil, fmt.Errorf("%w: %s is damaged", ErrNoReport, reportFile)
	}
	return b, err
}

// Denials returns the run's denials so far, each a JSON document without its
// newline. A line that a kill cut short is left out.
func (e *Entry) Denials() ([]json.RawMessage, error) {
	b, err := e.file(denialsFile, maxDenials+maxSmall, nil)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSuffix(line, []byte("\n")); json.Valid(line) {
			list = append(list, line)
		}
	}
	return list, nil
}

// Audit opens the run's audit log; ErrNoAudit if it has none. The caller closes it.
func (e *Entry) Audit() (*os.File, error) {
	root, err := e.dir.openRun(e.ID)
	if err != nil {
		return nil, err
	}
	f, err := root.Open(auditFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoAudit
	}
	return f, errors.Join(err, root.Close())
}

// Dial connects to the control socket of the run's kernel. The error wraps
// ErrNotLive if nobody listens, and ErrNoRun if the record is gone.
func (e *Entry) Dial(ctx context.Context) (net.Conn, error) {
	root, err := e.dir.openRun(e.ID)
	if err != nil {
		return nil, err
	}
	c, err := dialIn(ctx, root, e.Path())
	if isGone(err) {
		err = fmt.Errorf("%w: %w", ErrNotLive, err)
	}
	if err = errors.Join(err, root.Close()); err != nil {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
		return nil, err
	}
	return c, nil
}
