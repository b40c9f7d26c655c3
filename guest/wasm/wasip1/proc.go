package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

func argsGet(p *Process, a []uint64) abi.Errno {
	return p.strings(p.begin(abi.SysArgs, "args_get"), a)
}

func argsSizesGet(p *Process, a []uint64) abi.Errno {
	return p.stringSizes(p.begin(abi.SysArgs, "args_sizes_get"), a)
}

func environGet(p *Process, a []uint64) abi.Errno {
	return p.strings(p.begin(abi.SysEnviron, "environ_get"), a)
}

func environSizesGet(p *Process, a []uint64) abi.Errno {
	return p.stringSizes(p.begin(abi.SysEnviron, "environ_sizes_get"), a)
}

// strings stores a list of strings: pointers at a[0], and their bytes, each
// ended by a NUL, at a[1]. The guest learnt the sizes from stringSizes.
func (p *Process) strings(c *abi.Call, a []uint64) abi.Errno {
	p.Host.Enter(c)
	if c.Errno != abi.OK {
		return c.Errno
	}
	list := c.Strs
	c.Strs = nil
	pointers, ok := p.span(uint32(a[0]), uint64(len(list))*4)
	if !ok {
		return abi.EFAULT
	}
	at := uint32(a[1])
	text, ok := p.span(at, stringBytes(list))
	if !ok {
		return abi.EFAULT
	}
	for i, s := range list {
		le.PutUint32(pointers[4*i:], at)
		n := copy(text, s)
		text[n] = 0
		text = text[n+1:]
		at += uint32(n) + 1
	}
	return abi.OK
}

// stringSizes stores the number of strings at a[0] and the size of their text
// at a[1].
func (p *Process) stringSizes(c *abi.Call, a []uint64) abi.Errno {
	count, ok := p.span(uint32(a[0]), 4)
	if !ok {
		return abi.EFAULT
	}
	size, ok := p.span(uint32(a[1]), 4)
	if !ok {
		return abi.EFAULT
	}
	p.Host.Enter(c)
	if c.Errno != abi.OK {
		return c.Errno
	}
	n := stringBytes(c.Strs)
	if n > 1<<32-1 {
		return abi.EOVERFLOW
	}
	le.PutUint32(count, uint32(len(c.Strs)))
	le.PutUint32(size, uint32(n))
	c.Strs = nil
	return abi.OK
}

func stringBytes(list []string) (n uint64) {
	for _, s := range list {
		n += uint64(len(s)) + 1
	}
	return n
}

func clockTimeGet(p *Process, a []uint64) abi.Errno {
	if uint32(a[0]) >= uint32(abi.NumClocks) {
		return abi.EINVAL
	}
	c := p.begin(abi.SysClockTime, "clock_time_get")
	c.Arg[0] = uint64(uint32(a[0]))
	return p.value(c, a[2])
}

func clockResGet(p *Process, a []uint64) abi.Errno {
	if uint32(a[0]) >= uint32(abi.NumClocks) {
		return abi.EINVAL
	}
	c := p.begin(abi.SysClockRes, "clock_res_get")
	c.Arg[0] = uint64(uint32(a[0]))
	return p.value(c, a[1])
}

// randomGet fills the whole buffer, since the interface cannot return short, in
// steps between which others run.
func randomGet(p *Process, a []uint64) abi.Errno {
	b, ok := p.span(uint32(a[0]), uint64(uint32(a[1])))
	if !ok {
		return abi.EFAULT
	}
	for len(b) > 0 {
		n := min(len(b), abi.MaxTransfer)
		c := p.begin(abi.SysRandom, "random_get")
		p.bufs = append(p.bufs[:0], b[:n:n])
		c.Buf = p.bufs
		p.Host.Enter(c)
		c.Buf = nil
		if c.Errno != abi.OK {
			return c.Errno
		}
		if b = b[n:]; len(b) > 0 {
			p.Host.Pause()
		}
	}
	return abi.OK
}

func schedYield(p *Process, _ []uint64) abi.Errno {
	c := p.begin(abi.SysYield, "sched_yield")
	p.Host.Enter(c)
	if c.Errno == abi.OK {
		p.Host.Pause()
	}
	return c.Errno
}

// procRaise passes the number on: WASI's first fifteen signals have Linux's.
func procRaise(p *Process, a []uint64) abi.Errno {
	if uint32(a[0]) > 30 {
		return abi.EINVAL
	}
	c := p.begin(abi.SysRaise, "proc_raise")
	c.Arg[0] = uint64(uint32(a[0]))
	return p.done(c)
}

func procExit(p *Process, a []uint64) abi.Errno {
	c := p.begin(abi.SysExit, "proc_exit")
	code := uint32(a[0])
	c.Arg[0] = uint64(code)
	p.Host.Leave(c, code)
	return abi.OK
}

func pollOneoff(p *Process, a []uint64) abi.Errno {
	n := uint32(a[2])
	if n == 0 || n > maxSubscriptions {
		return abi.EINVAL
	}
	in, ok := p.span(uint32(a[0]), uint64(n)*sizeSubscription)
	if !ok {
		return abi.EFAULT
	}
	out, ok := p.span(uint32(a[1]), uint64(n)*sizeEvent)
	if !ok {
		return abi.EFAULT
	}
	count, ok := p.span(uint32(a[3]), 4)
	if !ok {
		return abi.EFAULT
	}
	polls := p.polls[:0]
	for ; len(in) > 0; in = in[sizeSubscription:] {
		s, ok := decodeSubscription(in)
		if !ok {
			return abi.EINVAL
		}
		polls = append(polls, s)
	}
	p.polls = polls
	c := p.begin(abi.SysPoll, "poll_oneoff")
	c.Polls = polls
	p.Host.Enter(c)
	c.Polls = nil
	if c.Errno != abi.OK {
		return c.Errno
	}
	ready := uint32(0)
	for i := range polls {
		if polls[i].Ready {
			encodeEvent(out[:sizeEvent], &polls[i])
			out = out[sizeEvent:]
			ready++
		}
	}
	le.PutUint32(count, ready)
	return abi.OK
}

// The kernel has no sockets yet, so a descriptor is either bad or not one.

func sockAccept(p *Process, a []uint64) abi.Errno   { return p.noSocket("sock_accept", a[0]) }
func sockRecv(p *Process, a []uint64) abi.Errno     { return p.noSocket("sock_recv", a[0]) }
func sockSend(p *Process, a []uint64) abi.Errno     { return p.noSocket("sock_send", a[0]) }
func sockShutdown(p *Process, a []uint64) abi.Errno { return p.noSocket("sock_shutdown", a[0]) }

func (p *Process) noSocket(via string, fd uint64) abi.Errno {
	c := p.onFD(abi.SysFdinfo, via, fd, 0)
	p.Host.Enter(c)
	if c.Errno != abi.OK {
		return c.Errno
	}
	return abi.ENOTSOCK
}
