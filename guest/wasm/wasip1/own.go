package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

// OwnModule is the module of functions that AgentOS adds to those of preview 1.
const OwnModule = "agentos"

// Own returns those functions. They follow the conventions of preview 1.
func Own() []Function {
	return []Function{
		{Name: "last_denial", Params: "iii", do: lastDenial},
	}
}

// lastDenial(buf, buf_len, len) says why the last call that failed did: it writes a JSON
// document to buf and its length to len, 0 if no call has failed. If buf is too small
// nothing but the length is written, and it is ERANGE.
func lastDenial(p *Process, a []uint64) abi.Errno {
	out, ok := p.span(uint32(a[0]), uint64(uint32(a[1])))
	if !ok {
		return abi.EFAULT
	}
	length, ok := p.span(uint32(a[2]), 4)
	if !ok {
		return abi.EFAULT
	}
	c := p.begin(abi.SysReason, "last_denial")
	p.Host.Enter(c)
	text := c.Link
	c.Link = ""
	if c.Errno != abi.OK {
		return c.Errno
	}
	le.PutUint32(length, uint32(len(text)))
	if len(text) > len(out) {
		return abi.ERANGE
	}
	copy(out, text)
	return abi.OK
}
