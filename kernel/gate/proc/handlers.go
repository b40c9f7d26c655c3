// Package proc holds the gate's handlers for operations on the process itself
// and on what the host gives everyone: arguments, variables, clocks, random
// bytes, waiting, and the end.
//
// Invariants: no handler here blocks; those that wait return what they wait for.
//
// Locks: none.
//
// Imports: kernel/{abi,gate,proc}.
package proc

import (
	"crypto/rand"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/gate"
	"github.com/agentos-kernel/agentos/kernel/proc"
)

// Handlers returns the handlers that never wait.
func Handlers() map[abi.Sysno]gate.Handler {
	return map[abi.Sysno]gate.Handler{
		abi.SysArgs:      args,
		abi.SysEnviron:   environ,
		abi.SysClockTime: clockTime,
		abi.SysClockRes:  clockRes,
		abi.SysRandom:    random,
		abi.SysYield:     yield,
		abi.SysRaise:     raise,
		abi.SysExit:      exit,
		abi.SysReason:    reason,
	}
}

// Waiting returns the handlers that wait for time to pass or for others.
func Waiting() map[abi.Sysno]gate.WaitHandler {
	return map[abi.Sysno]gate.WaitHandler{abi.SysPoll: poll}
}

func args(p *proc.Process, c *abi.Call) abi.Errno {
	c.Strs = p.Args
	return abi.OK
}

func environ(p *proc.Process, c *abi.Call) abi.Errno {
	c.Strs = p.Env
	return abi.OK
}

// reason says why the last call that failed did, as far as the program may know.
func reason(p *proc.Process, c *abi.Call) abi.Errno {
	c.Link = p.Reason()
	return abi.OK
}

// epoch anchors the monotonic clock that guests see. Its reading starts near
// zero, so that a guest does not learn the host's uptime.
var epoch = time.Now()

// readClock returns a clock's reading in nanoseconds.
func readClock(p *proc.Process, id abi.ClockID) (int64, bool) {
	switch id {
	case abi.ClockRealtime:
		return time.Now().UnixNano(), true
	case abi.ClockMonotonic:
		return int64(time.Since(epoch)), true
	case abi.ClockProcessCPU, abi.ClockThreadCPU:
		return int64(p.CPUTime()), true
	}
	return 0, false
}

func clockTime(p *proc.Process, c *abi.Call) abi.Errno {
	ns, ok := readClock(p, clockID(c.Arg[0]))
	if !ok {
		return abi.EINVAL
	}
	c.Ret = uint64(ns)
	return abi.OK
}

// clockID narrows a guest's number without wrapping it onto a valid clock.
func clockID(n uint64) abi.ClockID {
	if n >= uint64(abi.NumClocks) {
		return abi.NumClocks
	}
	return abi.ClockID(n)
}

func clockRes(_ *proc.Process, c *abi.Call) abi.Errno {
	switch clockID(c.Arg[0]) {
	case abi.ClockRealtime, abi.ClockMonotonic:
		c.Ret = 1
	case abi.ClockProcessCPU, abi.ClockThreadCPU:
		// CPU time is charged a slice at a time.
		c.Ret = uint64(time.Microsecond)
	default:
		return abi.EINVAL
	}
	return abi.OK
}

func random(_ *proc.Process, c *abi.Call) abi.Errno {
	left := abi.MaxTransfer
	for _, b := range c.Buf {
		b = b[:min(len(b), left)]
		if _, err := rand.Read(b); err != nil {
			return abi.EIO
		}
		left -= len(b)
		c.Ret += uint64(len(b))
	}
	return abi.OK
}

// yield needs no work: the guest gives up its slice when it sees the call
// return, and its wake-up is due at once.
func yield(p *proc.Process, _ *abi.Call) abi.Errno {
	p.Wake()
	return abi.OK
}

