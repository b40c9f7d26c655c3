package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// LayoutVersion is the newest layout of the directory and of a record that this
// version knows and the one it writes.
const LayoutVersion = 1

// The parts of the state directory.
const (
	runsDir    = "runs"    // runs/ID/: the records, complete
	liveDir    = "live"    // live/ID: a second name of runs/ID/lock until the run was closed
	stagingDir = "staging" // staging/ID/: records being made
	trashDir   = "trash"   // anything in here is being deleted
	cacheDir   = "cache"   // compiled programs
)

// Options say which directory to open.
type Options struct {
	// Path is the directory; if empty, [Locate] decides.
	Path string
	// Getenv is for Locate; nil is os.Getenv.
	Getenv func(string) string
	// NoCreate makes a directory that is not there unavailable, for commands
	// that only look.
	NoCreate bool
	// Durable brings every report to the disk before it gets its name, so that
	// it survives a power failure and not only a kill. It costs each run what the
	// disk takes for that, often several milliseconds.
	Durable bool
}

// Dir is an open state directory. It is safe for concurrent use, and any number of
// processes may have the same one open.
type Dir struct {
	path     string
	root     *os.Root
	dev, ino uint64
	now      func() time.Time
	durable  bool

	mu     sync.Mutex
	subs   map[string]*os.Root // opened parts
	lastID rawID               // the youngest id given out
	users  int                 // open Runs, and one until Close
	closed bool                // Close was called
}

// Open locates, creates if need be, and checks the state directory: not a symbolic
// link (its parents may be), a directory, owned by the effective user, and closed
// to everybody else. Errors are an *Unavailable or a *NewerLayout.
//
// A directory that exists and cannot be written opens; what writes then fails with
// ErrReadOnly.
func Open(o Options) (*Dir, error) {
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	path := o.Path
	if path == "" {
		var err error
		if path, err = Locate(getenv); err != nil {
			return nil, err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, &Unavailable{Path: o.Path, Reason: "cannot be made absolute", Fix: "give an absolute path", Err: err}
	}
	top, err := openTop(path, !o.NoCreate)
	if err != nil {
		return nil, err
	}
	d, err := openChecked(path, top, o)
	if cerr := top.Close(); cerr != nil && err == nil {
		err = &Unavailable{Path: path, Reason: "cannot be closed", Err: errors.Join(cerr, d.Close())}
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// openChecked makes a Dir of the directory that top, already checked, is open on.
func openChecked(path string, top *os.File, o Options) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, &Unavailable{Path: path, Reason: "cannot be opened", Err: err}
	}
	d := &Dir{path: path, root: root, now: time.Now, durable: o.Durable, subs: map[string]*os.Root{}, users: 1}
	fail := func(err error) (*Dir, error) { return nil, errors.Join(err, root.Close()) }

	// The path may have changed between the check and OpenRoot, which follows
	// symbolic links: what counts is that both handles are one directory.
	want, err := top.Stat()
	if err != nil {
		return fail(&Unavailable{Path: path, Reason: "cannot be examined", Err: err})
	}
	got, err := root.Stat(".")
	if err != nil {
		return fail(&Unavailable{Path: path, Reason: "cannot be examined", Err: err})
	}
	if !os.SameFile(want, got) {
		return fail(&Unavailable{Path: path, Reason: "was replaced while it was opened", Fix: "try again, and find out who did that"})
	}
	d.dev, d.ino = deviceAndInode(want)

	v, err := readVersion(root, "version")
	if errors.Is(err, fs.ErrNotExist) {
		if o.NoCreate {
			return fail(&Unavailable{Path: path, Reason: "holds no state yet", Err: err})
		}
		v, err = d.layOut(top)
	}
	if err != nil {
		if u := (*Unavailable)(nil); errors.As(err, &u) {
			return fail(err)
		}
		return fail(&Unavailable{Path: path, Reason: "cannot be used", Err: writeError(err)})
	}
	if v > LayoutVersion {
		return fail(&NewerLayout{Path: path, Found: v, Known: LayoutVersion})
	}
	return d, nil
}

// layOut makes the layout of an empty directory. Kernels that start at once take
// turns by a lock on the directory itself.
func (d *Dir) layOut(top *os.File) (version int, err error) {
	if err := lockWait(top, 5*time.Second); err != nil {
		return 0, fmt.Errorf("another agentos is laying it out: %w", err)
	}
	defer func() { err = errors.Join(err, unlock(top)) }()
	if v, err := readVersion(d.root, "version"); !errors.Is(err, fs.ErrNotExist) {
		return v, err
	}
	list, err := names(d.root)
	if err != nil {
		return 0, err
	}
	for _, n := range list {
		switch {
		case len(n) > len(tmpPrefix) && n[:len(tmpPrefix)] == tmpPrefix: // a layout that was interrupted
			if err := ignoreMissing(d.root.Remove(n)); err != nil {
				return 0, err
			}
		case n == "lost+found":
		default:
			return 0, &Unavailable{Path: d.path, Reason: "is not empty and not a state directory: it has no version file",
				Fix: "name an empty or a new directory"}
		}
	}
	// The version file comes first: without it the other parts would make the
	// next layout refuse; they are made on demand anyway.
	if err := writeAtomic(d.root, "version", []byte(strconv.Itoa(LayoutVersion)+"\n"), true); err != nil {
		return 0, err
	}
	for _, n := range []string{runsDir, liveDir, stagingDir, trashDir} {
		if _, err := d.sub(n, true); err != nil {
			return 0, err
		}
	}
	return LayoutVersion, nil
}

// Path returns the absolute path, for messages and for naming cache files. The
// Dir itself never uses it again.
func (d *Dir) Path() string { return d.path }

// ID returns the device and inode of the directory, by which a file system hides
// it from guests whatever path leads to it.
func (d *Dir) ID() (dev, ino uint64) { return d.dev, d.ino }

// Cache returns the path of the directory for compiled programs, mode 0700,
// creating it if need be. What is in it is native code: it belongs to the user
// alone, like the rest. The error may be ErrReadOnly or ErrFull.
func (d *Dir) Cache() (string, error) {
	if _, err := d.sub(cacheDir, true); err != nil {
		return "", err
	}
	return filepath.Join(d.path, cacheDir), nil
}

// Close ends the use of d. Runs that are open stay usable; the handles go with the
// last of them.
func (d *Dir) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	return d.release()
}

// acquire counts a user of the handles; ErrClosed after Close.
func (d *Dir) acquire() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.users++
	return nil
}

// release ends what acquire began.
func (d *Dir) release() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users--; d.users > 0 {
		return nil
	}
	var errs []error
	for _, s := range d.subs {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, d.root.Close())...)
}

// sub returns the handle of a part of the directory. Without create, a missing
// one is fs.ErrNotExist.
func (d *Dir) sub(name string, create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == 0 {
		return nil, ErrClosed
	}
	if s := d.subs[name]; s != nil {
		return s, nil
	}
	fi, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err = d.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, writeError(err)
		}
		fi, err = d.root.Lstat(name)
	}
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", filepath.Join(d.path, name))
	}
	s, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	d.subs[name] = s
	return s, nil
}
