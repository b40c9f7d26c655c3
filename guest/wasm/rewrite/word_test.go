package rewrite

import "testing"

func TestWord(t *testing.T) {
	for _, fuel := range []int64{0, 1, 20_000, MaxFuel} {
		w := Pack(fuel)
		if Fuel(w) != fuel || Depth(w) != 0 {
			t.Errorf("Pack(%d): fuel %d, depth %d", fuel, Fuel(w), Depth(w))
		}
		// What a guest does: take more fuel than there is, and depth.
		for _, depth := range []uint64{0, depthUnit, 1 << 20, MaxDepth} {
			spent := w - uint64(fuel+7)<<fuelShift - depth/depthUnit
			if Fuel(spent) != -7 || Depth(spent) != depth || int64(spent) >= 0 {
				t.Errorf("%d less %d and %d deep: %#x has fuel %d, depth %d", fuel, fuel+7, depth, spent, Fuel(spent), Depth(spent))
			}
			if r := Refill(spent, 5); Fuel(r) != 5 || Depth(r) != depth {
				t.Errorf("Refill(%#x, 5): fuel %d, depth %d", spent, Fuel(r), Depth(r))
			}
		}
	}
	if Fuel(Pack(-1)) != 0 || Fuel(Pack(MaxFuel+1)) != MaxFuel {
		t.Error("fuel is not clamped")
	}
}
