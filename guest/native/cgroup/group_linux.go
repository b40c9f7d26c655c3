package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnavailable says that this host lets us make no groups at all.
var ErrUnavailable = errors.New("no control groups can be made here")

// Group is one control group in each hierarchy that the host has for us. It is
// used by any goroutine; after Close nothing but Close may be called.
type Group struct {
	host *Host
	id   string

	mu     sync.Mutex
	closed bool
	fd     int // of the version 2 directory, -1 until asked for
	// doors are the tasks files of the version 1 hierarchies, opened ahead because
	// the first opening of a new file costs as much as the move; they are closed by
	// the first thread that joins.
	doors []int
}

// Make makes a group without limits; id is a name like that of Probe. It is cheap
// enough to be done for each run (some 40 µs a hierarchy) and may be done ahead.
// With no hierarchy at all it returns ErrUnavailable.
func (h *Host) Make(id string) (*Group, error) {
	if len(h.trees) == 0 {
		return nil, ErrUnavailable
	}
	if !validName(id) {
		return nil, fmt.Errorf("%q cannot name a control group", id)
	}
	for i, t := range h.trees {
		if err := unix.Mkdirat(t.dir, id, 0o755); err != nil {
			err = &os.PathError{Op: "mkdir", Path: path.Join(t.path, id), Err: err}
			for _, t := range h.trees[:i] {
				err = errors.Join(err, h.remove(t, id, time.Now().Add(busy)))
			}
			return nil, err
		}
		h.made(path.Join(t.path, id))
	}
	g := &Group{host: h, id: id, fd: -1}
	for _, t := range h.trees {
		fd := -1
		if !t.v2 {
			var err error
			if fd, err = openat(t.dir, g.file("tasks"), unix.O_WRONLY); err != nil {
				err = &os.PathError{Op: "open", Path: path.Join(t.path, id, "tasks"), Err: err}
				return nil, errors.Join(err, g.Close())
			}
		}
		g.doors = append(g.doors, fd)
	}
	return g, nil
}

// New makes a group with limits. A limit that cannot be enforced is an error, an
// *Unenforced for each, and nothing is left; with bestEffort they are in missing
// instead, and the group is nil only if there can be none at all.
func (h *Host) New(id string, l Limits, bestEffort bool) (g *Group, missing []string, err error) {
	g, err = h.Make(id)
	if errors.Is(err, ErrUnavailable) {
		if err = h.Lacking(l); err == nil {
			return nil, nil, ErrUnavailable
		}
	} else if err != nil {
		return nil, nil, err
	} else {
		err = g.Limit(l)
	}
	if err == nil {
		return g, nil, nil
	}
	if !bestEffort {
		if g != nil {
			err = errors.Join(err, g.Close())
		}
		return nil, nil, err
	}
	for _, u := range Unmet(err) {
		missing = append(missing, u.Error())
	}
	return g, missing, nil
}

// Unmet returns every *Unenforced in an error of Limit or New.
func Unmet(err error) []*Unenforced {
	if u, ok := err.(*Unenforced); ok {
		return []*Unenforced{u}
	}
	var us []*Unenforced
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			us = append(us, Unmet(err)...)
		}
	case interface{ Unwrap() error }:
		us = Unmet(e.Unwrap())
	}
	return us
}

// file is the path of a control file of the group from its tree's directory.
func (g *Group) file(name string) string { return g.id + "/" + name }

// ID is the name that the group was made with.
func (g *Group) ID() string { return g.id }

// JoinThread puts a thread of this process into the version 1 hierarchies; what it
// forks is born inside. Do it on that very thread: then it takes 10 µs a hierarchy
// because the kernel has nothing to wait for. For another thread the first write
// waits for an RCU grace period, several milliseconds.
//
// While the thread is inside it counts as one of Pids, and Freeze refuses.
func (g *Group) JoinThread(tid int) error {
	g.mu.Lock()
	doors := g.doors
	g.doors = nil
	g.mu.Unlock()
	defer shut(doors)
	for i, t := range g.host.trees {
		if t.v2 {
			continue // a thread cannot leave its process there
		}
		var err error
		if doors != nil {
			err = write(doors[i], self(tid))
		} else {
			err = put(t.dir, g.file("tasks"), self(tid))
		}
		if err != nil {
			return fmt.Errorf("thread %d does not enter %s: %w", tid, path.Join(t.path, g.id), err)
		}
	}
	return nil
}

// LeaveThread puts a thread back to where the process was at Probe.
func (g *Group) LeaveThread(tid int) error {
	var errs []error
	for _, t := range g.host.trees {
		if t.v2 {
			continue
		}
		if err := write(t.back, self(tid)); err != nil {
			errs = append(errs, fmt.Errorf("thread %d does not leave %s: %w", tid, path.Join(t.path, g.id), err))
		}
	}
	return errors.Join(errs...)
}

// shut closes what is open of some descriptors.
func shut(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			drop(fd)
		}
	}
}

