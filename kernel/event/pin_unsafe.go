package event

import _ "unsafe" // for go:linkname

// procPin forbids preemption of the calling goroutine and returns the number of
// the processor it runs on. The runtime keeps this name open to linkname.
// It is used to choose a ring and to keep claims short; exclusion rests on the
// claim word alone, so that a change of GOMAXPROCS breaks nothing.
//
//go:linkname procPin runtime.procPin
func procPin() int

// Processor returns the number of Go's processor that the goroutine is on, or was a
// moment ago. It serves to choose one of several counters, so that processors do not
// fight over one.
func Processor() int {
	p := procPin()
	procUnpin()
	return p
}

// procUnpin undoes procPin.
//
//go:linkname procUnpin runtime.procUnpin
func procUnpin()
