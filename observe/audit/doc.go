// Package audit keeps the log of one run that a person reads when something went wrong:
// what was refused, given, taken, and asked, and by which policies. Each record is one
// line of JSON that ends with a hash over itself and the record before it, so that whoever
// kept the last hash, the head, can tell whether the log is still the one that was
// written. [Open] begins a log, [Verify] reads one.
//
// Invariants: a record is hashed and numbered when it is added and never changes; what is
// on the disk is always a prefix of what was added, but for a last line that a kill cut
// short. Memory and the file are bounded whatever a guest does: equal denials are one
// record with a count, and past a number of different ones they are only counted. No
// record is sampled, and none comes from the stream of events, which may lose some. After
// the first failed write nothing more is written, and everything else is counted as lost.
//
// Locks: Log.mu is a leaf, never held across a write.
//
// Imports: the standard library.
package audit
