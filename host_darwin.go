package agentos

import "golang.org/x/sys/unix"

// hostMemory returns the size of the host's memory in bytes, 0 if unknown.
func hostMemory() uint64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return n
}

// resolution names how host paths are resolved here.
func resolution() string { return "beneath the granted directory (os.Root)" }
