package perm

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// engine is a policy for tests: it refuses what forbids says, and counts.
type engine struct {
	forbids func(who *Principal, q *Query) bool
	asked   atomic.Int64
}

func (e *engine) Decide(who *Principal, q *Query) Verdict {
	e.asked.Add(1)
	if e.forbids(who, q) {
		return Verdict{Rule: fmt.Sprintf("forbid %s %s%s at test.cedar:1", q.Action, q.Path, q.Host)}
	}
	return Verdict{Allow: true}
}

func (e *engine) Describe() []string { return nil }

func secrets() *engine {
	return &engine{forbids: func(_ *Principal, q *Query) bool { return strings.Contains(q.Path, "secret") }}
}

// expect compares a decision, wherever it is from.
func expect(t *testing.T, got, want Decision) {
	t.Helper()
	got.Cached = false
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestCacheAnswersBothWays(t *testing.T) {
	e := secrets()
	s := subject(r("/w", Write, "/w"), r("/ro", Read, "/ro"))
	a := NewAuthority(Principal{}, s, e).Remember(CacheOptions{})
	plain := NewAuthority(Principal{}, s, e)
	questions := []struct {
		act  abi.Action
		path string
	}{
		{abi.ActRead, "/w/f"}, {abi.ActWrite, "/w/f"}, {abi.ActRead, "/w/secret"}, {abi.ActWrite, "/w/secret"},
		{abi.ActWrite, "/ro/f"}, {abi.ActRead, "/none"}, {abi.ActCreate, "/w/.git/hooks"}, {abi.ActCreate, "/w/.git/hooks/"},
	}
	for range 3 {
		for _, q := range questions {
			expect(t, a.File(q.act, q.path), plain.File(q.act, q.path))
		}
	}
	if d := a.File(abi.ActRead, "/w/secret"); !d.Cached || a.File(abi.ActRead, "/w/secret2").Cached || a.File(abi.ActRead, "/w/f").Cached {
		t.Errorf("what is remembered is not told from what is not: %+v", d)
	}
	n := uint64(len(questions))
	if got := a.Remembered(); got != (Remembered{Hits: 2*n + 2, Misses: n + 1}) {
		t.Errorf("%+v", got)
	}
	if (plain.Remembered() != Remembered{}) {
		t.Errorf("nothing is remembered, and yet %+v", plain.Remembered())
	}
}

func TestCacheAsksThePoliciesOnce(t *testing.T) {
	e := secrets()
	a := NewAuthority(Principal{}, subject(r("/w", Read, "/w")), e).Remember(CacheOptions{})
	for range 100 {
		a.File(abi.ActRead, "/w/f")
		a.File(abi.ActRead, "/w/secret")
	}
	if n := e.asked.Load(); n != 2 {
		t.Errorf("the policies were asked %d times", n)
	}
}

func TestCacheOff(t *testing.T) {
	for _, o := range []CacheOptions{{Entries: -1}, {TTL: -1}} {
		e := secrets()
		a := NewAuthority(Principal{}, subject(r("/w", Read, "/w")), e).Remember(o)
		for range 10 {
			a.File(abi.ActRead, "/w/f")
		}
		if n := e.asked.Load(); n != 10 || o.Size() != 0 || a.Remembered() != (Remembered{}) {
			t.Errorf("%+v: asked %d times, size %d, %+v", o, n, o.Size(), a.Remembered())
		}
	}
}

func TestCacheSize(t *testing.T) {
	for n, want := range map[int]int{0: 2048, 1: 8, 8: 8, 9: 16, 1000: 1024, 1025: 2048, 1 << 30: 1 << 20} {
		if got := (CacheOptions{Entries: n}).Size(); got != want {
			t.Errorf("%d entries: %d", n, got)
		}
	}
}

// Where everything collides, each question still has its own answer.
func TestCacheCollision(t *testing.T) {
	s := subject(r("/w", Write, "/w"), r("/ro", Read, "/ro"))
	for _, entries := range []int{1, 1024} {
		a := NewAuthority(Principal{}, s, secrets()).Remember(CacheOptions{Entries: entries})
		a.cache.hash = func(string) uint64 { return 7 }
		plain := NewAuthority(Principal{}, s, secrets())
		paths := []string{"/w/a", "/w/secret", "/ro/a", "/x", "/w/.bashrc"}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			p, act := paths[rng.IntN(len(paths))], abi.ActRead
			if rng.IntN(2) == 0 {
				act = abi.ActWrite
			}
			expect(t, a.File(act, p), plain.File(act, p))
			q := Query{Action: act, Target: TargetEndpoint, Host: p, Port: uint16(rng.IntN(3))}
			expect(t, a.Ask(&q), plain.Ask(&q))
		}
		if c := a.Remembered(); c.Hits == 0 || c.Evictions == 0 {
			t.Errorf("nothing collided: %+v", c)
		}
	}
}

