// Package proc holds processes: the table that names them, the states they pass
// through, their descriptors, their end, and what is known about each of them
// for the report.
//
// Invariants: a process changes state only along [Transitions]; only
// Initializing → Ready makes it schedulable; its end is set once, by whoever
// comes first; its descriptor table refuses everything after it was released.
//
// Lock order: Table (internal/idtable) → FDTable.mu → Process.mu, none held
// across a call into a file system or a guest. The file of a descriptor is
// referenced under FDTable.mu and used outside it.
//
// Imports: kernel/{abi,event,limit,perm,vfs,mem,sched}, guest, internal.
package proc
