package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// The files of a record, in runs/ID/.
const (
	versionFile     = "version"
	lockFile        = "lock"
	descriptionFile = "run.json"
	denialsFile     = "denials.jsonl"
	auditFile       = "audit.jsonl"
	reportFile      = "report.json"
	socketFile      = "control.sock"
	scratchDir      = "scratch" // gone with the run
	overlayDir      = "overlay" // its presence means: writes not committed yet; never swept or pruned
)

// Description is what is known of a run when it begins. Arguments are counted and
// not kept: they may hold secrets.
type Description struct {
	Version   int       `json:"version"` // set by Create
	Run       string    `json:"run"`     // set by Create
	Name      string    `json:"name"`
	Program   string    `json:"program"`
	Args      int       `json:"args"`
	Domain    string    `json:"domain"`
	PID       uint32    `json:"pid"`        // of the first process within the kernel; 0 before it exists
	KernelPID int       `json:"kernel_pid"` // of the kernel on the host
	Started   time.Time `json:"started"`    // Create sets a zero one to now
	AgentOS   string    `json:"agentos"`    // version of the binary
}

// Run is the record of a run whose kernel is this process. It is safe for
// concurrent use. It must be closed; if the process dies first, the next sweep
// does what Close would have done.
type Run struct {
	dir *Dir
	id  string

	root   *os.Root // runs/ID, by handle: it follows no rename
	marker *os.File // live/ID, locked exclusively; the same inode as runs/ID/lock

	mu       sync.Mutex
	closed   bool
	reported bool     // a report was written
	denials  *os.File // nil before the first denial
	denialsN int64    // bytes in the denial log
}

// createAttempts bounds how often Create tries another id. One attempt fails only
// if 80 random bits repeat or a sweep looks at the new lock within microseconds.
const createAttempts = 32

// Create begins the record of a new run and takes its lock. The record appears to
// others complete. Errors wrap ErrReadOnly or ErrFull where that is the cause.
func (d *Dir) Create(desc Description) (*Run, error) {
	if err := d.acquire(); err != nil {
		return nil, err
	}
	for range createAttempts {
		r, err := d.create(d.nextID(), desc)
		if r != nil {
			return r, nil // Close releases d
		}
		if err != nil {
			return nil, errors.Join(err, d.release())
		}
	}
	return nil, errors.Join(fmt.Errorf("no run id was free in %d attempts", createAttempts), d.release())
}

// create makes the record of one id; nil, nil means that the id is taken.
//
// The order is what makes a kill harmless: first the name in live/, which every
// sweep visits, then its lock, then the directory in staging/, and only when that
// is complete the rename to runs/. A sweeper that finds live/ID unlocked holds the
// shared lock while it removes; the creator's exclusive lock then fails, or
// succeeds on a file that has lost its name, and the creator gives the id up.
func (d *Dir) create(id string, desc Description) (_ *Run, err error) {
	live, err := d.sub(liveDir, true)
	if err != nil {
		return nil, err
	}
	staging, err := d.sub(stagingDir, true)
	if err != nil {
		return nil, err
	}
	if _, err := d.sub(runsDir, true); err != nil {
		return nil, err
	}

	marker, err := live.OpenFile(id, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, writeError(err)
	}
	var root *os.Root
	defer func() {
		if root != nil && err == nil {
			return
		}
		if root != nil { // best effort: live/ID stays until the rest is gone, so a sweep would find it
			if derr := d.discard(stagingDir + "/" + id); derr != nil {
				err = errors.Join(err, derr, root.Close(), marker.Close())
				return
			}
			err = errors.Join(err, root.Close())
		}
		err = errors.Join(err, ignoreMissing(live.Remove(id)), marker.Close())
	}()
	ok, err := lockExclusive(marker)
	if err != nil || !ok {
		return nil, err
	}
	mine, err := marker.Stat()
	if err != nil {
		return nil, err
	}
	if named, err := live.Lstat(id); err != nil || !os.SameFile(mine, named) {
		return nil, ignoreMissing(err)
	}

	if err := staging.Mkdir(id, 0o700); err != nil {
		return nil, writeError(err)
	}
	if root, err = staging.OpenRoot(id); err != nil {
		if rerr := staging.Remove(id); rerr != nil {
			err = errors.Join(err, rerr)
		}
		return nil, err
	}
	desc.Version, desc.Run = LayoutVersion, id
	if desc.Started.IsZero() {
		desc.Started = d.now()
	}
	body, err := json.Marshal(desc)
	if err != nil {
		return nil, err
	}
	if err := d.root.Link(liveDir+"/"+id, stagingDir+"/"+id+"/"+lockFile); err != nil {
		return nil, writeError(fmt.Errorf("naming the lock twice: %w", err))
	}
	if err := errors.Join(
		writeNew(root, versionFile, []byte(strconv.Itoa(LayoutVersion)+"\n")),
		writeNew(root, descriptionFile, append(body, '\n')),
	); err != nil {
		return nil, writeError(err)
	}
	if err := d.root.Rename(stagingDir+"/"+id, runsDir+"/"+id); err != nil {
		return nil, writeError(err)
	}
	return &Run{dir: d, id: id, root: root, marker: marker}, nil
}

