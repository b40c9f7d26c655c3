package seccomp

import "golang.org/x/sys/unix"

const (
	// native is how the kernel names the architecture of a call to a filter.
	native = unix.AUDIT_ARCH_AARCH64
	goarch = "arm64"
)

// here are the calls that only arm64 has.
var here = []number{}
