package mem

import (
	"errors"
	"fmt"
	"sync"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/limit"
)

// PageSize is the unit of growth in bytes: a page of WebAssembly, and a
// multiple of every host's.
const PageSize = 1 << 16

// MaxReserve is the most that one region may reserve, in bytes.
const MaxReserve = 1 << 32

// ErrReleased is returned by Reserve after Release.
var ErrReleased = errors.New("memory of a process that has ended")

// Memory is all guest memory of one process. It is safe for concurrent use.
type Memory struct {
	account *limit.Account
	events  *event.Stream

	mu       sync.Mutex
	regions  map[*Region]struct{} // those not freed yet; guarded by mu
	charged  uint64               // outside regions; guarded by mu
	released bool                 // guarded by mu
	pid      abi.PID              // guarded by mu
	chain    abi.ChainID          // guarded by mu
}

// New returns the memory of a process without any region. A nil stream records
// nothing.
func New(a *limit.Account, s *event.Stream) *Memory {
	return &Memory{account: a, events: s, regions: make(map[*Region]struct{})}
}

// Tag names the process and the chain that later events belong to.
func (m *Memory) Tag(pid abi.PID, chain abi.ChainID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid, m.chain = pid, chain
}

// Reserve sets aside address space for at most max bytes, and no more than the
// account's limit could ever allow. Nothing is committed or charged.
func (m *Memory) Reserve(max uint64) (*Region, error) {
	if max > MaxReserve {
		return nil, fmt.Errorf("reserve %d bytes of guest memory: more than %d", max, uint64(MaxReserve))
	}
	max = roundUp(min(max, m.account.Limit(abi.LimitMemory)))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.released {
		return nil, ErrReleased
	}
	r := &Region{owner: m}
	if max > 0 {
		base, err := reserve(max)
		if err != nil {
			return nil, fmt.Errorf("reserve %d bytes of address space: %w", max, err)
		}
		r.base = base
	}
	m.regions[r] = struct{}{}
	return r, nil
}

// Charge accounts for size bytes outside any region, in place of the earlier
// charge. It reports whether the limit allows it; if not, the earlier charge
// stands.
func (m *Memory) Charge(size uint64) bool {
	m.mu.Lock()
	if m.released {
		m.mu.Unlock()
		return size == 0
	}
	old := m.charged
	switch {
	case size > old:
		if !m.account.Charge(abi.LimitMemory, size-old) {
			m.mu.Unlock()
			m.refused(size)
			return false
		}
	case size < old:
		m.account.Uncharge(abi.LimitMemory, old-size)
	}
	m.charged = size
	m.mu.Unlock()
	return true
}

// Committed returns what is committed in regions now, in bytes.
func (m *Memory) Committed() (n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r := range m.regions {
		n += r.Committed()
	}
	return n
}

// Release frees every region that is left and returns how many there were and
// how many bytes they and the other charges held. It is idempotent.
func (m *Memory) Release() (count int, bytes uint64) {
	m.mu.Lock()
	m.released = true
	left := make([]*Region, 0, len(m.regions))
	for r := range m.regions {
		left = append(left, r)
	}
	if m.charged > 0 {
		m.account.Uncharge(abi.LimitMemory, m.charged)
		bytes = m.charged
		count = 1
		m.charged = 0
	}
	m.mu.Unlock()
	for _, r := range left {
		if n, ok := r.free(); ok {
			count++
			bytes += n
		}
	}
	return count, bytes
}

// forget drops a freed region.
func (m *Memory) forget(r *Region) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.regions, r)
}

func roundUp(n uint64) uint64 {
	if n > MaxReserve {
		return MaxReserve
	}
	return (n + PageSize - 1) &^ (PageSize - 1)
}
