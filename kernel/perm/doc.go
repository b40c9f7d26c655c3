// Package perm holds the credentials of a process and decides on what it asks:
// whether it may do a kind of thing at all (capability), whether it may do it to
// this path (path), and whether a policy forbids it (policy). What was decided is
// remembered (cache). Denials are folded into a bounded record that says what would
// have allowed them.
//
// What a process may do can change while it runs: [Authority.Change] exchanges its
// subject for another and counts the epoch up. [Grants] are sets of scoped capabilities,
// to compare what two processes have.
//
// Invariants: a [Subject] is immutable, so a decision needs no lock and the same
// question has the same answer; what no rule grants is refused; a deny wins over
// every grant, however specific; the answer to a denied path never depends on
// whether anything is there; a decision is a function of the subject, the action
// and the canonical path alone, so that a cache may stand in front of it; what is
// remembered is answered only in the epoch under which it was decided, and to the
// process that asked.
//
// Locks: [Denials] has one, a leaf; [Authority] has one for those who change it, held
// while next makes the new subject and never taken to decide. The cache has none.
//
// Imports: kernel/abi, kernel/event for the number of a processor.
package perm
