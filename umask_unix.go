//go:build unix && !linux

package agentos

import "golang.org/x/sys/unix"

// umask returns the process's umask. The system only tells it when it is changed; what
// another goroutine makes in that moment is closed to others.
func umask() uint32 {
	old := unix.Umask(0o077)
	unix.Umask(old)
	return uint32(old) & 0o777
}
