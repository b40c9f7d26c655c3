package event

import (
	"runtime"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// ring holds the latest records of one class from, mostly, one processor, and
// their texts. Every field below claimed belongs to whoever holds the claim.
//
// Rejected: records published word by word with atomic stores, so that readers
// need no claim. On amd64 each such store is an exchange; ten of them and one
// for each eight bytes of text cost more than taking and giving back a claim,
// and give nothing that a sibling ring does not.
type ring struct {
	claimed atomic.Uint32

	last    Ticks     // the highest key given out; keys never decrease
	head    uint64    // records ever written; the next goes to head & mask
	tail    uint64    // bytes of text ever used, padding at the wrap included
	cursors []*cursor // one for each reader
	counts  Counts

	number  uint64 // of this ring in its stream, part of every id
	mask    uint64
	records []record // a power of two
	text    []byte   // a power of two

	_ [64]byte // the next ring's claim is on a cache line of its own
}

// Counts are numbers of events by category.
type Counts struct {
	Emitted     [abi.NumCategories]uint64 // written to a ring
	Overwritten [abi.NumCategories]uint64 // of those, overwritten since, read or not
}

// cursor is where one reader stands in one ring, and what it missed there since
// that was last taken.
type cursor struct {
	pos     uint64 // the next record to read
	resting bool   // the reader misses nothing: it wants nothing until its next Skip
	missed
}

// missed counts records that were overwritten before they were read.
type missed struct {
	lost  uint64
	other uint64 // of those, the ones that found no room in by
	by    [lossSlots]loss
}

// loss counts the records of one process that were lost.
type loss struct {
	pid abi.PID
	n   uint64
}

const lossSlots = 32

// take returns what was missed and starts counting anew.
func (c *cursor) take() (m missed) {
	if c.lost > 0 {
		m, c.missed = c.missed, missed{}
	}
	return m
}

// lose accounts for the loss of one record of pid.
func (c *missed) lose(pid abi.PID) {
	c.lost++
	for i := range c.by {
		switch {
		case c.by[i].n == 0:
			c.by[i] = loss{pid, 1}
			return
		case c.by[i].pid == pid:
			c.by[i].n++
			return
		}
	}
	c.other++
}

// try claims the ring if nobody has it.
func (r *ring) try() bool { return r.claimed.Load() == 0 && r.claimed.CompareAndSwap(0, 1) }

// release gives the ring back.
func (r *ring) release() { r.claimed.Store(0) }

// acquire claims the ring for a reader, waiting for it: a writer holds it for
// some tens of nanoseconds unless the host takes its thread away. On return the
// caller must not be preempted and must procUnpin after release.
func (r *ring) acquire() {
	for i := 0; ; i++ {
		procPin()
		if r.try() {
			return
		}
		procUnpin()
		switch {
		case i < 64: // spin
		case i < 1024:
			runtime.Gosched()
		default:
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// put writes e as the newest record and returns its position. The caller holds
// the claim. limit bounds each text.
func (r *ring) put(e *Event, via uint16, limit int) uint64 {
	stamp, start, end := e.End, e.Start, e.End
	if stamp == 0 {
		stamp = start
		if stamp == 0 {
			stamp = Now()
			start = stamp
		}
	}
	if stamp < r.last {
		stamp = r.last
	}
	r.last = stamp

	at := r.head
	r.head++
	rec := &r.records[at&r.mask]
	if at > r.mask {
		r.counts.Overwritten[rec.category]++
		for _, c := range r.cursors {
			if !c.resting && c.pos+r.mask+1 <= at {
				c.lose(rec.pid)
			}
		}
	}
	r.counts.Emitted[e.Category]++

	rec.key, rec.start, rec.end = stamp, start, end
	rec.chain, rec.parent = e.Chain, e.Parent
	rec.a, rec.b = e.A, e.B
	rec.pid, rec.kind, rec.errno = e.PID, e.Kind, e.Errno
	rec.via = via
	rec.category, rec.severity = e.Category, uint8(e.Severity)&^cutMark
	rec.len1, rec.len2 = 0, 0
	if len(e.Text)+len(e.Text2) > 0 {
		r.putText(rec, e.Text, e.Text2, limit)
	}
	return at
}

// putText copies both texts, one after the other and never across the wrap.
func (r *ring) putText(rec *record, t1, t2 string, limit int) {
	if len(t1) > limit {
		t1 = cut(t1, limit)
		rec.severity |= cutMark
	}
	if len(t2) > limit {
		t2 = cut(t2, limit)
		rec.severity |= cutMark
	}
	size := uint64(len(r.text))
	n := uint64(len(t1) + len(t2))
	off := r.tail & (size - 1)
	if off+n > size {
		r.tail += size - off
		off = 0
	}
	rec.text = r.tail
	rec.len1, rec.len2 = uint16(len(t1)), uint16(len(t2))
	off += uint64(copy(r.text[off:], t1))
	copy(r.text[off:], t2)
	r.tail += n
}

// cut returns the first at most n bytes of s, not splitting a character.
func cut(s string, n int) string {
	for back := range utf8.UTFMax {
		if utf8.RuneStart(s[n-back]) {
			return s[:n-back]
		}
	}
	return s[:n] // not UTF-8
}
