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
	if errno := f.readable(flags); errno != abi.OK {
		return 0, errno
	}
	if f.ch != nil {
		return f.ch.TryRead(Clamp(bufs))
	}
	if !f.mu.TryLock() {
		return 0, abi.EAGAIN
	}
	defer f.mu.Unlock()
	h, ok := f.handle(flags).(tryReader)
	if !ok {
		return 0, abi.EAGAIN
	}
	n, errno := h.TryReadAt(Clamp(bufs), f.off)
	f.off += int64(n)
	return n, errno
}

// TryPread is Pread where that cannot wait for the host.
func (f *File) TryPread(bufs [][]byte, off int64) (int, abi.Errno) {
	flags := f.Flags()
	if errno := f.readable(flags); errno != abi.OK {
		return 0, errno
	}
	if errno := f.positioned(off); errno != abi.OK {
		return 0, errno
	}
	h, ok := f.handle(flags).(tryReader)
	if !ok {
		return 0, abi.EAGAIN
	}
	return h.TryReadAt(Clamp(bufs), off)
}

// TryWrite is Write on a channel where that cannot wait; for other files it is
// ENOTSUP.
func (f *File) TryWrite(bufs [][]byte) (int, abi.Errno) {
	if errno := f.writable(f.Flags()); errno != abi.OK {
		return 0, errno
	}
	if f.ch == nil {
		return 0, abi.ENOTSUP
	}
	return f.ch.TryWrite(Clamp(bufs))
}
