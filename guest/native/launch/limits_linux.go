package launch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/cgroup"
)

// rlimit is one resource limit of a process.
type rlimit struct {
	what       int
	soft, hard uint64
}

// supervision is what of a tree's limits is held by looking at it.
type supervision struct {
	memory, pids, disk bool
}

// userLimits are counted over all processes of a user, inside and outside: queued
// signals, with the timers that send them, and bytes of message queues. Programs
// together get half, or one of them could leave the host without timers.
var userLimits = [...]int{unix.RLIMIT_SIGPENDING, unix.RLIMIT_MSGQUEUE}

// everyLimits are the limits that every process of every tree inherits.
func (l *Launcher) everyLimits() ([]rlimit, error) {
	r := []rlimit{
		{unix.RLIMIT_CORE, 0, 0}, // a core file would be written by the host, by a pattern that it knows
		{unix.RLIMIT_RTPRIO, 0, 0},
		{unix.RLIMIT_NICE, 0, 0},
	}
	for _, what := range userLimits {
		var have unix.Rlimit
		if err := unix.Getrlimit(what, &have); err != nil {
			return nil, fmt.Errorf("resource limit %d: %w", what, err)
		}
		r = append(r, rlimit{what, have.Cur / 2, have.Cur / 2})
	}
	return r, nil
}

// rlimits returns the limits that every process of a tree inherits because of its job.
func (c *cell) rlimits(b *guest.Bounds) ([]rlimit, error) {
	var r []rlimit
	if c.nproc > 0 {
		r = append(r, rlimit{unix.RLIMIT_NPROC, c.nproc, c.nproc})
	}
	for _, what := range raisedLimits {
		var l rlimit
		switch {
		case what == unix.RLIMIT_NOFILE && b.Files > 0:
			l = rlimit{what, b.Files, b.Files}
		case what == unix.RLIMIT_CPU && b.CPUTime > 0:
			// The tree is bound by what is polled; each process of it also by this, a
			// second later, should the kernel be too slow.
			s := uint64(math.Ceil(b.CPUTime.Seconds())) + 1
			l = rlimit{what, s, s + 1}
		case what == unix.RLIMIT_DATA && c.watch.memory:
			// A single process cannot get far between two looks.
			l = rlimit{what, 2 * b.Memory, 2 * b.Memory}
		default: // what it would have inherited
			var have unix.Rlimit
			if err := unix.Getrlimit(what, &have); err != nil {
				return nil, fmt.Errorf("resource limit %d: %w", what, err)
			}
			if have.Cur == unix.RLIM_INFINITY {
				continue // and has
			}
			l = rlimit{what, have.Cur, have.Max}
		}
		r = append(r, l)
	}
	return r, nil
}

// raisedLimits are those that a job may set higher than this process has them.
var raisedLimits = [...]int{unix.RLIMIT_NOFILE, unix.RLIMIT_CPU, unix.RLIMIT_DATA}

// raised are the limits of a starter that does not know its job yet: as high as this
// kernel lets them be. Without privileges they stay what they are.
func (l *Launcher) raised() []rlimit {
	r := make([]rlimit, 0, len(raisedLimits))
	for _, what := range raisedLimits {
		most := rlimit{what, unix.RLIM_INFINITY, unix.RLIM_INFINITY}
		if what == unix.RLIMIT_NOFILE {
			most.soft, most.hard = l.mostFiles, l.mostFiles
		}
		r = append(r, most)
	}
	return r
}

// limit puts the limits of a tree on its control group. What cannot be enforced so,
// and in no other way either, is an error, or returned for those who go on without.
func (c *cell) limit(b *guest.Bounds, bestEffort bool) (missing []string, err error) {
	want := cgroup.Limits{Memory: b.Memory, CPUs: b.CPUs, Weight: b.Weight}
	if b.Pids > 0 {
		want.Pids = b.Pids
		if c.init != nil {
			want.Pids++ // pid 1 is not the program's
		}
	}
	var limitErr error
	if c.group != nil {
		limitErr = c.group.Limit(want)
	} else {
		limitErr = c.l.groups.Lacking(want)
	}
	unmet := cgroup.Unmet(limitErr)
	if limitErr != nil && len(unmet) == 0 {
		return nil, limitErr
	}
	var errs []error
	for _, u := range unmet {
		switch {
		case u.Limit == cgroup.LimitMemory:
			c.watch.memory = true // the facts say so
		case u.Limit == cgroup.LimitPids && c.counted:
			c.nproc = b.Pids
		case u.Limit == cgroup.LimitPids:
			c.watch.pids = true
		case u.Limit == cgroup.LimitCPUs && whole(b.CPUs):
			c.pinned = int(b.CPUs) // to that many processors
		case u.Limit == cgroup.LimitWeight:
			missing = append(missing, "--priority: "+u.Why)
		case bestEffort:
			missing = append(missing, "--"+u.Limit+": "+u.Why)
		default:
			errs = append(errs, u)
		}
	}
	c.watch.disk = c.init == nil && b.Disk > 0
	return missing, errors.Join(errs...)
}

// limitAhead puts on the limits that the next job is expected to have. If that fails the
// job has the error, or lives without.
func (c *cell) limitAhead() {
	s := &c.stage
	missing, err := c.limit(&s.limits, s.bestEffort)
	c.limited, c.missing = err == nil, missing
}

// limitFor puts the limits of a job on, unless they are on already.
func (c *cell) limitFor(job *Job) (missing []string, err error) {
	if c.limited && c.stage.limits == job.Limits && c.stage.bestEffort == job.BestEffort {
		return c.missing, nil
	}
	return c.limit(&job.Limits, job.BestEffort)
}

