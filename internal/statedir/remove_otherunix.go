//go:build unix && !linux

package statedir

import "golang.org/x/sys/unix"

// chmodDirectory sets mode 0700 on name in parent, and on nothing that a symbolic
// link points to.
func chmodDirectory(parent int, name string) error {
	return unix.Fchmodat(parent, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
}
