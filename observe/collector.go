package observe

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
)

// Options configure a Collector.
type Options struct {
	// Run names the run in the documents of subscriptions that name none.
	Run string
	// Patience is how long cancelling a subscription waits for its writer; 0 is
	// five seconds.
	Patience time.Duration
	// Sinks get every event. The collector closes them.
	Sinks []Sink
}

// Stats are what a collector did.
type Stats struct {
	Read uint64 // events taken from the stream
	Lost uint64 // events that were overwritten before they could be
}

// Errors of subscriptions.
var (
	// ErrOff is returned where there are no events to subscribe to.
	ErrOff = errors.New("events: the kernel records none")
	// ErrClosed is returned where the collector was closed before.
	ErrClosed = errors.New("events: the collector is closed")
)

// How often an idle stream is looked at: soon after an event, then ever more
// rarely. A stream that fills up knocks.
const (
	leastPause = time.Millisecond
	mostPause  = 50 * time.Millisecond
)

// Sizes of the collector's work: records at once, and how often before it looks
// for orders.
const (
	batch  = 512
	rounds = 8
)

// Collector reads a stream and delivers to sinks, by one goroutine, which Close
// ends. While there is no sink it does not read. Its methods are safe for
// concurrent use, and on a nil Collector do nothing.
type Collector struct {
	stream   *event.Stream
	run      string
	patience time.Duration

	orders chan order    // for the goroutine
	ended  chan struct{} // it is gone
	finish func() (Stats, error)

	mu     sync.Mutex
	counts map[abi.PID]*jsonl // the latest subscription of each process

	// What follows belongs to the goroutine.
	reader *event.Reader
	buf    []event.Record
	all    []Sink
	subs   map[abi.PID][]*subscription // by the process they follow
	stats  Stats
}

// order is something for the goroutine to do between two batches.
type order struct {
	do   func()
	done chan struct{}
	end  bool // the goroutine ends after it
}

// subscription delivers the events of one process, from a moment on.
type subscription struct {
	pid   abi.PID
	from  event.Point
	sink  *jsonl
	batch []event.Record
}

// Start starts a collector of s. With a nil stream it has nothing to deliver,
// and subscriptions end with ErrOff.
func Start(s *event.Stream, o Options) *Collector {
	if o.Patience <= 0 {
		o.Patience = closeWait
	}
	c := &Collector{
		stream:   s,
		run:      o.Run,
		patience: o.Patience,
		orders:   make(chan order),
		ended:    make(chan struct{}),
		counts:   map[abi.PID]*jsonl{},
		all:      slices.Clone(o.Sinks),
		subs:     map[abi.PID][]*subscription{},
		reader:   s.NewReader(),
		buf:      make([]event.Record, batch),
	}
	c.finish = sync.OnceValues(c.close)
	if !c.wanted() {
		c.reader.Rest()
	}
	if s == nil {
		close(c.ended)
	} else {
		go c.loop()
	}
	return c
}

// loop is the goroutine.
func (c *Collector) loop() {
	defer close(c.ended)
	pause := leastPause
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		var knock <-chan struct{}
		var tick <-chan time.Time
		if c.wanted() {
			more, some := c.round()
			switch {
			case more:
				pause = 0
			case some:
				pause = leastPause
			default:
				pause = min(2*max(pause, leastPause), mostPause)
			}
			timer.Reset(pause)
			knock, tick = c.stream.Pressure(), timer.C
		}
		select {
		case o := <-c.orders:
			o.do()
			close(o.done)
			if o.end {
				return
			}
		case <-knock:
		case <-tick:
		}
	}
}

// wanted reports whether anybody gets events.
func (c *Collector) wanted() bool { return len(c.all)+len(c.subs) > 0 }

// round delivers some batches. It reports whether there is more and whether
// there was any.
func (c *Collector) round() (more, some bool) {
	for range rounds {
		n := c.deliver(c.reader.Next)
		some = some || n > 0
		if n < len(c.buf) {
			return false, some
		}
	}
	return true, true
}

// deliver takes one batch and hands it out.
func (c *Collector) deliver(next func([]event.Record) (int, uint64)) int {
	n, lost := next(c.buf)
	recs := c.buf[:n]
	c.stats.Read += uint64(n)
	c.stats.Lost += lost
	if lost > 0 {
		c.sayLost(lost)
	}
	if n == 0 {
		return 0
	}
	for _, s := range c.all {
		s.Consume(recs)
	}
	if len(c.subs) == 0 {
		return n
	}
	for i := range recs {
		for _, sub := range c.subs[recs[i].PID] {
			sub.add(&recs[i])
		}
		if recs[i].PID != 0 {
			for _, sub := range c.subs[0] {
				sub.add(&recs[i])
			}
		}
	}
	for _, subs := range c.subs {
		for _, sub := range subs {
			if len(sub.batch) > 0 {
				sub.sink.Consume(sub.batch)
				clear(sub.batch) // lets go of the texts
				sub.batch = sub.batch[:0]
			}
		}
	}
	return n
}

