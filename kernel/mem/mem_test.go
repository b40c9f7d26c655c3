package mem

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func account(memory uint64) *limit.Account {
	return limit.NewAccount(limit.Caps{abi.LimitMemory: memory})
}

func must(t *testing.T, m *Memory, size uint64) *Region {
	t.Helper()
	r, err := m.Reserve(size)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGrow(t *testing.T) {
	a := account(0)
	m := New(a, nil)
	r := must(t, m, 10*PageSize)
	if used := a.Used(abi.LimitMemory); used != 0 {
		t.Fatalf("reserving charged %d", used)
	}
	b, ok := r.Grow(1)
	if !ok || len(b) != 1 || cap(b) != 1 || a.Used(abi.LimitMemory) != PageSize {
		t.Fatalf("%v %d %d, charged %d", ok, len(b), cap(b), a.Used(abi.LimitMemory))
	}
	b[0] = 7
	c, ok := r.Grow(10 * PageSize)
	if !ok || len(c) != 10*PageSize || &c[0] != &b[0] || c[0] != 7 {
		t.Fatal("the memory moved or was lost")
	}
	for i, v := range c[1:] {
		if v != 0 {
			t.Fatalf("byte %d is %d", i+1, v)
		}
	}
	c[len(c)-1] = 9
	if _, ok := r.Grow(10*PageSize + 1); ok {
		t.Fatal("grew beyond what was reserved")
	}
	if d, ok := r.Grow(3); !ok || len(d) != 3 || r.Committed() != 10*PageSize {
		t.Fatal("a smaller size gave something back")
	}
	r.Free()
	r.Free()
	if used := a.Used(abi.LimitMemory); used != 0 {
		t.Fatalf("%d still charged", used)
	}
	if _, ok := r.Grow(1); ok {
		t.Fatal("grew after Free")
	}
}

func TestLimits(t *testing.T) {
	a := account(5*PageSize + 100)
	m := New(a, nil)
	r := must(t, m, MaxReserve)
	if n := len(r.base); n != 6*PageSize {
		t.Errorf("reserved %d bytes though the limit is %d", n, 5*PageSize+100)
	}
	if _, ok := r.Grow(5 * PageSize); !ok {
		t.Fatal("refused within the limit")
	}
	for i, size := range []uint64{5*PageSize + 1, 6 * PageSize, 100 * PageSize} {
		if _, ok := r.Grow(size); ok {
			t.Fatalf("grew to %d", size)
		}
		if n := a.Refused(abi.LimitMemory); n != uint64(i+1) {
			t.Errorf("%d refusals counted, want %d", n, i+1)
		}
	}
	if m.Charge(101) {
		t.Error("charged beyond the limit")
	}
	if !m.Charge(100) || !m.Charge(40) || !m.Charge(100) || m.Charge(101) {
		t.Error("charging in place of an earlier charge")
	}
	if used := a.Used(abi.LimitMemory); used != 5*PageSize+100 {
		t.Errorf("%d charged", used)
	}
	if _, err := m.Reserve(MaxReserve + 1); err == nil {
		t.Error("reserved more than 4 GiB")
	}
	count, bytes := m.Release()
	if count != 2 || bytes != 5*PageSize+100 {
		t.Errorf("released %d, %d bytes", count, bytes)
	}
	if n, b := m.Release(); n != 0 || b != 0 {
		t.Error("released twice")
	}
	if held := a.Held(); len(held) > 0 {
		t.Errorf("held %v", held)
	}
	if _, err := m.Reserve(1); !errors.Is(err, ErrReleased) {
		t.Errorf("error %v", err)
	}
	if m.Charge(1) || !m.Charge(0) {
		t.Error("charging after release")
	}
}

func TestEmptyRegion(t *testing.T) {
	m := New(account(0), nil)
	r := must(t, m, 0)
	if b, ok := r.Grow(0); !ok || len(b) != 0 {
		t.Fatal("an empty memory of no size")
	}
	if _, ok := r.Grow(1); ok {
		t.Fatal("grew out of nothing")
	}
	r.Free()
}

// What is charged is exactly what is committed, whatever the order of calls and
// however many goroutines race with the release.
func TestHammer(t *testing.T) {
	for round := range 20 {
		a := account(64 * PageSize)
		m := New(a, event.New(event.Options{Records: 1024}))
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				var mine []*Region
				for range 200 {
					switch r.IntN(5) {
					case 0:
						if x, err := m.Reserve(r.Uint64N(32) * PageSize); err == nil {
							mine = append(mine, x)
						}
					case 1, 2:
						if len(mine) > 0 {
							mine[r.IntN(len(mine))].Grow(r.Uint64N(33 * PageSize))
						}
					case 3:
						if len(mine) > 0 {
							mine[r.IntN(len(mine))].Free()
						}
					case 4:
						m.Charge(r.Uint64N(8 * PageSize))
					}
					if r.IntN(150) == 0 {
						m.Release()
					}
				}
			}()
		}
		wg.Wait()
		m.Release()
		if used := a.Used(abi.LimitMemory); used != 0 {
			t.Fatalf("%d still charged", used)
		}
		if m.Committed() != 0 {
			t.Fatal("regions left")
		}
	}
}

func TestEvents(t *testing.T) {
	s := event.New(event.Options{Records: 256})
	m := New(account(2*PageSize), s)
	reader := s.NewReader()
	defer reader.Close()
	m.Tag(9, 5)
	r := must(t, m, 8*PageSize)
	r.Grow(2 * PageSize)
	r.Grow(3 * PageSize)
	m.Release()
	var kinds []event.Kind
	buf := make([]event.Record, 16)
	n, _ := reader.Flush(buf)
	for _, rec := range buf[:n] {
		if rec.PID != 9 || rec.Chain != 5 {
			t.Errorf("record %+v", rec)
		}
		kinds = append(kinds, rec.Kind)
	}
	want := []event.Kind{event.KindMemoryGrow, event.KindLimit, event.KindMemoryFree}
	if len(kinds) != len(want) {
		t.Fatalf("kinds %v, want %v", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("kinds %v, want %v", kinds, want)
		}
	}
}

func BenchmarkReserveGrowFree(b *testing.B) {
	m := New(account(0), nil)
	for b.Loop() {
		r, err := m.Reserve(64 << 20)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := r.Grow(PageSize); !ok {
			b.Fatal("refused")
		}
		r.Free()
	}
}
