package agentos_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/test/hostile"
)

// TestHostile runs every hostile module beside a neighbour while the collector
// is forced to run: the module ends as its description says, nothing of it is
// left, and the neighbour goes on. How long anybody was held up is printed, and
// measured by BenchmarkHeldUp.
func TestHostile(t *testing.T) {
	k := open(t, nil)
	idle := hostile.Module{Name: "none", Does: "a sleeping guest, to compare with", Wasm: guests, Args: []string{"sleep", "1h"}, Ends: []string{"timeout"}}
	for _, m := range append([]hostile.Module{idle}, hostile.Modules()...) {
		t.Run(m.Name, func(t *testing.T) {
			res := besides(t, k, m)
			if res.refused != nil {
				if !slices.Contains(m.Ends, "refused") {
					t.Errorf("%s was refused: %v", m.Does, res.refused)
				}
				t.Logf("refused: %v", res.refused)
				return
			}
			check(t, res.report)
			if res.report.Cause == "fault" && len(res.report.Backtrace) == 0 {
				t.Error("a fault without a backtrace")
			}
			if !slices.Contains(m.Ends, res.report.Cause) {
				t.Errorf("%s ended by %s (%s), want one of %v", m.Does, res.report.Cause, res.report.Detail, m.Ends)
			}
			if res.neighbour.Cause != "killed" {
				t.Errorf("the neighbour ended by %s: %s", res.neighbour.Cause, res.neighbour.Detail)
			}
			t.Logf("%-10s %4d ms after the time-out; collector stopped %v p99; neighbour late %v p99, %v at most of %d",
				res.report.Cause, res.late.Milliseconds(), res.gc, quantile(res.gaps, 0.99), quantile(res.gaps, 1), len(res.gaps))
		})
	}
}

// beside is what happened around one hostile run.
type beside struct {
	report, neighbour *agentos.Report // report is nil if the module was refused
	refused           error
	late              time.Duration   // end of the run after its time-out
	gc                time.Duration   // p99 of bringing the world to a stop
	gaps              []time.Duration // by how much the neighbour's wake-ups were late, sorted
}

const hostileTime = time.Second

// besides runs m with a neighbour that wakes every millisecond and a forced
// collection every 20 ms.
func besides(t testing.TB, k *agentos.Kernel, m hostile.Module) beside {
	t.Helper()
	beat := &heart{}
	n, err := k.Start(t.Context(), agentos.Spec{Program: "guests.wasm", Image: guests, Args: []string{"beat", "1ms"}, Stdout: beat})
	if err != nil {
		t.Fatal(err)
	}
	for beat.n.Load() < 5 {
		runtime.Gosched()
	}
	before := stops()
	stop := make(chan struct{})
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.GC()
			}
		}
	}()
	beat.reset()
	limit := hostileTime
	if !slices.Contains(m.Ends, "timeout") {
		limit = time.Minute // it ends by itself, once it was compiled
	}
	r, err := k.Run(t.Context(), agentos.Spec{Program: m.Name, Image: m.Wasm, Args: m.Args, Limits: agentos.Limits{Timeout: limit, Memory: 256 << 20}})
	gaps := beat.gaps()
	close(stop)
	<-collected
	refused := err
	var se *agentos.StartError
	if refused != nil && (!errors.As(refused, &se) || se.Status != 126) {
		t.Fatal(refused)
	}
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
	nr, err := n.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b := beside{report: r, neighbour: nr, refused: refused, gc: stopped(before, stops()), gaps: gaps}
	if r != nil {
		b.late = time.Duration(r.Usage.WallNS) - limit
	}
	return b
}

// heart notes when a guest writes.
type heart struct {
	n  atomic.Int64
	at [4096]atomic.Int64
}

func (h *heart) Write(b []byte) (int, error) {
	for range bytes.Count(b, []byte{'\n'}) {
		h.at[h.n.Add(1)%int64(len(h.at))].Store(time.Now().UnixNano())
	}
	return len(b), nil
}

func (h *heart) reset() { h.n.Store(0) }

// gaps returns by how much each beat was later than a millisecond after the one
// before it.
func (h *heart) gaps() (gaps []time.Duration) {
	n := min(h.n.Load(), int64(len(h.at))-1)
	for i := int64(2); i <= n; i++ {
		gaps = append(gaps, max(0, time.Duration(h.at[i].Load()-h.at[i-1].Load())-time.Millisecond))
	}
	slices.Sort(gaps)
	return gaps
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// stops reads how long it took to bring the world to a stop, as a histogram.
func stops() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: h.Buckets}
}

// stopped returns the 99th percentile of what happened between two readings, as
// the upper bound of its bucket.
func stopped(before, after *metrics.Float64Histogram) time.Duration {
	var total, seen uint64
	for i := range after.Counts {
		total += after.Counts[i] - before.Counts[i]
	}
	for i := range after.Counts {
		if seen += after.Counts[i] - before.Counts[i]; seen*100 >= total*99 {
			return time.Duration(after.Buckets[i+1] * float64(time.Second))
		}
	}
	return 0
}
