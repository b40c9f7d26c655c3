package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

// onSocket prepares a call on a socket, of which it takes the rights in need. They
// are looked at once it is known that it is one: ENOTSOCK comes first.
func (p *Process) onSocket(nr abi.Sysno, via string, fd, need uint64) *abi.Call {
	c := p.onFD(nr, via, fd, 0)
	c.Flags = 0
	c.Arg = [2]uint64{need}
	return c
}

func sockAccept(p *Process, a []uint64) abi.Errno {
	flags, ok := decodeFdFlags(uint32(a[1]))
	if !ok || flags&^abi.ONonblock != 0 {
		return abi.EINVAL
	}
	out, ok := p.span(uint32(a[2]), 4)
	if !ok {
		return abi.EFAULT
	}
	c := p.onSocket(abi.SysAccept, "sock_accept", a[0], RightSockAccept)
	c.Open = flags
	p.Host.Enter(c)
	if c.Errno == abi.OK {
		le.PutUint32(out, uint32(c.Ret))
	}
	return c.Errno
}

// The flags of sock_recv and sock_shutdown are the kernel's, bit for bit.

// sockRecv never reports truncated data: a stream has none.
func sockRecv(p *Process, a []uint64) abi.Errno {
	if uint32(a[3])&^(abi.ReceivePeek|abi.ReceiveAll) != 0 {
		return abi.EINVAL
	}
	flags, ok := p.span(uint32(a[5]), 2)
	if !ok {
		return abi.EFAULT
	}
	c := p.onSocket(abi.SysReceive, "sock_recv", a[0], RightFdRead)
	c.Flags = uint32(a[3])
	errno := p.transfer(c, a[1], a[2], a[4])
	if errno == abi.OK {
		le.PutUint16(flags, 0)
	}
	return errno
}

func sockSend(p *Process, a []uint64) abi.Errno {
	if uint32(a[3]) != 0 {
		return abi.EINVAL // none are defined
	}
	return p.transfer(p.onSocket(abi.SysSend, "sock_send", a[0], RightFdWrite), a[1], a[2], a[4])
}

func sockShutdown(p *Process, a []uint64) abi.Errno {
	how := uint32(a[1])
	if how&^(abi.ShutdownRead|abi.ShutdownWrite) != 0 {
		return abi.EINVAL
	}
	c := p.onSocket(abi.SysShutdown, "sock_shutdown", a[0], RightSockShutdown)
	c.Flags = how
	return p.done(c)
}
