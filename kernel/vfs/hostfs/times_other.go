//go:build unix && !darwin && !freebsd && !netbsd && (!linux || hostfs_portable)

package hostfs

import "syscall"

// statTimes returns the times of access and of change, in ns since 1970.
func statTimes(st *syscall.Stat_t) (atime, ctime int64) {
	return st.Atim.Nano(), st.Ctim.Nano()
}
