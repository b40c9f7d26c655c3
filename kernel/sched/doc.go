// Package sched multiplexes runnable entities over vCPUs. A vCPU is a goroutine
// that picks an [Entity] from the run queue, runs its [Task] for one slice, and
// asks why it stopped. Slices are bounded by fuel, which the scheduler adapts to
// each entity so that a slice lasts about a quantum of wall time whatever a unit
// of fuel costs that program.
//
// Invariants: an entity is on the run queue at most once and runs on at most one
// vCPU; a wake-up is never lost, also between a task's decision to wait and the
// vCPU's taking note of it; after its exit function was called an entity is
// never run again.
//
// An entity that is in the host may lose its vCPU to others; it then gives up its
// slice as soon as it is back.
//
// Lock order: Scheduler.mu guards the run queue, monitor.mu the seats of the vCPUs;
// both are leaves. Entity states and seats are atomics. Policies are called under Scheduler.mu and must not block.
//
// Imports: kernel/abi, kernel/event.
package sched
