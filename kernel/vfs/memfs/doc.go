// Package memfs is a private file system in memory. Every byte that it holds,
// its own bookkeeping included, is charged before it is taken, to the disk limit
// and, since it is memory, to the memory limit as well; a refused charge is
// ENOSPC. A file's space is returned when its last name and its last handle are
// gone, and all of it when the file system is closed.
//
// Invariants: holes take no space; an object lives while it has a name or a
// handle; directory cookies grow and are never used twice, so that a listing
// sees every entry that stays exactly once whatever changes meanwhile; what is
// charged at any moment is the sum over what lives.
//
// Lock order: FS.mu (names and link counts) → file.mu (data) → ledger.mu, each
// a leaf towards everything outside.
//
// Imports: kernel/{abi,limit,vfs} and internal/invariants.
package memfs
