package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long Kill and Freeze wait for the kernel to have done it.
const patience = 5 * time.Second

// Kill ends every process inside, whatever it is doing and however it got there,
// and returns when they are gone from the group. Where the whole group cannot be
// killed at once it can make no more processes from now on: a group that was
// killed is of no further use.
func (g *Group) Kill() error {
	var errs []error
	for _, t := range g.host.trees {
		if _, err := killGroup(t.dir, g.id, t.v2); err != nil {
			errs = append(errs, fmt.Errorf("control group %s: %w", path.Join(t.path, g.id), err))
		}
	}
	return errors.Join(errs...)
}

// killGroup kills what is in a group and in those beneath it, and returns how many
// processes it found.
func killGroup(dir int, group string, v2 bool) (int, error) {
	found := map[int]bool{}
	atOnce := false
	if v2 {
		m, err := all(dir, group)
		if err != nil || len(m) == 0 {
			return 0, err
		}
		maps.Copy(found, m)
		err = put(dir, group+"/cgroup.kill", "1")
		if err != nil && err != unix.ENOENT {
			return 0, fmt.Errorf("cgroup.kill: %w", err)
		}
		atOnce = err == nil
	}
	frozen := false
	end := time.Now().Add(patience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		m, err := all(dir, group)
		if err == nil && len(m) == 0 {
			if frozen {
				err = thaw(dir, group, v2)
			}
			return len(found), err
		}
		if err != nil {
			return len(found), err
		}
		maps.Copy(found, m)
		if time.Now().After(end) {
			return len(found), fmt.Errorf("processes %v do not end", keys(m))
		}
		if !atOnce {
			// No forks from here on, by whichever of the two the hierarchy has. A
			// thread of our own that is inside must not be frozen: the whole process
			// would stop at the next garbage collection, this goroutine with it.
			if !v2 || len(found) == len(m) {
				frozen = (frozen || !ours(dir, group)) && freeze(dir, group, v2) == nil
			}
			if err := put(dir, group+"/pids.max", "0"); err != nil && err != unix.ENOENT {
				return len(found), fmt.Errorf("pids.max: %w", err)
			}
			if err := killMembers(dir, group, m); err != nil {
				return len(found), err
			}
			if frozen {
				// The frozen do not die.
				if err := thaw(dir, group, v2); err != nil {
					return len(found), err
				}
			}
		}
		time.Sleep(pause)
	}
}

// killMembers signals processes that are members: a number may have become that of
// a stranger since it was read, so each is opened and looked for once more before
// it is signalled through what was opened.
func killMembers(dir int, group string, m map[int]bool) error {
	fds := make(map[int]int, len(m))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for id := range m {
		fd, err := unix.PidfdOpen(id, 0)
		switch err {
		case nil:
			fds[id] = fd
		case unix.ESRCH, unix.EINVAL: // gone, or a thread whose leader is gone
		case unix.EMFILE, unix.ENFILE:
			if len(fds) == 0 {
				return fmt.Errorf("opening process %d: %w", id, err)
			}
		default:
			return fmt.Errorf("opening process %d: %w", id, err)
		}
	}
	again, err := all(dir, group)
	if err != nil {
		return err
	}
	for id, fd := range fds {
		if !again[id] {
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("killing process %d: %w", id, err)
		}
	}
	return nil
}

// all returns the members of a group and of those beneath it; a group that is not
// there has none.
func all(dir int, group string) (map[int]bool, error) {
	m, err := members(dir, group)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	below, err := beneath(dir, group)
	if err != nil && err != unix.ENOENT {
		return nil, err
	}
	for _, sub := range below {
		more, err := members(dir, sub)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return nil, err
		}
		maps.Copy(m, more)
	}
	return m, nil
}

// beneath returns the groups beneath a group, the deepest first.
func beneath(dir int, group string) ([]string, error) {
	fd, err := openat(dir, group, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), group)
	entries, err := f.ReadDir(-1)
	// A directory that was only read.
	_ = f.Close()
	if err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) {
			return nil, errno
		}
		return nil, err
	}
	var below []string
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub := group + "/" + e.Name()
		deeper, err := beneath(dir, sub)
		if err != nil && err != unix.ENOENT {
			return nil, err
		}
		below = append(append(below, deeper...), sub)
	}
	return below, nil
}

// ours reports whether a thread of this process is in a group.
func ours(dir int, group string) bool {
	text, err := get(dir, group+"/tasks")
	if err != nil {
		return false // version 2 has no single threads
	}
	ids, err := numbers(text)
	return err != nil || slices.ContainsFunc(ids, func(tid int) bool {
		return unix.Tgkill(os.Getpid(), tid, 0) == nil
	})
}

// freeze asks for a group to stop; frozen tells whether it has.
func freeze(dir int, group string, v2 bool) error {
	if v2 {
		return put(dir, group+"/cgroup.freeze", "1")
	}
	return put(dir, group+"/freezer.state", "FROZEN")
}

func thaw(dir int, group string, v2 bool) error {
	if v2 {
		return put(dir, group+"/cgroup.freeze", "0")
	}
	return put(dir, group+"/freezer.state", "THAWED")
}

func frozen(dir int, group string, v2 bool) (bool, error) {
	if v2 {
		text, err := get(dir, group+"/cgroup.events")
		n, _ := keyed(text, "frozen")
		return n == 1, err
	}
	text, err := get(dir, group+"/freezer.state")
	return strings.TrimSpace(text) == "FROZEN", err
}

// freezers are the trees of the host whose groups can be frozen.
func (h *Host) freezers() []*tree {
	var ts []*tree
	for _, t := range h.trees {
		if slices.Contains(t.has, freezer) {
			ts = append(ts, t)
		}
	}
	return ts
}

// Freeze stops every process inside and returns when they have stopped. If they
// do not, they are thawed again. It refuses while a thread of our own is inside.
func (g *Group) Freeze() error {
	ts := g.host.freezers()
	if len(ts) == 0 {
		return fmt.Errorf("the group cannot be frozen: %s", g.host.why[freezer].why)
	}
	for _, t := range ts {
		if ours(t.dir, g.id) {
			return errors.New("the group cannot be frozen: a thread of this process is inside")
		}
	}
	end := time.Now().Add(patience)
	for _, t := range ts {
		if err := freeze(t.dir, g.id, t.v2); err != nil {
			return errors.Join(fmt.Errorf("freezing %s: %w", path.Join(t.path, g.id), err), g.Thaw())
		}
		for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
			is, err := frozen(t.dir, g.id, t.v2)
			if err != nil {
				return errors.Join(err, g.Thaw())
			}
			if is {
				break
			}
			if time.Now().After(end) {
				return errors.Join(fmt.Errorf("%s does not freeze", path.Join(t.path, g.id)), g.Thaw())
			}
			time.Sleep(pause)
			// A version 1 group that was freezing while it forked is asked again.
			if !t.v2 {
				if err := freeze(t.dir, g.id, false); err != nil {
					return errors.Join(err, g.Thaw())
				}
			}
		}
	}
	return nil
}

// Thaw lets the processes inside go on. It is harmless to a group that runs.
func (g *Group) Thaw() error {
	var errs []error
	for _, t := range g.host.freezers() {
		if err := thaw(t.dir, g.id, t.v2); err != nil {
			errs = append(errs, fmt.Errorf("thawing %s: %w", path.Join(t.path, g.id), err))
		}
	}
	return errors.Join(errs...)
}

func keys(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }
