// Package vfs is what a process sees of files: a [Namespace] of mounted file
// systems, the walk from a path to a handle, and open files. The file systems
// themselves are in the subpackages, behind [FileSystem], [Node], and [Handle].
//
// Invariants: every operation acts on the handle that its own walk ended at, and
// never on a path string; permission is asked about that handle's canonical
// path, made of the real components that the walk passed, with no symbolic link
// in it; a name that is denied is neither found nor listed; nothing leaves the
// directory that a walk began at; a mount point, and every directory above one,
// stays where it is. The canonical path of an open file is the one it was opened
// under.
//
// Lock order: File.mu → the locks of one file system. The mounts of a
// Namespace are read without a lock. No lock is held while an [Access] is asked.
//
// Imports: kernel/{abi,event,limit,perm} and internal/invariants.
package vfs
