package idtable

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func mustAlloc[T any](t testing.TB, table *Table[T], v T) ID {
	t.Helper()
	id, ok := table.Alloc(v)
	if !ok {
		t.Fatalf("Alloc refused with %d live", table.Len())
	}
	return id
}

func TestZeroAndForeignIDsDoNotResolve(t *testing.T) {
	table := New[string](Options{})
	id := mustAlloc(t, table, "a")
	if id.Index() == 0 || id.Generation() == 0 {
		t.Fatalf("first id is %d/%d", id.Index(), id.Generation())
	}
	for _, bad := range []ID{0, Make(0, 1), Make(1, 0), Make(1, 2), Make(2, 1), Make(chunkSize, 1), Make(1<<32-1, 1<<32-1)} {
		if v, ok := table.Get(bad); ok {
			t.Errorf("Get(%#x) = %q", uint64(bad), v)
		}
		if v, ok := table.Free(bad); ok {
			t.Errorf("Free(%#x) = %q", uint64(bad), v)
		}
	}
	if _, _, ok := table.ByIndex(0); ok {
		t.Error("ByIndex(0) resolves")
	}
	if v, ok := table.Get(id); !ok || v != "a" {
		t.Errorf("Get = %q, %v", v, ok)
	}
}

// TestAgainstModel applies random operations to the table and to a map, and holds
// every stale id ever given out against the table.
func TestAgainstModel(t *testing.T) {
	for _, o := range []Options{{}, {Quarantine: -1}, {Max: 5, Quarantine: 3}, {Max: 600, Quarantine: 1}, {Max: 1, Quarantine: -1}} {
		t.Run(fmt.Sprintf("max=%d,quarantine=%d", o.Max, o.Quarantine), func(t *testing.T) {
			for seed := range uint64(8) {
				model(t, o, rand.New(rand.NewPCG(seed, 1)))
			}
		})
	}
}

func model(t *testing.T, o Options, rnd *rand.Rand) {
	table := New[int](o)
	live := map[ID]int{}
	var order []ID // live ids
	everSeen := map[ID]bool{}
	freedAt := map[uint32]int{} // index → frees so far when it was freed
	frees := 0
	for step := range 3000 {
		switch rnd.IntN(4) {
		case 0, 1:
			id, ok := table.Alloc(step)
			if want := o.Max <= 0 || len(live) < o.Max; ok != want {
				t.Fatalf("step %d: Alloc = %v with %d live of %d", step, ok, len(live), o.Max)
			}
			if !ok {
				continue
			}
			if everSeen[id] {
				t.Fatalf("step %d: id %#x was given out twice", step, uint64(id))
			}
			everSeen[id] = true
			if at, reused := freedAt[id.Index()]; reused && frees-at-1 < int(table.quarantine) {
				t.Fatalf("step %d: index %d reused after %d other frees", step, id.Index(), frees-at-1)
			}
			if o.Max > 0 && int64(id.Index()) > int64(o.Max)+table.quarantine {
				t.Fatalf("step %d: index %d with max %d, quarantine %d", step, id.Index(), o.Max, table.quarantine)
			}
			live[id] = step
			order = append(order, id)
		case 2:
			if len(order) == 0 {
				continue
			}
			i := rnd.IntN(len(order))
			id := order[i]
			order[i] = order[len(order)-1]
			order = order[:len(order)-1]
			v, ok := table.Free(id)
			if !ok || v != live[id] {
				t.Fatalf("step %d: Free(%#x) = %d, %v; want %d", step, uint64(id), v, ok, live[id])
			}
			delete(live, id)
			freedAt[id.Index()] = frees
			frees++
		case 3:
			for id := range everSeen {
				want, alive := live[id]
				if v, ok := table.Get(id); ok != alive || v != want {
					t.Fatalf("step %d: Get(%#x) = %d, %v; want %d, %v", step, uint64(id), v, ok, want, alive)
				}
				if !alive {
					if _, ok := table.Free(id); ok {
						t.Fatalf("step %d: stale %#x was freed", step, uint64(id))
					}
				}
				if len(everSeen) > 64 && rnd.IntN(len(everSeen)/32) == 0 {
					break
				}
			}
		}
		if table.Len() != len(live) {
			t.Fatalf("step %d: Len = %d, want %d", step, table.Len(), len(live))
		}
	}
	seen := map[ID]bool{}
	last := uint32(0)
	for id, v := range table.All() {
		if want, ok := live[id]; !ok || v != want || id.Index() <= last {
			t.Fatalf("All yields %#x = %d after index %d", uint64(id), v, last)
		}
		last = id.Index()
		seen[id] = true
		if got, v2, ok := table.ByIndex(id.Index()); !ok || got != id || v2 != v {
			t.Fatalf("ByIndex(%d) = %#x, %d, %v", id.Index(), uint64(got), v2, ok)
		}
	}
	if len(seen) != len(live) {
		t.Fatalf("All yields %d of %d", len(seen), len(live))
	}
	for range table.All() {
		break // stopping early must not panic
	}
}

