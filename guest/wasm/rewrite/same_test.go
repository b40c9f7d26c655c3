package rewrite

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// checkSame runs the module of a seed as it is and rewritten and compares all
// that can be told from outside. It returns how the run ended and how often it
// yielded.
func checkSame(t *testing.T, m *machine, seed uint64) (outcome, int) {
	t.Helper()
	wasm := generate(seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	args := []uint64{uint64(2 + rng.IntN(8)), uint64(rng.Uint32()), rng.Uint64()}
	want := m.run(t, wasm, genGlobals, args...)
	res, err := Rewrite(wasm, Options{ExportGlobals: seed%2 == 0})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	m.yields, m.slice = 0, int64(rng.IntN(60))
	got := m.run(t, res.Module, genGlobals, args...)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("seed %d:\n got %+v\nwant %+v", seed, got, want)
	}
	return got, m.yields
}

func TestSame(t *testing.T) {
	seeds := uint64(120)
	if testing.Short() {
		seeds = 60
	}
	m := newMachine(t)
	ended := map[string]int{}
	yielded := 0
	for seed := range seeds {
		o, y := checkSame(t, m, seed)
		ended[o.failed]++
		if y > 0 {
			yielded++
		}
	}
	t.Logf("of %d: yielded %d, ended %v", seeds, yielded, ended)
	// The corpus must exercise something: programs that end well, that trap,
	// and that yield.
	if n := uint64(ended[""]); n < seeds/3 || n == seeds || uint64(yielded) < seeds*3/4 {
		t.Errorf("the corpus is poor: %d of %d end well, %d yield", n, seeds, yielded)
	}
}

func FuzzRewriteSame(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	m := newMachine(f)
	f.Fuzz(func(t *testing.T, seed uint64) {
		checkSame(t, m, seed)
		m.forget(t)
	})
}
