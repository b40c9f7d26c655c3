// Package seccomp is the lowest layer of the native floor: a filter of system
// calls, assembled here instruction by instruction from one table that says what
// the floor does with every call of x86-64 and arm64 and why.
//
// Invariants: a call that the table does not know does not exist (ENOSYS); what
// another architecture's entry asks for does not exist either, so that no call
// has a twin; notification only ever stands in for an allowance, never for a
// refusal; a call that is allowed whatever its arguments reaches its verdict
// without a look at them, since the kernel remembers such verdicts and does not
// run the filter again; a filter is put on the calling thread and on no other.
//
// Locks: none. The tables never change.
//
// Imports: golang.org/x/sys/unix.
package seccomp
