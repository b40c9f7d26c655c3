package view

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/agentos-kernel/agentos/guest"
)

// Writable returns the guest paths beneath which a program may change something,
// in the order of mounts: what it was granted for writing, its private space, and
// the two places whose entries are written to without changing a file. What is
// read-only inside them is held so by its mount.
func Writable(mounts []guest.Mount) []string {
	var paths []string
	for _, m := range mounts {
		switch m.Kind {
		case guest.Bind:
			if m.Write {
				paths = append(paths, m.Guest)
			}
		case guest.Private, guest.Devices, guest.Procs:
			paths = append(paths, m.Guest)
		case guest.Text, guest.Link, guest.Mask, guest.Frozen:
		}
	}
	return paths
}

// Split divides mounts into what every program of the same user has, which can be
// built before the program is known, and the rest. Nothing can be built ahead for a
// program that was granted a root of its own.
func Split(mounts []guest.Mount) (base, rest []guest.Mount) {
	n := 0
	for n < len(mounts) && mounts[n].Source == sourceDefault {
		n++
	}
	for _, m := range mounts {
		if m.Guest == "/" {
			return nil, mounts
		}
	}
	return mounts[:n:n], mounts[n:]
}

// Fingerprint is equal for two lists of mounts that build the same root. The
// machine's identity is left out: it is random, and any is as good as another.
func Fingerprint(mounts []guest.Mount) string {
	h := sha256.New()
	b := make([]byte, 0, 256) // of one mount, mostly
	for i := range mounts {
		m := &mounts[i]
		data := m.Data
		if m.Kind == guest.Text && m.Guest == machineID {
			data = ""
		}
		b = append(b[:0], byte('0'+m.Kind))
		for _, s := range [...]string{m.Guest, m.Host, data} {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
		for _, flag := range [...]bool{m.Write, m.Dir, m.Optional} {
			if flag {
				b = append(b, '+')
			} else {
				b = append(b, '-')
			}
		}
		h.Write(b)
	}
	return string(h.Sum(b[:0]))
}

const (
	sourceDefault = "default"
	machineID     = "/etc/machine-id"
)
