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
	var s Stats
	var errs []error
	read := func(t *tree, name string) string {
		text, err := get(t.dir, g.file(name))
		if err != nil && err != unix.ENOENT {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return text
	}
	num := func(t *tree, name string, into *uint64) {
		text := read(t, name)
		if text == "" {
			return
		}
		n, err := number(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		*into = n
	}
	if err := unix.Faccessat(g.host.trees[0].dir, g.id, unix.F_OK, 0); err != nil {
		return s, fmt.Errorf("control group %s: %w", g.id, err)
	}
	if t := g.host.by[cpuacct]; t != nil {
		if t.v2 {
			usec, _ := keyed(read(t, "cpu.stat"), "usage_usec")
			s.CPU = time.Duration(usec) * time.Microsecond
		} else {
			var ns uint64
			num(t, "cpuacct.usage", &ns)
			s.CPU = time.Duration(ns)
		}
	}
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
	if t := g.host.by[pids]; t != nil {
		num(t, "pids.current", &s.Pids)
		num(t, "pids.peak", &s.PidsPeak)
		s.PidsFull, _ = keyed(read(t, "pids.events"), "max")
		s.PidsPeak = max(s.PidsPeak, s.Pids)
	}
	return s, errors.Join(errs...)
}
