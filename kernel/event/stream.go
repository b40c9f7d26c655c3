package event

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Categories is a set of event categories.
type Categories uint32

// AllCategories has every category.
const AllCategories Categories = 1<<abi.NumCategories - 1

// CategorySet builds a set.
func CategorySet(cs ...abi.Category) (s Categories) {
	for _, c := range cs {
		s |= 1 << c
	}
	return s & AllCategories
}

// Has reports whether c is in s.
func (s Categories) Has(c abi.Category) bool { return s&(1<<c) != 0 }

// Options configure a Stream. Zero values are defaults.
type Options struct {
	// Records is how many records of the class Bulk are kept in all, of 80
	// bytes each; by default 65,536, or 8,192 for each processor if that is
	// more, since a single busy process fills the ring of one processor only.
	// The other classes have an eighth of it each. It is rounded up to what
	// the rings need.
	Records int
	// Text is how many bytes of their texts are kept, by default 32 a record.
	Text int
	// Categories are recorded; none means all. For no events at all, use a nil
	// Stream.
	Categories Categories
}

// Stream is where events go. All methods are safe for concurrent use, and on a
// nil Stream record nothing.
type Stream struct {
	mask    atomic.Uint32 // Categories
	classes [numClasses]ringSet
	rings   []*ring // all of them; index is the ring's number
	via     names
	base    mark
	dropped atomic.Uint64 // events that found every ring claimed
	wake    chan struct{}

	readers sync.Mutex // serializes NewReader and Close; never held by writers
}

// ringSet is the rings of one class.
type ringSet struct {
	rings   []*ring // a power of two
	maxText int
	quarter uint64 // records between two knocks at wake, less one
}

// ringBits of an event id say which ring it is in. The rest is one more than
// the position there.
const ringBits = 8

// New returns a Stream whose memory is allocated once, here.
func New(o Options) *Stream {
	// At least two rings, so that a writer always has a sibling to turn to.
	procs := min(max(runtime.GOMAXPROCS(0), 2), 64)
	if o.Records <= 0 {
		o.Records = max(65536, 8192*procs)
	}
	if o.Text <= 0 {
		o.Text = 32 * o.Records
	}
	if o.Categories == 0 {
		o.Categories = AllCategories
	}
	s := &Stream{base: takeMark(), wake: make(chan struct{}, 1)}
	s.mask.Store(uint32(o.Categories & AllCategories))
	s.classes[Bulk] = s.newSet(procs, o.Records, o.Text, MaxTextBulk)
	s.classes[Security] = s.newSet(min(procs, 4), o.Records/8, o.Text/4, MaxText)
	s.classes[Lifecycle] = s.newSet(min(procs, 4), o.Records/8, o.Text/4, MaxText)
	return s
}

func (s *Stream) newSet(n, records, text, maxText int) ringSet {
	n = ceilPow2(n, 2)
	records = ceilPow2(records/n, 16)
	text = ceilPow2(text/n, 4*maxText)
	set := ringSet{maxText: maxText, quarter: uint64(records/4 - 1)}
	for range n {
		r := &ring{
			number:  uint64(len(s.rings)),
			mask:    uint64(records - 1),
			records: make([]record, records),
			text:    make([]byte, text),
		}
		set.rings = append(set.rings, r)
		s.rings = append(s.rings, r)
	}
	return set
}

// ceilPow2 returns the least power of two that is at least n and least.
func ceilPow2(n, least int) int {
	return 1 << bits.Len(uint(max(n, least)-1))
}

// On reports whether events of category c are recorded. Emitters ask before
// they fill an Event; it inlines to a load and a test.
func (s *Stream) On(c abi.Category) bool {
	return s != nil && s.mask.Load()&(1<<c) != 0
}

// SetCategories changes what is recorded from now on.
func (s *Stream) SetCategories(c Categories) {
	if s != nil {
		s.mask.Store(uint32(c & AllCategories))
	}
}

// Emit records e and returns its id, or 0 if its category is off, the stream is
// nil, or every ring of its class was claimed at once, which readers are told
// as a loss. It never blocks, and allocates only at the first sight of a Via.
func (s *Stream) Emit(e *Event) abi.EventID {
	if !s.On(e.Category) {
		return 0
	}
	set := &s.classes[e.class()]
	via := s.via.id(e.Via)
	p := uint(procPin())
	for try := range 2 * uint(len(set.rings)) {
		r := set.rings[(p+try)&uint(len(set.rings)-1)]
		if !r.try() {
			continue
		}
		at := r.put(e, via, set.maxText)
		r.release()
		procUnpin()
		if at&set.quarter == set.quarter {
			s.knock()
		}
		return abi.EventID((at+1)<<ringBits | r.number)
	}
	procUnpin()
	s.dropped.Add(1)
	return 0
}

// class decides which rings e goes to.
func (e *Event) class() Class {
	switch {
	case e.Category == abi.CatSecurity:
		return Security
	case e.Kind < firstKind || e.Kind >= endKind:
		// A guest can repeat any operation, whatever its category.
		return Bulk
	}
	return kindTable[e.Kind-firstKind].Class
}

// knock tells whoever waits on Pressure that a quarter of a ring is new.
func (s *Stream) knock() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Pressure has a value when a good part of some ring was written since the last
// one was taken, so that an idle reader need not poll often. It has one
// consumer. On a nil Stream it never has a value.
func (s *Stream) Pressure() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.wake
}

// Stats are what a stream did since it was made.
type Stats struct {
	Counts
	Dropped uint64 // events that found every ring claimed
	Capacity
}

// Capacity is the room of a stream, in records and bytes.
type Capacity struct {
	Rings, Records, TextBytes int
}

// Total is how many events were written to rings.
func (c *Counts) Total() (n uint64) {
	for _, v := range c.Emitted {
		n += v
	}
	return n
}

// Stats counts. It claims each ring in turn.
func (s *Stream) Stats() (st Stats) {
	if s == nil {
		return st
	}
	st.Dropped = s.dropped.Load()
	for _, r := range s.rings {
		r.acquire()
		c := r.counts
		r.release()
		procUnpin()
		for i := range c.Emitted {
			st.Emitted[i] += c.Emitted[i]
			st.Overwritten[i] += c.Overwritten[i]
		}
		st.Rings++
		st.Records += len(r.records)
		st.TextBytes += len(r.text)
	}
	return st
}
