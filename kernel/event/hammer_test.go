package event

import (
	"fmt"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// TestHammer has many writers and several readers at once. Every reader must
// account for every event, see each writer's in order, each whole, and none
// twice.
func TestHammer(t *testing.T) {
	for _, records := range []int{1, 1 << 16} {
		t.Run(fmt.Sprintf("records=%d", records), func(t *testing.T) { hammer(t, records) })
	}
}

func hammer(t *testing.T, records int) {
	const writers, each, readers = 8, 4000, 3
	s := New(Options{Records: records})
	kinds := []struct {
		category abi.Category
		kind     Kind
	}{
		{abi.CatSyscall, KindSyscall(abi.SysOpen)},
		{abi.CatSyscall, KindSyscall(abi.SysStat)},
		{abi.CatSecurity, KindDenial},
		{abi.CatProcess, KindState},
	}

	stop := make(chan struct{})
	var readersDone, writersDone sync.WaitGroup
	for range readers {
		r := s.NewReader()
		readersDone.Go(func() {
			defer r.Close()
			var delivered, lost, attributed uint64
			seen := make(map[abi.EventID]bool)
			var next [writers]uint64
			buf := make([]Record, 100)
			take := func(read func([]Record) (int, uint64)) int {
				n, l := read(buf)
				lost += l
				delivered += uint64(n)
				for i := range buf[:n] {
					rec := &buf[i]
					w := rec.PID - 1
					if rec.A < next[w] {
						t.Errorf("writer %d: event %d after %d", w, rec.A, next[w])
					}
					next[w] = rec.A + 1
					if want := text(w, rec.A); !rec.TextLost && rec.Text != want || rec.B != ^rec.A {
						t.Errorf("writer %d, event %d: torn: %+v", w, rec.A, *rec)
					}
					if seen[rec.ID] {
						t.Errorf("event %v twice", rec.ID)
					}
					seen[rec.ID] = true
				}
				other := r.Losses(func(_ abi.PID, n uint64) { attributed += n })
				attributed += other
				return n
			}
			for running := true; running; {
				select {
				case <-stop:
					running = false
				default:
				}
				take(r.Next)
			}
			for p := r.Point(); !r.Passed(p); {
				take(r.Flush)
			}
			take(r.Flush) // dropped and missed at the very end
			if delivered+lost != writers*each {
				t.Errorf("%d delivered and %d lost of %d", delivered, lost, writers*each)
			}
			if attributed != lost {
				t.Errorf("%d of %d losses attributed or said not to be", attributed, lost)
			}
		})
	}
	for w := range abi.PID(writers) {
		writersDone.Go(func() {
			for i := range uint64(each) {
				k := kinds[i%uint64(len(kinds))]
				e := Event{Category: k.category, Kind: k.kind, PID: w + 1, A: i, B: ^i, Text: text(w, i), Via: "hammer"}
				s.Emit(&e)
			}
		})
	}
	writersDone.Wait()
	close(stop)
	readersDone.Wait()
	st := s.Stats()
	if st.Total()+st.Dropped != writers*each {
		t.Errorf("stats: %d written and %d dropped of %d", st.Total(), st.Dropped, writers*each)
	}
}

func text(w abi.PID, i uint64) string { return fmt.Sprintf("/w%d/%d", w, i) }

// TestMergedInOrder reads while several rings are written. Whatever the writers
// are doing, no record may come after one with a higher key.
func TestMergedInOrder(t *testing.T) {
	s := New(Options{Records: 1 << 12})
	r := s.NewReader()
	defer r.Close()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range abi.PID(4) {
		wg.Go(func() {
			for i := uint64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				e := Event{Category: abi.CatSyscall, PID: w}
				switch i % 3 {
				case 0:
					e.End = Now()
				case 1:
					e.Start = Now() - 1000
				}
				s.Emit(&e)
			}
		})
	}
	buf := make([]Record, 1)
	rings := map[uint64]int{}
	var last Ticks
	for got := 0; got < 10000; {
		n, _ := r.Next(buf)
		if n == 0 {
			continue
		}
		got++
		ring := uint64(buf[0].ID) & (1<<ringBits - 1)
		q := &r.queues[ring]
		key := q.recs[uint64(buf[0].ID)>>ringBits-1-q.first].key
		if key < last {
			t.Fatalf("record %d: key %d after %d", got, key, last)
		}
		last = key
		rings[ring]++
	}
	close(stop)
	wg.Wait()
	t.Logf("records by ring: %v", rings)
}
