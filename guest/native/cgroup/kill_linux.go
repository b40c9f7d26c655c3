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

// settle is how long a kill waits for a freezer before it kills what has stopped.
const settle = 20 * time.Millisecond

// trust is for how many rounds a kill relies on the kernel to have killed a group
// at once, or to have kept it from forking, before it does all that it can.
const trust = 10

// cell is a group in one hierarchy.
type cell struct {
	dir   int // of the directory that group is relative to
	group string
	v2    bool
}

func (g *Group) cells() []cell {
	cs := make([]cell, 0, len(g.host.trees))
	for _, t := range g.host.trees {
		cs = append(cs, cell{t.dir, g.id, t.v2})
	}
	return cs
}

// Kill ends every process inside, whatever it is doing and however it got there,
// and returns when they are gone from the group. The group may be unable to have
// new processes from then on.
func (g *Group) Kill() error {
	if _, err := killAll(g.cells()); err != nil {
		return fmt.Errorf("control group %s: %w", g.id, err)
	}
	return nil
}

// killAll kills what is in any of the cells, which are one group in several
// hierarchies, and beneath them; it returns how many processes it found. A
// version 2 group does it by itself. Elsewhere the members are killed one by one,
// in rounds: to win against those that fork meanwhile, they are forbidden to, and
// stopped, by whichever of the cells can.
func killAll(cells []cell) (int, error) {
	found := map[int]bool{}
	end := time.Now().Add(patience)
	pause := 100 * time.Microsecond
	for round := 0; ; round++ {
		var full []cell
		now := map[int]bool{}
		for _, c := range cells {
			m, err := all(c.dir, c.group)
			if err != nil {
				return len(found), err
			}
			if len(m) > 0 {
				full = append(full, c)
				maps.Copy(now, m)
			}
		}
		maps.Copy(found, now)
		if len(full) == 0 {
			return len(found), nil
		}
		if time.Now().After(end) {
			return len(found), fmt.Errorf("processes %v do not end", keys(now))
		}
		if err := killOnce(full, round > trust); err != nil {
			return len(found), err
		}
		time.Sleep(pause)
		pause = min(2*pause, 10*time.Millisecond)
	}
}

// killOnce is a round of killAll.
func killOnce(cells []cell, doubt bool) (err error) {
	atOnce, noForks := false, false
	for _, c := range cells {
		if !c.v2 {
			continue
		}
		switch err := put(c.dir, c.group+"/cgroup.kill", "1"); err {
		case nil:
			atOnce = true
		case unix.ENOENT: // Linux before 5.14
		default:
			return fmt.Errorf("cgroup.kill: %w", err)
		}
	}
	for _, c := range cells {
		// Those that version 1 has frozen do not die of it.
		if err := thaw(c.dir, c.group, c.v2); err != nil && err != unix.ENOENT {
			return fmt.Errorf("thawing: %w", err)
		}
	}
	if atOnce && !doubt {
		return nil
	}
	for _, c := range cells {
		switch err := put(c.dir, c.group+"/pids.max", "0"); err {
		case nil:
			noForks = true
		case unix.ENOENT: // not the hierarchy of pids
		default:
			return fmt.Errorf("pids.max: %w", err)
		}
	}
	for _, c := range cells {
		// With a thread of our own inside, the whole process would stop at its next
		// garbage collection, and this goroutine with it.
		if noForks && !doubt || ours(c.dir, c.group) || freeze(c.dir, c.group, c.v2) != nil {
			continue
		}
		defer func() { err = errors.Join(err, thaw(c.dir, c.group, c.v2)) }()
		for until := time.Now().Add(settle); time.Now().Before(until); time.Sleep(50 * time.Microsecond) {
			if is, err := frozen(c.dir, c.group, c.v2); is || err != nil {
				break
			}
		}
	}
	for _, c := range cells {
		if err := killMembers(c.dir, c.group); err != nil {
			return err
		}
	}
	return nil
}

// killMembers signals every process in a group and in those beneath it.
func killMembers(dir int, group string) error {
	m, err := all(dir, group)
	if err != nil {
		return err
	}
	return killOpened(m, func() (map[int]bool, error) { return all(dir, group) })
}

// killOpened signals processes. The number of one may have become that of a
// stranger since it was read, so each is opened, and is signalled through what was
// opened if it is still one of those that look finds.
func killOpened(m map[int]bool, look func() (map[int]bool, error)) error {
	fds := make(map[int]int, len(m))
	defer func() {
		for _, fd := range fds {
			drop(fd)
		}
	}()
	for id := range m {
		fd, err := unix.PidfdOpen(id, 0)
		switch err {
		case nil:
			fds[id] = fd
			continue
		case unix.ESRCH, unix.EINVAL, unix.ENOENT: // gone, or a thread whose leader is gone
			continue
		case unix.EMFILE, unix.ENFILE:
			if len(fds) > 0 {
				break // these first, the others in the next round
			}
			return fmt.Errorf("opening process %d: %w", id, err)
		default:
			return fmt.Errorf("opening process %d: %w", id, err)
		}
		break
	}
	again, err := look()
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
	var st unix.Stat_t
	if err := unix.Fstatat(dir, group, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	if st.Nlink == 2 {
		return nil, nil // each directory in it would be one more link
	}
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

// freezer returns the hierarchy in which the group is to be frozen: that with the
// most of its processes, because what is frozen in one never gets to where it
// freezes in the other.
func (g *Group) freezer() (*tree, error) {
	var best *tree
	most := -1
	for _, t := range g.host.trees {
		if !slices.Contains(t.has, freezer) {
			continue
		}
		m, err := members(t.dir, g.id)
		if err != nil {
			return nil, err
		}
		if len(m) > most || len(m) == most && t.v2 {
			best, most = t, len(m)
		}
	}
	if best == nil {
		return nil, fmt.Errorf("the group cannot be frozen: %s", g.host.why[freezer].why)
	}
	return best, nil
}

// Freeze stops every process inside and returns when they have stopped. If they
// do not, they are thawed again. It refuses while a thread of our own is inside.
func (g *Group) Freeze() error {
	t, err := g.freezer()
	if err != nil {
		return err
	}
	if ours(t.dir, g.id) {
		return errors.New("the group cannot be frozen: a thread of this process is inside")
	}
	end := time.Now().Add(patience)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		// A version 1 group that forked while it froze must be asked again.
		if err := freeze(t.dir, g.id, t.v2); err != nil {
			return errors.Join(fmt.Errorf("freezing %s: %w", path.Join(t.path, g.id), err), g.Thaw())
		}
		is, err := frozen(t.dir, g.id, t.v2)
		if err != nil {
			return errors.Join(err, g.Thaw())
		}
		if is {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("%s does not freeze", path.Join(t.path, g.id)), g.Thaw())
		}
		time.Sleep(pause)
	}
}

// Thaw lets the processes inside go on. It is harmless to a group that runs.
func (g *Group) Thaw() error {
	var errs []error
	for _, t := range g.host.trees {
		if !slices.Contains(t.has, freezer) {
			continue
		}
		if err := thaw(t.dir, g.id, t.v2); err != nil {
			errs = append(errs, fmt.Errorf("thawing %s: %w", path.Join(t.path, g.id), err))
		}
	}
	return errors.Join(errs...)
}

func keys(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }
