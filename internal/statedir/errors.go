package statedir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors that callers tell apart. They come wrapped, with the system's own error.
var (
	// ErrReadOnly: the directory cannot be written; what is there can be read.
	ErrReadOnly = errors.New("the state directory cannot be written")
	// ErrFull: no space, quota, or inodes left for the state directory.
	ErrFull = errors.New("the state directory is full")
	// ErrNoRun: no record has this id, prefix, or suffix.
	ErrNoRun = errors.New("no such run")
	// ErrNoReport: the run has no report, because it lives or was never swept.
	ErrNoReport = errors.New("the run has no report")
	// ErrNoAudit says that a run has no audit log: it was refused nothing.
	ErrNoAudit = errors.New("the run has no audit log")
	// ErrNotLive: the kernel of the run is gone, and its control socket with it.
	ErrNotLive = errors.New("the run is not live")
	// ErrTooManyDenials: the run's denial log has reached its size limit.
	ErrTooManyDenials = errors.New("the denial log is full")
	// ErrClosed: the Run or Dir was closed.
	ErrClosed = errors.New("closed")
)

// Unavailable says why there is no usable state directory and what to do. The
// caller degrades what needs one.
type Unavailable struct {
	Path   string // empty if none could be determined
	Reason string // completes "the state directory PATH …"
	Fix    string // an imperative sentence without a full stop
	Err    error  // the system's error, if there was one; may wrap ErrFull or ErrReadOnly
}

// Error is one sentence.
func (u *Unavailable) Error() string {
	s := "the state directory "
	if u.Path != "" {
		s += u.Path + " "
	}
	s += u.Reason
	if u.Err != nil {
		s += ": " + u.Err.Error()
	}
	if u.Fix != "" {
		s += " (" + u.Fix + ")"
	}
	return s
}

// Unwrap returns the system's error.
func (u *Unavailable) Unwrap() error { return u.Err }

// NewerLayout says that a newer AgentOS wrote this. It is refused, not guessed.
type NewerLayout struct {
	Path  string // of the state directory, or runs/ID for one record
	Found int
	Known int
}

// Error is one sentence.
func (n *NewerLayout) Error() string {
	return fmt.Sprintf("%s has layout version %d and this agentos knows up to %d (use a newer agentos, or another directory with AGENTOS_STATE)",
		n.Path, n.Found, n.Known)
}

// Ambiguous says that a shortened run id names several runs.
type Ambiguous struct {
	Ref     string
	Matches []string
}

// Error is one sentence.
func (a *Ambiguous) Error() string {
	const show = 4
	m, more := a.Matches, ""
	if len(m) > show {
		more = fmt.Sprintf(" and %d more", len(m)-show)
		m = m[:show]
	}
	return strconv.Quote(a.Ref) + " names several runs: " + strings.Join(m, ", ") + more
}

// writeError marks err with the sentinel that tells callers how to degrade.
func writeError(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrReadOnly) || errors.Is(err, ErrFull):
		return err
	case isReadOnly(err):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
