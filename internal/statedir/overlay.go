package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Errors of OpenOverlay that callers tell apart. They come wrapped, with the run.
var (
	// ErrLive: the run is still going on, and what it captures still changes.
	ErrLive = errors.New("the run is still going on")
	// ErrBusy: another process commits or discards the captured writes just now.
	ErrBusy = errors.New("another agentos is at the captured writes of the run")
	// ErrNothingCaptured: the run has no captured writes, or none any more.
	ErrNothingCaptured = errors.New("the run has no captured writes")
)

// Overlay makes the directory for the run's captured writes, mode 0700, and
// returns its path. From then on nothing sweeps or prunes the record, until
// DropOverlay, or a commit or discard of the finished run.
func (r *Run) Overlay() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", ErrClosed
	}
	if err := r.root.Mkdir(overlayDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", writeError(err)
	}
	return filepath.Join(r.Path(), overlayDir), nil
}

// DropOverlay removes the captured writes. It is for a run that captured nothing.
func (r *Run) DropOverlay() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return writeError(ignoreMissing(r.dir.discard(runsDir + "/" + r.id + "/" + overlayDir)))
}

// Overlay is the captured writes of a finished run, held by this process alone. It
// must be closed.
type Overlay struct {
	dir  *Dir
	id   string
	root *os.Root
	lock *os.File // the directory itself, locked exclusively
}

// OpenOverlay takes hold of the captured writes of a run whose kernel is dead.
// Errors wrap ErrNoRun, ErrLive, ErrBusy, or ErrNothingCaptured.
func (d *Dir) OpenOverlay(id string) (_ *Overlay, err error) {
	if err := d.acquire(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.release())
		}
	}()
	run, err := d.openRun(id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	// Death is for ever, so nobody has to hold the proof.
	if dead, err := isDead(run); err != nil {
		return nil, err
	} else if !dead {
		return nil, fmt.Errorf("%w: %s", ErrLive, id)
	}
	fi, err := run.Lstat(overlayDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNothingCaptured, id)
	}
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("%s/%s is not a directory", id, overlayDir)
	}
	root, err := run.OpenRoot(overlayDir)
	if err != nil {
		return nil, err
	}
	o := &Overlay{dir: d, id: id, root: root}
	if err := o.take(run); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return o, nil
}

// take locks the directory and makes sure that it still has its name: whoever had
// the lock before may have removed it.
func (o *Overlay) take(run *os.Root) error {
	f, err := o.root.Open(".")
	if err != nil {
		return err
	}
	ok, err := lockExclusive(f)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", ErrBusy, o.id)
	}
	if err == nil {
		var mine, named fs.FileInfo
		if mine, err = f.Stat(); err == nil {
			named, err = run.Lstat(overlayDir)
		}
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
			err = fmt.Errorf("%w: %s", ErrNothingCaptured, o.id)
		}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o.lock = f
	return nil
}

// Path returns the path of the directory.
func (o *Overlay) Path() string { return filepath.Join(o.dir.path, runsDir, o.id, overlayDir) }

// Remove takes everything out of sight by one rename and deletes it.
func (o *Overlay) Remove() error {
	return writeError(ignoreMissing(o.dir.discard(runsDir + "/" + o.id + "/" + overlayDir)))
}

// Close lets go of the captured writes.
func (o *Overlay) Close() error {
	return errors.Join(o.root.Close(), o.lock.Close(), o.dir.release())
}
