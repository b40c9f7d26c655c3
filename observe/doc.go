// Package observe takes what the kernel recorded to where it is wanted. A
// [Collector] is one goroutine that reads a stream of events and hands them to
// [Sink]s; [NewJSONL] is the sink that writes the JSON lines that users see.
//
// Invariants: nothing here can hold up a guest, however slow or broken a writer
// is: a sink has a bounded buffer and a goroutine of its own. What a sink could
// not take, and what was overwritten before it was read, is counted for the
// process it belonged to and said in the document itself. Cancelling a
// subscription delivers what was emitted before. Every goroutine started here
// ends with Close, but for one inside a Write that never returns.
//
// Lock order: a Collector's mutex guards its tallies, a sink's mutex its
// buffer; neither is held while the other is taken, nor while anything is
// written.
//
// Imports: kernel/event, kernel/abi and the standard library.
package observe
