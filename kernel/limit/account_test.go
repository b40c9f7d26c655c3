package limit

import (
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func TestChargeIsAllOrNothing(t *testing.T) {
	a := NewAccount(Caps{abi.LimitMemory: 100})
	if !a.Charge(abi.LimitMemory, 60) || a.Charge(abi.LimitMemory, 41) || !a.Charge(abi.LimitMemory, 40) {
		t.Fatal("a limit of 100 must take 60 and 40, not 41 on top of 60")
	}
	if a.Charge(abi.LimitMemory, ^uint64(0)) {
		t.Error("a charge that would wrap was taken")
	}
	a.Uncharge(abi.LimitMemory, 100)
	if got := [...]uint64{a.Used(abi.LimitMemory), a.Peak(abi.LimitMemory), a.Refused(abi.LimitMemory)}; got != [...]uint64{0, 100, 2} {
		t.Errorf("used, peak, refused = %v", got)
	}
	if !a.Charge(abi.LimitDisk, 1<<60) {
		t.Error("a quantity without a limit was refused")
	}
	if held := a.Held(); len(held) != 1 {
		t.Errorf("held %v", held)
	}
}

func TestUnchargeTooMuchPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewAccount(Caps{}).Uncharge(abi.LimitFiles, 1)
}

func TestChargeConcurrently(t *testing.T) {
	const limit, workers, rounds = 50, 8, 5000
	a := NewAccount(Caps{abi.LimitFiles: limit})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				n := uint64(1 + (w+i)%20)
				if a.Charge(abi.LimitFiles, n) {
					if a.Used(abi.LimitFiles) > limit {
						t.Error("passed the limit")
					}
					a.Uncharge(abi.LimitFiles, n)
				}
			}
		})
	}
	wg.Wait()
	if a.Used(abi.LimitFiles) != 0 || a.Peak(abi.LimitFiles) > limit {
		t.Errorf("used %d, peak %d", a.Used(abi.LimitFiles), a.Peak(abi.LimitFiles))
	}
}
