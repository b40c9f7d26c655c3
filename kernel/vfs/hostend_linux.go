package vfs

import "golang.org/x/sys/unix"

// readNow and writeNow move what can be moved without waiting, at the file's own
// position. RWF_NOWAIT asks for that in one call and not of the whole file, as
// O_NONBLOCK would, which others share.

func readNow(fd int, b []byte) (int, error) {
	return unix.Preadv2(fd, [][]byte{b}, -1, unix.RWF_NOWAIT)
}

func writeNow(fd int, bufs [][]byte) (int, error) {
	return unix.Pwritev2(fd, bufs[:min(len(bufs), 1024)], -1, unix.RWF_NOWAIT)
}

// bytesWaiting returns how much can be read, 0 if the host does not say.
func bytesWaiting(fd int) uint64 {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return uint64(max(n, 0))
}

func wakePipe(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC) }
