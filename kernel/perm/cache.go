package perm

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
)

// CacheOptions bound what a process's decision cache remembers.
type CacheOptions struct {
	Entries int           // 0 is 2,048; it is rounded up to a power of two times the ways of a set
	TTL     time.Duration // how long at most; 0 is 5 s
}

// Off reports whether nothing is to be remembered: either bound is negative.
func (o CacheOptions) Off() bool { return o.Entries < 0 || o.TTL < 0 }

// Size is how many entries there is room for, 0 if nothing is remembered.
func (o CacheOptions) Size() int {
	if o.Off() {
		return 0
	}
	n := min(o.Entries, maxEntries)
	if n == 0 {
		n = defaultEntries
	}
	size := ways
	for size < n {
		size *= 2
	}
	return size
}

// Lifetime is how long an entry lives at most.
func (o CacheOptions) Lifetime() time.Duration {
	if o.TTL == 0 {
		return defaultTTL
	}
	return max(o.TTL, lifetime) // of a clock whose tick is not nothing
}

const (
	defaultEntries = 2048
	maxEntries     = 1 << 20
	defaultTTL     = 5 * time.Second

	// ways is how many entries share a set. With four, 256 questions in room for
	// 1,024 meet so often that one in forty is evicted in turn for ever.
	ways = 8

	// maxEntryText bounds the text that one entry keeps. Paths are a guest's choice,
	// and the memory is the kernel's.
	maxEntryText = 1024
)

// cache is layer 4 of one process: decisions of layers 2 and 3, by what was asked.
// It is set-associative, so that a question is looked for in eight places. An entry
// is written before it is published and never again, and its key is compared in
// full: neither a torn read nor a collision can give one question another's answer.
//
// An entry is of the epoch under which it was decided. An epoch belongs to one
// state of one process and never comes back, so no entry needs to be found and
// removed when the process's rights change.
type cache struct {
	hash  func(string) uint64 // of tests, which want collisions; else nil
	seed  maphash.Seed
	mask  uint64
	clock clock
	table atomic.Pointer[table] // nil until something is asked

	evictions atomic.Uint64
	stale     atomic.Uint64
	tallies   [tallies]tally
}

// table is the room for entries: by set, the ways that readers look at and the hand
// of the clock that finds room.
type table struct {
	sets  []set
	hands []atomic.Uint32
}

// set is one cache line.
type set [ways]atomic.Pointer[entry]

// home is the bit of a hash from which on it says where in its set an entry would
// best be. A reader looks there first, and mostly need not look further.
const home = 56

// tally counts the questions that were asked on one of Go's processors, or a few: a
// line that two processors write goes to and fro between them, at several times the
// cost of a hit.
type tally struct {
	hits   atomic.Uint64
	misses atomic.Uint64
	_      [64 - 16]byte
}

const tallies = 16

// entry is one remembered decision. All but used is written before it is published.
type entry struct {
	hash    uint64
	epoch   uint64
	tick    uint64    // of the clock, before it was decided
	path    string    // of a file; "" for all else
	other   *Query    // of what is not a file; nil for a file
	refusal *Decision // nil for an allow
	action  abi.Action
	used    atomic.Bool // since the hand passed last
}

// newCache returns a cache, nil if o says so.
func newCache(o CacheOptions) *cache {
	if o.Off() {
		return nil
	}
	c := &cache{seed: maphash.MakeSeed(), mask: uint64(o.Size()/ways - 1)}
	c.clock.period = o.Lifetime() / lifetime
	return c
}

// room returns the table, which the first question makes.
func (c *cache) room() *table {
	if t := c.table.Load(); t != nil {
		return t
	}
	return c.makeRoom()
}

func (c *cache) makeRoom() *table {
	t := &table{sets: make([]set, c.mask+1), hands: make([]atomic.Uint32, c.mask+1)}
	if c.table.CompareAndSwap(nil, t) {
		return t
	}
	return c.table.Load()
}

// fileHash places a file. Guests choose paths; they do not know the seed.
func (c *cache) fileHash(act abi.Action, canonical string) uint64 {
	return maphash.String(c.seed, canonical) ^ uint64(act)*0x9e3779b97f4a7c15
}

// otherHash places what is not a file.
func (c *cache) otherHash(q *Query) uint64 {
	if c.hash != nil {
		return c.hash(q.Name)
	}
	h := maphash.Comparable(c.seed, struct {
		action                        abi.Action
		target                        Target
		path, guest, host, name, kind string
		address                       netip.Addr
		port                          uint16
	}{q.Action, q.Target, q.Path, q.Guest, q.Host, q.Name, q.Kind, q.Address, q.Port})
	for _, a := range q.Argv {
		h = h*0x9e3779b97f4a7c15 ^ maphash.String(c.seed, a)
	}
	return h
}

