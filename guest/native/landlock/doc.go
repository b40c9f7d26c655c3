// Package landlock restricts the calling thread to what it was granted, by the
// kernel's own account of files, ports, sockets, and signals. It is the layer of
// the native floor that still holds when a mount was forgotten or a path was
// resolved wrongly, and the only one for files where there are no namespaces. No
// version of it restricts what does not open a file: to look at one (stat,
// access, readlink), to change its mode, owner, times, or attributes, to watch
// it (inotify), to make a directory the working one.
//
// Invariants: every right that the kernel can handle is handled, so that what no
// rule grants is refused; a rule names its place by an open handle, never by a
// path; a ruleset is put on the calling thread and on no other; what the kernel
// is too old to refuse, Describe says.
//
// Locks: none. A ruleset belongs to whoever made it.
//
// Imports: golang.org/x/sys/unix.
package landlock
