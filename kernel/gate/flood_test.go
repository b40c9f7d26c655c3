package gate

import (
	"fmt"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
)

// deny is a gate at which every stat is refused for reason.
func deny(t *testing.T, reason perm.Reason) *Gate {
	t.Helper()
	account := limit.NewAccount(limit.Caps{})
	var caps abi.CapSet
	for c := range abi.NumCapabilities {
		caps |= abi.Caps(c)
	}
	p := proc.New(proc.Options{
		Account: account, Denials: new(perm.Denials),
		Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{Caps: caps}), nil),
	})
	p.SetFDs(proc.NewFDTable(account))
	for _, s := range []proc.State{proc.Initializing, proc.Ready, proc.Running} {
		if !p.To(s) {
			t.Fatal(s)
		}
	}
	var table Table
	table.handlers[abi.SysClockTime] = func(*proc.Process, *abi.Call) abi.Errno { return abi.OK }
	table.handlers[abi.SysStat] = func(p *proc.Process, c *abi.Call) abi.Errno {
		return p.Deny(perm.Decision{Layer: abi.LayerPath, Reason: reason, Errno: abi.ENOENT}, c.Path, c.Path)
	}
	return New(p, &Shared{Table: &table})
}

// flood makes n calls, each denied something else, and returns how many of them had to
// wait. between is done after each.
func flood(t *testing.T, g *Gate, n int, path func(i int) string, between func()) (waits int) {
	t.Helper()
	for i := range n {
		c := &abi.Call{Nr: abi.SysStat, FD: abi.FD(99), Path: path(i)}
		g.perform(c)
		s := g.done(c)
		if s == abi.Blocked {
			waits++
		}
		between()
		for s == abi.Blocked {
			time.Sleep(100 * time.Microsecond)
			s = g.Continue(c)
		}
		if s != abi.Done || c.Errno != abi.ENOENT {
			t.Fatalf("call %d: status %v, error %v", i, s, c.Errno)
		}
	}
	return waits
}

// TestFloodPays: who is denied thousands of different things waits for it, off the vCPU as
// any waiting call does; a neighbour on the same vCPU never does.
func TestFloodPays(t *testing.T) {
	flooder, neighbour := deny(t, perm.Ungranted), deny(t, perm.Ungranted)
	const n = 3000
	served := 0
	waits := flood(t, flooder, n, func(i int) string { return fmt.Sprint("/", i) }, func() {
		if neighbour.Call(&abi.Call{Nr: abi.SysClockTime}) == abi.Done {
			served++
		}
	})
	if waits == 0 {
		t.Error("the flood cost nothing")
	}
	if served != n {
		t.Errorf("the neighbour was served at once %d times of %d", served, n)
	}
}

// TestRepetitionsAreFree: nor does anybody wait for what is denied again, nor for what is
// hidden: that would tell that it is there.
func TestRepetitionsAreFree(t *testing.T) {
	if waits := flood(t, deny(t, perm.Ungranted), 5000, func(int) string { return "/a" }, func() {}); waits != 0 {
		t.Errorf("repetitions waited %d times", waits)
	}
	if waits := flood(t, deny(t, perm.Hidden), 5000, func(i int) string { return fmt.Sprint("/", i) }, func() {}); waits != 0 {
		t.Errorf("what is hidden waited %d times", waits)
	}
}

// TestFloodKilled: a kill ends the wait.
func TestFloodKilled(t *testing.T) {
	g := deny(t, perm.Ungranted)
	for i := 0; ; i++ {
		c := &abi.Call{Nr: abi.SysStat, FD: abi.FD(99), Path: fmt.Sprint("/", i)}
		g.perform(c)
		if g.done(c) != abi.Blocked {
			continue // the test's time-out ends it
		}
		g.p.Kill(proc.End{Cause: abi.CauseKilled})
		if s := g.Continue(c); s != abi.Killed {
			t.Errorf("status %v after a kill", s)
		}
		if waits, _ := g.Abandon(); waits != 1 {
			t.Errorf("%d waits were let go", waits)
		}
		return
	}
}
