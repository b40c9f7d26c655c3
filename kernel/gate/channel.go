package gate

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// watch is one file that the process waits for.
type watch struct {
	file   *vfs.File
	cancel func()
}

// watch has the process woken when one of files is ready. It takes their
// references. A file that is named often is watched once: a watch may cost the
// host a descriptor, and a guest pays for those of its files only.
func (g *Gate) watch(files []Watched) {
	var seen map[Watched]bool
	if len(files) > 1 {
		seen = make(map[Watched]bool, len(files))
	}
	for _, w := range files {
		if seen[w] {
			_ = w.File.Unref() // not the last reference: the watch has one
			continue
		}
		if seen != nil {
			seen[w] = true
		}
		g.watches = append(g.watches, watch{w.File, w.File.Watch(w.Kind, g.p.Wake)})
	}
}

// unwatch ends every watch.
func (g *Gate) unwatch() {
	for i := range g.watches {
		g.watches[i].cancel()
		_ = g.watches[i].file.Unref() // what closing says goes to whoever closed the descriptor
		g.watches[i] = watch{}
	}
	g.watches = g.watches[:0]
}

// onChannel reads from or writes to a channel: what can be moved at once, else when
// it is ready, and on a worker where only the operation itself can tell. A write
// goes on until all is written, as for a file of POSIX that is not to fail with
// EAGAIN.
func (g *Gate) onChannel(c *abi.Call) abi.Status {
	g.unwatch()
	g.channel = false
	f, errno := g.p.FDs().Borrow(c.FD)
	if errno != abi.OK {
		return g.channelDone(c, errno)
	}
	kind := abi.PollRead
	if c.Nr == abi.SysWrite {
		kind = abi.PollWrite
	}
	n, errno := g.try(c, f, kind)
	g.moved += n
	if errno == abi.ENOTSUP {
		if !f.Nonblock() || f.Channel().Ready(kind).Ready {
			if g.moved == 0 {
				return g.offload(c)
			}
			return g.channelDone(c, abi.OK) // the rest is another call
		}
		errno = abi.EAGAIN
	}
	short := kind == abi.PollWrite && errno == abi.OK && g.moved < min(Total(c.Buf), abi.MaxTransfer)
	if f.Nonblock() || errno != abi.EAGAIN && !short || g.p.Killed() {
		return g.channelDone(c, errno)
	}
	f.Ref()
	g.channel = true
	g.watch([]Watched{{f, kind}})
	g.p.Leave()
	return abi.Blocked
}

// try moves what can be moved without waiting.
func (g *Gate) try(c *abi.Call, f *vfs.File, kind abi.PollKind) (n int, errno abi.Errno) {
	defer func() {
		if r := recover(); r != nil {
			panicked(g.shared, g.p, c, r)
			n, errno = 0, abi.EIO
		}
	}()
	g.p.SetCall(c)
	if kind == abi.PollWrite {
		return f.TryWrite(Skip(c.Buf, g.moved))
	}
	return f.TryRead(c.Buf)
}

// channelDone finishes the call. What was moved before an error counts, and the
// error comes again.
func (g *Gate) channelDone(c *abi.Call, errno abi.Errno) abi.Status {
	c.Errno, c.Ret = errno, uint64(g.moved)
	if g.moved > 0 && errno != abi.EDQUOT {
		c.Errno = abi.OK
	}
	if c.Nr == abi.SysWrite {
		g.p.CountWritten(g.moved)
	} else {
		g.p.CountRead(g.moved)
	}
	return g.done(c)
}

// Total returns how many bytes a vector has.
func Total(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// Skip returns a vector without its first n bytes.
func Skip(bufs [][]byte, n int) [][]byte {
	for i, b := range bufs {
		if n < len(b) {
			if n == 0 {
				return bufs[i:]
			}
			return append([][]byte{b[n:]}, bufs[i+1:]...)
		}
		n -= len(b)
	}
	return nil
}
