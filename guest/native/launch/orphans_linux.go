package launch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/cgroup"
)

// killPatience is how long it is tried to kill what forks.
const killPatience = 10 * time.Second

// killOrphans ends and reaps every descendant of this process but the starter, which is
// reaped elsewhere. Without a pid namespace nobody does that at once: they are stopped
// in rounds until no new one is found, then killed.
func (c *cell) killOrphans() error {
	c.ending.Lock() // two would reap from each other
	defer c.ending.Unlock()
	end := time.Now().Add(killPatience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		alive, err := c.round()
		if err != nil || alive == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes do not end, or fork faster than they are found", alive)
		}
		time.Sleep(pause)
	}
}

// round stops what it finds until there is nothing new, kills it, and reaps what is
// dead. It returns how many it found.
func (c *cell) round() (int, error) {
	opened := map[int]int{} // pid → pidfd
	defer func() {
		for _, fd := range opened {
			_ = unix.Close(fd) // without contents
		}
	}()
	for range 20 {
		fresh, err := c.stopNew(opened)
		if err != nil {
			return 0, err
		}
		if !fresh {
			break
		}
	}
	var errs []error
	for pid, fd := range opened {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			errs = append(errs, fmt.Errorf("killing %d: %w", pid, err))
		}
	}
	return len(opened), errors.Join(append(errs, c.reap())...)
}

// stopNew stops the descendants that are not among opened and adds them. Of each a
// handle is opened and then it is looked whether it still is one of ours, since its
// number may have been given to another meanwhile.
func (c *cell) stopNew(opened map[int]int) (fresh bool, err error) {
	pids, err := cgroup.Descendants(os.Getpid())
	if err != nil {
		return false, err
	}
	handles := map[int]int{}
	for _, pid := range pids {
		if _, ok := opened[pid]; ok || c.starter != nil && pid == c.starter.pid {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH || err == unix.EINVAL {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("pidfd_open: %w", err)
		}
		handles[pid] = fd
	}
	again, err := cgroup.Descendants(os.Getpid())
	for _, pid := range again {
		fd, ok := handles[pid]
		if !ok {
			continue
		}
		delete(handles, pid)
		opened[pid] = fd
		if serr := unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0); serr == nil {
			fresh = true
		}
	}
	for _, fd := range handles {
		_ = unix.Close(fd) // without contents
	}
	return fresh, err
}

// reap takes the dead children of this process.
func (c *cell) reap() error {
	pids, err := cgroup.Descendants(os.Getpid())
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if c.starter != nil && pid == c.starter.pid {
			continue
		}
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo == 0 {
			continue // no child of ours, or not dead
		}
		used := readIO(pid) // as a zombie it still shows that
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if err == nil && got == pid {
			c.orphans.read += used.read
			c.orphans.written += used.written
		}
	}
	return nil
}

// reapAll reaps orphans while the tree lives, which would otherwise count as processes.
func (c *cell) reapAll() error {
	if !c.l.o.Alone || !c.ending.TryLock() {
		return nil
	}
	defer c.ending.Unlock()
	return c.reap()
}
