//go:build unix

package statedir

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// flock applies a lock to the open file. Such a lock belongs to the open file
// description: it ends with the process however that ends, and is not inherited
// by programs it executes, since every descriptor is close-on-exec.
func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lerr error
	if err := conn.Control(func(fd uintptr) {
		for {
			if lerr = unix.Flock(int(fd), how); !errors.Is(lerr, unix.EINTR) {
				return
			}
		}
	}); err != nil {
		return err
	}
	return lerr
}

// lockExclusive takes the lock of a live kernel. It reports false if anyone holds
// the lock in any way.
func lockExclusive(f *os.File) (bool, error) { return locked(flock(f, unix.LOCK_EX|unix.LOCK_NB)) }

// lockShared takes the proof of death. It reports false while a kernel lives.
func lockShared(f *os.File) (bool, error) { return locked(flock(f, unix.LOCK_SH|unix.LOCK_NB)) }

// processGone reports whether no process has the number pid.
func processGone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

func locked(err error) (bool, error) {
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// lockWait takes an exclusive lock within d. It polls, since a blocking flock
// could not be given up.
func lockWait(f *os.File, d time.Duration) error {
	for deadline := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		ok, err := lockExclusive(f)
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return unix.EWOULDBLOCK
		}
	}
}

func unlock(f *os.File) error { return flock(f, unix.LOCK_UN) }
