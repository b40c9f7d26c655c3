package attack

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// poison is an attempt at the permission path itself: to have an answer that was right
// for another question, another process, or another time.
type poison struct {
	name, tries string
	attempt     func(t *testing.T, cache *perm.CacheOptions) (wrong int)
}

var poisons = []poison{
	{name: "collision", tries: "a hundred thousand questions for a cache of eight places, of which some must meet", attempt: collide},
	{name: "spelling", tries: "questions that differ in a slash, a case, an action, or where one part ends and the next begins", attempt: spell},
	{name: "revoked", tries: "what was allowed before a revocation, right after it", attempt: revoked},
	{name: "narrowed", tries: "to write what was narrowed to reading", attempt: narrowed},
	{name: "mount-changed", tries: "an answer about a path that another host directory stands behind now", attempt: mounted},
	{name: "recycled-pid", tries: "the answers that a predecessor with the same number and name had", attempt: recycled},
	{name: "reload", tries: "what the old policies allow after new ones are in force", attempt: reload},
	{name: "reload-in-call", tries: "what the old policies allow when they change in the middle of a decision", attempt: reloadInCall},
	{name: "revoked-in-call", tries: "the same when a grant is taken away in the middle of a decision", attempt: revokedInCall},
	{name: "raced", tries: "1,000 revocations raced against askers, who must have no allow from before one", attempt: raced},
	{name: "aged", tries: "an answer after its time", attempt: aged},
}

// TestPoison makes each attempt with the usual cache, one of eight places, and none.
func TestPoison(t *testing.T) {
	for _, p := range poisons {
		for name, o := range map[string]*perm.CacheOptions{"usual": {}, "tiny": {Entries: 1}, "none": nil} {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				if wrong := p.attempt(t, o); wrong > 0 {
					t.Errorf("%d wrong answers", wrong)
				}
			})
		}
	}
}

// TestPoisonWorks shows that the attempts see a cache that remembers by a part of the
// question and forgets nothing.
func TestPoisonWorks(t *testing.T) {
	before, after := subject("/w", perm.Write), subject("/other", perm.Write)
	k := keeper{}
	if !k.file(perm.NewAuthority(perm.Principal{}, before, nil), abi.ActRead, "/w/f").Allow {
		t.Fatal("what is granted is refused")
	}
	if !k.file(perm.NewAuthority(perm.Principal{}, after, nil), abi.ActWrite, "/w/g").Allow {
		t.Error("a cache that forgets nothing gave no wrong answer: the attempts would not see one")
	}
}

// keeper remembers by the beginning of a path.
type keeper map[string]perm.Decision

func (k keeper) file(a *perm.Authority, act abi.Action, path string) perm.Decision {
	key := path[:min(3, len(path))]
	if d, ok := k[key]; ok {
		return d
	}
	k[key] = a.File(act, path)
	return k[key]
}

func subject(guest string, right perm.Right, more ...perm.PathRule) *perm.Subject {
	rules := append([]perm.PathRule{{Guest: guest, Host: guest, Right: right, Source: "flag"}}, more...)
	return perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: rules})
}

func authority(o *perm.CacheOptions, s *perm.Subject, e perm.Engine) *perm.Authority {
	a := perm.NewAuthority(perm.Principal{Run: "run", Name: "name"}, s, e)
	if o != nil {
		a.Remember(*o)
	}
	return a
}

// become makes a change of the rights.
func become(t *testing.T, a *perm.Authority, s *perm.Subject) {
	t.Helper()
	must(t, a.Change(func(*perm.Subject) (*perm.Subject, error) { return s, nil }))
}

// policy forbids what has a word in its path.
type policy struct {
	word   string
	during func() // called in the middle of a decision
}

func (p *policy) Decide(_ *perm.Principal, q *perm.Query) perm.Verdict {
	allow := p.word == "" || !strings.Contains(q.Path, p.word)
	if p.during != nil {
		p.during()
	}
	return perm.Verdict{Allow: allow, Rule: "forbid " + p.word}
}

func (p *policy) Describe() []string { return nil }

func collide(t *testing.T, o *perm.CacheOptions) (wrong int) {
	s := subject("/w", perm.Write, perm.PathRule{Guest: "/w/secret", Host: "/w/secret", Right: perm.None})
	a := authority(o, s, nil)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		n := r.IntN(20_000)
		path, want := fmt.Sprintf("/w/f%d", n), true
		if n%2 == 0 {
			path, want = fmt.Sprintf("/w/secret/f%d", n), false
		}
		if a.File(abi.ActRead, path).Allow != want {
			wrong++
		}
	}
	return wrong
}

func spell(t *testing.T, o *perm.CacheOptions) (wrong int) {
	s := subject("/w", perm.Write,
		perm.PathRule{Guest: "/w/ro", Host: "/w/ro", Right: perm.Read}, perm.PathRule{Guest: "/w/A", Host: "/w/A", Right: perm.None})
	a, plain := authority(o, s, nil), authority(nil, s, nil)
	paths := []string{"/w/.git", "/w/.git/", "/w/ro", "/w/ro/", "/w/ro/a", "/w/roa", "/w/a", "/w/A", "/w/A/", "/w/A/a", "/w/a\x00", "/w/", "/w", "/", ""}
	for range 50 {
		for _, p := range paths {
			for act := abi.Action(0); act < abi.NumActions; act++ {
				got, want := a.File(act, p), plain.File(act, p)
				got.Cached = false
				if got != want {
					wrong++
				}
			}
		}
	}
	return wrong
}

