package agentos

import "golang.org/x/sys/unix"

// hostMemory returns the size of the host's memory in bytes, 0 if unknown.
func hostMemory() uint64 {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0
	}
	return uint64(si.Totalram) * uint64(si.Unit)
}

// resolution names how host paths are resolved here.
func resolution() string {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, ".", &how)
	if err != nil {
		return "by handle, a component at a time (openat2 is not available: " + err.Error() + ")"
	}
	_ = unix.Close(fd) // only a probe
	return "by handle (openat2: beneath, no links)"
}
