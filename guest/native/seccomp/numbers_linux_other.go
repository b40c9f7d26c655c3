//go:build linux && !amd64 && !arm64

package seccomp

// Nobody has gone through the calls of the other architectures, so that there is
// no filter for them and Assemble says so.
const (
	native = 0
	goarch = ""
)

var everywhere, here []number
