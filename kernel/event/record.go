package event

import (
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Event is what an emitter says. It lives on the emitter's stack and is copied.
type Event struct {
	Category abi.Category
	Severity abi.Severity
	Errno    abi.Errno // the outcome
	Kind     Kind
	PID      abi.PID
	Chain    abi.ChainID
	Parent   abi.EventID
	// Start and End are readings of [Now]. Start 0 is now; End 0 is an event
	// without duration.
	Start, End Ticks
	// A and B are numbers and Text and Text2 are strings that [Kind.Info]
	// names. Texts are copied, up to MaxText bytes (MaxTextBulk for the class
	// Bulk); what is cut off is said so.
	A, B        uint64
	Text, Text2 string
	// Via is the guest ABI's own name of the call. It must be one of a bounded
	// set of constants: the stream interns it and never forgets it.
	Via string
}

// The longest texts that are kept, in bytes. Paths are at most 4096 bytes, so
// that whatever matters is whole where it matters most.
const (
	MaxText     = 4096
	MaxTextBulk = 1024
)

// record is an Event in a ring: of fixed size, without pointers, so that the
// collector of garbage never looks at it.
type record struct {
	key        Ticks // order of merging; within a ring it never decreases
	start, end Ticks
	chain      abi.ChainID
	parent     abi.EventID
	a, b       uint64
	text       uint64 // position in the ring's text
	pid        abi.PID
	kind       Kind
	errno      abi.Errno
	via        uint16 // interned
	len1, len2 uint16 // bytes of text
	category   abi.Category
	severity   uint8 // with cutMark
}

// cutMark, in record.severity, says that a text was cut short.
const cutMark = 0x80

// Record is an event as a [Reader] hands it out, self-contained.
type Record struct {
	ID       abi.EventID
	Parent   abi.EventID
	Chain    abi.ChainID
	PID      abi.PID
	Category abi.Category
	Severity abi.Severity
	Kind     Kind
	Errno    abi.Errno
	TimeNS   int64 // when it began, ns since 1970
	DurNS    int64 // how long it took, ns
	A, B     uint64
	Text     string
	Text2    string
	Via      string
	Cut      bool // a text was longer than what is kept
	TextLost bool // the texts were overwritten before they were read
}

// Time is when the event began.
func (r *Record) Time() time.Time { return time.Unix(0, r.TimeNS).UTC() }