// Every field of a question is told apart by itself.
func TestCacheTellsQueriesApart(t *testing.T) {
	base := func() Query {
		return Query{Action: abi.ActConnect, Target: TargetEndpoint, Path: "p", Guest: "g", Argv: []string{"a", "b"}, Host: "h",
			Address: netip.MustParseAddr("192.0.2.1"), Port: 1, Name: "n", Kind: "k"}
	}
	others := map[string]func(*Query){
		"action":  func(q *Query) { q.Action = abi.ActListen },
		"target":  func(q *Query) { q.Target = TargetChannel },
		"path":    func(q *Query) { q.Path = "P" },
		"guest":   func(q *Query) { q.Guest = "G" },
		"argv":    func(q *Query) { q.Argv = []string{"ab"} },
		"argv +":  func(q *Query) { q.Argv = []string{"a", "b", ""} },
		"host":    func(q *Query) { q.Host = "H" },
		"address": func(q *Query) { q.Address = netip.MustParseAddr("::ffff:192.0.2.1") },
		"port":    func(q *Query) { q.Port = 2 },
		"name":    func(q *Query) { q.Name = "N" },
		"kind":    func(q *Query) { q.Kind = "K" },
		"joined":  func(q *Query) { q.Path, q.Guest = "pg", "" },
	}
	for _, constant := range []bool{false, true} {
		for name, change := range others {
			allowed := base()
			e := &engine{forbids: func(_ *Principal, q *Query) bool { return !same(q, &allowed) }}
			a := NewAuthority(Principal{}, subject(), e).Remember(CacheOptions{})
			if constant {
				a.cache.hash = func(string) uint64 { return 0 }
			}
			q := base()
			for range 2 {
				if !a.Ask(&q).Allow {
					t.Errorf("%s: the question itself was refused", name)
				}
			}
			change(&q)
			if a.Ask(&q).Allow {
				t.Errorf("%s: another question got its answer", name)
			}
			q = base()
			a.Forget()
			a.Ask(&q)
			q.Argv[0] = "x" // what the caller does with its own later
			if d := a.Ask(&q); d.Allow {
				t.Errorf("argv is shared with the caller: %+v", d)
			}
		}
	}
}

// A file and another thing of the same name and action are two questions.
func TestCacheTellsTargetsApart(t *testing.T) {
	e := &engine{forbids: func(_ *Principal, q *Query) bool { return q.Target != TargetFile }}
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), e).Remember(CacheOptions{Entries: 1})
	a.cache.hash = func(string) uint64 { return 0 }
	q := Query{Action: abi.ActExecute, Target: TargetProgram, Path: "/w/x"}
	for range 3 {
		if !a.File(abi.ActExecute, "/w/x").Allow || a.Ask(&q).Allow {
			t.Fatal("one got the other's answer")
		}
		root := Query{Action: abi.ActRead, Target: TargetHost}
		if a.Ask(&root).Allow || !a.File(abi.ActRead, "").Allow {
			t.Fatal("the root got the host's answer")
		}
	}
}

func TestCacheEvictsWhatIsNotUsed(t *testing.T) {
	e := secrets()
	a := NewAuthority(Principal{}, subject(r("/w", Read, "/w")), e).Remember(CacheOptions{Entries: 1})
	ask := func(p string) bool { // whether it was remembered
		n := e.asked.Load()
		a.File(abi.ActRead, p)
		return e.asked.Load() == n
	}
	for i := range ways {
		ask(fmt.Sprint("/w/", i))
	}
	for i := range ways {
		if !ask(fmt.Sprint("/w/", i)) {
			t.Fatalf("%d was forgotten where there was room", i)
		}
	}
	// The hand passes all of them once and takes one; what is asked again and again
	// outlives a stream of what is asked once.
	if ask("/w/new") {
		t.Error("a question never asked was remembered")
	}
	kept := 0
	for i := range 100 {
		if ask("/w/hot") {
			kept++
		}
		ask(fmt.Sprint("/w/stream", i))
	}
	if kept < 90 {
		t.Errorf("what is used all the time was remembered %d times of 100", kept)
	}
	if got := a.Remembered(); got.Evictions == 0 || got.Stale != 0 {
		t.Errorf("%+v", got)
	}
}

