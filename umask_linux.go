package agentos

import (
	"bytes"
	"os"
	"strconv"
)

// umask returns the process's umask, or one that closes files to others where that
// is not known. Asking the system call would change it for a moment, for every
// goroutine.
func umask() uint32 {
	const unknown = 0o077
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return unknown
	}
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("Umask:")); ok {
			if n, err := strconv.ParseUint(string(bytes.TrimSpace(v)), 8, 32); err == nil {
				return uint32(n) & 0o777
			}
		}
	}
	return unknown
}
