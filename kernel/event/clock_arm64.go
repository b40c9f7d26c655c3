package event

import "runtime"

// counter reads the virtual counter of the generic timer.
//
//go:noescape
func counter() uint64

// counterUsable reports whether the counter may be read and trusted. The
// architecture gives it one constant rate for all processors; Linux names
// another clock source where an erratum says otherwise.
func counterUsable() bool {
	switch runtime.GOOS {
	case "darwin":
		return true
	case "linux":
		return clocksource() == "arch_sys_counter"
	}
	return false
}
