package proc

import (
	"sync/atomic"
	"time"
)

// How many different denials a process may cause at once, and how many a second then.
// Repetitions are only counted, and are free.
const (
	denialBurst = 1024
	denialEach  = time.Second / 4096
	denialDebt  = time.Second // that a process is made to wait at most for one call
)

// debt is what a process owes for its different denials, each of which costs others a
// record and an event. It pays with its own calls, so that a flood slows whoever causes it
// and nobody else. It is a bucket of tokens, kept as the time at which it is full again.
type debt struct {
	full  atomic.Int64 // ns after the process was created
	until atomic.Int64 // when the call being served may return, likewise; 0 for at once
}

// charge adds one denial at a time.
func (d *debt) charge(now time.Duration) {
	for {
		old := d.full.Load()
		full := max(old, int64(now)) + int64(denialEach)
		if !d.full.CompareAndSwap(old, full) {
			continue
		}
		if over := full - int64(now) - denialBurst*int64(denialEach); over > 0 {
			d.until.Store(int64(now) + min(over, int64(denialDebt)))
		}
		return
	}
}

// owes returns how long the call being finished must wait, 0 for not at all.
func (d *debt) owes(now time.Duration) time.Duration {
	until := d.until.Load()
	if until == 0 {
		return 0
	}
	if left := time.Duration(until) - now; left > 0 {
		return left
	}
	d.until.Store(0)
	return 0
}

// Owes returns how long the call that was just denied must wait for its answer, because
// the process is denied so many different things. It is 0 for every other.
func (p *Process) Owes() time.Duration {
	if p.debt.until.Load() == 0 {
		return 0 // without asking for the time
	}
	return p.debt.owes(time.Since(p.created))
}
