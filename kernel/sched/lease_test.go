package sched

import (
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestHostLeavesVCPU has the only vCPU's task stay in the host until another task
// has run: that can only end if the other gets the vCPU meanwhile.
func TestHostLeavesVCPU(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := New(Options{VCPUs: 1})
	defer s.Close()
	inside, ran := make(chan struct{}), make(chan struct{})
	var e *Entity
	visits, slices := 0, 0
	blocked := newScript(t, nil)
	blocked.run = func(int64) (Outcome, int64) {
		if slices++; slices > 1 {
			return Exited, 1
		}
		l := s.Lease(e)
		l.EnterHost()
		visits++
		close(inside)
		<-ran
		if l.LeaveHost() {
			t.Error("the vCPU went to another and is still this task's")
		}
		s.Wake(e)
		return Waiting, 1
	}
	e = NewEntity(blocked)
	s.Wake(e)
	<-inside
	for range 3 {
		other := newScript(t, func(int64) (Outcome, int64) { return Exited, 1 })
		s.Wake(NewEntity(other))
		<-other.exited
	}
	close(ran)
	<-blocked.exited
	if visits != 1 {
		t.Errorf("%d visits", visits)
	}
}

// TestHostAlone: nobody waits, so the vCPU stays whatever the host takes, and the
// slice goes on.
func TestHostAlone(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := New(Options{VCPUs: 1})
	defer s.Close()
	var e *Entity
	tk := newScript(t, nil)
	tk.run = func(int64) (Outcome, int64) {
		l := s.Lease(e)
		for range 100 {
			l.EnterHost()
			if !l.LeaveHost() {
				t.Error("lost the vCPU to nobody")
			}
		}
		return Exited, 1
	}
	e = NewEntity(tk)
	s.Wake(e)
	<-tk.exited
}

// charged notes what it is charged.
type charged struct {
	*script
	sum atomic.Int64
}

func (c *charged) Charge(d time.Duration) { c.sum.Add(int64(d)) }

// TestHostTimeIsNotCharged: what a task spends in the host without a vCPU is not
// its CPU time.
func TestHostTimeIsNotCharged(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := New(Options{VCPUs: 1})
	defer s.Close()
	var e *Entity
	var away time.Duration
	inside, ran := make(chan struct{}), make(chan time.Time)
	first := true
	tk := &charged{script: newScript(t, nil)}
	tk.run = func(int64) (Outcome, int64) {
		if !first {
			return Exited, 1
		}
		first = false
		l := s.Lease(e)
		l.EnterHost()
		close(inside)
		away = -time.Since(<-ran)
		l.LeaveHost()
		away += e.away
		s.Wake(e)
		return Waiting, 1
	}
	e = NewEntity(tk)
	s.Wake(e)
	<-inside
	var took time.Time
	other := newScript(t, func(int64) (Outcome, int64) { took = time.Now(); return Exited, 1 })
	s.Wake(NewEntity(other))
	<-other.exited
	ran <- took
	<-tk.exited
	// The other ran on the vCPU from took on, so at least that long was away.
	if away < 0 {
		t.Errorf("%v of the host's time were charged", -away)
	}
}

// TestHostHammer has many tasks go in and out of the host on few vCPUs. The
// scripts check that none ever runs twice at once.
func TestHostHammer(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := New(Options{VCPUs: 2, Quantum: 50 * time.Microsecond})
	defer s.Close()
	var tasks []*script
	for i := range 16 {
		var e *Entity
		tk := newScript(t, nil)
		rounds := 0
		tk.run = func(int64) (Outcome, int64) {
			for {
				if rounds++; rounds == 300 {
					return Exited, 1
				}
				l := s.Lease(e)
				l.EnterHost()
				if rounds%64 == i {
					time.Sleep(time.Millisecond) // the host takes its time
				}
				if !l.LeaveHost() {
					s.Wake(e)
					return Waiting, 1
				}
			}
		}
		e = NewEntity(tk)
		tasks = append(tasks, tk)
		s.Wake(e)
	}
	for _, tk := range tasks {
		<-tk.exited
	}
}
