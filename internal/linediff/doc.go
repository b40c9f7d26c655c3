// Package linediff compares two texts line by line and returns what differs as
// the hunks of a unified diff. The algorithm is the greedy one of E. Myers, "An
// O(ND) Difference Algorithm and Its Variations" (1986).
//
// Invariants: the hunks turn the old text into the new one exactly, a missing
// last newline included. Time and memory are bounded (maxEdits, maxWork) besides the
// length of the texts: texts that differ in more lines are still compared
// exactly, only not minimally.
//
// Locks: none.
//
// Imports: the standard library.
package linediff
