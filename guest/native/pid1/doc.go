// Package pid1 is the first process of a native program's pid namespace: some four
// hundred bytes of machine code that adopt and reap whatever the program leaves
// behind, and die with the kernel. A program that is itself pid 1 would be immune to
// its own signals and would have to reap strangers; a pid 1 of Go would cost each
// run the start of a Go runtime.
//
// In words: it reads a path from descriptor 3 and mounts a proc file system there,
// which only a process inside the namespace can do; gives up its capabilities, may
// gain none, and cannot be looked into; answers with four bytes, zero if all of that
// worked; then reaps until descriptor 3 speaks or closes, and exits. The exit of pid 1
// takes every process of the namespace with it.
//
// Invariants: descriptor 3 is one end of a socket pair whose other end only the
// kernel holds, close-on-exec: when the kernel is gone, so is the tree. The program
// touches no memory but its own stack and text.
//
// Locks: none.
//
// Imports: nothing of this module.
package pid1
