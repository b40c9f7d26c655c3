// Package invariants carries assertions and fault injection that cost nothing
// in an ordinary build. With the build tag "invariants", [Check] panics on a
// broken assertion and [Point] panics where a test has armed it, which is how
// the tests prove that a panic under any kernel lock releases the lock.
//
// Invariants: in an ordinary build every function here is empty and inlines.
//
// Locks: one, around the armed points; taken last, held for a map lookup.
//
// Imports: the standard library only.
package invariants
