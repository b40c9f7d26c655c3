package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticks are the units of time in /proc/PID/stat: USER_HZ is 100 on every
// architecture that Go runs Linux on.
const ticks = 100

// Descendants returns the processes beneath root, which is not among them, parents
// before their children. It is a picture of a moving thing: who forks while it is
// taken may be missing, and so is who was orphaned, unless root or one of its
// descendants is the subreaper (PR_SET_CHILD_SUBREAPER). Zombies are included.
func Descendants(root int) ([]int, error) {
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d/children", root, root)); err != nil {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", root)); err != nil {
			return nil, fmt.Errorf("process %d: %w", root, err)
		}
		return descendantsByParent(root)
	}
	return descendantsByChildren(root)
}

// KillTree ends all processes beneath root and then root, where no group and no pid
// namespace does. Root must be the subreaper of what it started, or who was
// orphaned is not found; it may reap, or leave that to whoever gets its zombies.
// Those that fork faster than they are found outlive it, with an error.
func KillTree(root int) error {
	if root == os.Getpid() || root <= 1 {
		return fmt.Errorf("process %d must not be killed", root)
	}
	top, err := unix.PidfdOpen(root, 0)
	if err != nil {
		if err == unix.ESRCH {
			return nil
		}
		return fmt.Errorf("opening process %d: %w", root, err)
	}
	defer drop(top)
	beneath := func() (map[int]bool, error) {
		ids, err := Descendants(root)
		if err != nil && !gone(err) {
			return nil, err
		}
		m := map[int]bool{}
		for _, id := range ids {
			if s, err := statOf(id); err == nil && s.state != 'Z' {
				m[id] = true
			}
		}
		return m, nil
	}
	end := time.Now().Add(patience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		m, err := beneath()
		if err != nil {
			return err
		}
		if len(m) == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v do not end", keys(m))
		}
		if err := killOpened(m, beneath); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	if err := unix.PidfdSendSignal(top, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("killing process %d: %w", root, err)
	}
	return nil
}

// descendantsByChildren follows the lists of children, which cost no more than the
// tree is large; not every kernel is built with them.
func descendantsByChildren(root int) ([]int, error) {
	all := []int{root}
	seen := map[int]bool{root: true}
	for i := 0; i < len(all); i++ {
		dir := fmt.Sprintf("/proc/%d/task", all[i])
		tasks, err := os.ReadDir(dir)
		if err != nil {
			if gone(err) {
				continue
			}
			return nil, err
		}
		for _, t := range tasks {
			text, err := os.ReadFile(dir + "/" + t.Name() + "/children")
			if err != nil {
				if gone(err) {
					continue
				}
				return nil, err
			}
			ids, err := numbers(string(text))
			if err != nil {
				return nil, fmt.Errorf("%s/%s/children: %w", dir, t.Name(), err)
			}
			for _, id := range ids {
				if !seen[id] {
					seen[id] = true
					all = append(all, id)
				}
			}
		}
	}
	return all[1:], nil
}

// descendantsByParent asks every process of the host for its parent.
func descendantsByParent(root int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := statOf(id)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		children[s.ppid] = append(children[s.ppid], id)
	}
	all := []int{root}
	seen := map[int]bool{root: true}
	for i := 0; i < len(all); i++ {
		for _, id := range children[all[i]] {
			if !seen[id] {
				seen[id] = true
				all = append(all, id)
			}
		}
	}
	return all[1:], nil
}

func statOf(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(string(text))
	if err != nil {
		return s, fmt.Errorf("process %d: %w", pid, err)
	}
	return s, nil
}

// gone reports whether an error means that the process has ended.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// TreeUsage adds up what processes consume, for hosts where no group does. Those
// that have ended meanwhile are left out, but the time and the bytes of children
// that a member waited for are in the member's. Memory is what is the processes'
// own (anonymous), without files mapped and without swap. The peaks are those of
// the caller's samples; here they equal the present. The error is of what could
// not be read, and the rest is in the sum.
func TreeUsage(pids []int) (Stats, error) {
	var sum Stats
	var errs []error
	page := uint64(os.Getpagesize())
	for _, pid := range pids {
		s, err := statOf(pid)
		if gone(err) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sum.CPU += time.Duration(s.own+s.waited) * (time.Second / ticks)
		sum.Pids += s.threads
		if s.state == 'Z' {
			continue // it has no memory and no descriptors any more
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err == nil {
			var n uint64
			n, err = anonymous(string(text))
			sum.Memory += n * page
		}
		if err != nil && !gone(err) {
			errs = append(errs, fmt.Errorf("process %d: %w", pid, err))
		}
		text, err = os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			// One that has made itself unreadable keeps its bytes to itself, and must
			// not get out of its limits by that.
			if !gone(err) && !errors.Is(err, unix.EACCES) {
				errs = append(errs, fmt.Errorf("process %d: %w", pid, err))
			}
			continue
		}
		r, _ := keyed(string(text), "rchar:")
		w, _ := keyed(string(text), "wchar:")
		sum.BytesRead += r
		sum.BytesWritten += w
	}
	sum.MemoryPeak, sum.PidsPeak = sum.Memory, sum.Pids
	return sum, errors.Join(errs...)
}

// anonymous returns the resident pages of a statm line that are no file's.
func anonymous(text string) (uint64, error) {
	f := strings.Fields(text)
	if len(f) < 3 {
		return 0, errors.New("not a line of /proc/PID/statm")
	}
	resident, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return 0, err
	}
	shared, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return 0, err
	}
	return resident - min(shared, resident), nil
}
