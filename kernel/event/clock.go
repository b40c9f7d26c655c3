package event

import "time"

// Ticks is a raw reading of the fast clock. Its unit is the machine's; only
// differences mean anything, and a [Reader] turns them into time. Zero stands
// for "not read".
type Ticks uint64

// origin is where the fallback clock starts, and fast whether the processor's
// counter is used instead of it. Both are decided once, before main, and never
// written again: a Ticks value must mean the same everywhere in the process.
var (
	origin = time.Now()
	fast   = counterUsable()
)

// Now reads the fast clock: the processor's own counter where it runs at a
// constant rate and agrees between processors, the runtime's monotonic clock
// elsewhere.
func Now() Ticks {
	if fast {
		return Ticks(counter())
	}
	return monotonic()
}

// FastClock reports whether Now reads the processor's counter.
func FastClock() bool { return fast }

// monotonic is the fallback clock, in nanoseconds.
func monotonic() Ticks { return Ticks(time.Since(origin)) + 1 }

// mark ties one reading of the fast clock to the host's clocks.
type mark struct {
	ticks Ticks
	mono  int64 // ns since origin
	wall  int64 // ns since 1970
}

// takeMark reads all clocks as close together as three tries allow.
func takeMark() mark {
	best := mark{}
	gap := Ticks(1 << 63)
	for range 3 {
		before := Now()
		t := time.Now()
		after := Now()
		if after-before < gap {
			gap = after - before
			best = mark{ticks: before + gap/2, mono: int64(t.Sub(origin)), wall: t.UnixNano()}
		}
	}
	return best
}

// Marks are kept this far apart, and this many of them.
const (
	markSpacing = int64(50 * time.Millisecond)
	maxMarks    = 16
)

// clock turns Ticks into time by interpolating between marks. Whoever reads an
// event does so after it happened, so there is always a mark on either side:
// the error is that of the marks (tens of nanoseconds), however the counter
// drifts or the host slews its clock. It is not safe for concurrent use.
type clock struct {
	marks []mark // ascending; the first is the oldest known, the last is moved by sync
}

// newClock starts from a mark taken before the first event.
func newClock(base mark) clock {
	marks := make([]mark, 1, maxMarks)
	marks[0] = base
	return clock{marks: marks}
}

// sync takes a mark and returns its Ticks.
func (c *clock) sync() Ticks {
	m := takeMark()
	n := len(c.marks)
	last := c.marks[n-1]
	if m.ticks <= last.ticks || m.mono <= last.mono {
		// The counter went backwards (a restored virtual machine): what came
		// before it can no longer be placed, so start over from here.
		if m.ticks < last.ticks {
			c.marks = append(c.marks[:0], m)
		}
		return m.ticks
	}
	switch {
	case n > 1 && m.mono-c.marks[n-2].mono < markSpacing:
		c.marks[n-1] = m
	case n == maxMarks:
		copy(c.marks[1:], c.marks[2:]) // the oldest stays, as a long base line
		c.marks[n-1] = m
	default:
		c.marks = append(c.marks, m)
	}
	return m.ticks
}

// at returns the monotonic and wall time of t in nanoseconds.
func (c *clock) at(t Ticks) (mono, wall int64) {
	n := len(c.marks)
	if n == 1 {
		m := c.marks[0]
		if !fast {
			d := int64(t - m.ticks)
			return m.mono + d, m.wall + d
		}
		return m.mono, m.wall
	}
	i := n - 1
	for i > 1 && t < c.marks[i-1].ticks {
		i--
	}
	lo, hi := c.marks[i-1], c.marks[i]
	rate := float64(hi.mono-lo.mono) / float64(hi.ticks-lo.ticks)
	d := int64(float64(int64(t-lo.ticks)) * rate)
	// Wall time follows the mark before, so that a step of the host's clock
	// shows at the mark where it was noticed and stretches nothing.
	return lo.mono + d, lo.wall + d
}
