package event

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

func TestClocksNeverGoBack(t *testing.T) {
	for name, read := range map[string]func() Ticks{"Now": Now, "fallback": monotonic} {
		last := read()
		if last == 0 {
			t.Errorf("%s reads 0, which means not read", name)
		}
		for range 100000 {
			now := read()
			if now < last {
				t.Fatalf("%s went from %d to %d", name, last, now)
			}
			last = now
		}
	}
	t.Logf("the processor's counter is used: %v (clock source %q)", FastClock(), clocksource())
}

// TestClocksAgreeBetweenProcessors passes readings between goroutines. What is
// tolerated is far above what processors that share a counter show, and far
// below what separate counters do.
func TestClocksAgreeBetweenProcessors(t *testing.T) {
	var newest atomic.Uint64
	var worst atomic.Uint64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20000 {
				seen := newest.Load()
				now := uint64(Now())
				if now < seen {
					worst.Store(max(worst.Load(), seen-now))
				}
				for old := newest.Load(); old < now && !newest.CompareAndSwap(old, now); old = newest.Load() {
				}
			}
		})
	}
	wg.Wait()
	const tolerated = 100000 // ticks: tens of microseconds
	if w := worst.Load(); w > tolerated {
		t.Errorf("the clock went back by %d ticks between processors", w)
	}
}

func TestInterpolation(t *testing.T) {
	// A counter of 3 ticks a nanosecond that slows to 2, and a wall clock that
	// is set back by a second in between.
	const wall = 1_700_000_000_000_000_000
	c := clock{marks: []mark{
		{ticks: 3000, mono: 1000, wall: wall},
		{ticks: 6000, mono: 2000, wall: wall + 1000},
		{ticks: 8000, mono: 3000, wall: wall + 2000 - 1_000_000_000},
	}}
	for _, test := range []struct {
		ticks      Ticks
		mono, wall int64
	}{
		{0, 0, wall - 1000}, // before the first mark, by its rate
		{3000, 1000, wall},
		{4500, 1500, wall + 500},
		{6000, 2000, wall + 1000},
		{7000, 2500, wall + 1500},
		{9000, 3500, wall + 2500}, // after the last
	} {
		mono, wall := c.at(test.ticks)
		if mono != test.mono || wall != test.wall {
			t.Errorf("at(%d) = %d, %d; want %d, %d", test.ticks, mono, wall, test.mono, test.wall)
		}
	}
}

func TestMarks(t *testing.T) {
	base := takeMark()
	c := newClock(base)
	for range 200 {
		c.sync()
		if n := len(c.marks); n > maxMarks {
			t.Fatalf("%d marks", n)
		}
		// Pretend that the marks are old, so that the next one is kept.
		for i := range c.marks {
			c.marks[i].mono -= markSpacing
		}
	}
	if len(c.marks) != maxMarks {
		t.Errorf("%d marks; want %d", len(c.marks), maxMarks)
	}
	if c.marks[0].ticks != base.ticks {
		t.Error("the oldest mark is gone")
	}
	for i := 1; i < len(c.marks); i++ {
		if c.marks[i].ticks <= c.marks[i-1].ticks {
			t.Fatal("marks are not in order")
		}
	}
	// A counter that starts over: what is read now can be placed, and nothing
	// overflows for what cannot.
	c.marks[len(c.marks)-1].ticks = math.MaxUint64
	now := c.sync()
	if len(c.marks) != 1 || c.marks[0].ticks != now {
		t.Fatalf("%d marks after the counter went back", len(c.marks))
	}
	if mono, wall := c.at(now); mono != c.marks[0].mono || wall != c.marks[0].wall {
		t.Errorf("at(now) = %d, %d", mono, wall)
	}
}
