package observe

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
)

// Sink is where a collector delivers. Its methods are called by one goroutine
// and, but for Close, must not wait for anything outside the process.
type Sink interface {
	// Consume takes events in the order of their time. It must not keep the
	// slice.
	Consume([]event.Record)
	// Lost says that n events are missing from here on, and that other more
	// are of which it is not known whether they were for this sink. pid is the
	// process that the sink was asked to follow, 0 for all.
	Lost(pid abi.PID, n, other uint64)
	// Close writes out what was taken and returns the first error of all
	// writing.
	Close() error
}

// Limits of a JSONL sink.
const (
	// spoolLimit is how many bytes wait for a slow writer. What comes beyond
	// is counted as lost.
	spoolLimit = 4 << 20
	// closeWait is how long Close waits for a writer that does not return.
	closeWait = 5 * time.Second
)

// ErrStuck is returned by Close where the writer did not return in time. The
// goroutine that is inside it ends when it does.
var ErrStuck = errors.New("events: the writer does not take what was recorded")

// Counts say what became of the events for one sink.
type Counts struct {
	Written   uint64 // lines that the writer took
	Lost      uint64 // events that are missing for certain
	Uncertain uint64 // missing events that may have been another process's
}

// jsonl writes events as JSON lines, by a goroutine of its own.
type jsonl struct {
	w    io.Writer
	run  string
	wait time.Duration

	mu     sync.Mutex
	buf    []byte // encoded and not yet being written
	events uint64 // how many events are in buf
	inside uint64 // how many are being written
	seq    uint64 // lines encoded
	lost   uint64 // to be said before the next line
	other  uint64
	pid    abi.PID // whose loss it is
	counts Counts
	err    error // the first error of the writer; nothing is taken after it
	closed bool

	work chan struct{} // something is in buf, or closed; capacity 1
	done chan struct{} // the goroutine has ended
}

// NewJSONL returns a sink that writes one JSON line for each event to w, naming
// run. It writes from a goroutine of its own, which Close ends; w is not closed.
// Once w has failed nothing more is written to it.
func NewJSONL(w io.Writer, run string) Sink { return newJSONL(w, run, closeWait) }

func newJSONL(w io.Writer, run string, wait time.Duration) *jsonl {
	s := &jsonl{w: w, run: run, wait: wait, work: make(chan struct{}, 1), done: make(chan struct{})}
	go s.write()
	return s
}

// Consume encodes recs for the writer.
func (s *jsonl) Consume(recs []event.Record) {
	s.mu.Lock()
	for i := range recs {
		if s.err != nil || s.closed || len(s.buf) >= spoolLimit {
			s.counts.Lost++
			s.lost++
			continue
		}
		s.sayLost()
		s.seq++
		s.buf = AppendJSON(s.buf, s.seq, s.run, &recs[i])
		s.events++
	}
	s.mu.Unlock()
	s.signal()
}

// Lost remembers a loss; it is said before the next event, or at the end.
func (s *jsonl) Lost(pid abi.PID, n, other uint64) {
	s.mu.Lock()
	s.pid = pid
	s.lost += n
	s.other += other
	s.counts.Lost += n
	s.counts.Uncertain += other
	s.mu.Unlock()
}

// sayLost encodes the line for what was lost, if anything was. The caller holds
// mu.
func (s *jsonl) sayLost() {
	if s.lost == 0 && s.other == 0 {
		return
	}
	s.seq++
	s.buf = AppendJSON(s.buf, s.seq, s.run, &event.Record{
		PID: s.pid, Category: abi.CatKernel, Severity: abi.Warning, Kind: event.KindLost,
		TimeNS: time.Now().UnixNano(), A: s.lost, B: s.other,
	})
	s.lost, s.other = 0, 0
}

func (s *jsonl) signal() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// write is the goroutine: it takes the buffer that Consume filled, leaves it an
// empty one, and writes the full one without holding the lock.
func (s *jsonl) write() {
	defer close(s.done)
	var spare []byte
	for range s.work {
		for {
			s.mu.Lock()
			out, events, err, closed := s.buf, s.events, s.err, s.closed
			s.buf, s.events, s.inside = spare[:0], 0, events
			s.mu.Unlock()
			if spare = out; cap(spare) > spoolLimit/4 {
				spare = nil // a burst is over
			}
			if len(out) == 0 {
				if closed {
					return
				}
				break
			}
			if err == nil {
				err = writeAll(s.w, out)
			}
			s.mu.Lock()
			s.inside = 0
			if err == nil {
				s.counts.Written += events
			} else {
				s.err = err
				s.counts.Lost += events
			}
			s.mu.Unlock()
		}
	}
}

// writeAll writes b, holding w to the contract of io.Writer.
func writeAll(w io.Writer, b []byte) error {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// Close ends the sink.
func (s *jsonl) Close() error {
	s.mu.Lock()
	if !s.closed && s.err == nil {
		s.sayLost()
	}
	s.closed = true
	s.mu.Unlock()
	s.signal()

	t := time.NewTimer(s.wait)
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C:
		return ErrStuck
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return fmt.Errorf("events: %w", s.err)
	}
	return nil
}

// total returns the counts so far. What waits for the writer counts as lost:
// it is not written yet, and after Close never will be.
func (s *jsonl) total() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Lost += s.events + s.inside
	return c
}
