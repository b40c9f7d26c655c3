// Package idtable hands out small recycled numbers that never resolve once they
// are stale. An [ID] is an index joined with the generation of its slot; the
// index is what people see (a PID), the generation is what makes a number held
// by a forgetful owner useless after its slot was freed.
//
// Invariants: index 0 is never used, so the zero ID is never valid. A slot's
// generation grows by one at every free and never wraps: a slot that has used
// its last generation is retired. Freed indexes are reused first in, first out,
// and only after [Options.Quarantine] others were freed after them. The space
// does not run out in practice: 2^32-1 indexes of 2^32-1 generations each are
// 1.8e19 ids, 584,000 years at one million a second; retiring costs one index
// of four thousand million for each 4.3e9 uses of it.
//
// Locks: one mutex guards allocation and release. Lookups take no lock: a slot
// holds one pointer to an immutable record of its id and value. No callback but
// that of [Table.AllocWith] runs under the mutex.
//
// Imports: the standard library only.
package idtable
