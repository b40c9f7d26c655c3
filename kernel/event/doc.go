// Package event is what the kernel remembers of what it did: a [Stream] of small
// records of fixed size, written by whoever acts and merged by time for whoever
// reads. Writers fill an [Event] on their stack and hand it to [Stream.Emit],
// which copies it into a ring that belongs to the processor it runs on. The
// oldest records are overwritten; nothing ever waits for a reader.
//
// Invariants: Emit takes no lock that it would wait for, and allocates nothing.
// Ring contents are touched only by the holder of the ring's claim word, hence
// by one goroutine at a time, and the claim is only ever tried for: a writer that
// finds it taken uses a sibling ring. Within a ring, merge keys never decrease.
// For every [Reader], records delivered plus records reported lost equal records
// emitted. Records of a process's life and of its security live in rings of
// their own, so that no flood of calls overwrites them. A nil *Stream is valid
// and records nothing.
//
// Lock order: a ring's claim is the innermost lock of the kernel. At most one is
// held at a time, without preemption, for a bounded copy, and nothing is called
// under it. [Stream.NewReader] and [Reader.Close] are serialized by a mutex that no
// writer takes.
//
// Imports: kernel/abi and the standard library.
package event
