package perm

import (
	"sync/atomic"
	"time"
	"weak"
)

// lifetime is how many ticks of the clock an entry lives.
const lifetime = 8

// clock is the age of a cache's entries. Asking the host for the time would cost
// more than the rest of a hit, so it counts ticks of a timer instead, and only
// while there is something that can grow old. An entry lives between seven and
// eight ticks. Should the timer be late, entries live longer; what they say
// stays true, because a change of rights ends them by their epoch.
type clock struct {
	period  time.Duration
	now     atomic.Uint64
	touched atomic.Bool // since the last tick
	running atomic.Bool
	idle    int // ticks without a touch; only for whoever runs
}

// expired reports whether what was decided at tick is too old.
func (c *clock) expired(tick uint64) bool { return c.now.Load()-tick >= lifetime }

// touch says that there is something new that must grow old.
func (c *clock) touch() {
	if !c.touched.Load() {
		c.touched.Store(true)
	}
	if !c.running.Load() && c.running.CompareAndSwap(false, true) {
		c.start()
	}
}

// start waits for the next tick. The timer does not hold the clock, nor the cache
// that it is a part of, so that a dead process's entries go at once.
func (c *clock) start() {
	w := weak.Make(c)
	time.AfterFunc(c.period, func() {
		if c := w.Value(); c != nil {
			c.tick()
		}
	})
}

func (c *clock) tick() {
	c.now.Add(1)
	if c.touched.Swap(false) {
		c.idle = 0
	} else if c.idle++; c.idle >= lifetime {
		// Everything has expired. A touch before running is false finds it
		// true and leaves the timer to us.
		c.idle = 0
		c.running.Store(false)
		if !c.touched.Load() || !c.running.CompareAndSwap(false, true) {
			return
		}
	}
	c.start()
}
