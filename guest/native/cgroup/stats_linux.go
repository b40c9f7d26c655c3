package cgroup

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stats returns what the group has consumed. Files that older kernels do not have
// leave zeros; an error is one of reading, with what could be read.
func (g *Group) Stats() (Stats, error) {
	r := reader{group: g}
	s, read, num := &r.stats, r.read, r.num
	if err := unix.Faccessat(g.host.trees[0].dir, g.id, unix.F_OK, 0); err != nil {
		return *s, fmt.Errorf("control group %s: %w", g.id, err)
	}
	r.cpu()
	if t := g.host.by[cpu]; t != nil {
		text := read(t, "cpu.stat")
		s.Throttled, _ = keyed(text, "nr_throttled")
		if t.v2 {
			usec, _ := keyed(text, "throttled_usec")
			s.Waited = time.Duration(usec) * time.Microsecond
		} else {
			ns, _ := keyed(text, "throttled_time")
			s.Waited = time.Duration(ns)
		}
	}
	if t := g.host.by[memory]; t != nil {
		if t.v2 {
			num(t, "memory.current", &s.Memory)
			num(t, "memory.peak", &s.MemoryPeak)
			events := read(t, "memory.events")
			s.OOMKills, _ = keyed(events, "oom_kill")
			s.MemoryFull, _ = keyed(events, "max")
		} else {
			num(t, "memory.usage_in_bytes", &s.Memory)
			num(t, "memory.max_usage_in_bytes", &s.MemoryPeak)
			s.OOMKills, _ = keyed(read(t, "memory.oom_control"), "oom_kill")
			// Each counter notices its own limit, and the one with swap is asked first.
			var both uint64
			num(t, "memory.failcnt", &s.MemoryFull)
			num(t, "memory.memsw.failcnt", &both)
			s.MemoryFull += both
		}
		s.MemoryPeak = max(s.MemoryPeak, s.Memory)
	}
	r.pids()
	return *s, errors.Join(r.errs...)
}

// Outcome returns of Stats what is asked of a group whose processes have ended: its
// processor time, the highest use of memory and processes, and how often either limit
// was met. It reads half as many files.
func (g *Group) Outcome() (Stats, error) {
	r := reader{group: g}
	// First, so that where it says that nobody is left the rest is final.
	r.pids()
	r.cpu()
	if t := g.host.by[memory]; t != nil {
		peak, events := "memory.max_usage_in_bytes", "memory.oom_control"
		if t.v2 {
			peak, events = "memory.peak", "memory.events"
		}
		r.num(t, peak, &r.stats.MemoryPeak)
		r.stats.OOMKills, _ = keyed(r.read(t, events), "oom_kill")
	}
	return r.stats, errors.Join(r.errs...)
}

// reader reads the files of a group, and goes on after an error.
type reader struct {
	group *Group
	stats Stats
	errs  []error
}

func (r *reader) read(t *tree, name string) string {
	text, err := get(t.dir, r.group.file(name))
	if err != nil && err != unix.ENOENT {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", name, err))
	}
	return text
}

func (r *reader) num(t *tree, name string, into *uint64) {
	text := r.read(t, name)
	if text == "" {
		return
	}
	n, err := number(text)
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", name, err))
	}
	*into = n
}

func (r *reader) cpu() {
	t := r.group.host.by[cpuacct]
	switch {
	case t == nil:
	case t.v2:
		usec, _ := keyed(r.read(t, "cpu.stat"), "usage_usec")
		r.stats.CPU = time.Duration(usec) * time.Microsecond
	default:
		var ns uint64
		r.num(t, "cpuacct.usage", &ns)
		r.stats.CPU = time.Duration(ns)
	}
}

func (r *reader) pids() {
	t := r.group.host.by[pids]
	if t == nil {
		return
	}
	s := &r.stats
	r.num(t, "pids.current", &s.Pids)
	r.num(t, "pids.peak", &s.PidsPeak)
	s.PidsFull, _ = keyed(r.read(t, "pids.events"), "max")
	s.PidsPeak = max(s.PidsPeak, s.Pids)
}
