//go:build !linux

package mem

// populate does nothing where the host has no such call.
func populate([]byte) {}
