// Package limit keeps accounts. What a process uses is charged to its account
// before it is used and uncharged when it is returned, so that a limit holds by
// construction and a leak shows as a balance that is not zero.
//
// Invariants: used never exceeds the limit; used never goes below zero (an
// uncharge of more than was charged is a kernel bug and panics); peak is the
// greatest used ever was, or was observed to be where the host does the limiting.
//
// Locks: none; every field is its own atomic. Each kind of limit is independent.
//
// Imports: kernel/abi.
package limit

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// None is the limit of a quantity that is only counted.
const None = uint64(math.MaxUint64)

// Caps are the limits of one account; a zero entry means None.
type Caps [abi.NumLimits]uint64

// Account is what one process has used of each limited quantity.
type Account struct {
	kinds   [abi.NumLimits]kind
	refusal func(l abi.Limit, n uint64) // told of each charge that is turned down; may be nil
}

type kind struct {
	limit   atomic.Uint64
	used    atomic.Uint64
	peak    atomic.Uint64
	refused atomic.Uint64 // charges that the limit turned down
}

// NewAccount opens an empty account.
func NewAccount(caps Caps) *Account {
	a := new(Account)
	for i, c := range caps {
		if c == 0 {
			c = None
		}
		a.kinds[i].limit.Store(c)
	}
	return a
}

// OnRefusal has f called for each charge that is turned down, on the goroutine
// that asked. It must be set before the account is shared; f must not block.
func (a *Account) OnRefusal(f func(l abi.Limit, n uint64)) { a.refusal = f }

// Charge adds n to what is used of l, or reports false and changes nothing if
// that would pass the limit.
func (a *Account) Charge(l abi.Limit, n uint64) bool {
	k := &a.kinds[l]
	max := k.limit.Load()
	for {
		old := k.used.Load()
		if n > max || old > max-n {
			k.refused.Add(1)
			if a.refusal != nil {
				a.refusal(l, n)
			}
			return false
		}
		if k.used.CompareAndSwap(old, old+n) {
			k.raise(old + n)
			return true
		}
	}
}

// raise lifts the peak to at least v.
func (k *kind) raise(v uint64) {
	for p := k.peak.Load(); v > p; p = k.peak.Load() {
		if k.peak.CompareAndSwap(p, v) {
			return
		}
	}
}

// Uncharge returns n of l.
func (a *Account) Uncharge(l abi.Limit, n uint64) {
	for {
		old := a.kinds[l].used.Load()
		if n > old {
			panic(fmt.Sprintf("limit: uncharge of %d %s, only %d charged", n, l, old))
		}
		if a.kinds[l].used.CompareAndSwap(old, old-n) {
			return
		}
	}
}

// Observe notes that peak of l was in use at once, of what the host limits and the
// account is not charged for.
func (a *Account) Observe(l abi.Limit, peak uint64) { a.kinds[l].raise(peak) }

// Used returns what is charged for l now.
func (a *Account) Used(l abi.Limit) uint64 { return a.kinds[l].used.Load() }

// Peak returns the most that was ever charged for l at once.
func (a *Account) Peak(l abi.Limit) uint64 { return a.kinds[l].peak.Load() }

// Limit returns the limit of l, or [None].
func (a *Account) Limit(l abi.Limit) uint64 { return a.kinds[l].limit.Load() }

// Refused returns how many charges of l were turned down.
func (a *Account) Refused(l abi.Limit) uint64 { return a.kinds[l].refused.Load() }

// Held lists what is still charged among the quantities that must be returned
// (memory, disk, files, processes), as "kind=amount". A released process holds
// nothing.
func (a *Account) Held() (held []string) {
	for _, l := range [...]abi.Limit{abi.LimitMemory, abi.LimitDisk, abi.LimitFiles, abi.LimitProcesses} {
		if n := a.Used(l); n != 0 {
			held = append(held, fmt.Sprintf("%s=%d", l, n))
		}
	}
	return held
}
