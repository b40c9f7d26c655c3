package rewrite

import (
	"fmt"
	"unicode/utf8"
)

// reader decodes the binary format. The first error sticks: afterwards every
// read returns zero and nothing advances, so callers check err once a loop.
type reader struct {
	b       []byte // the whole module
	pos     int
	end     int // reads stop here; ≤ len(b)
	section string
	err     *Error
}

func (r *reader) fail(off int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: off, Section: r.section, Reason: fmt.Sprintf(format, args...)}
	}
}

// refuse is fail for what is well-formed but beyond a limit.
func (r *reader) refuse(off int, format string, args ...any) {
	if r.err == nil {
		r.fail(off, format, args...)
		r.err.Limit = true
	}
}

func (r *reader) left() int { return r.end - r.pos }

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= r.end {
		r.fail(r.pos, "unexpected end")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

// peek returns the next byte without taking it, 0 at the end.
func (r *reader) peek() byte {
	if r.err != nil || r.pos >= r.end {
		return 0
	}
	return r.b[r.pos]
}

// bytes returns the next n bytes, aliasing the module.
func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.left() {
		r.fail(r.pos, "unexpected end: %d bytes needed, %d left", n, r.left())
		return nil
	}
	s := r.b[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return s
}

func (r *reader) u32() uint32 {
	if r.err == nil && r.pos < r.end { // one byte is the common case
		if c := r.b[r.pos]; c < 0x80 {
			r.pos++
			return uint32(c)
		}
	}
	start := r.pos
	var v uint32
	for shift := uint(0); shift < 35; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && c < 0x80 && c > 0x0f {
			r.fail(start, "integer does not fit 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.fail(start, "integer is too long")
	return 0
}

// signed decodes a signed integer of 32, 33, or 64 bits. Bits beyond the width
// must repeat the sign.
func (r *reader) signed(bits uint) int64 {
	start := r.pos
	var v int64
	var shift uint
	for {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		v |= int64(c&0x7f) << shift
		shift += 7
		if c >= 0x80 {
			if shift >= bits {
				r.fail(start, "integer is too long")
				return 0
			}
			continue
		}
		if shift > bits { // the last byte holds bits beyond the width
			used := 7 - (shift - bits)
			sign := int8(c<<1) >> used // the sign bit and all above it
			if sign != 0 && sign != -1 {
				r.fail(start, "integer does not fit %d bits", bits)
				return 0
			}
		}
		if shift < 64 && c&0x40 != 0 {
			v |= -1 << shift
		}
		return v
	}
}

// count reads the length of a vector whose items take at least size bytes each,
// so that no count makes us, or the engine, allocate more than the file is long.
func (r *reader) count(what string, size int, limit int) int {
	off := r.pos
	n := int(r.u32())
	if r.err != nil {
		return 0
	}
	if n > limit {
		r.refuse(off, "%d %s, at most %d are accepted", n, what, limit)
		return 0
	}
	if n > r.left()/size {
		r.fail(off, "%d %s do not fit into %d bytes", n, what, r.left())
		return 0
	}
	return n
}

func (r *reader) name(what string) string {
	off := r.pos
	b := r.bytes(int(r.u32()))
	if r.err != nil {
		return ""
	}
	if len(b) > maxNameBytes {
		r.refuse(off, "%s of %d bytes, at most %d are accepted", what, len(b), maxNameBytes)
		return ""
	}
	if !utf8.Valid(b) {
		r.fail(off, "%s is not valid UTF-8", what)
		return ""
	}
	return string(b)
}

// index reads an index and checks it against the number of things there are.
func (r *reader) index(what string, n int) uint32 {
	off := r.pos
	i := r.u32()
	if r.err == nil && uint64(i) >= uint64(n) {
		r.fail(off, "unknown %s index %d, there are %d", what, i, n)
		return 0
	}
	return i
}

func (r *reader) zero(what string) {
	off := r.pos
	if c := r.byte(); r.err == nil && c != 0 {
		r.fail(off, "%s must be zero, it is %#x", what, c)
	}
}
