package proc

import (
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Audit is told of every denial and keeps it where the stream of events might not.
type Audit interface {
	// Denied records d without waiting for the host. mark, if not 0, is what
	// [Audit.Pending] waits for; fresh says that d is unlike those before it. A quiet
	// one must not be told by how long it takes, and has no mark.
	Denied(d *perm.Denial, quiet bool) (mark uint64, fresh bool)
	// Pending reports whether what mark stands for is not kept yet, and calls wake when
	// it is.
	Pending(mark uint64, wake func()) bool
}

// How many different denials a process may cause at once, and then per second. Folded
// repetitions cost a count, and are free.
const (
	denialBurst = 1024
	denialRate  = 4096
	denialDebt  = time.Second // a process is never made to wait longer than this
)

// debt is what a process owes for its denials: the time that it must wait, and the
// record that must be kept before it goes on. It pays with its own calls, so that a
// flood slows whoever causes it and nobody else.
type debt struct {
	mu    sync.Mutex
	mark  uint64    // guarded by mu; 0 if nothing is owed
	until time.Time // guarded by mu; the zero time if nothing is owed
	full  time.Time // guarded by mu; when the whole burst is there again
}

// record hands a denial to the audit log.
func (p *Process) record(d *perm.Denial) {
	if d.Reason == perm.Hidden {
		// The guest must not learn by waiting that something is there.
		p.audit.Denied(d, true)
		return
	}
	mark, fresh := p.audit.Denied(d, false)
	if mark != 0 || fresh {
		p.debt.charge(mark, fresh, time.Now())
	}
}

// charge adds a denial at a time.
func (d *debt) charge(mark uint64, fresh bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mark = max(d.mark, mark)
	if !fresh {
		return
	}
	const each = time.Second / denialRate
	if d.full.Before(now) {
		d.full = now
	}
	d.full = d.full.Add(each)
	if over := d.full.Sub(now) - denialBurst*each; over > 0 {
		d.until = now.Add(min(over, denialDebt))
	}
}

// Owes reports whether the call being finished must wait for what it was denied: for
// wake, which is called then, or until a time, if that is not zero.
func (p *Process) Owes(wake func()) (until time.Time, owes bool) {
	if p.audit == nil {
		return time.Time{}, false
	}
	d := &p.debt
	d.mu.Lock()
	mark, until := d.mark, d.until
	d.mu.Unlock()
	if mark == 0 && until.IsZero() {
		return time.Time{}, false
	}
	pending := mark != 0 && p.audit.Pending(mark, wake)
	early := !until.IsZero() && time.Now().Before(until)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !pending && d.mark == mark {
		d.mark = 0
	}
	if !early {
		until = time.Time{}
		d.until = until
	}
	return until, pending || early
}