func TestCacheForgetsByAge(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := secrets()
			o := CacheOptions{TTL: ttl}
			a := NewAuthority(Principal{}, subject(r("/w", Read, "/w")), e).Remember(o)
			life := o.Lifetime()
			asked := func(p string) int64 {
				n := e.asked.Load()
				a.File(abi.ActRead, p)
				return e.asked.Load() - n
			}
			for round := range 3 {
				if asked("/w/f") != 1 {
					t.Errorf("round %d: an answer of another life", round)
				}
				time.Sleep(life/lifetime*(lifetime-1) - 1)
				synctest.Wait()
				if asked("/w/f") != 0 {
					t.Errorf("round %d: forgotten early", round)
				}
				time.Sleep(life/lifetime + 2)
				synctest.Wait()
				if asked("/w/f") != 1 {
					t.Errorf("round %d: remembered for longer than %s", round, life)
				}
				time.Sleep(100 * life) // the clock stops
				synctest.Wait()
			}
			if got := a.Remembered(); got.Stale == 0 || got.Evictions != 0 {
				t.Errorf("%+v", got)
			}
			if a.cache.clock.running.Load() {
				t.Error("the clock runs for nothing")
			}
			// New at any point between two ticks, nothing lives longer.
			for i := range 40 {
				p := fmt.Sprint("/w/", i)
				asked(p)
				time.Sleep(life + 1)
				synctest.Wait()
				if asked(p) != 1 {
					t.Errorf("start %d: remembered for longer than %s", i, life)
				}
				time.Sleep(life / 37)
			}
			time.Sleep(3 * life)
		})
	}
}

// What is asked all the time is asked anew as often as its age says.
func TestCacheAgeDoesNotRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := secrets()
		a := NewAuthority(Principal{}, subject(r("/w", Read, "/w")), e).Remember(CacheOptions{TTL: time.Second})
		for range 1000 {
			a.File(abi.ActRead, "/w/f")
			time.Sleep(10 * time.Millisecond)
		}
		if n := e.asked.Load(); n < 10 || n > 13 {
			t.Errorf("asked %d times in 10 s", n)
		}
		time.Sleep(3 * time.Second)
	})
}

func TestCacheForgetsByEpoch(t *testing.T) {
	e := secrets()
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), e).Remember(CacheOptions{})
	b := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), e).Remember(CacheOptions{})
	if !a.File(abi.ActWrite, "/w/f").Allow || !b.File(abi.ActWrite, "/w/f").Allow {
		t.Fatal("refused")
	}
	changes := map[string]func(){
		"subject": func() {
			if err := a.Change(func(*Subject) (*Subject, error) { return subject(r("/w", Read, "/w")), nil }); err != nil {
				t.Fatal(err)
			}
			if a.File(abi.ActWrite, "/w/f").Reason != ReadOnly || !a.File(abi.ActRead, "/w/f").Allow {
				t.Error("the old subject's answer")
			}
		},
		"policies": func() {
			a.Rebind(&engine{forbids: func(*Principal, *Query) bool { return true }})
			if a.File(abi.ActRead, "/w/f").Reason != Forbidden {
				t.Error("the old policy's answer")
			}
			a.Rebind(nil)
			if !a.File(abi.ActRead, "/w/f").Allow {
				t.Error("the old policy's refusal")
			}
			a.Rebind(e)
		},
		"mounts": func() {
			n := e.asked.Load()
			a.Forget()
			a.File(abi.ActRead, "/w/f")
			if e.asked.Load() != n+1 {
				t.Error("an answer from before the mounts changed")
			}
		},
	}
	for name, change := range changes {
		a.File(abi.ActRead, "/w/f")
		epoch, stale := a.Epoch(), a.Remembered().Stale
		change()
		if a.Epoch() <= epoch || a.Remembered().Stale <= stale {
			t.Errorf("%s: epoch %d to %d, %d stale", name, epoch, a.Epoch(), a.Remembered().Stale-stale)
		}
	}
	// The neighbour keeps what it has.
	n := e.asked.Load()
	if b.File(abi.ActWrite, "/w/f"); e.asked.Load() != n || b.Remembered().Stale != 0 {
		t.Error("a change of one process made another forget")
	}
}

