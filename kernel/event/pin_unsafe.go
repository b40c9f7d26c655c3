package event

import _ "unsafe" // for go:linkname

// procPin forbids preemption of the calling goroutine and returns the number of
// the processor it runs on. The runtime keeps this name open to linkname.
// It is used to choose a ring and to keep claims short; exclusion rests on the
// claim word alone, so that a change of GOMAXPROCS breaks nothing.
//
//go:linkname procPin runtime.procPin
func procPin() int

// procUnpin undoes procPin.
//
//go:linkname procUnpin runtime.procUnpin
func procUnpin()
