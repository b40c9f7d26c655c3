// Package net holds the gate's handlers for sockets.
//
// Invariants: no handler here blocks; those that wait return what they wait for. A
// descriptor is reserved before a connection is taken for it.
//
// Locks: none.
//
// Imports: kernel/{abi,gate,net,proc,vfs}.
package net

import (
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/gate"
	"github.com/agentos-kernel/agentos/kernel/net"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Handlers returns the handlers that never wait.
func Handlers() map[abi.Sysno]gate.Handler {
	return map[abi.Sysno]gate.Handler{abi.SysShutdown: shutdown}
}

// Waiting returns the handlers that may wait for the other end.
func Waiting() map[abi.Sysno]gate.WaitHandler {
	return map[abi.Sysno]gate.WaitHandler{abi.SysAccept: accept, abi.SysReceive: receive, abi.SysSend: send}
}

// release lets go of a reference taken for the length of a call.
func release(f *vfs.File) { _ = f.Unref() }

// open returns a descriptor that is to be a socket and to have the rights in need.
// The caller lets go of its file.
func open(p *proc.Process, fd abi.FD, need uint64) (proc.Descriptor, abi.Errno) {
	d, errno := p.FDs().Get(fd)
	if errno != abi.OK {
		return d, errno
	}
	switch {
	case d.Preopen != "":
		errno = abi.EBADF // a place to walk from, which the program opened no file at
	case d.File.Type() != abi.TypeSocket:
		errno = abi.ENOTSOCK
	case need&^d.Rights != 0:
		errno = abi.ENOTCAPABLE
	}
	if errno != abi.OK {
		release(d.File)
	}
	return d, errno
}

// connection returns the connection behind a descriptor. The caller lets go of its
// file.
func connection(p *proc.Process, fd abi.FD, need uint64) (*vfs.File, net.Conn, abi.Errno) {
	d, errno := open(p, fd, need)
	if errno != abi.OK {
		return nil, nil, errno
	}
	c, ok := d.File.Channel().(net.Conn)
	if !ok {
		release(d.File)
		return nil, nil, abi.ENOTCONN
	}
	return d.File, c, abi.OK
}

// later answers an operation that cannot go on: EAGAIN if the socket is not to
// wait, else to wait for it. It takes over the reference to f.
func later(f *vfs.File, kind abi.PollKind) (abi.Errno, gate.Wait, bool) {
	if f.Nonblock() {
		release(f)
		return abi.EAGAIN, gate.Wait{}, true
	}
	return abi.OK, gate.Wait{Files: []gate.Watched{{File: f, Kind: kind}}}, false
}

func accept(p *proc.Process, c *abi.Call, _ time.Time) (abi.Errno, gate.Wait, bool) {
	d, errno := open(p, c.FD, c.Arg[0])
	if errno != abi.OK {
		return errno, gate.Wait{}, true
	}
	l, ok := d.File.Channel().(net.Listener)
	if !ok {
		release(d.File)
		return abi.EINVAL, gate.Wait{}, true
	}
	fd, errno := p.FDs().Reserve()
	if errno != abi.OK {
		release(d.File)
		return errno, gate.Wait{}, true
	}
	in, errno := l.TryAccept()
	if errno != abi.OK {
		p.FDs().Cancel(fd)
		if errno == abi.EAGAIN {
			return later(d.File, abi.PollRead)
		}
		release(d.File)
		return errno, gate.Wait{}, true
	}
	release(d.File)
	f := vfs.NewChannel(in, abi.ORead|abi.OWrite|c.Open&abi.ONonblock)
	if !p.FDs().Commit(fd, proc.Descriptor{File: f, Rights: d.Inherit, Inherit: d.Inherit}) {
		release(f) // the process is ending
		return abi.EBADF, gate.Wait{}, true
	}
	c.Ret = uint64(fd)
	return abi.OK, gate.Wait{}, true
}

// receive reads once or, with ReceiveAll, until the buffers are full or the other
// end has no more. What has come so far is in c.Ret.
func receive(p *proc.Process, c *abi.Call, _ time.Time) (abi.Errno, gate.Wait, bool) {
	f, in, errno := connection(p, c.FD, c.Arg[0])
	if errno != abi.OK {
		return errno, gate.Wait{}, true
	}
	bufs := vfs.Clamp(c.Buf)
	peek := c.Flags&abi.ReceivePeek != 0
	for {
		n, errno := in.TryReceive(gate.Skip(bufs, int(c.Ret)), peek)
		p.CountRead(n)
		c.Ret += uint64(n)
		all := c.Flags&abi.ReceiveAll == 0 || peek || n == 0 || int(c.Ret) == gate.Total(bufs)
		switch {
		case errno == abi.EAGAIN && (c.Ret == 0 || !f.Nonblock()):
			return later(f, abi.PollRead)
		case errno != abi.OK && c.Ret == 0:
			release(f)
			return errno, gate.Wait{}, true
		case errno != abi.OK || all:
			release(f)
			return abi.OK, gate.Wait{}, true // an error comes again
		}
	}
}

// send writes all of the buffers, unless the socket is not to wait. What has gone
// so far is in c.Ret.
func send(p *proc.Process, c *abi.Call, _ time.Time) (abi.Errno, gate.Wait, bool) {
	f, out, errno := connection(p, c.FD, c.Arg[0])
	if errno != abi.OK {
		return errno, gate.Wait{}, true
	}
	bufs := vfs.Clamp(c.Buf)
	for {
		n, errno := out.TryWrite(gate.Skip(bufs, int(c.Ret)))
		p.CountWritten(n)
		c.Ret += uint64(n)
		switch {
		case errno == abi.EAGAIN && (c.Ret == 0 || !f.Nonblock()):
			return later(f, abi.PollWrite)
		case errno != abi.OK && c.Ret == 0:
			release(f)
			return errno, gate.Wait{}, true
		case errno != abi.OK || n == 0 || int(c.Ret) == gate.Total(bufs):
			release(f)
			return abi.OK, gate.Wait{}, true // an error comes again
		}
	}
}

func shutdown(p *proc.Process, c *abi.Call) abi.Errno {
	f, in, errno := connection(p, c.FD, c.Arg[0])
	if errno != abi.OK {
		return errno
	}
	defer release(f)
	return in.Shutdown(c.Flags&abi.ShutdownRead != 0, c.Flags&abi.ShutdownWrite != 0)
}
