// Package audit is the log of what a run was refused, given, and deprived of: lines of
// JSON, each with a digest of itself and of all before it. Whoever keeps the digest of the
// last one, the head, can tell later whether the log is still the same.
//
// Invariants: a digest covers every byte of its line and the digest of the line before,
// the first one the name of the run; a line is written whole or not at all, and the head
// never names one that was not written.
//
// Locks: a Log has one, held while it writes.
//
// Imports: the standard library.
package audit
