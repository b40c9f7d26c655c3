// Package fstest is the suite that every file system passes ([Run], and [RunFull]
// for one that is full), and comparisons of several of them: under random
// operations ([Agree], [Replay], [Compare]), and under every way to write a path
// ([Paths]).
//
// Invariants: it uses a file system only through its contract in vfs; it lets go
// of every handle, so that a file system can check for leaks afterwards.
//
// Locks: none.
//
// Imports: kernel/{abi,perm,vfs} and testing.
package fstest
