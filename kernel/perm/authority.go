package perm

import (
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Authority is what one process may do at this moment: its subject and the policies
// that bind it, which may change while it runs. All four layers are asked here.
type Authority struct {
	who   Principal
	state atomic.Pointer[state]
	cache *cache // layer 4; nil for none. Set before the first question.

	mu sync.Mutex // held while state is exchanged
}

// state is one immutable answer to what a process may do.
type state struct {
	subject *Subject
	engine  Engine // nil for none
	epoch   uint64 // 1 for the first, one more with each change
}

// NewAuthority binds who to s and, if it is not nil, to e.
func NewAuthority(who Principal, s *Subject, e Engine) *Authority {
	a := &Authority{who: who}
	a.state.Store(&state{subject: s, engine: e, epoch: 1})
	return a
}

// Who returns the principal.
func (a *Authority) Who() *Principal { return &a.who }

// Subject returns the credentials as they are now.
func (a *Authority) Subject() *Subject { return a.state.Load().subject }

// Policed reports whether there are policies at all: without, layer 3 need not be asked.
func (a *Authority) Policed() bool { return a.state.Load().engine != nil }

// Epoch numbers what the process may do: it is never 0 and grows with each change.
// What was decided under an epoch holds while that is the epoch.
func (a *Authority) Epoch() uint64 { return a.state.Load().epoch }

// Remember puts a decision cache in front of layers 2 and 3. It must be called
// before the first question, and returns a.
func (a *Authority) Remember(o CacheOptions) *Authority {
	a.cache = newCache(o)
	return a
}

// Remembered counts what became of the questions so far; nothing without a cache. What
// askers of [Authority.Refusal] count for themselves is not in it.
func (a *Authority) Remembered() Remembered {
	if a.cache == nil {
		return Remembered{}
	}
	return a.cache.remembered()
}

// File decides layers 2 to 4: act on the canonical path of a handle.
func (a *Authority) File(act abi.Action, canonical string) Decision {
	refusal, remembered := a.Refusal(act, canonical)
	if remembered {
		a.cache.hit()
	}
	if refusal != nil {
		return *refusal
	}
	return Decision{Allow: true}
}

// Refusal is File for the hot path, where most is allowed and a Decision is dear to
// pass on: nil allows, and a refusal is not to be written to. An answer that was
// remembered is not counted: the asker counts it, in a place of its own, so that
// those who ask at the same time write nothing that others look at.
func (a *Authority) Refusal(act abi.Action, canonical string) (refusal *Decision, remembered bool) {
	s, c := a.state.Load(), a.cache
	if c == nil {
		return a.decideFile(s, 0, act, canonical), false
	}
	h := c.fileHash(act, canonical)
	if c.hash != nil {
		h = c.hash(canonical)
	}
	set := &c.room().sets[h&c.mask]
	for i := range uint64(ways) {
		e := set[(h>>home+i)%ways].Load()
		if e == nil || e.hash != h || e.action != act || e.other != nil || e.path != canonical {
			continue
		}
		if e.epoch == s.epoch && !c.clock.expired(e.tick) {
			e.use()
			if e.refusal != nil || a.state.Load() == s {
				return e.refusal, true
			}
		}
		c.stale.Add(1)
		break
	}
	c.miss()
	return a.decideFile(a.state.Load(), h, act, canonical), false
}

// decideFile decides anew, and remembers it if there is a cache. What was allowed
// by rights that changed meanwhile is decided again, so that no answer that comes
// after a change allows what the change took away.
func (a *Authority) decideFile(s *state, h uint64, act abi.Action, canonical string) *Decision {
	for {
		var tick uint64
		if a.cache != nil {
			tick = a.cache.clock.now.Load()
		}
		refusal := refusal(s.file(&a.who, act, canonical))
		if a.cache != nil {
			a.cache.keepFile(h, s.epoch, tick, act, canonical, refusal)
		}
		now := a.state.Load()
		if refusal != nil || now == s {
			return refusal
		}
		s = now
	}
}

// refusal returns d unless it allows.
func refusal(d Decision) *Decision {
	if d.Allow {
		return nil
	}
	return &d
}

// file decides layers 2 and 3.
func (s *state) file(who *Principal, act abi.Action, canonical string) Decision {
	d := s.subject.Path(act, canonical)
	if !d.Allow || s.engine == nil {
		return d
	}
	q := Query{Action: act, Target: TargetFile, Path: s.subject.HostPath(canonical), Guest: canonical}
	return s.policy(who, &q)
}

// Ask decides layers 3 and 4 for what is not a file; layer 1 was asked before.
func (a *Authority) Ask(q *Query) Decision {
	for {
		s := a.state.Load()
		refusal := a.ask(s, q)
		if refusal != nil {
			return *refusal
		}
		if a.state.Load() == s {
			return Decision{Allow: true}
		}
	}
}

func (a *Authority) ask(s *state, q *Query) *Decision {
	c := a.cache
	switch {
	case s.engine == nil:
		return nil
	case c == nil:
		return refusal(s.policy(&a.who, q))
	}
	h := c.otherHash(q)
	if e := c.other(h, s.epoch, q); e != nil {
		c.hit()
		return e.refusal
	}
	tick := c.clock.now.Load()
	d := refusal(s.policy(&a.who, q))
	c.keepOther(h, s.epoch, tick, q, d)
	return d
}

// policy asks the engine.
func (s *state) policy(who *Principal, q *Query) Decision {
	v := s.engine.Decide(who, q)
	if v.Allow {
		return Decision{Allow: true}
	}
	errno := abi.EPERM
	if q.Target == TargetFile {
		errno = abi.ENOENT
		if changes(q.Action) {
			errno = abi.EACCES
		}
	}
	return Decision{Layer: abi.LayerPolicy, Reason: Forbidden, Errno: errno, Rule: v.Rule}
}

// Change exchanges the subject for what next makes of it. Every question asked after
// it returned is answered by the new one.
func (a *Authority) Change(next func(*Subject) (*Subject, error)) error {
	return a.exchange(func(s *state) (err error) {
		s.subject, err = next(s.subject)
		return err
	})
}

// Rebind exchanges the policies, nil for none. Every question asked after it
// returned is answered by the new ones.
func (a *Authority) Rebind(e Engine) {
	_ = a.exchange(func(s *state) error { // which cannot fail
		s.engine = e
		return nil
	})
}

// Forget makes what is remembered of this process unusable, as after a change of its
// mounts.
func (a *Authority) Forget() {
	_ = a.exchange(func(*state) error { return nil }) // which cannot fail
}

// exchange puts a state of the next epoch in the place of the present one, which change
// is given a copy of.
func (a *Authority) exchange(change func(*state) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := *a.state.Load()
	if err := change(&next); err != nil {
		return err
	}
	next.epoch++
	a.state.Store(&next)
	return nil
}
