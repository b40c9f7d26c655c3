//go:build !linux && !darwin

package agentos

// hostMemory returns the size of the host's memory in bytes, 0 if unknown.
func hostMemory() uint64 { return 0 }

// resolution names how host paths are resolved here.
func resolution() string { return "beneath the granted directory (os.Root)" }
