package idtable

import (
	"iter"
	"math"
	"sync"
	"sync/atomic"
)

// ID names one tenancy of one slot. Zero is never valid.
type ID uint64

// Make joins an index and a generation.
func Make(index, generation uint32) ID { return ID(generation)<<32 | ID(index) }

// Index returns the small number, which later tenants of the slot share.
func (id ID) Index() uint32 { return uint32(id) }

// Generation returns which tenant of the slot id names, counted from 1.
func (id ID) Generation() uint32 { return uint32(id >> 32) }

// DefaultQuarantine is the quarantine of zero [Options].
const DefaultQuarantine = 64

// Options configure a table. The zero value is useful.
type Options struct {
	// Max bounds the live entries. Zero or less is no bound but the index
	// space. Indexes stay below Max + Quarantine + the number of retired slots.
	Max int
	// Quarantine is how many other indexes must be freed before one is used
	// again. Zero is DefaultQuarantine; negative is none.
	Quarantine int
}

const (
	chunkBits = 8
	chunkSize = 1 << chunkBits
	maxIndex  = math.MaxUint32
)

// record is immutable once published, which is what makes a lookup one load and
// one comparison.
type record[T any] struct {
	id ID
	v  T
}

type slot[T any] struct {
	p atomic.Pointer[record[T]] // nil while free; written under Table.mu

	// Guarded by Table.mu:
	generation uint32 // of the next tenant; 0 before the first
	next       uint32 // next index in the free queue, 0 at its end
}

type chunk[T any] [chunkSize]slot[T]

// Table maps ids to values. It is safe for concurrent use. Use [New].
type Table[T any] struct {
	dir  atomic.Pointer[[]*chunk[T]] // replaced, never changed in place; grows only
	live atomic.Int64                // changed under mu

	max        int64 // bound on live; at most maxIndex
	quarantine int64

	mu      sync.Mutex
	used    uint32 // highest index ever used; indexes 1..used have a slot
	head    uint32 // oldest free index, 0 if none
	tail    uint32 // youngest free index
	free    int64  // length of the free queue
	retired int64  // slots that have used their last generation

	// lastGeneration is math.MaxUint32; tests lower it to see a slot retire.
	lastGeneration uint32
}

// New returns an empty table.
func New[T any](o Options) *Table[T] {
	t := &Table[T]{max: int64(o.Max), quarantine: int64(o.Quarantine), lastGeneration: math.MaxUint32}
	if t.max <= 0 || t.max > maxIndex {
		t.max = maxIndex
	}
	switch {
	case t.quarantine == 0:
		t.quarantine = DefaultQuarantine
	case t.quarantine < 0:
		t.quarantine = 0
	}
	t.dir.Store(&[]*chunk[T]{})
	return t
}

// slotAt returns the slot of an index, or nil if there never was one.
func (t *Table[T]) slotAt(index uint32) *slot[T] {
	dir := *t.dir.Load()
	c := index >> chunkBits
	if uint64(c) >= uint64(len(dir)) {
		return nil
	}
	return &dir[c][index%chunkSize]
}

// Alloc stores v under a new id. It reports false when the table is full.
func (t *Table[T]) Alloc(v T) (ID, bool) {
	return t.AllocWith(func(ID) T { return v })
}

// AllocWith stores what f makes of the new id, for values that must know their
// own. Nobody can resolve the id before f has returned. f runs under the table's
// mutex and must not call the table; if it panics, nothing was allocated.
func (t *Table[T]) AllocWith(f func(ID) T) (ID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live.Load() >= t.max {
		return 0, false
	}
	index, fresh := t.pick()
	if index == 0 {
		return 0, false
	}
	s := t.slotAt(index)
	if s == nil {
		t.grow(index)
		s = t.slotAt(index)
	}
	generation := max(s.generation, 1)
	id := Make(index, generation)
	r := &record[T]{id: id, v: f(id)} // nothing was changed yet that a panic would leave
	if fresh {
		t.used = index
	} else {
		t.head = s.next
		if t.head == 0 {
			t.tail = 0
		}
		t.free--
	}
	s.next, s.generation = 0, generation
	s.p.Store(r)
	t.live.Add(1)
	return id, true
}

// pick chooses the next index without taking it: the oldest free one if enough
// others wait behind it, else a fresh one. Zero is none. With a bound on the
// live entries a fresh index always exists when the quarantine holds all free
// ones, so the quarantine never has to be broken before 2^32 indexes are used.
func (t *Table[T]) pick() (index uint32, fresh bool) {
	if t.free > t.quarantine {
		return t.head, false
	}
	if t.used < maxIndex {
		return t.used + 1, true
	}
	return t.head, false // the index space is spent: reuse early rather than fail
}

// grow appends the chunk that holds index, which is the next one.
func (t *Table[T]) grow(index uint32) {
	old := *t.dir.Load()
	dir := make([]*chunk[T], int(index>>chunkBits)+1)
	for i := copy(dir, old); i < len(dir); i++ {
		dir[i] = new(chunk[T])
	}
	t.dir.Store(&dir)
}

// Get resolves id. A stale, foreign, or zero id does not resolve.
func (t *Table[T]) Get(id ID) (T, bool) {
	if s := t.slotAt(id.Index()); s != nil {
		if r := s.p.Load(); r != nil && r.id == id {
			return r.v, true
		}
	}
	var zero T
	return zero, false
}

// ByIndex returns the present tenant of an index. What a person types as a PID
// is an index; keep the returned id, not the index.
func (t *Table[T]) ByIndex(index uint32) (ID, T, bool) {
	if s := t.slotAt(index); s != nil {
		if r := s.p.Load(); r != nil {
			return r.id, r.v, true
		}
	}
	var zero T
	return 0, zero, false
}

// Free ends id's tenancy and returns its value. Of several concurrent calls with
// one id exactly one reports true.
func (t *Table[T]) Free(id ID) (T, bool) {
	var zero T
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.slotAt(id.Index())
	if s == nil {
		return zero, false
	}
	r := s.p.Load()
	if r == nil || r.id != id {
		return zero, false
	}
	s.p.Store(nil)
	t.live.Add(-1)
	if s.generation >= t.lastGeneration {
		t.retired++
		return r.v, true
	}
	s.generation++
	index := id.Index()
	if t.tail == 0 {
		t.head = index
	} else {
		t.slotAt(t.tail).next = index
	}
	t.tail = index
	t.free++
	return r.v, true
}

// Len returns the number of live entries.
func (t *Table[T]) Len() int { return int(t.live.Load()) }

// All yields the live entries in the order of their indexes. It takes no lock: an
// entry that lives through the whole iteration is yielded exactly once, one that
// comes or goes meanwhile may or may not be. The loop body may call the table.
func (t *Table[T]) All() iter.Seq2[ID, T] {
	return func(yield func(ID, T) bool) {
		for _, c := range *t.dir.Load() {
			for i := range c {
				if r := c[i].p.Load(); r != nil && !yield(r.id, r.v) {
					return
				}
			}
		}
	}
}