// self is how a thread names itself, which spares the kernel a global lock.
func self(tid int) string {
	if tid == unix.Gettid() {
		return "0"
	}
	return strconv.Itoa(tid)
}

// JoinProcess puts each process with all of its threads, but not the children that it
// has already, into every hierarchy where it is not yet. If there is anything to do
// it waits for an RCU grace period (6.6 ms where it was measured): a process that
// is born inside, by JoinThread and Fd, costs nothing.
func (g *Group) JoinProcess(pids ...int) error {
	for _, pid := range pids {
		if pid <= 0 || pid == os.Getpid() {
			return fmt.Errorf("process %d must not enter a group", pid)
		}
	}
	for _, t := range g.host.trees {
		there, err := members(t.dir, g.id)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if there[pid] {
				continue
			}
			if err := put(t.dir, g.file("cgroup.procs"), strconv.Itoa(pid)); err != nil {
				return fmt.Errorf("process %d does not enter %s: %w", pid, path.Join(t.path, g.id), err)
			}
		}
	}
	return nil
}

// Fd returns the group's directory in the version 2 hierarchy, for CLONE_INTO_CGROUP
// (syscall.SysProcAttr.CgroupFD); false if the host has none. It is the group's and
// open until Close. Use it before the thread enters a cgroup namespace: where the
// hierarchy is mounted with nsdelegate, as systemd does, nothing is born outside of
// the namespace's root, and a group beside our own is outside (ENOENT).
func (g *Group) Fd() (int, bool) {
	t := g.host.leaf()
	if t == nil {
		return -1, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return -1, false
	}
	if g.fd < 0 {
		fd, err := openat(t.dir, g.id, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return -1, false
		}
		g.fd = fd
	}
	return g.fd, true
}

// members returns the processes in a group, other than ourselves: with only a
// thread inside, version 1 shows the whole process.
func members(dir int, group string) (map[int]bool, error) {
	text, err := get(dir, group+"/cgroup.procs")
	if err != nil {
		return nil, fmt.Errorf("members of %s: %w", group, err)
	}
	ids, err := numbers(text)
	if err != nil {
		return nil, fmt.Errorf("members of %s: %w", group, err)
	}
	m := make(map[int]bool, len(ids))
	for _, id := range ids {
		if id != os.Getpid() {
			m[id] = true
		}
	}
	return m, nil
}

// Members returns the ids of the processes inside, in no order.
func (g *Group) Members() ([]int, error) {
	all := map[int]bool{}
	for _, t := range g.host.trees {
		m, err := members(t.dir, g.id)
		if err != nil {
			return nil, err
		}
		for id := range m {
			all[id] = true
		}
	}
	ids := make([]int, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	return ids, nil
}

// Empty reports whether no process but our own is inside. A group that cannot be
// read is not empty; one that is removed is.
func (g *Group) Empty() bool {
	for _, t := range g.host.trees {
		if m, err := all(t.dir, g.id); err != nil || len(m) > 0 {
			return false
		}
	}
	return true
}

// Wait returns when the group is empty, or with the context's error.
func (g *Group) Wait(ctx context.Context) error {
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if g.Empty() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// busy is how long Close waits for the dead to leave: the kernel takes them out
// of their group some time after their parent has been told.
const busy = 2 * time.Second

// Close removes the group. It kills nobody: with processes inside it fails after a
// while, names them, and may be called again.
func (g *Group) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	shut(append(g.doors, g.fd))
	g.doors, g.fd = nil, -1
	var errs []error
	end := time.Now().Add(busy)
	for _, t := range g.host.trees {
		errs = append(errs, g.host.remove(t, g.id, end))
	}
	err := errors.Join(errs...)
	g.closed = err == nil
	return err
}

// remove removes a group of a tree, and what was made beneath it.
func (h *Host) remove(t *tree, group string, end time.Time) error {
	if h.site.gone != nil {
		h.site.gone(path.Join(t.path, group))
	}
	_, err := removeGroup(t.dir, group, end)
	if err != nil {
		return fmt.Errorf("control group %s is left behind: %w", path.Join(t.path, group), err)
	}
	return nil
}

// removeGroup returns how many directories it removed.
func removeGroup(dir int, group string, end time.Time) (int, error) {
	removed := 0
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err := unix.Unlinkat(dir, group, unix.AT_REMOVEDIR)
		switch err {
		case nil:
			return removed + 1, nil
		case unix.ENOENT:
			return removed, nil
		case unix.EBUSY, unix.EINTR, unix.ENOTEMPTY:
		default:
			return removed, err
		}
		below, lerr := beneath(dir, group)
		if lerr != nil && lerr != unix.ENOENT {
			return removed, lerr
		}
		for _, sub := range below {
			if unix.Unlinkat(dir, sub, unix.AT_REMOVEDIR) == nil {
				removed++
			}
		}
		if time.Now().After(end) {
			if m, merr := members(dir, group); merr == nil && len(m) > 0 {
				return removed, fmt.Errorf("%w: processes %v are inside", err, keys(m))
			}
			return removed, err
		}
		time.Sleep(pause)
	}
}
