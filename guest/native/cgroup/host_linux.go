package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix begins the name of the directory that holds all groups of a kernel.
const prefix = "agentos-"

// The controllers, and what version 2 does without one.
const (
	cpu     = "cpu"
	cpuacct = "cpuacct"
	memory  = "memory"
	pids    = "pids"
	freezer = "freezer"
	kill    = "kill"
)

// Options of a Probe.
type Options struct {
	// NoLeaf does without a version 2 group where version 1 has every controller.
	// With such a group a kill is one write, but only a process can be inside, not
	// a thread: see Group.JoinProcess and Group.Fd for what that costs.
	NoLeaf bool

	site site
}

// site is where things are; tests put another in its place.
type site struct {
	root       string // before every mount point
	mountinfo  string
	own        string // our /proc/PID/cgroup
	made, gone func(dir string)
	enable     func(dir, controller string) error
}

func (s *site) fake() bool { return s.root != "" }

// tree is a hierarchy in which we may make groups.
type tree struct {
	v2   bool
	has  []string // the controllers that groups made here have
	path string   // the directory that holds our groups
	dir  int      // O_PATH of it
	home int      // O_PATH of the group that we ourselves are in
	back int      // of version 1: its tasks, for writing; -1 if that is not ours
}

func (t *tree) close() {
	for _, fd := range []int{t.dir, t.home, t.back} {
		if fd >= 0 {
			drop(fd)
		}
	}
}

func (t *tree) version() string {
	if t.v2 {
		return "v2"
	}
	return "v1"
}

// reason says why a controller is not there.
type reason struct{ why, fix string }

// Host is what this host lets us do, found out once by trying.
type Host struct {
	id    string
	site  site
	trees []*tree
	by    map[string]*tree  // who has a controller
	why   map[string]reason // why nobody has it
}

// Probe finds out what can be made by making the directories that will hold the
// groups of the kernel with this id, a name of letters, digits, '.', '_', and '-'.
// It never fails: what does not work is in Facts.
func Probe(id string) *Host { return Options{}.Probe(id) }

// Probe is the function Probe with options.
func (o Options) Probe(id string) *Host {
	h := &Host{id: id, site: o.site, by: map[string]*tree{}, why: map[string]reason{}}
	if h.site.mountinfo == "" {
		h.site.mountinfo, h.site.own = "/proc/self/mountinfo", "/proc/self/cgroup"
	}
	all := []string{cpu, cpuacct, memory, pids, freezer, kill}
	for _, c := range all {
		h.why[c] = reason{"no mounted hierarchy has it", "mount cgroup2 on /sys/fs/cgroup"}
	}
	blame := func(r reason) *Host {
		for _, c := range all {
			h.why[c] = r
		}
		return h
	}
	if !validName(id) {
		return blame(reason{fmt.Sprintf("%q cannot name a group", id), ""})
	}
	info, err := os.ReadFile(h.site.mountinfo)
	if err != nil {
		return blame(reason{err.Error(), "mount /proc"})
	}
	own, err := os.ReadFile(h.site.own)
	if err != nil {
		return blame(reason{err.Error(), "mount /proc"})
	}
	mounts, places := parseMounts(string(info)), parsePlaces(string(own))
	// Version 1 first: who has the freezer there decides whether version 2 is wanted.
	slices.SortStableFunc(places, func(a, b place) int {
		if a.v2() == b.v2() {
			return 0
		} else if b.v2() {
			return -1
		}
		return 1
	})
	for _, p := range places {
		h.probe(p, mounts, o.NoLeaf)
	}
	return h
}

// probe tries the hierarchy in which p is our place.
func (h *Host) probe(p place, mounts []mount, noLeaf bool) {
	var want []string
	for _, c := range []string{cpu, cpuacct, memory, pids, freezer} {
		if p.v2() && h.by[c] == nil || slices.Contains(p.controllers, c) {
			want = append(want, c)
		}
	}
	if p.v2() {
		want = append(want, kill)
	}
	if len(want) == 0 {
		return
	}
	home, why := h.home(p, mounts)
	if home == "" {
		h.blame(want, why)
		return
	}
	t := &tree{v2: p.v2(), dir: -1, home: -1, back: -1}
	var err error
	if t.home, err = h.openDir(home, t.v2); err != nil {
		h.blame(want, reason{err.Error(), ""})
		return
	}
	if t.v2 {
		why = h.growV2(t, home, want, noLeaf)
	} else {
		t.has = want
		why = h.grow(t, home)
		if t.back, err = openat(t.home, "tasks", unix.O_WRONLY); err != nil && t.path != "" {
			// A thread that went in would have no way out.
			why = refused(home, err)
			if err := h.rmdir(t.path); err != nil {
				why.why += ", " + err.Error()
			}
			t.path = ""
		}
	}
	if t.path == "" {
		t.close()
		h.blame(want, why)
		return
	}
	h.trees = append(h.trees, t)
	for _, c := range t.has {
		if h.by[c] == nil {
			h.by[c] = t
		}
	}
}

// blame notes why nobody has the controllers, but for those that somebody has.
func (h *Host) blame(controllers []string, r reason) {
	for _, c := range controllers {
		if h.by[c] == nil {
			h.why[c] = r
		}
	}
}

