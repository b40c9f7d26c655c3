package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

var le = binary.LittleEndian

// at returns the address of b, which came from buffer or text and is kept alive by
// the caller until the end of the call.
func at(b []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// buffer returns memory that does not move: a stack would.
//
//go:noinline
func buffer(n int) []byte { return make([]byte, n) }

func text(s string) []byte {
	b := buffer(len(s) + 1)
	return b[:copy(b, s)]
}

// openFlags spells the flags of open: O_ of WASI, rights, and descriptor flags.
func openFlags(s string) (lookup, oflags int32, rights uint64, fdflags int32) {
	lookup = 1
	for _, c := range s {
		switch c {
		case 'r':
			rights |= 1 << 1
		case 'w':
			rights |= 1 << 6
		case 'c':
			oflags |= 1
		case 'd':
			oflags |= 2
		case 'x':
			oflags |= 4
		case 't':
			oflags |= 8
		case 'a':
			fdflags |= 1
		case 'n':
			lookup = 0
		case '*':
			rights = 1<<30 - 1
		}
	}
	if rights != 1<<30-1 {
		rights |= 1<<30 - 1 - 1<<1 - 1<<6 // all but reading and writing
	}
	return lookup, oflags, rights, fdflags
}

func follows(w []string, i int) int32 {
	if len(w) > i && w[i] == "n" {
		return 0
	}
	return 1
}

// call makes one call.
func (m *machine) call(w []string) (a answer) {
	a.fd = -1
	var p, q []byte
	out := buffer(8192)
	arg := func(i int) (uint32, int32) { p = text(w[i]); return at(p), int32(len(p)) }
	arg2 := func(i int) (uint32, int32) { q = text(w[i]); return at(q), int32(len(q)) }
	switch w[0] {
	case "open":
		ptr, n := arg(2)
		lookup, oflags, rights, fdflags := openFlags(w[3])
		a.errno = pathOpen(m.fd(w[1]), lookup, ptr, n, oflags, rights, rights|1<<1|1<<6, fdflags, at(out))
		if a.errno == 0 {
			a.fd = int32(le.Uint32(out))
		}
	case "openwith": // FD PATH OFLAGS BASE INHERITING
		ptr, n := arg(2)
		a.errno = pathOpen(m.fd(w[1]), 1, ptr, n, int32(number(w[3])), uint64(number(w[4])), uint64(number(w[5])), 0, at(out))
		if a.errno == 0 {
			a.fd = int32(le.Uint32(out))
		}
	case "read":
		iov := buffer(8)
		le.PutUint32(iov, at(out[16:]))
		le.PutUint32(iov[4:], 4096)
		if a.errno = fdRead(m.fd(w[1]), at(iov), 1, at(out)); a.errno == 0 {
			a.text = string(out[16 : 16+le.Uint32(out)])
		}
		runtime.KeepAlive(iov)
	case "pread":
		iov := buffer(8)
		le.PutUint32(iov, at(out[16:]))
		le.PutUint32(iov[4:], 4096)
		if a.errno = fdPread(m.fd(w[1]), at(iov), 1, number(w[2]), at(out)); a.errno == 0 {
			a.text = string(out[16 : 16+le.Uint32(out)])
		}
		runtime.KeepAlive(iov)
	case "write":
		iov := buffer(8)
		ptr, n := arg(2)
		le.PutUint32(iov, ptr)
		le.PutUint32(iov[4:], uint32(n))
		a.errno = fdWrite(m.fd(w[1]), at(iov), 1, at(out))
		runtime.KeepAlive(iov)
	case "close":
		a.errno = fdClose(m.fd(w[1]))
	case "renumber":
		a.errno = fdRenumber(m.fd(w[1]), m.fd(w[2]))
	case "rights":
		a.errno = fdFdstatSetRights(m.fd(w[1]), uint64(number(w[2])), uint64(number(w[3])))
	case "flags":
		a.errno = fdFdstatSetFlags(m.fd(w[1]), int32(number(w[2])))
	case "resize":
		a.errno = fdFilestatSetSize(m.fd(w[1]), number(w[2]))
	case "allocate":
		a.errno = fdAllocate(m.fd(w[1]), 0, number(w[2]))
	case "ftimes":
		a.errno = fdFilestatSetTimes(m.fd(w[1]), 1e9, 1e9, 5)
	case "fstat":
		if a.errno = fdFilestatGet(m.fd(w[1]), at(out)); a.errno == 0 {
			a.text = shape(out)
		}
	case "stat":
		ptr, n := arg(2)
		if a.errno = pathFilestatGet(m.fd(w[1]), follows(w, 3), ptr, n, at(out)); a.errno == 0 {
			a.text = shape(out)
		}
	case "ls":
		a.errno, a.text = list(m.fd(w[1]))
	case "mkdir":
		ptr, n := arg(2)
		a.errno = pathCreateDirectory(m.fd(w[1]), ptr, n)
	case "rmdir":
		ptr, n := arg(2)
		a.errno = pathRemoveDirectory(m.fd(w[1]), ptr, n)
	case "unlink":
		ptr, n := arg(2)
		a.errno = pathUnlinkFile(m.fd(w[1]), ptr, n)
	case "times":
		ptr, n := arg(2)
		a.errno = pathFilestatSetTimes(m.fd(w[1]), follows(w, 3), ptr, n, 1e9, 1e9, 5)
	case "rename":
		ptr, n := arg(2)
		ptr2, n2 := arg2(4)
		a.errno = pathRename(m.fd(w[1]), ptr, n, m.fd(w[3]), ptr2, n2)
	case "link":
		ptr, n := arg(2)
		ptr2, n2 := arg2(4)
		a.errno = pathLink(m.fd(w[1]), follows(w, 5), ptr, n, m.fd(w[3]), ptr2, n2)
	case "symlink":
		ptr, n := arg(1)
		ptr2, n2 := arg2(3)
		a.errno = pathSymlink(ptr, n, m.fd(w[2]), ptr2, n2)
	case "readlink":
		ptr, n := arg(2)
		if a.errno = pathReadlink(m.fd(w[1]), ptr, n, at(out[16:]), 4096, at(out)); a.errno == 0 {
			a.text = string(out[16 : 16+le.Uint32(out)])
		}
	default:
		a = m.memory(w)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(q)
	runtime.KeepAlive(out)
	return a
}

// shape is what a stat tells of an object, but for its times and numbers.
func shape(b []byte) string {
	return fmt.Sprintf("type %d links %d size %d", b[16], le.Uint64(b[24:]), le.Uint64(b[32:]))
}

// list reads a directory and returns its names, sorted.
func list(fd int32) (uint32, string) {
	buf := buffer(16 << 10)
	used := buffer(8)
	if errno := fdReaddir(fd, at(buf), int32(len(buf)), 0, at(used)); errno != 0 {
		return errno, ""
	}
	var names []string
	for b := buf[:le.Uint32(used)]; len(b) >= 24; {
		n := 24 + int(le.Uint32(b[16:]))
		if n > len(b) {
			break
		}
		names, b = append(names, string(b[24:n])), b[n:]
	}
	slices.Sort(names)
	runtime.KeepAlive(buf)
	return 0, strings.Join(names, " ")
}

// now is the monotonic clock.
func now() int64 {
	out := buffer(8)
	clockTimeGet(1, 1, at(out))
	return int64(le.Uint64(out))
}
