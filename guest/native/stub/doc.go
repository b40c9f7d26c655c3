// Package stub holds two programs of some hundred bytes each, written as machine
// code, that stand in a native program's pid namespace where a Go program would be
// too slow to start and anything else would be a file to install.
//
// Init is pid 1. It reads a path from descriptor 3 and mounts a proc file system
// there, which only a process inside the namespace can do, unless it is empty; gives up its
// capabilities, may gain none, and cannot be looked into; answers with four bytes,
// zero if all of that worked; then reaps whatever is left to it until descriptor 3
// speaks or closes, and exits, which takes every process of the namespace with it.
// A program that is itself pid 1 would be immune to its own signals and would have
// to reap strangers.
//
// Starter is what the program is executed from. It reads a [Script], a list of
// system calls with their data, from descriptor 3 and makes one after the other; the
// last executes the program. So a process can be forked ahead of time, and what must
// happen inside it (limits, capabilities, filters) is data assembled in Go, where a
// thread of Go could not: between vfork and exec the parent's processor is held, and
// a stop of the world that came then would wait for it.
//
// Invariants: descriptor 3 is one end of a socket pair whose other end only the
// kernel holds, close-on-exec: when the kernel is gone, so are both. Neither program
// trusts or reads anything but that descriptor.
//
// Locks: none.
//
// Imports: nothing of this module.
package stub
