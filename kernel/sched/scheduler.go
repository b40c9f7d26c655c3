package sched

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Policy orders the runnable entities. Its methods are called under the
// scheduler's lock.
type Policy interface {
	Name() string
	Push(*Entity)
	// Pop returns the next entity to run, or nil if there is none.
	Pop() *Entity
	// Remove takes an entity off the queue and reports whether it was on it.
	Remove(*Entity) bool
	Len() int
}

// Options configure a scheduler. Zero values are defaults.
type Options struct {
	VCPUs   int           // 1
	Quantum time.Duration // 200 µs
	Policy  Policy        // round robin
}

// DefaultQuantum bounds how long a guest holds its vCPU, and with it a
// stop-the-world of the Go runtime, at a cost of under half a percent.
const DefaultQuantum = 200 * time.Microsecond

// Scheduler runs entities on vCPUs.
type Scheduler struct {
	quantum time.Duration
	vcpus   int
	wg      sync.WaitGroup

	mu     sync.Mutex
	ready  sync.Cond // signalled when the queue grows or the scheduler closes
	policy Policy
	closed bool

	idle     atomic.Int32
	queued   atomic.Int32 // length of the run queue, for those who only look
	switches atomic.Uint64
	monitor  monitor
}

// New starts the vCPUs.
func New(o Options) *Scheduler {
	if o.VCPUs <= 0 {
		o.VCPUs = 1
	}
	if o.Quantum <= 0 {
		o.Quantum = DefaultQuantum
	}
	if o.Policy == nil {
		o.Policy = new(RoundRobin)
	}
	s := &Scheduler{quantum: o.Quantum, vcpus: o.VCPUs, policy: o.Policy}
	s.ready.L = &s.mu
	s.monitor.start(s)
	for range o.VCPUs {
		s.monitor.seat(s)
	}
	return s
}

// VCPUs returns the number of vCPUs.
func (s *Scheduler) VCPUs() int { return s.vcpus }

// Policy returns the name of the policy in force.
func (s *Scheduler) Policy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy.Name()
}

// Switches returns how many slices have been run.
func (s *Scheduler) Switches() uint64 { return s.switches.Load() }

// Wake makes e runnable. It may be called from any goroutine, any number of
// times; waking an entity that is runnable already does nothing.
func (s *Scheduler) Wake(e *Entity) {
	for {
		switch st := e.state.Load(); st {
		case parked:
			if e.state.CompareAndSwap(parked, queued) {
				s.push(e)
				return
			}
		case running:
			if e.state.CompareAndSwap(running, woken) {
				return
			}
		default: // queued, woken, ended
			return
		}
	}
}

func (s *Scheduler) push(e *Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy.Push(e)
	s.queued.Add(1)
	if s.idle.Load() > 0 {
		s.ready.Signal()
		return
	}
	s.monitor.look()
}

// Detach takes e off the run queue for good and reports whether it will never
// run again; false means that it is on a vCPU at this moment.
func (s *Scheduler) Detach(e *Entity) bool {
	for {
		switch st := e.state.Load(); st {
		case parked:
			if e.state.CompareAndSwap(parked, ended) {
				return true
			}
		case queued:
			if s.remove(e) {
				e.state.Store(ended)
				return true
			}
			// A vCPU has just taken it: look again.
			if e.state.Load() != queued {
				continue
			}
			return false
		case ended:
			return true
		default:
			return false
		}
	}
}

func (s *Scheduler) remove(e *Entity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.policy.Remove(e) {
		return false
	}
	s.queued.Add(-1)
	return true
}

// pop waits for an entity and marks it running; nil means the scheduler closed.
func (s *Scheduler) pop() *Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if e := s.policy.Pop(); e != nil {
			s.queued.Add(-1)
			e.state.Store(running)
			return e
		}
		if s.closed {
			return nil
		}
		s.idle.Add(1)
		s.ready.Wait()
		s.idle.Add(-1)
	}
}

// vcpu is the loop of one virtual processor. It ends when the scheduler closes,
// or when its seat was taken while its entity was in the host.
func (s *Scheduler) vcpu(seat *seat) {
	defer s.wg.Done()
	defer s.monitor.leave(seat)
	breather := time.Now()
	for {
		e := s.pop()
		if e == nil {
			return
		}
		e.seat = seat
		end := s.slice(e)
		if seat.lost() {
			return
		}
		// A vCPU that goes from guest to guest never blocks. Without this, the
		// goroutines and timers of its processor (workers, deadlines) would wait
		// for Go's own preemption, 10 ms away.
		if end.Sub(breather) >= breath {
			runtime.Gosched()
			breather = end
		}
	}
}

// breath is how long a vCPU goes on without letting other goroutines run. Each
// time costs some microseconds where another processor takes over.
const breath = time.Millisecond

// slice runs e once, files it by the outcome, and returns when that was.
func (s *Scheduler) slice(e *Entity) (end time.Time) {
	start := time.Now()
	e.began, e.away = start, 0
	out, used := e.task.Run(e.fuel)
	end = time.Now()
	d := end.Sub(start) - e.away
	s.switches.Add(1)
	e.task.Charge(d)
	switch out {
	case Exited:
		e.state.Store(ended)
		e.task.Exited()
		return end
	case Waiting:
		if e.state.CompareAndSwap(running, parked) {
			return end
		}
		// Woken between its decision to wait and now.
	case Yielded:
		e.adapt(used, d, s.quantum)
	}
	e.state.Store(queued)
	s.push(e)
	return end
}

// Close stops the vCPUs once the queue is empty and waits for them. Entities
// that wait are left as they are; the owner ends them before.
func (s *Scheduler) Close() {
	s.close()
	s.monitor.stop()
	s.wg.Wait()
}

func (s *Scheduler) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ready.Broadcast()
}