func revoked(t *testing.T, o *perm.CacheOptions) (wrong int) {
	with, without := subject("/w", perm.Write), subject("/other", perm.Write)
	a := authority(o, with, nil)
	for range 1000 {
		for range 3 {
			if !a.File(abi.ActRead, "/w/f").Allow {
				wrong++
			}
		}
		become(t, a, without)
		if a.File(abi.ActRead, "/w/f").Allow {
			wrong++
		}
		become(t, a, with)
	}
	return wrong
}

func narrowed(t *testing.T, o *perm.CacheOptions) (wrong int) {
	a := authority(o, subject("/w", perm.Write), nil)
	if !a.File(abi.ActWrite, "/w/f").Allow {
		wrong++
	}
	become(t, a, subject("/w", perm.Read))
	if a.File(abi.ActWrite, "/w/f").Allow || a.File(abi.ActCreate, "/w/f").Allow || !a.File(abi.ActRead, "/w/f").Allow {
		wrong++
	}
	return wrong
}

func mounted(t *testing.T, o *perm.CacheOptions) (wrong int) {
	at := func(host string) *perm.Subject {
		return perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead), Paths: []perm.PathRule{{Guest: "/m", Host: host, Right: perm.Read}}})
	}
	a := authority(o, at("/public"), &policy{word: "secret"})
	if !a.File(abi.ActRead, "/m/f").Allow {
		wrong++
	}
	become(t, a, at("/secret"))
	if a.File(abi.ActRead, "/m/f").Allow {
		wrong++
	}
	return wrong
}

func recycled(t *testing.T, o *perm.CacheOptions) (wrong int) {
	for range 100 {
		first := authority(o, subject("/w", perm.Write), nil)
		if !first.File(abi.ActWrite, "/w/f").Allow {
			wrong++
		}
		second := authority(o, subject("/w", perm.Read), nil) // the same principal
		if second.File(abi.ActWrite, "/w/f").Allow {
			wrong++
		}
	}
	return wrong
}

func reload(t *testing.T, o *perm.CacheOptions) (wrong int) {
	a := authority(o, subject("/w", perm.Write), nil)
	q := perm.Query{Action: abi.ActConnect, Target: perm.TargetEndpoint, Host: "host", Path: "/secret"}
	for _, e := range []perm.Engine{nil, &policy{}, &policy{word: "secret"}, &policy{}, nil, &policy{word: "secret"}} {
		a.Rebind(e)
		want := true
		if p, ok := e.(*policy); ok {
			want = p.word == ""
		}
		for range 3 {
			if a.File(abi.ActRead, "/w/secret").Allow != want || a.Ask(&q).Allow != want {
				wrong++
			}
		}
	}
	return wrong
}

func reloadInCall(t *testing.T, o *perm.CacheOptions) (wrong int) {
	var a *perm.Authority
	old := &policy{}
	old.during = func() { a.Rebind(&policy{word: "secret"}) }
	for range 100 {
		a = authority(o, subject("/w", perm.Write), old)
		for range 2 {
			if a.File(abi.ActRead, "/w/secret").Allow {
				wrong++
			}
		}
		a = authority(o, subject("/w", perm.Write), old)
		q := perm.Query{Action: abi.ActConnect, Target: perm.TargetEndpoint, Path: "/secret"}
		for range 2 {
			if a.Ask(&q).Allow {
				wrong++
			}
		}
	}
	return wrong
}

func revokedInCall(t *testing.T, o *perm.CacheOptions) (wrong int) {
	var a *perm.Authority
	e := &policy{}
	e.during = func() { become(t, a, subject("/other", perm.Write)) }
	for range 100 {
		a = authority(o, subject("/w", perm.Write), e)
		for range 2 {
			if a.File(abi.ActRead, "/w/f").Allow {
				wrong++
			}
		}
	}
	return wrong
}

func raced(t *testing.T, o *perm.CacheOptions) int {
	with, without := subject("/w", perm.Write), subject("/other", perm.Write)
	a := authority(o, with, nil)
	var revocations, wrong atomic.Int64 // odd while it is revoked
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			path := fmt.Sprintf("/w/f%d", i%2)
			for !stop.Load() {
				before := revocations.Load()
				allow := a.File(abi.ActWrite, path).Allow
				// Revoked before it was asked, and not granted again until it was answered.
				if before%2 == 1 && revocations.Load() == before && allow {
					wrong.Add(1)
				}
				runtime.Gosched() // two processors are not enough for all of these
			}
		})
	}
	for range 1000 {
		become(t, a, without)
		revocations.Add(1)
		runtime.Gosched()
		revocations.Add(1)
		become(t, a, with)
	}
	stop.Store(true)
	wg.Wait()
	return int(wrong.Load())
}

func aged(t *testing.T, o *perm.CacheOptions) (wrong int) {
	if o == nil {
		return 0
	}
	const life = 20 * time.Millisecond
	asked := 0
	e := &policy{during: func() { asked++ }}
	a := authority(&perm.CacheOptions{Entries: o.Entries, TTL: life}, subject("/w", perm.Write), e)
	a.File(abi.ActRead, "/w/f")
	time.Sleep(5 * life)
	a.File(abi.ActRead, "/w/f")
	if asked != 2 {
		wrong++
	}
	return wrong
}
