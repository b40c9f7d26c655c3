package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// normal is the priority of whoever does not ask.
const normal = 5

// weightOf returns the cpu.weight of a priority: each step is half as much again,
// so that 10 has about 60 times the time of 0.
func weightOf(priority int) int {
	return [...]int{13, 20, 30, 44, 67, 100, 150, 225, 338, 506, 759}[min(max(priority, 0), 10)]
}

// sharesOf is the same in the unit of version 1.
func sharesOf(priority int) int { return weightOf(priority) * 1024 / 100 }

// Bounds of the kernel for a quota of processor time, in microseconds.
const (
	period    = 100_000
	maxPeriod = 1_000_000
	minQuota  = 1_000
)

// quota returns quota and period for a number of processors.
func quota(cpus float64) (uint64, uint64, bool) {
	// The comparison is that way round to refuse a NaN as well.
	if !(cpus*maxPeriod >= minQuota && cpus < 1e6) {
		return 0, 0, false
	}
	for _, p := range []uint64{period, maxPeriod} {
		if q := uint64(cpus*float64(p) + 0.5); q >= minQuota {
			return q, p, true
		}
	}
	return minQuota, maxPeriod, true
}

// Limit puts limits on a group, in place of those it has. Each that cannot be
// enforced is an *Unenforced in the error; the others are on.
func (g *Group) Limit(l Limits) error { return g.host.limit(g, l) }

// Lacking is what Limit would say if there were no group.
func (h *Host) Lacking(l Limits) error { return h.limit(nil, l) }

func (h *Host) limit(g *Group, l Limits) error {
	var errs []error
	for _, r := range []struct {
		name, controller string
		asked            bool
		put              func(*tree) error
	}{
		{LimitMemory, memory, l.Memory != 0, func(t *tree) error { return g.putMemory(t, l.Memory) }},
		{LimitPids, pids, l.Pids != 0, func(t *tree) error { return g.putPids(t, l.Pids) }},
		{LimitCPUs, cpu, l.CPUs != 0, func(t *tree) error { return g.putCPUs(t, l.CPUs) }},
		{LimitWeight, cpu, l.Weight != normal, func(t *tree) error { return g.putWeight(t, l.Weight) }},
	} {
		if !r.asked {
			continue
		}
		t := h.by[r.controller]
		if t == nil {
			w := h.why[r.controller]
			errs = append(errs, &Unenforced{r.name, "no " + r.controller + " controller: " + w.why, w.fix})
			continue
		}
		if err := r.put(t); err != nil {
			errs = append(errs, &Unenforced{Limit: r.name, Why: fmt.Sprintf("control group %s: %v", t.version(), err)})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// most writes a limit and makes sure that the group shows it, or a lower one: the
// kernel rounds down.
func (g *Group) most(t *tree, name string, n uint64) error {
	text, err := exchange(t.dir, g.file(name), strconv.FormatUint(n, 10))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if got, err := number(text); err != nil || got > n {
		return fmt.Errorf("%s shows %q after %d was written", name, text, n)
	}
	return nil
}

func (g *Group) putMemory(t *tree, bytes uint64) error {
	// Version 1 counts in a signed number.
	bytes = min(bytes, 1<<63-1)
	if t.v2 {
		if err := g.most(t, "memory.max", bytes); err != nil {
			return err
		}
		if err := g.most(t, "memory.swap.max", 0); err != nil && (!errors.Is(err, unix.ENOENT) || swaps()) {
			return fmt.Errorf("memory goes to swap beyond the limit: %w", err)
		}
		// All or nothing: a tree that has lost one of its processes does not end by itself.
		if err := put(t.dir, g.file("memory.oom.group"), "1"); err != nil && err != unix.ENOENT {
			return fmt.Errorf("memory.oom.group: %w", err)
		}
		return nil
	}
	const ram, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	err := g.most(t, ram, bytes)
	if errors.Is(err, unix.EINVAL) {
		// The limit with swap, of an earlier Limit, is lower: raise it first.
		if err := g.most(t, both, bytes); err != nil {
			return err
		}
		err = g.most(t, ram, bytes)
	}
	if err != nil {
		return err
	}
	if err := g.most(t, both, bytes); err != nil && (!errors.Is(err, unix.ENOENT) || swaps()) {
		return fmt.Errorf("memory goes to swap beyond the limit: %w", err)
	}
	return nil
}

// swaps reports whether the host has any swap; when in doubt it has.
func swaps() bool {
	text, err := os.ReadFile("/proc/swaps")
	return err != nil || strings.Count(string(text), "\n") > 1
}

func (g *Group) putPids(t *tree, n uint64) error {
	// The kernel has no more than this many and refuses to be told a greater number.
	return g.most(t, "pids.max", min(n, 1<<22))
}

func (g *Group) putCPUs(t *tree, cpus float64) error {
	q, p, ok := quota(cpus)
	if !ok {
		return fmt.Errorf("%g processors is out of the range of 0.001 to 1000000", cpus)
	}
	if t.v2 {
		value := fmt.Sprintf("%d %d", q, p)
		got, err := exchange(t.dir, g.file("cpu.max"), value)
		if err == nil && got != value {
			return fmt.Errorf("cpu.max shows %q after %q was written", got, value)
		} else if err != nil {
			return fmt.Errorf("cpu.max: %w", err)
		}
		return nil
	}
	// Without a quota any period will do, so that the order of the two is not a
	// matter of what was there before.
	if err := put(t.dir, g.file("cpu.cfs_quota_us"), "-1"); err != nil {
		return fmt.Errorf("cpu.cfs_quota_us: %w", err)
	}
	if err := put(t.dir, g.file("cpu.cfs_period_us"), strconv.FormatUint(p, 10)); err != nil {
		return fmt.Errorf("cpu.cfs_period_us: %w", err)
	}
	err := g.most(t, "cpu.cfs_quota_us", q)
	if errors.Is(err, unix.EINVAL) && tighter(t.home, cpus) {
		return nil // a group above us has less, and the kernel refuses more than that
	}
	return err
}

// tighter reports whether a version 1 group has no more than so many processors.
func tighter(dir int, cpus float64) bool {
	a, aerr := get(dir, "cpu.cfs_quota_us")
	b, berr := get(dir, "cpu.cfs_period_us")
	q, qerr := number(a) // an unlimited group has -1, which is no number
	p, perr := number(b)
	return errors.Join(aerr, berr, qerr, perr) == nil && p > 0 && float64(q)/float64(p) <= cpus
}

func (g *Group) putWeight(t *tree, priority int) error {
	if priority < 0 || priority > 10 {
		return fmt.Errorf("%d is out of the range of 0 to 10", priority)
	}
	name, value := "cpu.weight", weightOf(priority)
	if !t.v2 {
		name, value = "cpu.shares", sharesOf(priority)
	}
	got, err := exchange(t.dir, g.file(name), strconv.Itoa(value))
	if err == nil && got != strconv.Itoa(value) {
		return fmt.Errorf("%s shows %q after %d was written", name, got, value)
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
