//go:build unix && !linux

package net

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// noSignal: Go's runtime does not die of SIGPIPE on sockets.
const noSignal = 0

func acceptNow(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, _, err := unix.Accept(fd)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(n)
	if err := unix.SetNonblock(n, true); err != nil {
		return -1, errors.Join(err, unix.Close(n))
	}
	return n, nil
}

func waiting(int) uint64 { return 0 }
