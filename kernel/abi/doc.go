// Package abi is the vocabulary that every other package shares: identifiers,
// error numbers, capabilities, categories, causes of death, resource kinds, and
// the one syscall table ([Rows]) from which dispatch, permissions, event kinds,
// metric labels, and the generated documentation are derived.
//
// Invariants: every enumeration here is dense, starts at its zero value, and has
// a name table of exactly its length (held by a test), so that a value can be an
// array index. Values of [Sysno], [Errno], and [ResourceKind] never leave the
// machine by number, only by name; names are stable, numbers are not.
//
// Locks: none. Nothing in this package is mutable after start-up.
//
// Imports: the standard library only.
package abi