// add takes r unless it was emitted before the subscription: a process id may
// have been another process's then.
func (s *subscription) add(r *event.Record) {
	if !s.from.Before(r.ID) {
		s.batch = append(s.batch, *r)
	}
}

// sayLost tells every sink what it misses.
func (c *Collector) sayLost(lost uint64) {
	for _, s := range c.all {
		s.Lost(0, lost, 0)
	}
	for _, sub := range c.subs[0] {
		sub.sink.Lost(0, lost, 0)
	}
	other := c.reader.Losses(func(pid abi.PID, n uint64) {
		if pid != 0 {
			for _, sub := range c.subs[pid] {
				sub.sink.Lost(pid, n, 0)
			}
		}
	})
	if other > 0 {
		for pid, subs := range c.subs {
			if pid != 0 {
				for _, sub := range subs {
					sub.sink.Lost(pid, 0, other)
				}
			}
		}
	}
}

// drain delivers everything that was emitted before it was called.
func (c *Collector) drain() {
	if !c.wanted() {
		return
	}
	for p := c.reader.Point(); !c.reader.Passed(p); {
		if c.deliver(c.reader.Next) == 0 {
			c.deliver(c.reader.Flush)
		}
	}
}

// order has the goroutine do something, and waits for it. It reports false if
// the goroutine is gone.
func (c *Collector) order(do func(), end bool) bool {
	o := order{do: do, done: make(chan struct{}), end: end}
	select {
	case c.orders <- o:
		<-o.done
		return true
	case <-c.ended:
		return false
	}
}

// Subscribe writes the events of process pid (0 for all) that are emitted from
// now on to w as JSON lines naming run. Subscribe before the first event of a
// process that matters. w is used by one goroutine.
//
// cancel delivers what was emitted before it was called, stops, and returns the
// first error of writing. It waits for w, but not for ever: see [ErrStuck]. It
// may be called more than once.
func (c *Collector) Subscribe(pid abi.PID, run string, w io.Writer) (cancel func() error) {
	if c == nil || c.stream == nil {
		return func() error { return ErrOff }
	}
	if run == "" {
		run = c.run
	}
	sub := &subscription{pid: pid, sink: newJSONL(w, run, c.patience)}
	c.mu.Lock()
	c.counts[pid] = sub.sink
	c.mu.Unlock()
	subscribed := c.order(func() { c.add(sub) }, false)
	return sync.OnceValue(func() error {
		if !subscribed {
			return errors.Join(ErrClosed, sub.sink.Close())
		}
		c.order(func() {
			c.drain()
			c.remove(sub)
		}, false)
		return sub.sink.Close()
	})
}

// add starts deliveries to sub.
func (c *Collector) add(sub *subscription) {
	if !c.wanted() {
		c.reader.Skip() // what nobody asked for is not lost
	}
	sub.from = c.reader.Point()
	// Losses up to here are said to those who were there, not to this one:
	// they may be of another process that had its number.
	c.deliver(func([]event.Record) (int, uint64) { return c.reader.Next(nil) })
	c.subs[sub.pid] = append(c.subs[sub.pid], sub)
}

// remove ends deliveries to sub.
func (c *Collector) remove(sub *subscription) {
	rest := slices.DeleteFunc(c.subs[sub.pid], func(s *subscription) bool { return s == sub })
	if len(rest) == 0 {
		delete(c.subs, sub.pid)
	} else {
		c.subs[sub.pid] = rest
	}
	if !c.wanted() {
		c.reader.Rest()
	}
}

// Counts returns what became of the events of the latest subscription to pid.
// They are final after its cancel.
func (c *Collector) Counts(pid abi.PID) Counts {
	if c == nil {
		return Counts{}
	}
	c.mu.Lock()
	s := c.counts[pid]
	c.mu.Unlock()
	if s == nil {
		return Counts{}
	}
	return s.total()
}

// Forget drops the counts of pid, when its report has been written.
func (c *Collector) Forget(pid abi.PID) {
	if c == nil {
		return
	}
	c.mu.Lock()
	delete(c.counts, pid)
	c.mu.Unlock()
}

// Close delivers what was emitted before, ends the collector, and closes every
// sink, those of subscriptions included. It returns the errors of all sinks.
func (c *Collector) Close() (Stats, error) {
	if c == nil {
		return Stats{}, nil
	}
	return c.finish()
}

func (c *Collector) close() (Stats, error) {
	c.order(func() {
		c.drain()
		c.reader.Close()
	}, true)
	// The goroutine is gone; what was its own is ours.
	var errs []error
	for _, s := range c.all {
		errs = append(errs, s.Close())
	}
	for _, subs := range c.subs {
		for _, sub := range subs {
			errs = append(errs, sub.sink.Close())
		}
	}
	return c.stats, errors.Join(errs...)
}
