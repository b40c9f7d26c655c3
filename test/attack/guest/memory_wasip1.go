package main

import (
	"fmt"
	"os"
	"runtime"
)

// memory makes calls whose arguments lie where no compiler would put them. FD is
// always a directory, PATH a path in it.
func (m *machine) memory(w []string) (a answer) {
	a.fd = -1
	b := buffer(64 << 10)
	defer runtime.KeepAlive(b)
	const everything = 1<<30 - 1 - 1<<6 // but writing
	switch w[0] {
	case "open-onto-path": // the descriptor is stored where the path is
		n := copy(b, w[2])
		a.errno = pathOpen(m.fd(w[1]), 1, at(b), int32(n), 0, everything, everything, 0, at(b))
		if a.errno == 0 {
			a.fd = int32(le.Uint32(b))
		}
	case "stat-onto-path": // the description is stored where the path is
		n := copy(b[20:], w[2])
		if a.errno = pathFilestatGet(m.fd(w[1]), 1, at(b[20:]), int32(n), at(b)); a.errno == 0 {
			a.text = shape(b)
		}
	case "readlink-onto-path": // FD PATH PATH: the target takes the place of the path, which is then opened as it is
		n := copy(b, w[2])
		a.errno = pathReadlink(m.fd(w[1]), at(b), int32(n), at(b), 4096, at(b[8192:]))
		if a.errno == 0 {
			a.errno = pathOpen(m.fd(w[1]), 1, at(b), int32(le.Uint32(b[8192:])), 0, everything, everything, 0, at(b[8192:]))
			if a.errno == 0 {
				a.fd = int32(le.Uint32(b[8192:]))
			}
		}
	case "rename-same-bytes": // both names are one buffer, of two lengths: FD PATH LENGTH
		n := copy(b, w[2])
		a.errno = pathRename(m.fd(w[1]), at(b), int32(number(w[3])), m.fd(w[1]), at(b), int32(n))
	case "read-onto-vectors": // what is read takes the place of the vectors that say where to
		le.PutUint32(b[0:], at(b))
		le.PutUint32(b[4:], 8)
		le.PutUint32(b[8:], at(b[4096:]))
		le.PutUint32(b[12:], 32)
		a.errno = fdRead(m.fd(w[1]), at(b), 2, at(b[64:]))
		a.text = fmt.Sprintf("%d %q", le.Uint32(b[64:]), b[4096:4096+32])
	case "read-count-onto-vectors":
		le.PutUint32(b[0:], at(b[4096:]))
		le.PutUint32(b[4:], 32)
		a.errno = fdRead(m.fd(w[1]), at(b), 1, at(b))
		a.text = fmt.Sprintf("%d", le.Uint32(b))
	case "readdir-onto-count":
		a.errno = fdReaddir(m.fd(w[1]), at(b), 4096, 0, at(b))
		a.text = fmt.Sprintf("%d", le.Uint32(b))
	case "open-at": // FD ADDRESS LENGTH
		a.errno = pathOpen(m.fd(w[1]), 1, uint32(number(w[2])), int32(uint32(number(w[3]))), 0, everything, everything, 0, at(b))
		if a.errno == 0 {
			a.fd = int32(le.Uint32(b))
		}
	case "open-result-at": // FD PATH ADDRESS: the descriptor must not be made if it cannot be told
		n := copy(b, w[2])
		a.errno = pathOpen(m.fd(w[1]), 1, at(b), int32(n), 1, everything, everything, 0, uint32(number(w[3])))
	case "read-at": // FD ADDRESS LENGTH
		le.PutUint32(b[0:], uint32(number(w[2])))
		le.PutUint32(b[4:], uint32(number(w[3])))
		a.errno = fdRead(m.fd(w[1]), at(b), 1, at(b[64:]))
		a.text = fmt.Sprint(le.Uint32(b[64:]))
	case "read-vectors": // FD COUNT
		a.errno = fdRead(m.fd(w[1]), at(b), int32(uint32(number(w[2]))), at(b[64:]))
	case "wait": // for a line of standard input, which the runtime has made not to wait
		if _, err := os.Stdin.Read(b); err != nil {
			a.errno = 29
		}
	case "args":
		a.text = fmt.Sprintf("%q", os.Args[:1])
	case "environ":
		a.text = fmt.Sprintf("%q", os.Environ())
	default:
		panic("no call " + w[0])
	}
	return a
}
