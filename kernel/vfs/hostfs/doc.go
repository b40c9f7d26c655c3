// Package hostfs exposes one granted directory, or one granted file, of the
// host as a file system to a guest that nobody trusts. On Linux everything is
// bound to O_PATH handles; elsewhere to [os.Root].
//
// Invariants: an object is first pinned by a handle, then judged, then used
// through that handle, never through its path again. Kernel file systems (proc,
// sysfs, cgroup, debugfs, ...) and device nodes are invisible whatever is
// granted, and so are the objects of [Options].Hidden, whose ancestors also
// cannot be moved. FIFOs and sockets can be seen but never opened. No set-user-ID
// file is created or written. A host descriptor is closed exactly once, after
// its last user has left it.
//
// Lock order: the lock of an open directory or of an appending handle is taken
// before the lock of the mount cache; neither is held while calling out of the
// package.
//
// Imports: kernel/abi, kernel/vfs, internal/pseudofs, golang.org/x/sys, the standard library.
package hostfs
