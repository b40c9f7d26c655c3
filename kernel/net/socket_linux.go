package net

import "golang.org/x/sys/unix"

// noSignal keeps a write to a connection that is gone from raising SIGPIPE.
const noSignal = unix.MSG_NOSIGNAL

func acceptNow(fd int) (int, error) {
	n, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return n, err
}

// waiting returns how many bytes can be read.
func waiting(fd int) uint64 {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0 // a listener
	}
	return uint64(max(n, 0))
}
