// Package gate is the one way from a guest into the kernel. For every call it
// looks up the row of the syscall table, asks layer 1, runs the handler, and
// emits the event; nothing reaches a handler any other way.
//
// A handler that can wait for the host does not run on the vCPU: the gate moves
// it to a worker goroutine with its own copy of the call and kernel-owned
// buffers, and tells the guest that it is blocked. If the process is killed
// meanwhile, the worker is left behind with nothing of the guest's in its
// hands, and is counted until it returns.
//
// Invariants: a call is served only while its process is running and not marked
// to die; every call emits exactly one event; a panic in a handler ends that
// process alone; worker code never touches guest memory.
//
// Lock order: none of its own; handlers take the locks of proc, vfs, and below.
//
// Imports: everything in kernel/ below it, and guest.
package gate
