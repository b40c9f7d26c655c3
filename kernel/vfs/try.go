package vfs

import "github.com/agentos-kernel/agentos/kernel/abi"

// tryReader is implemented by handles that can read what the host has in memory
// without waiting. EAGAIN says that it might wait, ENOTSUP that the host cannot
// be asked whether it would.
type tryReader interface {
	TryReadAt(bufs [][]byte, off int64) (int, abi.Errno)
}

// TryRead is Read where that cannot wait for the host. EAGAIN means that it
// might, ENOTSUP that this cannot be known, and either that nothing was done.
func (f *File) TryRead(bufs [][]byte) (int, abi.Errno) {
	flags := f.Flags()
	if f.stream != nil || f.readable(flags) != abi.OK || !f.mu.TryLock() {
		return 0, abi.EAGAIN
	}
	defer f.mu.Unlock()
	h, ok := f.handle(flags).(tryReader)
	if !ok {
		return 0, abi.EAGAIN
	}
	n, errno := h.TryReadAt(clamp(bufs), f.off)
	f.off += int64(n)
	return n, errno
}

// TryPread is Pread where that cannot wait for the host.
func (f *File) TryPread(bufs [][]byte, off int64) (int, abi.Errno) {
	flags := f.Flags()
	if f.stream != nil || f.readable(flags) != abi.OK || f.positioned(off) != abi.OK {
		return 0, abi.EAGAIN
	}
	h, ok := f.handle(flags).(tryReader)
	if !ok {
		return 0, abi.EAGAIN
	}
	return h.TryReadAt(clamp(bufs), off)
}
