package sched

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// script is a task that follows a function.
type script struct {
	run    func(fuel int64) (Outcome, int64)
	exited chan struct{}
	on     atomic.Int32 // vCPUs running it now
	t      *testing.T
}

func newScript(t *testing.T, run func(fuel int64) (Outcome, int64)) *script {
	return &script{run: run, exited: make(chan struct{}), t: t}
}

func (s *script) Run(fuel int64) (Outcome, int64) {
	if s.on.Add(1) != 1 {
		s.t.Error("runs on two vCPUs")
	}
	out, used := s.run(fuel)
	s.on.Add(-1)
	return out, used
}

func (s *script) Charge(time.Duration) {}
func (s *script) Exited()              { close(s.exited) }

func TestRunsToExit(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, vcpus := range []int{1, 2, 4} {
		s := New(Options{VCPUs: vcpus})
		var tasks []*script
		for range 100 {
			n := 0
			tk := newScript(t, func(fuel int64) (Outcome, int64) {
				if n++; n == 10 {
					return Exited, fuel
				}
				return Yielded, fuel
			})
			tasks = append(tasks, tk)
			s.Wake(NewEntity(tk))
		}
		for _, tk := range tasks {
			<-tk.exited
		}
		s.Close()
	}
}

// TestNoLostWake has wakers race a task's decision to wait: every token that was
// handed out must be taken.
func TestNoLostWake(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := New(Options{VCPUs: 2})
	defer s.Close()
	const tokens = 20_000
	var have, taken atomic.Int64
	tk := newScript(t, func(fuel int64) (Outcome, int64) {
		taken.Add(have.Swap(0))
		if taken.Load() == tokens {
			return Exited, 1
		}
		return Waiting, 1
	})
	e := NewEntity(tk)
	s.Wake(e)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range tokens / 4 {
				have.Add(1)
				s.Wake(e)
			}
		})
	}
	wg.Wait()
	<-tk.exited
	s.Wake(e) // a late wake-up of a task that ended must do nothing
	if !s.Detach(e) {
		t.Error("an ended entity is not detached")
	}
}

func TestDetach(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := New(Options{VCPUs: 1})
	started, release := make(chan struct{}), make(chan struct{})
	blocker := newScript(t, func(int64) (Outcome, int64) { close(started); <-release; return Exited, 1 })
	be := NewEntity(blocker)
	s.Wake(be)
	<-started
	queued := NewEntity(newScript(t, func(int64) (Outcome, int64) { t.Error("ran after Detach"); return Exited, 1 }))
	s.Wake(queued)
	if s.Detach(be) {
		t.Error("detached an entity that is on a vCPU")
	}
	for range 2 { // the second time it is detached already
		if !s.Detach(queued) {
			t.Error("did not detach a queued entity")
		}
	}
	if fresh := NewEntity(blocker); !s.Detach(fresh) {
		t.Error("did not detach an entity that was never woken")
	}
	close(release)
	<-blocker.exited
	s.Close()
}

func TestRoundRobinAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q RoundRobin
	var model []*Entity
	for range 20_000 {
		switch rng.IntN(3) {
		case 0:
			e := new(Entity)
			q.Push(e)
			model = append(model, e)
		case 1:
			var want *Entity
			if len(model) > 0 {
				want, model = model[0], model[1:]
			}
			if got := q.Pop(); got != want {
				t.Fatalf("Pop = %p, want %p", got, want)
			}
		case 2:
			if len(model) == 0 {
				if q.Remove(new(Entity)) {
					t.Fatal("removed a stranger")
				}
				continue
			}
			i := rng.IntN(len(model))
			if !q.Remove(model[i]) {
				t.Fatal("not removed")
			}
			model = append(model[:i:i], model[i+1:]...)
		}
		if q.Len() != len(model) {
			t.Fatalf("Len = %d, want %d", q.Len(), len(model))
		}
	}
}

func TestAdapt(t *testing.T) {
	e := &Entity{fuel: 20_000}
	e.adapt(20_000, 10*DefaultQuantum, DefaultQuantum)
	if e.fuel != 2_000 {
		t.Errorf("after a slice ten times too long: fuel %d, want 2000", e.fuel)
	}
	e.adapt(2_000, DefaultQuantum/100, DefaultQuantum)
	if e.fuel != 4_000 {
		t.Errorf("after a short slice fuel must double at most: %d", e.fuel)
	}
	for range 40 {
		e.adapt(e.fuel, 1, DefaultQuantum)
	}
	if e.fuel != maxFuel {
		t.Errorf("fuel %d, want the most, %d", e.fuel, maxFuel)
	}
	e.adapt(maxFuel, time.Hour, DefaultQuantum)
	if e.fuel != minFuel {
		t.Errorf("fuel %d, want the least, %d", e.fuel, minFuel)
	}
}
