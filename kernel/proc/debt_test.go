package proc

import (
	"testing"
	"time"
)

// TestDebt: the burst is free, then each denial costs its share, no call waits longer than
// the bound, and time pays.
func TestDebt(t *testing.T) {
	var d debt
	at := 5 * time.Second
	for i := range denialBurst {
		d.charge(at)
		if left := d.owes(at); left != 0 {
			t.Fatalf("denial %d owes %v", i+1, left)
		}
	}
	d.charge(at)
	if left := d.owes(at); left != denialEach {
		t.Errorf("the first beyond the burst owes %v", left)
	}
	if left := d.owes(at + denialEach); left != 0 {
		t.Errorf("when the time is over it owes %v", left)
	}
	for range 1 << 14 {
		d.charge(at)
	}
	if left := d.owes(at); left != denialDebt {
		t.Errorf("a flood owes %v", left)
	}
	at += time.Minute
	for range denialBurst {
		d.charge(at)
	}
	if left := d.owes(at); left != 0 {
		t.Errorf("after a minute the burst owes %v", left)
	}
}
