//go:build !amd64 && !arm64

package event

// counter is never called: see counterUsable.
func counter() uint64 { return uint64(monotonic()) }

// counterUsable reports that this architecture has no counter that we know.
func counterUsable() bool { return false }
