// Package attempt tries what a native program must not be able to do: to read, change,
// reach, signal, or use up what was not granted. `agentos doctor` runs it as a guest
// and prints what became of each attempt. Beforehand it lays out bait on the host, so
// that success shows by what came back or happened there, and not by what the program
// under trial says.
//
// Invariants: an attempt that succeeds does no harm (files are opened and not changed,
// modules and file systems do not exist); bait is removed when the kernel that laid it
// out is gone, however that ended; what could not be told counts as not held.
//
// Locks: none.
//
// Imports: guest/native/seccomp, for what its filter answers.
package attempt
