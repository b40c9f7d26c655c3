// Package remote starts trees in another process than the kernel's: a copy of this
// executable that is what the kernel cannot be without harm to the program around it.
// For an ordinary user it is the first process of a user namespace, in which it may make
// the other namespaces (a process with threads can enter none itself). Where no
// namespaces are to be had there is one for each tree, which is the parent of every
// orphan of that tree. [Launcher] and [Tree] are as in package launch, at a distance;
// [Main] is the other process.
//
// Invariants: the other process does nothing that it is not told to over its socket,
// which only the kernel holds the other end of; when that closes it ends its trees,
// gives everything back, and exits. What is lent of the host is opened again by its path
// there, and must be the same file.
//
// Locks: Launcher.mu and link.mu guard tables, socket.mu orders what is written; none is
// held while another is taken or while something is waited for.
//
// Imports: guest, and guest/native/launch.
package remote
