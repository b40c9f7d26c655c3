package hostfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func TestErrno(t *testing.T) {
	_, missing := os.Open("/does/not/exist")
	for _, c := range []struct {
		err  error
		want abi.Errno
	}{
		{nil, abi.OK},
		{syscall.ENOENT, abi.ENOENT},
		{syscall.EOPNOTSUPP, abi.ENOTSUP},
		{fmt.Errorf("x: %w", syscall.ENOSPC), abi.ENOSPC},
		{&fs.PathError{Op: "open", Err: syscall.ELOOP}, abi.ELOOP},
		{missing, abi.ENOENT},
		{abi.EXDEV, abi.EXDEV},
		{fmt.Errorf("x: %w", abi.EDQUOT), abi.EDQUOT},
		{fs.ErrPermission, abi.EACCES},
		{os.ErrClosed, abi.EBADF},
		{context.Canceled, abi.ECANCELED},
		{fmt.Errorf("x: %w", os.ErrDeadlineExceeded), abi.ETIMEDOUT},
		{errors.New("no idea"), abi.EIO},
		{syscall.Errno(4000), abi.EIO},
	} {
		if got := Errno(c.err); got != c.want {
			t.Errorf("Errno(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
