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

// leftover is the directory of a kernel's groups in one hierarchy.
type leftover struct {
	parent int // its parent's descriptor
	where  string
	v2     bool
}

// Sweep kills and removes the groups of kernels that are gone, which only the
// caller can tell from their ids, wherever this kernel would make its own, and in
// places, which are those of other kernels (Places). It goes on after an error.
func (h *Host) Sweep(dead func(kernelID string) bool, places ...string) (Swept, error) {
	var swept Swept
	var errs []error
	found := map[string][]leftover{}
	seen := map[string]bool{}
	for _, p := range append(h.Places(), places...) {
		if p = path.Clean(p); seen[p] {
			continue
		}
		seen[p] = true
		v2, fd, err := h.openPlace(p)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			errs = append(errs, &os.PathError{Op: "sweep", Path: p, Err: err})
			continue
		}
		defer drop(fd)
		ids, err := kernelsIn(fd, p)
		errs = append(errs, err)
		for _, id := range ids {
			if id != h.id {
				found[id] = append(found[id], leftover{fd, p, v2})
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if !dead(id) {
			continue
		}
		swept.Kernels = append(swept.Kernels, id)
		groups, killed, err := h.sweep(prefix+id, found[id])
		swept.Groups += groups
		swept.Killed += killed
		errs = append(errs, err)
	}
	return swept, errors.Join(errs...)
}

// sweep removes the directories of one kernel. All hierarchies are killed together,
// because what stops a fork bomb may be in another than what shows its members.
func (h *Host) sweep(name string, in []leftover) (groups, killed int, err error) {
	cells := make([]cell, 0, len(in))
	for _, l := range in {
		cells = append(cells, cell{l.parent, name, l.v2})
		below, err := beneath(l.parent, name)
		if err != nil && err != unix.ENOENT {
			return 0, 0, fmt.Errorf("sweeping %s: %w", path.Join(l.where, name), err)
		}
		// Freezers and counters of version 1 are in each group, not in the one above.
		for _, sub := range below {
			if !l.v2 {
				cells = append(cells, cell{l.parent, sub, false})
			}
		}
	}
	killed, err = killAll(cells)
	if err != nil {
		return 0, killed, fmt.Errorf("sweeping %s: %w", name, err)
	}
	var errs []error
	end := time.Now().Add(busy)
	for _, l := range in {
		if h.site.gone != nil {
			h.site.gone(path.Join(l.where, name))
		}
		n, err := removeGroup(l.parent, name, end)
		groups += n
		if err != nil {
			errs = append(errs, fmt.Errorf("control group %s is left behind: %w", path.Join(l.where, name), err))
		}
	}
	return groups, killed, errors.Join(errs...)
}

// openPlace opens a directory in which groups may be left and tells its version.
func (h *Host) openPlace(dir string) (v2 bool, fd int, err error) {
	fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, -1, err
	}
	if h.site.fake() {
		return exists(fd, "cgroup.controllers"), fd, nil
	}
	if isGroup(fd, true) == nil {
		return true, fd, nil
	}
	if err := isGroup(fd, false); err != nil {
		drop(fd)
		return false, -1, err
	}
	return false, fd, nil
}

// kernelsIn returns the ids of the kernels that have groups in a directory.
func kernelsIn(dir int, name string) ([]string, error) {
	fd, err := openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	entries, err := f.ReadDir(-1)
	// A directory that was only read.
	_ = f.Close()
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), prefix); ok && e.IsDir() && validName(id) {
			ids = append(ids, id)
		}
	}
	return ids, err
}