// What no longer holds makes room before anything that does, and two who store the
// answer to one question at a time keep it once.
func TestCacheWastesNoRoom(t *testing.T) {
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), secrets()).Remember(CacheOptions{Entries: 1})
	for round := range 3 {
		for i := range ways {
			a.File(abi.ActRead, fmt.Sprintf("/w/%d/%d", round, i))
		}
		a.Forget()
	}
	if got := a.Remembered(); got != (Remembered{Misses: 3 * ways}) {
		t.Errorf("%+v", got)
	}
	a = NewAuthority(Principal{}, subject(r("/w", Write, "/w")), secrets()).Remember(CacheOptions{Entries: 1})
	set := &a.cache.room().sets[0]
	for range 3 {
		a.decideFile(a.state.Load(), 0, abi.ActRead, "/w/f")
	}
	kept := 0
	for i := range set {
		if set[i].Load() != nil {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("one answer takes %d places", kept)
	}
}

// A change that fails changes nothing.
func TestCacheFailedChange(t *testing.T) {
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), nil).Remember(CacheOptions{})
	a.File(abi.ActRead, "/w/f")
	epoch := a.Epoch()
	if err := a.Change(func(*Subject) (*Subject, error) { return nil, fmt.Errorf("no") }); err == nil || a.Epoch() != epoch {
		t.Error(err, a.Epoch())
	}
	a.File(abi.ActRead, "/w/f")
	if got := a.Remembered(); got.Hits != 1 {
		t.Errorf("%+v", got)
	}
}

// Two processes that cannot be told apart, as when a pid is used again, have
// nothing of each other.
func TestCacheOfRecycledPid(t *testing.T) {
	who := Principal{Program: "p", Name: "n", Domain: "wasm", Run: "r"}
	first := NewAuthority(who, subject(r("/w", Write, "/w")), nil).Remember(CacheOptions{})
	for range 3 {
		first.File(abi.ActWrite, "/w/f")
	}
	second := NewAuthority(who, subject(r("/w", Read, "/w")), nil).Remember(CacheOptions{})
	if second.Epoch() != first.Epoch() {
		t.Fatal("this test means to have equal epochs")
	}
	if second.File(abi.ActWrite, "/w/f").Allow {
		t.Error("an answer of the process before")
	}
}

// A timer that is still to fire does not hold the entries of a process that is gone.
func TestCacheGoesWithItsProcess(t *testing.T) {
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), nil).Remember(CacheOptions{TTL: time.Hour})
	a.File(abi.ActWrite, "/w/f")
	if !a.cache.clock.running.Load() {
		t.Fatal("the clock does not run")
	}
	gone := make(chan struct{})
	runtime.AddCleanup(a.cache.table.Load(), func(c chan struct{}) { close(c) }, gone)
	a = nil
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the table is still there")
}

// What an entry keeps is bounded, whatever a guest asks for.
func TestCacheKeepsNoLongText(t *testing.T) {
	e := secrets()
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), e).Remember(CacheOptions{})
	long := "/w/" + strings.Repeat("x/", maxEntryText/2) + "f"
	for range 3 {
		if !a.File(abi.ActRead, long).Allow {
			t.Error("refused")
		}
		q := Query{Action: abi.ActExecute, Target: TargetProgram, Path: "/w/x", Argv: make([]string, maxEntryText)}
		if !a.Ask(&q).Allow {
			t.Error("refused")
		}
	}
	if n := e.asked.Load(); n != 6 {
		t.Errorf("asked %d times", n)
	}
	for i := range a.cache.mask + 1 {
		for w := range ways {
			if a.cache.table.Load().sets[i][w].Load() != nil {
				t.Error("something was kept")
			}
		}
	}
}

// blocking is a policy that waits in the middle of a decision.
type blocking struct {
	entered, leave chan struct{}
	allow          bool
}

func (b *blocking) Decide(*Principal, *Query) Verdict {
	b.entered <- struct{}{}
	<-b.leave
	return Verdict{Allow: b.allow, Rule: "blocked"}
}
func (b *blocking) Describe() []string { return nil }

// A decision that was under way when the rights changed neither answers nor is
// remembered as an answer of the new rights.
func TestCacheStoreRacesChange(t *testing.T) {
	for i := range 4 {
		other, allow := i&1 != 0, i&2 != 0
		b := &blocking{make(chan struct{}), make(chan struct{}), allow}
		a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), b).Remember(CacheOptions{})
		ask := func() Decision {
			if other {
				return a.Ask(&Query{Action: abi.ActConnect, Target: TargetEndpoint, Host: "h"})
			}
			return a.File(abi.ActRead, "/w/f")
		}
		answer := make(chan Decision)
		go func() { answer <- ask() }()
		<-b.entered
		a.Rebind(&engine{forbids: func(*Principal, *Query) bool { return allow }})
		close(b.leave)
		if d := <-answer; d.Allow {
			t.Errorf("allowed by policies that were gone before the answer: %+v", d)
		}
		if d := ask(); d.Allow == allow {
			t.Errorf("an answer was remembered past its epoch: %+v", d)
		}
	}
}