// ID returns the run id.
func (r *Run) ID() string { return r.id }

// Path returns the path of the record, for messages.
func (r *Run) Path() string { return filepath.Join(r.dir.path, runsDir, r.id) }

// WriteDescription replaces the description, for example when the PID is known.
// Version and Run are set; a zero Started is set to now.
func (r *Run) WriteDescription(desc Description) error {
	desc.Version, desc.Run = LayoutVersion, r.id
	if desc.Started.IsZero() {
		desc.Started = r.dir.now()
	}
	body, err := json.Marshal(desc)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return writeError(writeAtomic(r.root, descriptionFile, append(body, '\n'), false))
}

// WriteReport writes the report, one JSON document. Readers see the whole of it or
// none, whenever this process is killed; see Options.Durable for power failures.
func (r *Run) WriteReport(report []byte) error {
	if !json.Valid(report) {
		return errors.New("the report is not JSON")
	}
	if len(report) > maxReport {
		return fmt.Errorf("the report is larger than %d bytes", maxReport)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	err := writeAtomic(r.root, reportFile, report, r.dir.durable)
	r.reported = r.reported || err == nil
	return writeError(err)
}

// AppendDenial appends one JSON document as one line to the denial log. Past 4 MiB
// it is refused with ErrTooManyDenials, since a guest decides how many there are;
// the report counts them all.
func (r *Run) AppendDenial(denial []byte) error {
	if !json.Valid(denial) {
		return errors.New("the denial is not JSON")
	}
	line := make([]byte, 0, len(denial)+1)
	for _, c := range denial {
		if c != '\n' && c != '\r' { // insignificant in JSON outside of strings, impossible inside
			line = append(line, c)
		}
	}
	line = append(line, '\n')
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if r.denialsN+int64(len(line)) > maxDenials {
		return ErrTooManyDenials
	}
	if r.denials == nil {
		f, err := r.root.OpenFile(denialsFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return writeError(err)
		}
		r.denials = f
	}
	if _, err := r.denials.Write(line); err != nil { // a torn line must not swallow the next
		return writeError(errors.Join(err, r.denials.Truncate(r.denialsN)))
	}
	r.denialsN += int64(len(line))
	return nil
}

// CreateAudit makes the file of the run's audit log, which only grows.
func (r *Run) CreateAudit() (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	f, err := r.root.OpenFile(auditFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, writeError(err)
	}
	return f, nil
}

// AuditPath returns the path of that file, for messages.
func (r *Run) AuditPath() string { return filepath.Join(r.Path(), auditFile) }

// Scratch returns the run's private directory, made on the first call and removed
// with everything in it by Close or by a sweep. Its Name is its path. The caller
// closes the handle.
func (r *Run) Scratch() (*os.Root, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	if err := r.root.Mkdir(scratchDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, writeError(err)
	}
	s, err := r.dir.sub(runsDir, false)
	if err != nil {
		return nil, err
	}
	return s.OpenRoot(r.id + "/" + scratchDir)
}

// Listen binds the run's control socket, however long the path of the state
// directory is. The caller closes the listener; the socket itself goes with Close.
func (r *Run) Listen() (net.Listener, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	l, err := listenIn(r.root, r.Path())
	return l, writeError(err)
}

// Close removes the socket and the scratch space and gives up the lock: the run is
// over. Without a report, or if something could not be removed, it leaves the name
// in live/, so that the next sweep finishes the record.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	var err error
	if r.denials != nil {
		err = r.denials.Close()
	}
	err = errors.Join(err,
		ignoreMissing(r.root.Remove(socketFile)),
		ignoreMissing(r.dir.discard(runsDir+"/"+r.id+"/"+scratchDir)),
	)
	if err == nil && r.reported {
		err = r.dir.unmark(r.id)
	}
	return writeError(errors.Join(err, r.root.Close(), r.marker.Close(), r.dir.release()))
}

// Abandon closes the run and takes its record back, for a run that was refused
// before anything happened.
func (r *Run) Abandon() error {
	r.mu.Lock()
	r.reported = false // keep the name in live/ until the record is gone
	r.mu.Unlock()
	err := ignoreMissing(r.dir.discard(runsDir + "/" + r.id))
	if err == nil {
		err = r.dir.unmark(r.id)
	}
	return errors.Join(writeError(err), r.Close())
}

// unmark says that nothing is left to sweep of a run.
func (d *Dir) unmark(id string) error {
	live, err := d.sub(liveDir, false)
	if err != nil {
		return ignoreMissing(err)
	}
	return ignoreMissing(live.Remove(id))
}
