package agentos

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
)

// within creates the process once it was compared with the one that it is to be within,
// and makes it known to that one before anything can be taken there: what is taken
// from then on is taken here.
func (p *Process) within(create func() error) error {
	parent := p.spec.Within
	if parent == nil {
		return create()
	}
	if parent.k != p.k {
		return refuse("USAGE", "Within", "the process belongs to another kernel", "start both with one", nil)
	}
	p.k.family.Lock()
	defer p.k.family.Unlock()
	if parent.p.End() != nil {
		return refuse("SETUP", "Within", "the process has ended", "", ErrEnded)
	}
	if err := p.staysWithin(p.authority.Subject()); err != nil {
		return err
	}
	if err := create(); err != nil {
		return err
	}
	if parent.children == nil {
		parent.children = map[*Process]bool{}
	}
	parent.children[p] = true
	return nil
}

// leaveFamily is called when the process is dead.
func (p *Process) leaveFamily() {
	if p.spec.Within == nil {
		return
	}
	p.k.family.Lock()
	defer p.k.family.Unlock()
	delete(p.spec.Within.children, p)
}

// staysWithin reports whether s is no more than what the process has that p is within.
// It needs k.family.
func (p *Process) staysWithin(s *perm.Subject) error {
	parent := p.spec.Within
	if parent == nil {
		return nil
	}
	has := parent.authority.Subject()
	_, err := perm.Attenuate(parent.grants(has), p.grants(s))
	var exceeds *perm.ExceedsError
	if errors.As(err, &exceeds) {
		return refuse("EXCEEDS", exceeds.First(), "is more than the process has that this one is to be within", "leave it out, or give it to that one first", err)
	}
	// What makes other programs run code is no part of a write grant around it, but
	// to name it is consent.
	for _, r := range s.Rules() {
		if r.Right == perm.Write && r.Host != "" && p.lends(r.Host) && !has.MayChange(r.Host) {
			return refuse("EXCEEDS", "--write "+r.Host, "is protected in the process that this one is to be within", "leave it out", nil)
		}
	}
	for _, address := range p.spec.Listen {
		if len(listenScopes(address)) == 0 && !slices.Contains(parent.spec.Listen, address) {
			return refuse("EXCEEDS", "--listen "+address, "is a name, which may lead anywhere, and the process that this one is to be within does not listen on it", "write an address", nil)
		}
	}
	if parent.policies != nil {
		var own []string
		if p.policies != nil {
			own = p.policies.Describe()
		}
		for _, policy := range parent.policies.Describe() {
			if !slices.Contains(own, policy) {
				return refuse("EXCEEDS", "Within", "the process that this one is to be within is bound by policies that this one is not: "+policy, "give it the same policies", nil)
			}
		}
	}
	for _, u := range p.view.unprotect {
		if !coveredBy(u, parent.view.unprotect) {
			return refuse("EXCEEDS", "--unprotect "+u, "is protected in the process that this one is to be within", "leave it out", nil)
		}
	}
	return nil
}

func coveredBy(p string, tops []string) bool {
	for _, top := range tops {
		if beneath(p, top) {
			return true
		}
	}
	return false
}

// lends reports whether writes to a host path reach the host: those to an overlay do
// not.
func (p *Process) lends(host string) bool {
	for _, m := range p.view.mounts {
		if m.host == host && m.overlay > 0 {
			return false
		}
	}
	return true
}

// grants is all that a process with the credentials s has of what is not its own.
func (p *Process) grants(s *perm.Subject) perm.Grants {
	// To have files at all follows from having some, and those that are private are
	// each process's own.
	g := s.Grants().Subtract(perm.NewGrants(perm.Own("/", perm.Write), perm.Plain(abi.CapFileRead), perm.Plain(abi.CapFileWrite)))
	for _, m := range p.view.mounts {
		if m.overlay > 0 { // the host is only read
			g = g.Subtract(perm.NewGrants(perm.File(m.host, perm.Write)).Subtract(perm.NewGrants(perm.File(m.host, perm.Read))))
		}
	}
	var more []perm.Scope
	for _, kv := range p.spec.Env {
		key, _, _ := strings.Cut(kv, "=")
		more = append(more, perm.Variable(key))
	}
	for _, address := range p.spec.Listen {
		more = append(more, listenScopes(address)...)
	}
	for _, m := range p.view.defaults {
		if m.Kind == guest.Bind {
			more = append(more, perm.File(m.Host, perm.Read))
		}
	}
	return g.Union(perm.NewGrants(more...))
}

// narrowedChild is a process that lost what the one lost that it is within.
type narrowedChild struct {
	p      *Process
	change *LiveChange
}

// narrowFamily takes grants from p, and what that took from all that live within it.
func (p *Process) narrowFamily(grants []Grant, o RevokeOptions) (*LiveChange, []narrowedChild, error) {
	p.k.family.Lock()
	defer p.k.family.Unlock()
	if _, err := p.wouldNarrow(grants); err != nil {
		return nil, nil, err // before anything is kept
	}
	kept := p.keepOpen(o.KeepOpen)
	change, err := p.narrow(grants)
	if err != nil {
		return nil, nil, err
	}
	change.Kept = kept
	var all []narrowedChild
	err = p.narrowChildren(change.Changes, o, &all)
	return change, all, err
}

// keepOpen says whether open descriptors keep what they have, and returns how many do.
func (p *Process) keepOpen(keep bool) int {
	if s := p.p.State(); p.domain == "native" || !s.Schedulable() && s != proc.Stopped {
		return 0 // it has none, or has none yet
	}
	return p.p.FDs().Keep(keep)
}

// narrowChildren needs k.family.
func (p *Process) narrowChildren(changes []LiveRight, o RevokeOptions, all *[]narrowedChild) error {
	children := slices.SortedFunc(maps.Keys(p.children), func(a, b *Process) int { return int(a.p.PID) - int(b.p.PID) })
	for _, c := range children {
		own := c.newChange("revoke")
		own.Kept = c.keepOpen(o.KeepOpen)
		err := c.authority.Change(func(s *perm.Subject) (*perm.Subject, error) {
			own.Changes = []LiveRight{}
			for _, lost := range changes {
				next, list, err := c.lose(s, lost)
				if err != nil {
					return nil, err
				}
				c.add(own, list)
				s = next
			}
			return s, nil
		})
		if err != nil {
			return err
		}
		own.Applied, own.Epoch = true, c.authority.Epoch()
		*all = append(*all, narrowedChild{c, own})
		if err := c.narrowChildren(changes, o, all); err != nil {
			return err
		}
	}
	return nil
}

// lose takes from s what another lost.
func (p *Process) lose(s *perm.Subject, lost LiveRight) (*perm.Subject, []perm.Changed, error) {
	if c, ok := abi.ParseCapability(lost.Capability); ok && lost.Path == "" {
		next, list := s.WithCaps(0, abi.Caps(c))
		return next, list, nil
	}
	if lost.Host == "" {
		return s, nil, nil // private to the other
	}
	to := perm.None
	if lost.Is == perm.Read.String() {
		to = perm.Read
	}
	next, list, err := s.Narrow(perm.Extent{Hosts: []string{lost.Host}}, to)
	if errors.Is(err, perm.ErrNotGranted) {
		return s, nil, nil
	}
	return next, list, err
}