// Rights that change while an answer is being looked up count.
func TestCacheLookupRacesChange(t *testing.T) {
	for _, other := range []bool{false, true} {
		a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), secrets()).Remember(CacheOptions{})
		ask := func() Decision {
			if other {
				return a.Ask(&Query{Action: abi.ActConnect, Target: TargetEndpoint, Host: "h"})
			}
			return a.File(abi.ActRead, "/w/f")
		}
		var during func() // after the rights were looked at, before the answer is found
		a.cache.hash = func(string) uint64 {
			if f := during; f != nil {
				during = nil
				f()
			}
			return 0
		}
		ask()
		during = func() { a.Rebind(&engine{forbids: func(*Principal, *Query) bool { return true }}) }
		if d := ask(); d.Allow {
			t.Errorf("allowed by policies that were gone before the answer: %+v", d)
		}
		if got := a.Remembered(); during != nil || got.Hits+got.Stale == 0 || !other && got != (Remembered{Misses: 2, Stale: 1}) {
			t.Errorf("the answer was not looked up: %+v", got)
		}
	}
}

// TestCacheHammer asks from many goroutines while rights come and go. An asker that
// knows of a change must never get an allow from before it.
func TestCacheHammer(t *testing.T) {
	const askers, rounds = 4, 1000
	grants := [2]*Subject{subject(r("/w", Write, "/w")), subject(r("/w", Read, "/w"))}
	for _, o := range []CacheOptions{{Entries: 1}, {}, {TTL: 50 * time.Microsecond}} {
		a := NewAuthority(Principal{}, grants[0], secrets()).Remember(o)
		// Odd is: writing is revoked. It is even before a grant and odd after a
		// revocation returned, so an asker that sees one odd number before and
		// after it asked was asking while writing was revoked.
		var phase, asked atomic.Uint64
		var done atomic.Bool
		var wg sync.WaitGroup
		for g := range askers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 1))
				for !done.Load() {
					asked.Add(1)
					p := fmt.Sprint("/w/", rng.IntN(8))
					before := phase.Load()
					d := a.File(abi.ActWrite, p)
					if after := phase.Load(); d.Allow && before%2 == 1 && before == after {
						t.Errorf("%s was allowed in phase %d", p, before)
						return
					}
					if !a.File(abi.ActRead, p).Allow {
						t.Errorf("reading %s was refused", p)
						return
					}
					if d := a.File(abi.ActRead, "/w/secret"); d.Reason != Forbidden || !strings.Contains(d.Rule, "/w/secret") {
						t.Errorf("%+v", d)
						return
					}
				}
			})
		}
		for i := 0; i < rounds || asked.Load() < 10*rounds; i++ {
			if i%8 == 0 {
				time.Sleep(time.Microsecond) // the askers' turn
			}
			revoke := i%2 == 0
			if !revoke {
				phase.Add(1)
			}
			next := grants[0]
			if revoke {
				next = grants[1]
			}
			if err := a.Change(func(*Subject) (*Subject, error) { return next, nil }); err != nil {
				t.Error(err)
			}
			if revoke {
				phase.Add(1)
				if a.File(abi.ActWrite, "/w/0").Allow {
					t.Error("allowed after the revocation returned")
				}
			} else if !a.File(abi.ActWrite, "/w/0").Allow {
				t.Error("refused after the grant returned")
			}
		}
		done.Store(true)
		wg.Wait()
		if c := a.Remembered(); c.Hits == 0 || c.Misses == 0 {
			t.Errorf("the hammer hit nothing: %+v", c)
		}
	}
}

func TestCacheHitAllocatesNothing(t *testing.T) {
	a := NewAuthority(Principal{}, subject(r("/w", Write, "/w")), secrets()).Remember(CacheOptions{})
	q := Query{Action: abi.ActConnect, Target: TargetEndpoint, Host: "example.org", Port: 443}
	if n := testing.AllocsPerRun(100, func() {
		a.File(abi.ActRead, "/w/f")
		a.File(abi.ActRead, "/w/secret")
		a.Ask(&q)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
