package mem

import (
	"sync"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Region is one linear memory. Grow and Free may be called from any goroutine,
// but bytes that Grow returned must not be touched after Free: they are unmapped.
type Region struct {
	owner *Memory

	mu        sync.Mutex
	base      []byte // all that is reserved; guarded by mu
	committed uint64 // guarded by mu; a multiple of PageSize, at most len(base)
	freed     bool   // guarded by mu
}

// Grow commits and charges memory up to size bytes in all and returns it. It
// reports false, and changes nothing, if size is beyond what was reserved, the
// limit refuses, or the host does. New bytes are zero. A size below what is
// committed returns that much and gives nothing back.
func (r *Region) Grow(size uint64) ([]byte, bool) {
	r.mu.Lock()
	if r.freed {
		r.mu.Unlock()
		return nil, false
	}
	if size > uint64(len(r.base)) {
		step := size - r.committed
		if size > r.owner.account.Limit(abi.LimitMemory) {
			// No more was reserved because the limit would refuse it. Let it, so
			// that the refusal is counted where a reader looks for it.
			if r.owner.account.Charge(abi.LimitMemory, step) {
				r.owner.account.Uncharge(abi.LimitMemory, step)
			}
		}
		r.mu.Unlock()
		r.owner.refused(size)
		return nil, false
	}
	want := roundUp(size)
	if want <= r.committed {
		b := r.base[:size:size]
		r.mu.Unlock()
		return b, true
	}
	step := want - r.committed
	if !r.owner.account.Charge(abi.LimitMemory, step) {
		r.mu.Unlock()
		r.owner.refused(want)
		return nil, false
	}
	if err := commit(r.base[r.committed:want]); err != nil {
		r.owner.account.Uncharge(abi.LimitMemory, step)
		r.mu.Unlock()
		r.owner.refused(want)
		return nil, false
	}
	r.committed = want
	b := r.base[:size:size]
	r.mu.Unlock()
	r.owner.grown(step, want)
	return b, true
}

// Populate has the host back bytes from..to of what is committed with memory. It
// is a hint: where the host cannot, the pages come when they are touched.
func (r *Region) Populate(from, to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	invariants.Point("mem.region")
	if to = min(to, r.committed); from < to {
		populate(r.base[from:to])
	}
}

// Committed returns how many bytes are committed and charged.
func (r *Region) Committed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.committed
}

// Free returns everything to the host and the account. It is idempotent.
func (r *Region) Free() { _, _ = r.free() }

// free returns how many bytes were committed, and whether it was this call that
// freed them.
func (r *Region) free() (bytes uint64, ok bool) {
	r.mu.Lock()
	if r.freed {
		r.mu.Unlock()
		return 0, false
	}
	r.freed = true
	base, bytes := r.base, r.committed
	r.base, r.committed = nil, 0
	if len(base) > 0 {
		// It cannot fail for a mapping of our own. If it ever does, the address
		// space is lost, but not the charge.
		_ = unreserve(base)
	}
	r.owner.account.Uncharge(abi.LimitMemory, bytes)
	r.mu.Unlock()
	r.owner.forget(r)
	r.owner.returned(bytes)
	return bytes, true
}
