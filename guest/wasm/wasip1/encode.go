package wasip1

import (
	"encoding/binary"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

var le = binary.LittleEndian

// Sizes of the structures of preview 1, in bytes.
const (
	sizeFdstat       = 24
	sizeFilestat     = 64
	sizePrestat      = 8
	sizeDirent       = 24
	sizeIovec        = 8
	sizeSubscription = 48
	sizeEvent        = 32
)

// filetypes maps the kernel's file types to WASI's. A FIFO has none there.
var filetypes = [abi.NumFileTypes]byte{
	abi.TypeUnknown:     0,
	abi.TypeRegular:     4,
	abi.TypeDirectory:   3,
	abi.TypeSymlink:     7,
	abi.TypeCharDevice:  2,
	abi.TypeBlockDevice: 1,
	abi.TypeFIFO:        0,
	abi.TypeSocket:      6,
}

func filetype(t abi.FileType) byte {
	if t < abi.NumFileTypes {
		return filetypes[t]
	}
	return 0
}

// WASI's descriptor flags.
const (
	fdAppend uint32 = 1 << iota
	fdDsync
	fdNonblock
	fdRsync
	fdSync
	fdFlagsAll = fdSync<<1 - 1
)

var fdFlags = [...]struct {
	wasi   uint32
	kernel abi.OpenFlags
}{
	{fdAppend, abi.OAppend},
	{fdDsync, abi.ODsync},
	{fdNonblock, abi.ONonblock},
	{fdRsync, abi.ORsync},
	{fdSync, abi.OSync},
}

// decodeFdFlags reports false for bits that preview 1 does not define.
func decodeFdFlags(f uint32) (o abi.OpenFlags, ok bool) {
	for _, m := range fdFlags {
		if f&m.wasi != 0 {
			o |= m.kernel
		}
	}
	return o, f&^fdFlagsAll == 0
}

func encodeFdFlags(o abi.OpenFlags) (f uint16) {
	for _, m := range fdFlags {
		if o&m.kernel != 0 {
			f |= uint16(m.wasi)
		}
	}
	return f
}

// encodeFdstat fills b, which has sizeFdstat bytes.
func encodeFdstat(b []byte, i *abi.FDInfo) {
	clear(b)
	base, inheriting := shownRights(i)
	b[0] = filetype(i.Type)
	le.PutUint16(b[2:], encodeFdFlags(i.Flags))
	le.PutUint64(b[8:], base)
	le.PutUint64(b[16:], inheriting)
}

// encodeFilestat fills b, which has sizeFilestat bytes.
func encodeFilestat(b []byte, s *abi.Stat) {
	clear(b)
	le.PutUint64(b[0:], s.Dev)
	le.PutUint64(b[8:], s.Ino)
	b[16] = filetype(s.Type)
	le.PutUint64(b[24:], s.Nlink)
	le.PutUint64(b[32:], uint64(max(s.Size, 0)))
	le.PutUint64(b[40:], uint64(max(s.Atime, 0)))
	le.PutUint64(b[48:], uint64(max(s.Mtime, 0)))
	le.PutUint64(b[56:], uint64(max(s.Ctime, 0)))
}

// encodeDirent fills b, which has sizeDirent bytes.
func encodeDirent(b []byte, next, ino uint64, name string, t abi.FileType) {
	clear(b)
	le.PutUint64(b[0:], next)
	le.PutUint64(b[8:], ino)
	le.PutUint32(b[16:], uint32(len(name)))
	b[20] = filetype(t)
}

// encodeEvent fills b, which has sizeEvent bytes, from a subscription that is
// ready.
func encodeEvent(b []byte, p *abi.Poll) {
	clear(b)
	le.PutUint64(b[0:], p.User)
	le.PutUint16(b[8:], Errno(p.Errno))
	b[10] = byte(p.Kind)
	if p.Kind != abi.PollClock {
		le.PutUint64(b[16:], p.Bytes)
		if p.Hangup {
			le.PutUint16(b[24:], 1)
		}
	}
}

// decodeSubscription reads b, which has sizeSubscription bytes. It reports
// false for a kind or clock that preview 1 does not define.
func decodeSubscription(b []byte) (p abi.Poll, ok bool) {
	p.User = le.Uint64(b[0:])
	switch b[8] {
	case 0:
		p.Kind = abi.PollClock
		id := le.Uint32(b[16:])
		if id >= uint32(abi.NumClocks) {
			return p, false
		}
		p.Clock = abi.ClockID(id)
		p.FD = abi.NoFD
		p.Timeout = clampTime(le.Uint64(b[24:]))
		p.Absolute = le.Uint16(b[40:])&1 != 0
	case 1, 2:
		p.Kind = abi.PollKind(b[8])
		p.FD = abi.FD(le.Uint32(b[16:]))
	default:
		return p, false
	}
	return p, true
}

// clampTime turns an unsigned time into the kernel's signed one. The greatest
// value, 292 years, stands for all beyond it.
func clampTime(t uint64) int64 {
	const most = 1<<63 - 1
	return int64(min(t, most))
}
