// Package view is the file system that a native program sees: what every program
// has without asking, as data, and the mounts that put that and the grants in its
// place. [Default] lists the former; [Prepare] clones what is lent of the host into
// detached trees; [Base] builds a root on a thread that has namespaces of its own
// and moves the thread into it, for which [Template] keeps what it can; [Root.Attach] adds grants, [Root.Seal] ends.
//
// Invariants: a place is found and a mount is put there by handle, and a symbolic
// link counts only where the view itself made it, so that nobody who writes to a
// granted directory can redirect a mount; every tree of the host is nosuid, nodev,
// private, and read-only unless it was granted for writing, with all its submounts;
// a file system that is a window of the operating system's kernel is refused as a
// grant and masked within one; nothing is ever created in a directory of the host;
// what cannot be put in place is an error or is returned, never passed over; nothing
// that one program can write to is seen by another.
//
// Locks: none. A Trees belongs to one goroutine at a time, a Root to its thread; a
// Template that is built is for any number of threads, but Fresh and Close for one.
//
// Imports: guest, internal/pseudofs, golang.org/x/sys.
package view
