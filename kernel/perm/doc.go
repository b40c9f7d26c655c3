// Package perm holds the credentials of a process and decides the first two
// layers of permission: whether it may do a kind of thing at all (capability),
// and whether it may do it to this path (path). Denials are folded into a
// bounded record that says what would have allowed them.
//
// What a process may do can change while it runs: [Authority.Change] exchanges its
// subject for another and counts the epoch up. [Grants] are sets of scoped capabilities,
// to compare what two processes have.
//
// Invariants: a [Subject] is immutable, so a decision needs no lock and the same
// question has the same answer; what no rule grants is refused; a deny wins over
// every grant, however specific; the answer to a denied path never depends on
// whether anything is there; a decision is a function of the subject, the action
// and the canonical path alone, so that a cache may stand in front of it.
//
// Locks: [Denials] has one, a leaf; [Authority] one, held while next makes the new
// subject. Nothing else locks.
//
// Imports: kernel/abi.
package perm