// TestRetire runs slots to their last generation: they must never be used again.
func TestRetire(t *testing.T) {
	table := New[int](Options{Max: 4, Quarantine: 2})
	table.lastGeneration = 3
	seen := map[ID]bool{}
	uses := map[uint32]int{}
	for range 1000 {
		id := mustAlloc(t, table, 0)
		if seen[id] {
			t.Fatalf("id %#x was given out twice", uint64(id))
		}
		seen[id] = true
		if uses[id.Index()]++; uses[id.Index()] > 3 || id.Generation() > 3 {
			t.Fatalf("index %d used %d times, generation %d", id.Index(), uses[id.Index()], id.Generation())
		}
		if _, ok := table.Free(id); !ok {
			t.Fatal("Free refused")
		}
	}
	if table.retired < 1000/3-int64(table.max+table.quarantine) {
		t.Fatalf("only %d slots retired", table.retired)
	}
}

// TestSpentSpace reaches the end of the index space: a quarantined index is then
// reused early, and only an empty queue refuses.
func TestSpentSpace(t *testing.T) {
	table := New[int](Options{Quarantine: 10})
	first := mustAlloc(t, table, 1)
	table.used = maxIndex // as if all others were in use
	if _, ok := table.Alloc(2); ok {
		t.Fatal("Alloc found an index in a spent space")
	}
	table.Free(first)
	id, ok := table.Alloc(3)
	if !ok || id.Index() != first.Index() || id == first {
		t.Fatalf("Alloc = %#x, %v", uint64(id), ok)
	}
}

func TestAllocWithPanicTakesNothing(t *testing.T) {
	table := New[int](Options{Max: 1})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		table.AllocWith(func(ID) int { panic("constructor") })
	}()
	if table.Len() != 0 {
		t.Fatalf("Len = %d", table.Len())
	}
	var told ID
	id, ok := table.AllocWith(func(id ID) int { told = id; return 7 })
	if !ok || id != told || id != Make(1, 1) {
		t.Fatalf("AllocWith = %#x, %v; told %#x", uint64(id), ok, uint64(told))
	}
}

// TestHammer lets goroutines allocate, resolve, and free at once. Each value is the
// id it was stored under, so that an id that resolves to another tenant shows.
func TestHammer(t *testing.T) {
	const workers, rounds = 8, 4000
	for _, o := range []Options{{Max: workers * 4, Quarantine: -1}, {Quarantine: 8}} {
		table := New[ID](o)
		var frees, allocs atomic.Int64
		shared := make([]atomic.Uint64, 64) // ids that anyone may look at or free
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 2))
				for range rounds {
					cell := &shared[rnd.IntN(len(shared))]
					switch rnd.IntN(3) {
					case 0:
						id, ok := table.AllocWith(func(id ID) ID { return id })
						if !ok {
							continue
						}
						allocs.Add(1)
						if v, ok := table.Get(id); !ok || v != id {
							t.Errorf("Get(%#x) = %#x, %v right after Alloc", uint64(id), uint64(v), ok)
						}
						if old := ID(cell.Swap(uint64(id))); old != 0 {
							if _, ok := table.Free(old); ok {
								frees.Add(1)
							}
						}
					case 1:
						id := ID(cell.Load())
						if v, ok := table.Get(id); ok && v != id {
							t.Errorf("stale %#x resolves to %#x", uint64(id), uint64(v))
						}
						if got, v, ok := table.ByIndex(id.Index()); ok && got != v {
							t.Errorf("ByIndex(%d) = %#x holding %#x", id.Index(), uint64(got), uint64(v))
						}
					case 2:
						id := ID(cell.Load())
						if v, ok := table.Free(id); ok {
							frees.Add(1)
							if v != id {
								t.Errorf("Free(%#x) = %#x", uint64(id), uint64(v))
							}
							if _, ok := table.Get(id); ok {
								t.Errorf("%#x resolves after Free", uint64(id))
							}
						}
					}
				}
			})
		}
		wg.Wait()
		if got, want := int64(table.Len()), allocs.Load()-frees.Load(); got != want {
			t.Errorf("Len = %d after %d allocs and %d frees", got, allocs.Load(), frees.Load())
		}
	}
}

// TestOneFreeWins frees one id from many goroutines.
func TestOneFreeWins(t *testing.T) {
	table := New[int](Options{})
	for range 200 {
		id := mustAlloc(t, table, 1)
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, ok := table.Free(id); ok {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d frees of one id succeeded", won.Load())
		}
	}
}

func BenchmarkGet(b *testing.B) {
	table := New[*int](Options{})
	var ids [1024]ID
	for i := range ids {
		ids[i] = mustAlloc(b, table, new(int))
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := table.Get(ids[i%len(ids)]); !ok {
				b.Error("lost")
			}
		}
	})
}

func BenchmarkAllocFree(b *testing.B) {
	table := New[int](Options{})
	for b.Loop() {
		id, _ := table.Alloc(1)
		table.Free(id)
	}
}
