// Package native is the domain of Linux programs: each is a tree of host processes
// under the floor of package launch, with its standard streams copied by package
// stream. It decides nothing; what it is given (a [guest.Setting]) is all there is.
//
// Invariants: an instance is prepared by Instantiate and runs nothing before its first
// Resume; it reports Exited only when every process of its tree is dead and reaped and
// its output was delivered.
//
// Locks: Instance.mu guards the state of one instance; it is a leaf.
//
// Imports: kernel/abi, guest, and the packages beneath this one.
package native
