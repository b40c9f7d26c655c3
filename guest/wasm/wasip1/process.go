package wasip1

import (
	"strings"
	"unicode/utf8"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Bounds on what one call may ask for.
const (
	maxPath          = 4096 // bytes of a path
	maxIovecs        = 1024 // as IOV_MAX elsewhere
	maxSubscriptions = 4096
	maxEntries       = 1024 // directory entries asked of the kernel at once
)

// Host is what the domain does for the ABI. Its methods do not return when the
// instance must end; they unwind it.
type Host interface {
	// Enter performs c, suspending the instance while it waits.
	Enter(c *abi.Call)
	// Pause suspends the instance so that others run.
	Pause()
	// Leave performs c, the exit call, and ends the instance with code.
	Leave(c *abi.Call, code uint32)
}

// Process is the ABI's state of one instance. The domain keeps Mem equal to the
// whole linear memory.
type Process struct {
	Mem  []byte
	Host Host

	call  abi.Call
	bufs  [][]byte
	polls []abi.Poll
}

// begin prepares the reused call.
func (p *Process) begin(nr abi.Sysno, via string) *abi.Call {
	c := &p.call
	c.Nr = nr
	c.Via = via
	c.Errno = abi.OK
	c.Ret = 0
	c.Need, c.Need2 = 0, 0
	return c
}

// onFD prepares a call on a descriptor, of which it takes the rights in need.
func (p *Process) onFD(nr abi.Sysno, via string, fd uint64, need uint64) *abi.Call {
	c := p.begin(nr, via)
	c.FD = abi.FD(uint32(fd))
	c.Need, c.Lack = need, abi.ENOTCAPABLE
	return c
}

// onIO is onFD for reading and writing: without the right a descriptor is not open
// for that, as POSIX says it.
func (p *Process) onIO(nr abi.Sysno, via string, fd uint64, need uint64) *abi.Call {
	c := p.onFD(nr, via, fd, need)
	c.Lack = abi.EBADF
	return c
}

// span returns n bytes of guest memory at ptr, or false if any of them is
// outside.
func (p *Process) span(ptr uint32, n uint64) ([]byte, bool) {
	lo := uint64(ptr)
	hi := lo + n
	if n > 1<<33 || hi > uint64(len(p.Mem)) {
		return nil, false
	}
	return p.Mem[lo:hi:hi], true
}

// path copies a path out of guest memory, once.
func (p *Process) path(ptr, n uint64) (string, abi.Errno) {
	if uint32(n) > maxPath {
		return "", abi.ENAMETOOLONG
	}
	b, ok := p.span(uint32(ptr), uint64(uint32(n)))
	if !ok {
		return "", abi.EFAULT
	}
	s := string(b)
	if strings.IndexByte(s, 0) >= 0 {
		return "", abi.EINVAL
	}
	if !utf8.ValidString(s) {
		return "", abi.EILSEQ
	}
	return s, abi.OK
}

// iovecs decodes n (pointer, length) pairs at ptr into windows of guest memory,
// at most [abi.MaxTransfer] bytes in all: what is beyond is left out, so that the
// transfer returns short. Every pair is checked, also those left out. Pairs may
// overlap.
func (p *Process) iovecs(ptr, n uint64) ([][]byte, abi.Errno) {
	count := uint32(n)
	if count > maxIovecs {
		return nil, abi.EINVAL
	}
	list, ok := p.span(uint32(ptr), uint64(count)*sizeIovec)
	if !ok {
		return nil, abi.EFAULT
	}
	bufs := p.bufs[:0]
	room := uint64(abi.MaxTransfer)
	for ; len(list) >= sizeIovec; list = list[sizeIovec:] {
		b, ok := p.span(le.Uint32(list), uint64(le.Uint32(list[4:])))
		if !ok {
			return nil, abi.EFAULT
		}
		if uint64(len(b)) > room {
			b = b[:room:room]
		}
		if len(b) > 0 {
			room -= uint64(len(b))
			bufs = append(bufs, b)
		}
	}
	p.bufs = bufs
	return bufs, abi.OK
}

// transfer performs a read or write whose buffers are described at iov and
// stores the count at result.
func (p *Process) transfer(c *abi.Call, iov, n, result uint64) abi.Errno {
	out, ok := p.span(uint32(result), 4)
	if !ok {
		return abi.EFAULT
	}
	bufs, errno := p.iovecs(iov, n)
	if errno != abi.OK {
		return errno
	}
	c.Buf = bufs
	p.Host.Enter(c)
	c.Buf = nil
	if c.Errno == abi.OK {
		le.PutUint32(out, uint32(c.Ret))
	}
	return c.Errno
}

// value performs c and stores its 64-bit result at result.
func (p *Process) value(c *abi.Call, result uint64) abi.Errno {
	out, ok := p.span(uint32(result), 8)
	if !ok {
		return abi.EFAULT
	}
	p.Host.Enter(c)
	if c.Errno == abi.OK {
		le.PutUint64(out, c.Ret)
	}
	return c.Errno
}

// done performs a call that has no result.
func (p *Process) done(c *abi.Call) abi.Errno {
	p.Host.Enter(c)
	return c.Errno
}
