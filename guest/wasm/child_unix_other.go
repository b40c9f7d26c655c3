//go:build unix && !linux

package wasm

// confineMemory has no limit to set here; watchMemory is what bounds the child.
func confineMemory(uint64) error { return nil }