// raise acts on the process as the signal's default action would.
func raise(p *proc.Process, c *abi.Call) abi.Errno {
	switch n := c.Arg[0]; {
	case n == 0 || n > 31:
		return abi.EINVAL
	case abi.Signal(n) == abi.SIGSTOP:
		p.Stop()
	case abi.Signal(n).Ignored():
	default:
		p.Kill(proc.End{Cause: abi.CauseSignaled, Signal: abi.Signal(n), Detail: "raised by the program"})
	}
	return abi.OK
}

func exit(p *proc.Process, c *abi.Call) abi.Errno {
	p.Kill(proc.End{Cause: abi.CauseExited, Code: int(c.Arg[0] & 0xff)})
	return abi.OK
}

// realtimeStep bounds how long a wait for a reading of the real-time clock goes
// without looking at it, since somebody may set it.
const realtimeStep = time.Second

// poll marks the subscriptions that are due.
func poll(p *proc.Process, c *abi.Call, began time.Time) (abi.Errno, gate.Wait, bool) {
	due := len(c.Polls) == 0
	var wait gate.Wait
	for i := range c.Polls {
		s := &c.Polls[i]
		s.Ready, s.Hangup, s.Errno, s.Bytes = false, false, abi.OK, 0
		if s.Kind == abi.PollClock {
			pollClock(p, s, began, &wait)
		} else {
			pollFile(p, c, s, &wait, due)
		}
		due = due || s.Ready
	}
	if due {
		release(&wait)
	}
	return abi.OK, wait, due
}

func pollClock(p *proc.Process, s *abi.Poll, began time.Time, wait *gate.Wait) {
	at, errno := deadline(p, s, began)
	switch {
	case errno != abi.OK:
		s.Ready, s.Errno = true, errno
		return
	case !time.Now().Before(at):
		s.Ready = true
		return
	}
	if step := time.Now().Add(realtimeStep); s.Absolute && s.Clock == abi.ClockRealtime && at.After(step) {
		at = step
	}
	if wait.Again.IsZero() || at.Before(wait.Again) {
		wait.Again = at
	}
}

// pollFile asks a file. One that is not ready is waited for, unless something is
// due already.
func pollFile(p *proc.Process, c *abi.Call, s *abi.Poll, wait *gate.Wait, due bool) {
	if epoch := p.Authority().Epoch(); !p.FDs().Fresh(s.FD, epoch) {
		if errno := p.Recheck(c, s.FD, epoch); errno != abi.OK {
			s.Ready, s.Errno = true, errno
			return
		}
	}
	d, errno := p.FDs().Get(s.FD)
	if errno != abi.OK {
		s.Ready, s.Errno = true, errno
		return
	}
	r, errno := d.File.Ready(s.Kind)
	s.Ready, s.Hangup, s.Bytes, s.Errno = r.Ready || errno != abi.OK, r.Hangup, r.Bytes, errno
	if s.Ready || due {
		_ = d.File.Unref() // not the last reference: the table's stays
		return
	}
	wait.Files = append(wait.Files, gate.Watched{File: d.File, Kind: s.Kind})
}

// release gives back what nobody will wait for.
func release(wait *gate.Wait) {
	for _, w := range wait.Files {
		_ = w.File.Unref() // not the last reference: the table's stays
	}
	*wait = gate.Wait{}
}

// forever caps a guest's time-out, so that adding it to a time cannot wrap.
const forever = 100 * 365 * 24 * time.Hour

// deadline turns a clock subscription into a time of the host's monotonic clock.
func deadline(p *proc.Process, s *abi.Poll, began time.Time) (time.Time, abi.Errno) {
	now, ok := readClock(p, s.Clock)
	if !ok {
		return time.Time{}, abi.EINVAL
	}
	if s.Clock == abi.ClockProcessCPU || s.Clock == abi.ClockThreadCPU {
		return time.Time{}, abi.ENOTSUP // a process that waits uses no CPU time
	}
	if !s.Absolute {
		d := time.Duration(s.Timeout)
		if d < 0 || d > forever {
			d = forever
		}
		return began.Add(d), abi.OK
	}
	left := time.Duration(0)
	if s.Timeout > now {
		left = min(time.Duration(s.Timeout-now), forever)
	}
	return time.Now().Add(left), abi.OK
}
