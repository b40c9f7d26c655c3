package mem

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
)

// grown records that a region grew by step bytes to size in all.
func (m *Memory) grown(step, size uint64) {
	if !m.events.On(abi.CatMemory) {
		return
	}
	pid, chain := m.tag()
	m.events.Emit(&event.Event{Category: abi.CatMemory, Severity: abi.Debug, Kind: event.KindMemoryGrow,
		PID: pid, Chain: chain, A: size, B: size - step})
}

// refused records that growth to size bytes in all was turned down.
func (m *Memory) refused(size uint64) {
	if !m.events.On(abi.CatMemory) {
		return
	}
	pid, chain := m.tag()
	m.events.Emit(&event.Event{Category: abi.CatMemory, Severity: abi.Warning, Errno: abi.ENOMEM, Kind: event.KindLimit,
		PID: pid, Chain: chain, A: uint64(abi.LimitMemory), B: size, Text: "guest memory did not grow"})
}

// returned records that a region of so many bytes was freed.
func (m *Memory) returned(bytes uint64) {
	if !m.events.On(abi.CatMemory) {
		return
	}
	pid, chain := m.tag()
	m.events.Emit(&event.Event{Category: abi.CatMemory, Severity: abi.Debug, Kind: event.KindMemoryFree,
		PID: pid, Chain: chain, A: bytes})
}

func (m *Memory) tag() (abi.PID, abi.ChainID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pid, m.chain
}
