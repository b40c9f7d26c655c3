//go:build !linux

package gobuild

// syncTree does nothing: where there are no native programs nothing is compiled.
func syncTree(string) error { return nil }
