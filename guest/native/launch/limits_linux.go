package launch

import (
	"errors"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/cgroup"
)

// rlimit is one resource limit of a process.
type rlimit struct {
	what       int
	soft, hard uint64
}

// userLimits are counted over all processes of a user, inside and outside: queued
// signals, with the timers that send them, and bytes of message queues. Programs
// together get half, or one of them could leave the host without timers.
var userLimits = [...]int{unix.RLIMIT_SIGPENDING, unix.RLIMIT_MSGQUEUE}

// rlimits returns the limits that every process of a tree inherits.
func rlimits(b *guest.Bounds) ([]rlimit, error) {
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
	if b.Files > 0 {
		r = append(r, rlimit{unix.RLIMIT_NOFILE, b.Files, b.Files})
	}
	if b.CPUTime > 0 {
		// The tree is bound by what is polled; each process of it also by this, a
		// second later, should the kernel be too slow.
		s := uint64(math.Ceil(b.CPUTime.Seconds())) + 1
		r = append(r, rlimit{unix.RLIMIT_CPU, s, s + 1})
	}
	return r, nil
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
		case u.Limit == cgroup.LimitMemory || u.Limit == cgroup.LimitPids:
			c.watched = true // by supervision, which says so in the facts
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
	return missing, errors.Join(errs...)
}

func whole(cpus float64) bool { return cpus >= 1 && cpus == math.Trunc(cpus) }

// affinity returns to how many processors a tree is pinned, 0 for none.
func (c *cell) affinity() int { return min(c.pinned, runtime.NumCPU()) }

// stop freezes every process of the cell.
func (c *cell) stop() error {
	if c.group == nil {
		return signalTree(c.starter.pid, unix.SIGSTOP)
	}
	return c.group.Freeze()
}

// resume undoes stop.
func (c *cell) resume() error {
	if c.group == nil {
		return signalTree(c.starter.pid, unix.SIGCONT)
	}
	return c.group.Thaw()
}

// signalTree sends a signal to a process and all its descendants, until it finds no
// more of them.
func signalTree(root int, sig unix.Signal) error {
	seen := map[int]bool{}
	for range 100 {
		pids, err := cgroup.Descendants(root)
		if err != nil {
			return fmt.Errorf("descendants of %d: %w", root, err)
		}
		fresh := false
		for _, pid := range append(pids, root) {
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

// stats are what the cell's processes have used.
func (c *cell) stats() (cgroup.Stats, error) {
	if c.group != nil {
		return c.group.Stats()
	}
	root := c.starter.pid
	if c.init != nil {
		root = c.init.pid
	}
	pids, err := cgroup.Descendants(root)
	if err != nil {
		return cgroup.Stats{}, err
	}
	return cgroup.TreeUsage(append(pids, root, c.starter.pid))
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
