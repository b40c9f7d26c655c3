package vfs

import (
	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Channel is an open object that belongs to no file system and has no offset: a
// stream of the host, a listener, a connection. It is safe for concurrent use.
type Channel interface {
	Type() abi.FileType
	Stat() abi.Stat
	// Read and Write wait until something has moved. Stop ends the wait (EINTR).
	Read(bufs [][]byte) (int, abi.Errno)
	Write(bufs [][]byte) (int, abi.Errno)
	// TryRead and TryWrite move what can be moved without waiting. EAGAIN says
	// that nothing can, and that Watch will tell when that changes; ENOTSUP, that
	// only Read or Write can find out.
	TryRead(bufs [][]byte) (int, abi.Errno)
	TryWrite(bufs [][]byte) (int, abi.Errno)
	// Ready tells whether reading, or writing, would wait.
	Ready(kind abi.PollKind) Readiness
	// Watch calls wake once, on a goroutine of its own, when Ready may have become
	// true, which may be at once. It may do so in vain, and once more after
	// cancel, which must be called.
	Watch(kind abi.PollKind, wake func()) (cancel func())
	// Stop has every wait return, now and later: the process is ending.
	Stop()
	Close() abi.Errno
}

// Readiness is what Ready tells.
type Readiness struct {
	Ready  bool
	Hangup bool   // the other end is gone
	Bytes  uint64 // known to be there; 0 where nobody knows
}

// NewChannel makes a file of a channel that it takes over, open for access.
func NewChannel(ch Channel, access abi.OpenFlags) *File {
	f := &File{ch: ch, typ: ch.Type()}
	f.flags.Store(uint32(access & keptFlags))
	f.refs.Store(1)
	return f
}

// Channel returns the channel of a file that is one, or nil.
func (f *File) Channel() Channel { return f.ch }

// Nonblock reports whether operations that would wait fail with EAGAIN instead.
func (f *File) Nonblock() bool { return f.Flags()&abi.ONonblock != 0 }

// Stop has every wait for the file end; see [Channel]. Other files never wait for
// others.
func (f *File) Stop() {
	if f.ch != nil {
		f.ch.Stop()
	}
}

// Ready tells whether reading or writing would wait, and never waits itself. A file
// of a file system is always ready; what is left of it is known unless only a
// host that may not answer could say.
func (f *File) Ready(kind abi.PollKind) (Readiness, abi.Errno) {
	flags := f.Flags()
	if kind == abi.PollWrite && flags&abi.OWrite == 0 || kind == abi.PollRead && flags&abi.ORead == 0 {
		return Readiness{}, abi.EBADF
	}
	if f.ch != nil {
		return f.ch.Ready(kind), abi.OK
	}
	r := Readiness{Ready: true}
	if kind == abi.PollRead && f.typ == abi.TypeRegular && f.Latency() != Unbounded {
		st, errno := f.at.node.Stat()
		if errno != abi.OK {
			return r, errno
		}
		r.Bytes = uint64(max(0, st.Size-f.offset()))
	}
	return r, abi.OK
}

func (f *File) offset() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	invariants.Point("vfs.file")
	return f.off
}

// Watch is the channel's; a file of a file system is ready at once.
func (f *File) Watch(kind abi.PollKind, wake func()) (cancel func()) {
	if f.ch != nil {
		return f.ch.Watch(kind, wake)
	}
	go wake()
	return func() {}
}
