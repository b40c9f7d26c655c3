package launch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/stub"
)

// ExecError says that everything was in place and the program could not be executed.
type ExecError struct {
	Program string
	Call    string
	Err     error
}

func (e *ExecError) Error() string {
	if e.Call != "execve" {
		return fmt.Sprintf("%s could not be started: %s: %v", e.Program, e.Call, e.Err)
	}
	why := e.Err.Error()
	switch {
	case errors.Is(e.Err, unix.ENOENT):
		why = "it, or the interpreter that it names, is not in its view"
	case errors.Is(e.Err, unix.ENOEXEC):
		why = "it is neither an executable for this machine nor a script with a first line #!"
	case errors.Is(e.Err, unix.E2BIG):
		why = "its arguments and environment are too long"
	}
	return fmt.Sprintf("%s could not be executed: %s", e.Program, why)
}

// Unwrap returns the error number.
func (e *ExecError) Unwrap() error { return e.Err }

// execError turns what the starter said into an ExecError.
func (t *Tree) execError(err error) error {
	var f *stub.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return &ExecError{t.job.Program, f.Call, f.Errno}
	case errors.Is(err, stub.ErrTooLong):
		return &ExecError{t.job.Program, "execve", unix.E2BIG}
	}
	return err
}

// Watched reports whether a limit of the tree is held by supervision: whoever runs it
// must ask Over often.
func (t *Tree) Watched() bool { return t.cell.watched }

// Over says that the tree is over a limit which is held by supervision here; "" if
// it is not.
func (t *Tree) Over(u *guest.Usage) string {
	if !t.cell.watched {
		return ""
	}
	if max := t.job.Limits.Memory; max > 0 && u.Memory > max {
		return fmt.Sprintf("its processes together used %d bytes of memory, of %d", u.Memory, max)
	}
	return ""
}
