// Package stream holds the host's ends of descriptors 0 to 2 of a native
// program: three pipes, or a terminal of the program's own. What the program
// reads and writes passes through here; it never holds a descriptor of its
// caller's.
//
// Invariants: nothing is read of the caller's input unless the program has room
// for it, and nothing at all once [Streams.Drain] has begun; what the program
// wrote before it ended is delivered whole and in order, or Drain says what is
// missing; a reader or writer of the caller's that never returns holds up
// nothing but its own goroutine, which [Streams.Orphans] counts; the caller's
// descriptors keep their flags, since others share them. A program whose reader
// is gone learns it as any program does: by SIGPIPE and EPIPE from a pipe, by
// SIGHUP from a terminal.
//
// Locks: those of one inlet and one outlet, both leaves. No lock is held while
// anything is read, written, or called.
//
// Imports: x/sys.
package stream
