// Package rewrite changes a WebAssembly module that nobody has reason to trust
// so that it can be interrupted and bounded: it charges fuel at function
// entries and loop headers, keeps the depth of the stack in the same word,
// splits bulk memory and table instructions into bounded steps, caps what
// tables and memories may grow to, and merges data segments. Compiled guest
// code cannot be preempted by the host; after Rewrite it preempts itself.
//
// Invariants: nothing that the original module says can reach what was added:
// every index is checked against the original counts before it is shifted, and
// the names of the additions are refused in the original. The output is encoded
// anew from what was decoded, so a reader that takes an odd encoding otherwise
// than this package does sees none. Time and memory are linear in the input,
// the output is a function of input and options, and no input makes it panic.
// Types are checked by the engine afterwards; what is checked here is all that
// the rewriting depends on.
//
// Locks: none. Rewrite shares nothing and may be called concurrently.
//
// Imports: the standard library only.
package rewrite
