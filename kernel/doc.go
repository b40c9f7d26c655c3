// Package kernel carries out the transactions over its parts: boot, spawn, exit,
// wait, signal. The parts are made and handed in by the root package; nothing
// here is global, so that several kernels can live in one program.
//
// Invariants: a process is schedulable only after every resource kind was
// initialized for it; every process that was created is released exactly once,
// whatever ends it; the first cause of its end stands; its number is free again
// only after all it held was returned.
//
// Lock order: Kernel.mu is a leaf around the count of the living. Everything
// else is ordered by the packages below.
//
// Imports: everything in kernel/, guest, internal.
package kernel
