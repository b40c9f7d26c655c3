package view

import "github.com/agentos-kernel/agentos/guest"

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
	var b []byte
	for _, m := range mounts {
		b = append(b, byte('0'+m.Kind))
		for _, s := range []string{m.Guest, m.Host, m.Data} {
			if m.Kind == guest.Text && m.Guest == machineID && s == m.Data {
				s = ""
			}
			b = append(append(b, s...), 0)
		}
		for _, flag := range []bool{m.Write, m.Dir, m.Optional} {
			if flag {
				b = append(b, '+')
			} else {
				b = append(b, '-')
			}
		}
	}
	return string(b)
}

const (
	sourceDefault = "default"
	machineID     = "/etc/machine-id"
)