// same reports whether two questions are one, field by field.
func same(a, b *Query) bool {
	return a.Action == b.Action && a.Target == b.Target && a.Path == b.Path && a.Guest == b.Guest && a.Host == b.Host &&
		a.Address == b.Address && a.Port == b.Port && a.Name == b.Name && a.Kind == b.Kind && slices.Equal(a.Argv, b.Argv)
}

// other looks for a decision on what is not a file.
func (c *cache) other(h, epoch uint64, q *Query) *entry {
	s := &c.room().sets[h&c.mask]
	for i := range uint64(ways) {
		e := s[(h>>home+i)%ways].Load()
		if e == nil || e.hash != h || e.other == nil || !same(e.other, q) {
			continue
		}
		if e.epoch != epoch || c.clock.expired(e.tick) {
			c.stale.Add(1)
			break
		}
		e.use()
		return e
	}
	c.miss()
	return nil
}

// use tells the hand that e is used. Readers only look, once it was told.
func (e *entry) use() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// miss counts a question that is decided anew.
func (c *cache) miss() { c.tally().misses.Add(1) }

// hit counts an answer from memory.
func (c *cache) hit() { c.tally().hits.Add(1) }

func (c *cache) tally() *tally { return &c.tallies[event.Processor()%tallies] }

// keep publishes e. It takes the place of the same question's last answer, else of
// nothing or of what no longer holds, else of what was not used since the hand
// went by.
func (c *cache) keep(e *entry) {
	c.clock.touch()
	t := c.room()
	s := &t.sets[e.hash&c.mask]
	slot := -1
	for k := range uint64(ways) {
		i := int((e.hash>>home + k) % ways)
		old := s[i].Load()
		if old != nil && e.replaces(old) {
			slot = i
			break
		}
		if slot < 0 && (old == nil || old.epoch < e.epoch || c.clock.expired(old.tick)) {
			slot = i
		}
	}
	if slot < 0 {
		slot = s.victim(&t.hands[e.hash&c.mask])
		c.evictions.Add(1)
	}
	s[slot].Store(e)
}

// replaces reports whether e and old answer one question.
func (e *entry) replaces(old *entry) bool {
	if e.hash != old.hash || e.action != old.action || e.path != old.path || (e.other == nil) != (old.other == nil) {
		return false
	}
	return e.other == nil || same(e.other, old.other)
}

// victim is where the hand comes to rest: it passes what was used once.
func (s *set) victim(hand *atomic.Uint32) int {
	for range 2 * ways {
		i := int(hand.Add(1)-1) % ways
		if e := s[i].Load(); e == nil || !e.used.Swap(false) {
			return i
		}
	}
	return int(hand.Add(1)-1) % ways // all are being used as fast as it goes
}

// keepFile remembers the answer to a question about a file.
func (c *cache) keepFile(h, epoch, tick uint64, act abi.Action, canonical string, refusal *Decision) {
	if len(canonical)+refusal.size() > maxEntryText {
		return
	}
	// The path may be a part of something longer, which would stay with it.
	c.keep(&entry{hash: h, epoch: epoch, tick: tick, action: act, path: strings.Clone(canonical), refusal: refusal.cached()})
}

// keepOther remembers the answer to any other question.
func (c *cache) keepOther(h, epoch, tick uint64, q *Query, refusal *Decision) {
	n := refusal.size() + len(q.Path) + len(q.Guest) + len(q.Host) + len(q.Name) + len(q.Kind) + len(q.Address.Zone())
	for _, a := range q.Argv {
		n += 16 + len(a)
	}
	if n > maxEntryText {
		return
	}
	k := *q
	k.Path, k.Guest, k.Host = strings.Clone(q.Path), strings.Clone(q.Guest), strings.Clone(q.Host)
	k.Name, k.Kind, k.Argv = strings.Clone(q.Name), strings.Clone(q.Kind), slices.Clone(q.Argv)
	for i := range k.Argv {
		k.Argv[i] = strings.Clone(k.Argv[i])
	}
	c.keep(&entry{hash: h, epoch: epoch, tick: tick, action: q.Action, other: &k, refusal: refusal.cached()})
}

// cached returns d as it is answered from memory.
func (d *Decision) cached() *Decision {
	if d == nil {
		return nil
	}
	c := *d
	c.Cached = true
	return &c
}

// size is how much text d keeps.
func (d *Decision) size() int {
	if d == nil {
		return 0
	}
	return len(d.Rule) + len(d.Grant)
}

// Remembered counts what became of the questions of one process.
type Remembered struct {
	Hits      uint64 // answered from memory
	Misses    uint64 // decided anew, the stale ones included
	Evictions uint64 // forgotten for want of room
	Stale     uint64 // found, and refused: the rights had changed since, or the time was over
}

// remembered adds up.
func (c *cache) remembered() Remembered {
	r := Remembered{Evictions: c.evictions.Load(), Stale: c.stale.Load()}
	for i := range c.tallies {
		r.Hits += c.tallies[i].hits.Load()
		r.Misses += c.tallies[i].misses.Load()
	}
	return r
}