// replaces reports whether the limits in b take the place of all those in old.
func replaces(b, old *guest.Bounds) bool {
	over := func(now, was bool) bool { return now || !was }
	return over(b.Memory > 0, old.Memory > 0) && over(b.Pids > 0, old.Pids > 0) && over(b.CPUs > 0, old.CPUs > 0) &&
		(b.Weight == old.Weight || old.Weight == normalWeight)
}

// normalWeight is the priority of who asks for none.
const normalWeight = 5

func whole(cpus float64) bool { return cpus >= 1 && cpus == math.Trunc(cpus) }

// affinity returns to how many processors a tree is pinned, 0 for none.
func (c *cell) affinity() int { return min(c.pinned, runtime.NumCPU()) }

// stop freezes every process of the cell.
func (c *cell) stop() error {
	if c.group == nil || !c.l.groups.Has("freezer") {
		return c.signalTree(unix.SIGSTOP)
	}
	return c.group.Freeze()
}

// resume undoes stop.
func (c *cell) resume() error {
	if c.group == nil || !c.l.groups.Has("freezer") {
		return c.signalTree(unix.SIGCONT)
	}
	return c.group.Thaw()
}

// top is the process beneath which every process of the tree is, but for the program
// itself in a pid namespace.
func (c *cell) top() int {
	switch {
	case c.init != nil:
		return c.init.pid
	case c.l.o.Alone:
		return os.Getpid()
	}
	return c.starter.pid
}

// processes returns the processes of the tree, without top.
func (c *cell) processes() ([]int, error) {
	pids, err := cgroup.Descendants(c.top())
	if c.init != nil {
		more, merr := cgroup.Descendants(c.starter.pid)
		if merr == nil { // else the program has ended, and top has its children
			pids = append(append(pids, more...), c.starter.pid)
		}
	}
	return pids, err
}

// signalTree sends a signal to every process of the cell, until it finds no more.
func (c *cell) signalTree(sig unix.Signal) error {
	seen := map[int]bool{}
	for range 100 {
		pids, err := c.processes()
		if err != nil {
			return err
		}
		fresh := false
		for _, pid := range pids {
			if seen[pid] {
				continue
			}
			seen[pid], fresh = true, true
			if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
				return fmt.Errorf("signal %d to %d: %w", sig, pid, err)
			}
		}
		if !fresh {
			return nil
		}
	}
	return errors.New("the tree grows faster than it can be stopped")
}

// grouped reports whether all that is counted is counted by the control group.
func (c *cell) grouped() bool {
	return c.group != nil && c.l.groups.Has("memory") && c.l.groups.Has("pids") && c.l.groups.Has("cpuacct")
}

// stats are what the cell's processes have used.
func (c *cell) stats() (cgroup.Stats, error) {
	var s cgroup.Stats
	var err error
	if c.group != nil {
		s, err = c.group.Stats()
	}
	if c.grouped() {
		return s, err
	}
	pids, lerr := c.processes()
	if c.init != nil {
		pids = append(pids, c.init.pid) // has the time of those that it reaped
	}
	seen, serr := cgroup.TreeUsage(pids)
	if c.init != nil {
		seen.Pids -= min(seen.Pids, 1)
		seen.PidsPeak = seen.Pids
	}
	if c.l.o.Alone {
		var r unix.Rusage
		serr = errors.Join(serr, unix.Getrusage(unix.RUSAGE_CHILDREN, &r))
		seen.CPU += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	if !c.l.groups.Has("memory") {
		shared := sharedMemory(pids)
		s.Memory, s.MemoryPeak = seen.Memory+shared, seen.MemoryPeak+shared
	}
	if !c.l.groups.Has("pids") {
		s.Pids, s.PidsPeak = seen.Pids, seen.PidsPeak
	}
	if !c.l.groups.Has("cpuacct") {
		s.CPU = seen.CPU
	}
	s.BytesRead, s.BytesWritten = seen.BytesRead, seen.BytesWritten
	return s, errors.Join(err, lerr, serr)
}

// outcome ends what is left of a cell whose program has ended and returns what it has
// used in all. When it returns no process of the tree is left.
func (c *cell) outcome() (cgroup.Stats, error) {
	counted := c.grouped()
	if c.init != nil && counted {
		s, err := c.group.Outcome()
		if err == nil && s.Pids == 1 {
			// Only pid 1 is left, which is ours and makes no processes: it has reaped every
			// other, and can end while others go on.
			s.CPU -= min(s.CPU, c.before)
			orphans := parseIO(c.init.bytes)
			s.BytesRead, s.BytesWritten = c.starter.io.read+orphans.read, c.starter.io.written+orphans.written
			return s, c.init.kill()
		}
		err = c.end()
		// With the last process the counts are complete.
		s, serr := c.group.Outcome()
		s.CPU -= min(s.CPU, c.before)
		s.BytesRead, s.BytesWritten = c.starter.io.read+c.init.io.read, c.starter.io.written+c.init.io.written
		return s, errors.Join(err, serr)
	}
	s, err := c.stats()
	err = errors.Join(err, c.end())
	s.CPU = c.starter.cpu()
	s.BytesRead, s.BytesWritten = c.starter.io.read, c.starter.io.written
	if c.init != nil {
		s.CPU += c.init.cpu()
		s.BytesRead += c.init.io.read
		s.BytesWritten += c.init.io.written
	}
	return s, err
}

// usage is stats in the kernel's terms.
func (c *cell) usage() (guest.Usage, error) {
	s, err := c.stats()
	return usageOf(&s), err
}

func usageOf(s *cgroup.Stats) guest.Usage {
	return guest.Usage{
		CPU: s.CPU, Memory: s.Memory, MemoryPeak: s.MemoryPeak, Processes: s.PidsPeak,
		BytesRead: s.BytesRead, BytesWritten: s.BytesWritten,
	}
}
