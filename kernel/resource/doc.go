// Package resource is the cleanup orchestrator. Every kind of resource that a
// process can hold is declared in abi and has exactly one [Owner]; the
// [Orchestrator] initializes a process's resources in the order of declaration,
// all or none, and releases them in the reverse order on every way out.
//
// Invariants: an orchestrator exists only if every declared kind has an owner.
// Release of one process runs once. A release that fails, panics, or hangs is
// reported in [Summary.Errors] and stops neither the others nor the kernel.
//
// Locks: none. The caller sees to it that Init and Release of one process do not
// overlap. A release that hangs keeps running on its own goroutine, which ends
// when it returns; [Orchestrator.Orphans] counts those.
//
// Imports: kernel/abi, kernel/event. Owners fit structurally and are not imported.
package resource
