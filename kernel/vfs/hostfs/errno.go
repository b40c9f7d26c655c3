package hostfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// wellKnown are the errors of the standard library that carry no number of the
// host's. They are looked at after the number.
var wellKnown = [...]struct {
	err   error
	errno abi.Errno
}{
	{fs.ErrNotExist, abi.ENOENT},
	{fs.ErrExist, abi.EEXIST},
	{fs.ErrPermission, abi.EACCES},
	{fs.ErrInvalid, abi.EINVAL},
	{fs.ErrClosed, abi.EBADF},
	{os.ErrDeadlineExceeded, abi.ETIMEDOUT},
	{os.ErrNoDeadline, abi.ENOTSUP},
	{os.ErrProcessDone, abi.ESRCH},
	{context.Canceled, abi.ECANCELED},
	{context.DeadlineExceeded, abi.ETIMEDOUT},
	{io.ErrClosedPipe, abi.EPIPE},
	{io.ErrShortWrite, abi.EIO},
	{io.ErrUnexpectedEOF, abi.EIO},
	{errors.ErrUnsupported, abi.ENOTSUP},
}

// Errno maps an error of the host, however wrapped, to the kernel's own. nil is
// OK, and what is not known is EIO.
func Errno(err error) abi.Errno {
	if err == nil {
		return abi.OK
	}
	switch e := err.(type) { // the common cases, without reflection
	case syscall.Errno:
		return errnoOf(e)
	case abi.Errno:
		return e
	}
	var own abi.Errno
	if errors.As(err, &own) {
		return own
	}
	var num syscall.Errno
	if errors.As(err, &num) {
		return errnoOf(num)
	}
	for i := range wellKnown {
		if errors.Is(err, wellKnown[i].err) {
			return wellKnown[i].errno
		}
	}
	return abi.EIO
}
