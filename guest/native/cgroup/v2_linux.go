package cgroup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// growV2 finds the place for our groups in the version 2 hierarchy.
//
// A group, other than the root of all, that has controllers enabled for its
// children may have no processes of its own. We are a process in home: so unless
// home is the root our groups go beside it, beneath its parent, where that is ours
// too, which is what a delegated session of systemd looks like. Moving
// ourselves, or others, out of the way is not done: whoever put us here counts on
// finding us here.
func (h *Host) growV2(t *tree, home string, want []string, noLeaf bool) reason {
	limits := slices.DeleteFunc(slices.Clone(want), func(c string) bool { return c != cpu && c != memory && c != pids })
	there := list(t.home, "cgroup.controllers")
	absent := reason{"the kernel does not offer it to " + home, "enable it in the cgroup.subtree_control of every group above"}
	var have []string
	for _, c := range limits {
		if slices.Contains(there, c) {
			have = append(have, c)
		} else if _, blamed := h.why[c]; blamed && h.by[c] == nil {
			h.why[c] = absent
		}
	}
	if len(have) == 0 && noLeaf && h.by[freezer] != nil && h.by[cpuacct] != nil {
		return reason{"left out on request", ""}
	}
	why := h.enable(t.home, home, have)
	if len(have) == 0 || len(why) < len(have) {
		// With no controllers to enable a group beneath our own is as good.
		if r := h.grow(t, home); t.path == "" {
			return r
		}
	} else if beside, r := h.beside(t, home, have); beside {
		why = r
	} else {
		// None of the limits, but freezing and killing work beneath our own group.
		if r := h.grow(t, home); t.path == "" {
			return r
		}
		for c := range r {
			why[c] = r[c]
		}
	}
	for c, r := range h.enable(t.dir, t.path, have) {
		if _, known := why[c]; !known {
			why[c] = r
		}
	}
	inside := list(t.dir, "cgroup.subtree_control")
	for _, c := range have {
		if slices.Contains(inside, c) {
			t.has = append(t.has, c)
		} else {
			h.why[c] = why[c]
		}
	}
	t.has = append(t.has, cpuacct) // cpu.stat is in every group
	for name, file := range map[string]string{freezer: "cgroup.freeze", kill: "cgroup.kill"} {
		if exists(t.dir, file) {
			t.has = append(t.has, name)
		} else {
			h.why[name] = reason{"this kernel has no " + file, "Linux 5.14 or later has it"}
		}
	}
	return reason{}
}

// beside makes our directory next to home and enables the controllers there.
func (h *Host) beside(t *tree, home string, have []string) (bool, map[string]reason) {
	all := func(r reason) (bool, map[string]reason) {
		m := map[string]reason{}
		for _, c := range have {
			m[c] = r
		}
		return false, m
	}
	parent := path.Dir(home)
	fd, err := h.openDir(parent, true)
	if err == nil && !exists(fd, "cgroup.procs") {
		drop(fd)
		err = unix.ENOTDIR
	}
	if err != nil {
		return all(reason{home + " has processes of its own and nothing above it is visible",
			fmt.Sprintf("move them into a group of their own first: mkdir %[1]s/init && for p in $(cat %[1]s/cgroup.procs); do echo $p >%[1]s/init/cgroup.procs; done", home)})
	}
	defer drop(fd)
	// Moving a process from home to its sibling needs the right to write there.
	if err := unix.Faccessat(fd, "cgroup.procs", unix.W_OK, unix.AT_EACCESS); err != nil {
		return all(reason{home + " has processes of its own and " + parent + " is not ours", delegate})
	}
	why := h.enable(fd, parent, have)
	if len(why) == len(have) {
		return false, why
	}
	if r := h.grow(t, parent); t.path == "" {
		return all(r)
	}
	return true, why
}

// enable has the children of a group get the controllers, each by itself so that
// one which cannot does not keep the others, and returns why some cannot.
func (h *Host) enable(dir int, name string, controllers []string) map[string]reason {
	why := map[string]reason{}
	already := list(dir, "cgroup.subtree_control")
	for _, c := range controllers {
		if slices.Contains(already, c) {
			continue
		}
		var err error
		if h.site.enable != nil {
			err = h.site.enable(name, c)
		} else {
			err = put(dir, "cgroup.subtree_control", "+"+c)
		}
		switch err {
		case nil:
			if !slices.Contains(list(dir, "cgroup.subtree_control"), c) {
				why[c] = reason{name + " accepted it and does not show it", ""}
			}
		case unix.EBUSY:
			why[c] = reason{name + " has processes of its own, so the groups beneath it can have no controllers", delegate}
		case unix.EACCES, unix.EPERM:
			why[c] = reason{name + " is not ours to enable controllers in", delegate}
		case unix.ENOENT, unix.EINVAL:
			why[c] = reason{"the kernel does not offer it to " + name, "enable it in the cgroup.subtree_control of every group above"}
		default:
			why[c] = reason{fmt.Sprintf("enabling it in %s: %v", name, err), ""}
		}
	}
	return why
}

// list reads a file of names; one that cannot be read has none.
func list(dir int, name string) []string {
	text, err := get(dir, name)
	if err != nil {
		return nil
	}
	return strings.Fields(text)
}
