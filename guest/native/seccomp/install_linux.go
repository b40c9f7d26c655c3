package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Install puts a filter on the calling thread, for good, and on what it starts.
// The thread must be locked to its goroutine and never be unlocked, or the filter
// would come upon whatever goroutine runs there next; it must have
// no_new_privs.
//
// With listener it returns the descriptor on which notifications are read, close
// on exec, in the table of the calling process; the caller closes it, upon which
// every notified call fails with ENOSYS. Without, it returns -1.
func Install(f []unix.SockFilter, listener bool) (fd int, err error) {
	if len(f) == 0 || len(f) > maxFilter {
		return -1, fmt.Errorf("installing a filter of %d instructions: %w", len(f), unix.EINVAL)
	}
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	// Without SPEC_ALLOW some kernels turn off speculation past stores for every
	// filtered program, which no other process gains from.
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	if listener {
		// Once a notification has been read only a deadly signal may end the wait
		// for the answer: otherwise a call that was carried out for the program
		// would be begun again.
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	r, err := set(flags, &prog)
	if listener && errors.Is(err, unix.EINVAL) {
		r, err = set(flags&^unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog) // before Linux 5.19
	}
	runtime.KeepAlive(f)
	if err != nil {
		return -1, fmt.Errorf("installing a filter of %d instructions: %w", len(f), err)
	}
	if !listener {
		return -1, nil
	}
	return r, nil
}

func set(flags uintptr, prog *unix.SockFprog) (int, error) {
	r, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}
