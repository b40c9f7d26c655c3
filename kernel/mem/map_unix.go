//go:build unix

package mem

import "golang.org/x/sys/unix"

// reserve maps n bytes that cannot be touched and cost nothing.
func reserve(n uint64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(n), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|noReserve)
}

// commit makes a part of a reservation usable. The host backs it by zero pages
// as they are touched.
func commit(b []byte) error { return unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE) }

// unreserve returns a whole reservation.
func unreserve(b []byte) error { return unix.Munmap(b) }