// home returns the directory of the group that we are in, "" and the reason if
// it cannot be reached for writing.
func (h *Host) home(p place, mounts []mount) (string, reason) {
	why := reason{"its hierarchy is not mounted", "mount it beneath /sys/fs/cgroup"}
	for _, m := range mounts {
		if m.v2 != p.v2() {
			continue
		}
		if !p.v2() && slices.ContainsFunc(p.controllers, func(c string) bool { return !slices.Contains(m.super, c) }) {
			continue
		}
		rel, ok := within(p.path, m.root)
		if !ok {
			why = reason{"our own group " + p.path + " is outside what is mounted at " + m.point, "mount the whole hierarchy, or run in the container's own cgroup namespace"}
			continue
		}
		if m.readOnly {
			why = reason{m.point + " is mounted read-only", "mount it writable (docker run --privileged --cgroupns=private, or a delegated cgroup)"}
			continue
		}
		return h.site.root + m.point + rel, reason{}
	}
	return "", why
}

// openDir opens a directory of a control group and makes sure that it is one.
func (h *Host) openDir(dir string, v2 bool) (int, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	if h.site.fake() {
		return fd, nil
	}
	if err := isGroup(fd, v2); err != nil {
		drop(fd)
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

// isGroup refuses a directory that is no control group.
func isGroup(fd int, v2 bool) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err
	}
	want := int64(unix.CGROUP_SUPER_MAGIC)
	if v2 {
		want = unix.CGROUP2_SUPER_MAGIC
	}
	if int64(st.Type) != want {
		return errors.New("not a control group")
	}
	return nil
}

// grow makes the directory of our groups beneath parent and opens it.
func (h *Host) grow(t *tree, parent string) reason {
	dir := path.Join(parent, prefix+h.id)
	if err := unix.Mkdir(dir, 0o755); err != nil && err != unix.EEXIST {
		return refused(parent, err)
	}
	h.made(dir)
	fd, err := h.openDir(dir, t.v2)
	if err != nil {
		return reason{err.Error(), ""}
	}
	t.dir, t.path = fd, dir
	return reason{}
}

const delegate = "run as root, or start it with: systemd-run --user --scope -p Delegate=yes agentos …"

// refused puts in words why nothing can be made beneath dir.
func refused(dir string, err error) reason {
	switch err {
	case unix.EACCES, unix.EPERM:
		return reason{dir + " is not ours to make groups in", delegate}
	case unix.EROFS:
		return reason{dir + " is read-only", "mount it writable"}
	case unix.EAGAIN:
		return reason{dir + " may have no more groups beneath it", "raise its cgroup.max.descendants or cgroup.max.depth"}
	}
	return reason{fmt.Sprintf("making a group in %s: %v", dir, err), ""}
}

func (h *Host) made(dir string) {
	if h.site.made != nil {
		h.site.made(dir)
	}
}

// validName admits what can be one component of a path and is no control file.
func validName(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
}

// ByThread reports whether a thread that joins a group is under all of its limits,
// so that nothing has to be done for the processes it starts.
func (h *Host) ByThread() bool {
	for _, c := range []string{cpu, memory, pids} {
		if t := h.by[c]; t != nil && t.v2 {
			return false
		}
	}
	return len(h.trees) > 0 && !(len(h.trees) == 1 && h.trees[0].v2)
}

// Leaf reports whether groups have a directory in a version 2 hierarchy, for Fd.
func (h *Host) Leaf() bool { return h.leaf() != nil }

func (h *Host) leaf() *tree {
	for _, t := range h.trees {
		if t.v2 {
			return t
		}
	}
	return nil
}

// Has reports whether groups have what a name of Facts says.
func (h *Host) Has(fact string) bool { return h.by[fact] != nil }

// Facts says of each of cpu, cpuacct, memory, pids, freezer, and kill who does it
// here, or why nobody can and what to do about it.
func (h *Host) Facts() map[string]string {
	facts := map[string]string{}
	for c, r := range h.why {
		if t := h.by[c]; t != nil {
			facts[c] = "control group " + t.version() + ", " + t.path
			if t.v2 && (c == freezer || c == cpuacct) {
				facts[c] += " (part of every group)"
			}
			continue
		}
		facts[c] = "not available: " + r.why
		if r.fix != "" {
			facts[c] += "; " + r.fix
		}
	}
	if h.by[kill] == nil && h.by[freezer] != nil {
		facts[kill] = "by freezing the group and killing each member"
	}
	return facts
}

// Places returns the directories in which this kernel's groups are, for a later
// Sweep by a kernel that is started from another place.
func (h *Host) Places() []string {
	ps := make([]string, 0, len(h.trees))
	for _, t := range h.trees {
		ps = append(ps, path.Dir(t.path))
	}
	return ps
}

// Close removes the directories that Probe made. Groups must be closed before.
func (h *Host) Close() error {
	var errs []error
	for _, t := range h.trees {
		errs = append(errs, h.rmdir(t.path))
		t.close()
	}
	h.trees, h.by = nil, nil
	return errors.Join(errs...)
}

func (h *Host) rmdir(dir string) error {
	if h.site.gone != nil {
		h.site.gone(dir)
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
