// Package fstest is the suite that every file system passes ([Run]), and a
// comparison of two of them under random operations ([Compare]).
//
// Invariants: it uses a file system only through its contract in vfs; it lets go
// of every handle, so that a file system can check for leaks afterwards.
//
// Locks: none.
//
// Imports: kernel/{abi,perm,vfs} and testing.
package fstest
