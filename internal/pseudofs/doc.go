// Package pseudofs knows the file systems of Linux whose files are not data but
// switches and windows of the operating system's kernel. Neither domain lends one
// to a program: through proc a guest would reach this process's own memory.
//
// Invariants: the list is the only one. Everything that is not on it (disks, tmpfs,
// overlayfs, FUSE, network) holds data and is a grant like any other.
//
// Locks: none.
//
// Imports: golang.org/x/sys.
package pseudofs
