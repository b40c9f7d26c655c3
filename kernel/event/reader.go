package event

import (
	"slices"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Reader takes the records of a stream out in the order of their time. Any
// number of readers may exist; each sees everything emitted since it was made,
// or is told how much it missed. A Reader is used by one goroutine at a time.
type Reader struct {
	s       *Stream
	queues  []queue // one for each ring, in order
	clock   clock
	dropped uint64             // of s.dropped, what was reported
	lost    map[abi.PID]uint64 // since last taken
	other   uint64             // lost and not attributed, since last taken
	missed  uint64             // lost, to be returned by the next call of Next
}

// A queue's chunk: how much is copied out of a ring under one claim.
const (
	chunkRecords = 64
	chunkText    = 4 * MaxText
)

// queue is the part of one ring that was copied out and not yet delivered.
type queue struct {
	ring   *ring
	cursor *cursor
	recs   [chunkRecords]record
	gone   [chunkRecords]bool // the texts were overwritten
	first  uint64             // position of recs[0]
	i, n   int                // recs[i:n] are still to be delivered
	text   []byte             // their texts, packed in order
	off    int                // where those of recs[i] start
	idle   bool               // found empty in this round
}

// NewReader returns a reader of what is emitted from now on. It must be closed.
// On a nil Stream it returns nil, which is valid and empty.
func (s *Stream) NewReader() *Reader {
	if s == nil {
		return nil
	}
	s.readers.Lock()
	defer s.readers.Unlock()
	r := &Reader{s: s, queues: make([]queue, len(s.rings)), clock: newClock(s.base), dropped: s.dropped.Load(), lost: map[abi.PID]uint64{}}
	for i, g := range s.rings {
		q := &r.queues[i]
		q.ring, q.cursor = g, new(cursor)
		q.text = make([]byte, 0, chunkText)
		g.setCursors(func(cs []*cursor) []*cursor { return append(cs, q.cursor) })
	}
	return r
}

// Close ends the reader. Writers no longer account for what it misses.
func (r *Reader) Close() {
	if r == nil {
		return
	}
	r.s.readers.Lock()
	defer r.s.readers.Unlock()
	for i := range r.queues {
		q := &r.queues[i]
		q.ring.setCursors(func(cs []*cursor) []*cursor {
			return slices.DeleteFunc(cs, func(c *cursor) bool { return c == q.cursor })
		})
	}
}

// setCursors replaces the ring's cursors by what change makes of a copy, so that
// nothing is allocated under the claim. Calls are serialized by Stream.readers;
// a new cursor starts at the head.
func (r *ring) setCursors(change func([]*cursor) []*cursor) {
	r.acquire()
	old := r.cursors
	r.release()
	procUnpin()
	next := change(slices.Clone(old))
	r.acquire()
	r.cursors = next
	if len(next) > len(old) {
		next[len(next)-1].pos = r.head
	}
	r.release()
	procUnpin()
}

// Next fills buf with the next records, merged by time, and returns how many
// they are and how many were lost since the last call. It returns what happened
// before it was called, and perhaps not the last of it: what may not yet be
// placed in time is held back for the next call. n < len(buf) means that there is
// no more for now. It never slows a writer: one that finds its ring claimed
// uses another.
func (r *Reader) Next(buf []Record) (n int, lost uint64) { return r.next(buf, false) }

// Flush is Next but holds nothing back. An event that is being emitted meanwhile
// may come later although it happened before.
func (r *Reader) Flush(buf []Record) (n int, lost uint64) { return r.next(buf, true) }

func (r *Reader) next(buf []Record, all bool) (n int, lost uint64) {
	if r == nil {
		return 0, 0
	}
	lost, r.missed = r.missed, 0
	// Whatever is emitted after this moment has a higher key (see refill), so
	// that no record below it can still turn up.
	mark := r.clock.sync()
	for i := range r.queues {
		r.queues[i].idle = false
	}
	if d := r.s.dropped.Load(); d != r.dropped {
		lost += d - r.dropped
		r.other += d - r.dropped
		r.dropped = d
	}
	for n < len(buf) {
		var next *queue
		for i := range r.queues {
			q := &r.queues[i]
			if q.i == q.n && !q.idle {
				lost += r.refill(q, mark)
			}
			if q.i < q.n && (next == nil || q.recs[q.i].key < next.recs[next.i].key) {
				next = q
			}
		}
		if next == nil || !all && heldBack(next.recs[next.i].key, mark) {
			break
		}
		r.decode(next, &buf[n])
		n++
	}
	return n, lost
}

// heldBack reports whether a record has to wait for the next round: something
// with a lower key may still be written to a ring that this round found empty.
// A key far ahead is not one of this clock any more (a restored virtual machine
// counts from somewhere else), and waiting for it would be for ever.
func heldBack(key, mark Ticks) bool { return key >= mark && key-mark < farAhead }

// farAhead is a second or more on any machine.
const farAhead Ticks = 1 << 33

// Point is a moment in a stream: how much each ring had taken by then.
type Point []uint64

// Point returns the present moment, and takes note of losses up to it.
func (r *Reader) Point() Point {
	if r == nil {
		return nil
	}
	p := make(Point, len(r.queues))
	for i := range r.queues {
		q := &r.queues[i]
		q.ring.acquire()
		p[i] = q.ring.head
		missed := q.cursor.take()
		q.ring.release()
		procUnpin()
		r.missed += r.note(&missed)
	}
	return p
}

// Passed reports whether everything that was emitted before p was taken has been
// delivered or reported lost.
func (r *Reader) Passed(p Point) bool {
	for i, head := range p {
		q := &r.queues[i]
		if q.cursor.pos-uint64(q.n-q.i) < head {
			return false
		}
	}
	return true
}

// Before reports whether the event id was emitted before p was taken.
func (p Point) Before(id abi.EventID) bool {
	ring := uint64(id) & (1<<ringBits - 1)
	return ring < uint64(len(p)) && uint64(id)>>ringBits <= p[ring]
}

// refill copies the next records of q's ring, and returns how many were lost
// before them. If there are none it raises the ring's last key to mark, so that
// what is written from now on sorts behind everything of this round.
func (r *Reader) refill(q *queue, mark Ticks) uint64 {
	g, c := q.ring, q.cursor
	q.i, q.n, q.off = 0, 0, 0
	q.text = q.text[:0]

	g.acquire()
	missed := c.take()
	if oldest := g.head - min(g.head, g.mask+1); c.pos < oldest {
		c.pos = oldest
	}
	q.first = c.pos
	for c.pos < g.head && q.n < chunkRecords {
		rec := g.records[c.pos&g.mask]
		size := uint64(rec.len1) + uint64(rec.len2)
		if len(q.text)+int(size) > chunkText {
			break
		}
		gone := size > 0 && g.tail-rec.text > uint64(len(g.text))
		if size > 0 && !gone {
			off := rec.text & uint64(len(g.text)-1)
			q.text = append(q.text, g.text[off:off+size]...)
		}
		q.recs[q.n], q.gone[q.n] = rec, gone
		q.n++
		c.pos++
	}
	if q.n == 0 {
		q.idle = true
		if g.last < mark || !heldBack(g.last, mark) {
			g.last = mark
		}
	}
	g.release()
	procUnpin()

	return r.note(&missed)
}

// note adds what was taken from a cursor to the reader's losses.
func (r *Reader) note(m *missed) uint64 {
	if m.lost > 0 {
		r.other += m.other
		for _, l := range m.by {
			if l.n > 0 {
				r.lost[l.pid] += l.n
			}
		}
	}
	return m.lost
}

// decode turns the first record of q into out and drops it from q.
func (r *Reader) decode(q *queue, out *Record) {
	rec := &q.recs[q.i]
	*out = Record{
		ID:     abi.EventID((q.first+uint64(q.i)+1)<<ringBits | q.ring.number),
		Parent: rec.parent, Chain: rec.chain, PID: rec.pid,
		Category: rec.category, Severity: abi.Severity(rec.severity &^ cutMark),
		Kind: rec.kind, Errno: rec.errno, A: rec.a, B: rec.b,
		Via: r.s.via.name(rec.via), Cut: rec.severity&cutMark != 0, TextLost: q.gone[q.i],
	}
	start := rec.start
	if start == 0 {
		start = rec.end
	}
	mono, wall := r.clock.at(start)
	out.TimeNS = wall
	if rec.end > start {
		end, _ := r.clock.at(rec.end)
		out.DurNS = max(end-mono, 0)
	}
	if !q.gone[q.i] && rec.len1|rec.len2 != 0 {
		text := string(q.text[q.off : q.off+int(rec.len1)+int(rec.len2)])
		out.Text, out.Text2 = text[:rec.len1], text[rec.len1:]
		q.off += len(text)
	}
	q.i++
}

// Losses hands out, by process, what was lost since it was last called, and
// returns how much of it could not be attributed. Their sum is that of the
// losses that Next reported in the meantime.
func (r *Reader) Losses(each func(pid abi.PID, n uint64)) (other uint64) {
	if r == nil {
		return 0
	}
	for pid, n := range r.lost {
		each(pid, n)
	}
	clear(r.lost)
	other, r.other = r.other, 0
	return other
}

// Rest has the reader want nothing until its next Skip: what is overwritten
// meanwhile is not lost to it, and writers need not count it.
func (r *Reader) Rest() {
	if r == nil {
		return
	}
	for i := range r.queues {
		q := &r.queues[i]
		q.ring.acquire()
		q.cursor.resting = true
		q.ring.release()
		procUnpin()
	}
}

// Skip passes over everything emitted so far without counting it as lost.
func (r *Reader) Skip() {
	if r == nil {
		return
	}
	for i := range r.queues {
		q := &r.queues[i]
		q.i, q.n, q.off, q.text = 0, 0, 0, q.text[:0]
		q.ring.acquire()
		q.cursor.pos, q.cursor.resting = q.ring.head, false
		q.cursor.take()
		q.ring.release()
		procUnpin()
	}
	clear(r.lost)
	r.other, r.missed = 0, 0
	r.dropped = r.s.dropped.Load()
	r.clock.sync()
}
