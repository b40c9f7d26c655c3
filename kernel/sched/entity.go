package sched

import (
	"sync/atomic"
	"time"
)

// Outcome is why a task stopped running.
type Outcome uint8

// The outcomes.
const (
	Yielded Outcome = iota // its fuel is spent
	Waiting                // it waits; it runs again after Wake
	Exited                 // it is finished
)

// Task is what an entity runs.
type Task interface {
	// Run executes until the fuel is spent, the task waits, or it ends, and
	// says how much fuel it used.
	Run(fuel int64) (Outcome, int64)
	// Charge accounts for the wall time of a slice. It is called on the vCPU
	// after each Run.
	Charge(slice time.Duration)
	// Exited is called once, on the vCPU, after Run returned Exited. It must not
	// block.
	Exited()
}

// The states of an entity. Only running entities are on a vCPU, only queued
// ones on the run queue.
const (
	parked  int32 = iota // waiting or not yet started
	queued               // on the run queue
	running              // on a vCPU
	woken                // on a vCPU, and to be queued again even if it waits
	ended                // finished or detached
)

// Fuel bounds. minFuel keeps the cost of switching below a percent; maxFuel is
// what the budget word of a metered module can hold.
const (
	minFuel   = 512
	startFuel = 20_000
	maxFuel   = 1<<23 - 1
)

// Entity is one schedulable thing. It is created detached; [Scheduler.Wake]
// starts it.
type Entity struct {
	task  Task
	state atomic.Int32
	fuel  int64 // of the next slice; only touched by the vCPU that runs it
	next  *Entity

	// Only touched by the vCPU that runs it; see lease.go.
	seat  *seat         // the vCPU's
	began time.Time     // of the slice
	away  time.Duration // of the slice, spent in the host without a vCPU
}

// NewEntity wraps a task.
func NewEntity(t Task) *Entity { return &Entity{task: t, fuel: startFuel} }

// adapt sets the fuel of the next slice after one that used fuel and took d.
// It at most doubles, so that a program that turns expensive can overrun its
// quantum by that much only; it falls at once.
func (e *Entity) adapt(used int64, d, quantum time.Duration) {
	if used < minFuel/2 || d <= 0 {
		return // too short to tell
	}
	want := int64(float64(used) * float64(quantum) / float64(d))
	e.fuel = max(minFuel, min(want, 2*e.fuel, maxFuel))
}
