package wasip1

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// hostile is a Host that checks every window it is given, fills it, and answers
// with as much as it can, so that whatever the ABI encodes is encoded.
type hostile struct {
	t    *testing.T
	p    *Process
	seed byte
}

func (h *hostile) Enter(c *abi.Call) {
	total := 0
	for _, b := range c.Buf {
		total += len(b)
		if len(b) == 0 || cap(b) != len(b) {
			h.t.Errorf("%s: window of %d with capacity %d", c.Via, len(b), cap(b))
		}
		for i := range b {
			b[i] = h.seed
		}
	}
	if total > abi.MaxTransfer {
		h.t.Errorf("%s moves %d bytes", c.Via, total)
	}
	if len(c.Path) > maxPath || len(c.Path2) > maxPath || len(c.Polls) > maxSubscriptions {
		h.t.Errorf("%s: unbounded argument", c.Via)
	}
	c.Errno = abi.OK
	c.Ret = uint64(total)
	c.Stat = abi.Stat{Type: abi.TypeDirectory, Ino: 1 << 60, Size: -1}
	c.Info = abi.FDInfo{Type: abi.FileType(h.seed), Preopen: "/some/where", Rights: ^uint64(0)}
	if c.Nr == abi.SysArgs || c.Nr == abi.SysEnviron {
		c.Strs = []string{"argument", "", "x"}
	}
	c.Link = "target"
	c.Ents = nil
	if c.Nr == abi.SysReaddir && uint64(c.Off) < 3000 {
		for i := range min(c.Len, 5) {
			c.Ents = append(c.Ents, abi.Dirent{Next: uint64(c.Off) + uint64(i) + 1, Name: "entry", Type: abi.FileType(h.seed)})
		}
	}
	for i := range c.Polls {
		c.Polls[i].Ready = h.seed>>(i%8)&1 == 0
	}
}

func (h *hostile) Pause()                  {}
func (h *hostile) Leave(*abi.Call, uint32) { panic(errLeft) }

// FuzzArguments calls every function with arbitrary arguments over arbitrary
// memory. Whatever they are: no panic, nothing written outside the memory, and
// no window outside it handed to the kernel.
func FuzzArguments(f *testing.F) {
	word := func(vs ...uint64) (b []byte) {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	}
	for i := range Functions() {
		f.Add(byte(i), byte(0), word(3, 1, 64, 8, 0, 64, 128, 0, 256), []byte("path/to/it"))
		f.Add(byte(i), byte(1), word(0, 0, 1, 64, 4000, 0, 0, 0, 0), word(0x0000000400000100, 0xffffffff00000000))
		f.Add(byte(i), byte(7), word(1<<32-1, 1<<64-1, 1<<31, 65535, 65536, 1<<63, 4095, 0, 1), []byte{})
	}
	functions := Functions()
	const size, guard = 1 << 13, 1 << 12
	f.Fuzz(func(t *testing.T, which, seed byte, args, memory []byte) {
		fn := functions[int(which)%len(functions)]
		// The guest's memory lies between guards that must not change.
		arena := bytes.Repeat([]byte{0xa5}, size+2*guard)
		mem := arena[guard : guard+size : guard+size]
		copy(mem, memory)
		p := &Process{Mem: mem}
		p.Host = &hostile{t: t, p: p, seed: seed}
		stack := make([]uint64, 16)
		for i := range stack {
			if len(args) >= 8 {
				stack[i] = binary.LittleEndian.Uint64(args)
				args = args[8:]
			}
		}
		func() {
			defer func() {
				if r := recover(); r != nil && r != errLeft {
					t.Fatalf("%s%v panics: %v", fn.Name, stack, r)
				}
			}()
			fn.Invoke(p, stack)
		}()
		if !fn.NoError && stack[0] > 76 {
			t.Fatalf("%s returns %d", fn.Name, stack[0])
		}
		for i, b := range arena {
			if (i < guard || i >= guard+size) && b != 0xa5 {
				t.Fatalf("%s wrote outside memory, at %d", fn.Name, i-guard)
			}
		}
		if p.call.Buf != nil || p.call.Polls != nil || p.call.Strs != nil {
			t.Fatalf("%s keeps what belongs to the kernel or the guest", fn.Name)
		}
	})
}
