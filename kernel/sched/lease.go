package sched

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An entity that calls the host from its vCPU, instead of sending a worker and
// waiting, saves two switches between goroutines. It must not keep the vCPU from
// others if the host takes its time: while it is in the host the monitor may
// give its seat to a new vCPU, as Go's runtime does with a processor whose thread
// is in a system call. The old vCPU comes back to find its seat lost, hands in
// its entity, and ends.

// hostPatience is how long an entity may be in the host before others that could
// run get its vCPU, to within as much again.
const hostPatience = 200 * time.Microsecond

// The states of a seat, in the two low bits; above them is a number that is
// different for every visit to the host.
const (
	inGuest uint64 = iota
	inHost
	taken
	seatBits  = 2
	seatState = 1<<seatBits - 1
)

// in returns a word with another state.
func in(word, state uint64) uint64 { return word&^seatState | state }

// seat is the right of one goroutine to run entities.
type seat struct {
	word  atomic.Uint64
	since atomic.Int64 // when it was last to be taken, in ns of the monitor's clock
}

func (s *seat) lost() bool { return s.word.Load()&seatState == taken }

// Lease is an entity's hold on the vCPU that it runs on.
type Lease struct {
	s *Scheduler
	e *Entity
}

// Lease returns e's hold on its vCPUs. Its methods are called while e's task runs,
// on the same goroutine.
func (s *Scheduler) Lease(e *Entity) Lease { return Lease{s, e} }

// EnterHost says that the task is about to call the host from its vCPU. It must
// be followed by LeaveHost.
func (l Lease) EnterHost() {
	s, w := l.s, &l.e.seat.word
	w.Store(in(w.Load()+1<<seatBits, inHost))
	s.monitor.hosting.Add(1)
	if s.queued.Load() > 0 {
		s.monitor.look()
	}
}

// LeaveHost says that the call has returned. It reports false if the task must
// give up its slice now: others have waited for a quantum, or run on its vCPU
// already.
func (l Lease) LeaveHost() bool {
	s, e, w := l.s, l.e, &l.e.seat.word
	old := w.Load()
	if w.CompareAndSwap(in(old, inHost), in(old, inGuest)) {
		s.monitor.hosting.Add(-1)
		return s.queued.Load() == 0 || time.Since(e.began) < s.quantum
	}
	// Since it was taken, the time has been the host's and not a processor's.
	e.away = s.monitor.now() - time.Duration(e.seat.since.Load())
	return false
}

// monitor gives the seats of those who stay in the host to new vCPUs, while
// others wait for one.
type monitor struct {
	epoch time.Time
	wake  chan struct{} // capacity 1
	quit  chan struct{}
	done  chan struct{}

	busy    atomic.Bool  // looking already
	hosting atomic.Int32 // seats in the host and not taken

	mu    sync.Mutex
	seats []*seat // guarded by mu
}

func (m *monitor) start(s *Scheduler) {
	m.epoch = time.Now()
	m.wake, m.quit, m.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go m.run(s)
}

// stop ends the monitor. It comes before the vCPUs are waited for, so that none
// is started meanwhile.
func (m *monitor) stop() {
	close(m.quit)
	<-m.done
}

func (m *monitor) now() time.Duration { return time.Since(m.epoch) }

// seat starts a vCPU.
func (m *monitor) seat(s *Scheduler) {
	st := new(seat)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seats = append(m.seats, st)
	s.wg.Add(1)
	go s.vcpu(st)
}

// leave forgets the seat of a vCPU that ends.
func (m *monitor) leave(st *seat) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seats = slices.DeleteFunc(m.seats, func(other *seat) bool { return other == st })
}

// look has the monitor look at the seats for as long as something is queued and
// somebody is in the host. It never blocks.
func (m *monitor) look() {
	if m.hosting.Load() == 0 || m.busy.Load() {
		return
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *monitor) needed(s *Scheduler) bool { return s.queued.Load() > 0 && m.hosting.Load() > 0 }

func (m *monitor) run(s *Scheduler) {
	defer close(m.done)
	tick := time.NewTimer(time.Hour)
	defer tick.Stop()
	var seen []uint64
	for {
		select {
		case <-m.quit:
			return
		case <-m.wake:
		}
		m.busy.Store(true)
		for m.needed(s) {
			seen = m.note(seen[:0])
			tick.Reset(hostPatience)
			select {
			case <-m.quit:
				return
			case <-tick.C:
			}
			m.take(s, seen)
		}
		m.busy.Store(false)
		if m.needed(s) {
			m.look() // it became so while nobody was told, since the monitor was busy
		}
	}
}

// note appends the words of all seats.
func (m *monitor) note(words []uint64) []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, st := range m.seats {
		words = append(words, st.word.Load())
	}
	return words
}

// take replaces those who are still on the visit to the host on which they were
// seen, as long as somebody waits.
func (m *monitor) take(s *Scheduler, seen []uint64) {
	for _, w := range seen {
		if w&seatState == inHost && s.queued.Load() > 0 && m.takeOne(w) {
			m.seat(s)
		}
	}
}

func (m *monitor) takeOne(w uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, st := range m.seats {
		if st.word.Load() != w {
			continue
		}
		st.since.Store(int64(m.now()))
		if st.word.CompareAndSwap(w, in(w, taken)) {
			m.hosting.Add(-1)
			m.seats = slices.Delete(m.seats, i, i+1)
			return true
		}
	}
	return false
}
