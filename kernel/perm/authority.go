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

// Epoch numbers what the process may do: it is never 0 and grows with each change.
// What was decided under an epoch holds while that is the epoch.
func (a *Authority) Epoch() uint64 { return a.state.Load().epoch }

// File decides layers 2 to 4: act on the canonical path of a handle.
func (a *Authority) File(act abi.Action, canonical string) Decision {
	s := a.state.Load()
	d := s.subject.Path(act, canonical)
	if !d.Allow || s.engine == nil {
		return d
	}
	q := Query{Action: act, Target: TargetFile, Path: s.subject.HostPath(canonical), Guest: canonical}
	return s.policy(&a.who, &q)
}

// Ask decides layer 3 for what is not a file; layer 1 was asked before.
func (a *Authority) Ask(q *Query) Decision {
	s := a.state.Load()
	if s.engine == nil {
		return Decision{Allow: true}
	}
	return s.policy(&a.who, q)
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
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.state.Load()
	subject, err := next(s.subject)
	if err != nil {
		return err
	}
	a.state.Store(&state{subject: subject, engine: s.engine, epoch: s.epoch + 1})
	return nil
}
