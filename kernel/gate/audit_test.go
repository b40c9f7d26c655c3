package gate

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
)

// keeper is a log whose host takes nothing until it is told to.
type keeper struct {
	mu      sync.Mutex
	n       uint64
	kept    uint64
	waiting []func()
	quiet   int
}

func (k *keeper) Denied(_ *perm.Denial, quiet bool) (uint64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if quiet {
		k.quiet++
		return 0, true
	}
	k.n++
	return k.n, true
}

func (k *keeper) Pending(mark uint64, wake func()) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if mark <= k.kept {
		return false
	}
	k.waiting = append(k.waiting, wake)
	return true
}

// keep takes everything, and returns how many calls were told.
func (k *keeper) keep() int {
	k.mu.Lock()
	k.kept = k.n
	w := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	for _, wake := range w {
		wake()
	}
	return len(w)
}

// denying makes a gate at which every call is refused, or none.
func denying(t *testing.T, a proc.Audit, refuse bool) *Gate {
	t.Helper()
	var spec perm.SubjectSpec
	if !refuse {
		for c := range abi.NumCapabilities {
			spec.Caps |= abi.Caps(c)
		}
	}
	p := proc.New(proc.Options{
		Account: limit.NewAccount(limit.Caps{}), Denials: new(perm.Denials), Audit: a,
		Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(spec), nil),
	})
	p.SetFDs(proc.NewFDTable(p.Account()))
	for _, s := range []proc.State{proc.Initializing, proc.Ready, proc.Running} {
		if !p.To(s) {
			t.Fatal(s)
		}
	}
	var table Table
	table.handlers[abi.SysClockTime] = func(*proc.Process, *abi.Call) abi.Errno { return abi.OK }
	return New(p, &Shared{Table: &table})
}

// TestDeniedWaits: a denied call waits for its record off the vCPU, as any waiting call
// does, and a neighbour on the same vCPU serves all of its calls meanwhile. A kill ends
// the wait.
func TestDeniedWaits(t *testing.T) {
	k := new(keeper)
	flooder, neighbour := denying(t, k, true), denying(t, new(keeper), false)
	woken := 0
	flooder.p.SetWake(func() { woken++ })
	c := &abi.Call{Nr: abi.SysClockTime}
	if s := flooder.Call(c); s != abi.Blocked {
		t.Fatalf("status %v before the record was kept", s)
	}
	const n = 10000
	served := 0
	for range n {
		if neighbour.Call(&abi.Call{Nr: abi.SysClockTime}) == abi.Done {
			served++
		}
		if s := flooder.Continue(c); s != abi.Blocked { // a wake-up that was meant for something else
			t.Fatalf("status %v before the record was kept", s)
		}
	}
	if served != n {
		t.Errorf("the neighbour was served %d times of %d", served, n)
	}
	if k.keep() == 0 || woken == 0 {
		t.Error("nobody was told that it was kept")
	}
	if s := flooder.Continue(c); s != abi.Done || c.Errno == abi.OK {
		t.Errorf("status %v, error %v", s, c.Errno)
	}

	if s := flooder.Call(c); s != abi.Blocked {
		t.Fatalf("status %v", s)
	}
	flooder.p.Kill(proc.End{Cause: abi.CauseKilled})
	if s := flooder.Continue(c); s != abi.Killed {
		t.Errorf("status %v after a kill", s)
	}
}

// TestFloodPays: past the burst every denial costs its process a wait, and a neighbour
// none. Denials of what is hidden cost nothing: they would tell that it is there.
func TestFloodPays(t *testing.T) {
	k := new(keeper)
	k.kept = 1 << 62 // a host that takes everything at once
	flooder, neighbour := denying(t, k, true), denying(t, k, false)
	waits := 0
	for range 3000 {
		c := &abi.Call{Nr: abi.SysClockTime}
		s := flooder.Call(c)
		if s == abi.Blocked {
			waits++
		}
		if s := neighbour.Call(&abi.Call{Nr: abi.SysClockTime}); s != abi.Done {
			t.Fatalf("the neighbour: %v", s)
		}
		for s == abi.Blocked {
			time.Sleep(100 * time.Microsecond)
			s = flooder.Continue(c)
		}
	}
	if waits == 0 {
		t.Error("the flood cost nothing")
	}
	waits = 0
	secret := denying(t, k, false)
	for i := range 3000 {
		secret.p.Deny(perm.Decision{Layer: abi.LayerPath, Reason: perm.Hidden, Errno: abi.ENOENT}, fmt.Sprint("/", i), "")
		if secret.Call(&abi.Call{Nr: abi.SysClockTime}) == abi.Blocked {
			waits++
		}
	}
	if _, owes := secret.p.Owes(nil); owes || waits > 0 || k.quiet != 3000 {
		t.Errorf("owes %v, waited %d times, %d were quiet", owes, waits, k.quiet)
	}
}
