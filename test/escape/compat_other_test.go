//go:build linux && !amd64

package escape

const compat = false
