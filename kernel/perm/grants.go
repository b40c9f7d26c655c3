package perm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Grants is a set of what can be asked for. What no scope in it reaches is not in it.
// It is immutable; the zero value is the empty set.
//
// At each place of the tree where that changes it says which numbers there are, and
// beneath, as far as it says nothing else.
type Grants struct{ at map[string]spans }

// NewGrants returns what any of the scopes reaches.
func NewGrants(scopes ...Scope) Grants {
	var g Grants
	for _, s := range scopes {
		if len(s.nums) == 0 {
			continue
		}
		one := Grants{map[string]spans{s.key: s.nums}}
		if s.except != "" {
			one.at[s.except] = nil
		}
		g = g.Union(one)
	}
	return g
}

// find returns the numbers at a place.
func (g Grants) find(key string) spans {
	for {
		if s, ok := g.at[key]; ok {
			return s
		}
		i := strings.LastIndexByte(key, '/')
		if i < 0 {
			return nil
		}
		key = key[:i]
	}
}

// combine asks keep at every place where a or b changes.
func (g Grants) combine(h Grants, keep func(a, b bool) bool) Grants {
	out := Grants{make(map[string]spans, len(g.at)+len(h.at))}
	for _, at := range [...]map[string]spans{g.at, h.at} {
		for key := range at {
			out.at[key] = merge(g.find(key), h.find(key), keep)
		}
	}
	// What says no more than what is above it goes, the deepest first.
	keys := slices.SortedFunc(maps.Keys(out.at), func(a, b string) int { return len(b) - len(a) })
	for _, key := range keys {
		s := out.at[key]
		delete(out.at, key)
		if !slices.Equal(s, out.find(key)) {
			out.at[key] = s
		}
	}
	return out
}

// Union returns what is in g or in h.
func (g Grants) Union(h Grants) Grants { return g.combine(h, either) }

// Intersect returns what is in both g and h.
func (g Grants) Intersect(h Grants) Grants { return g.combine(h, both) }

// Subtract returns what is in g and not in h.
func (g Grants) Subtract(h Grants) Grants { return g.combine(h, without) }

// Contains reports whether all that s reaches is in g. The zero Scope reaches nothing,
// and is in every set.
func (g Grants) Contains(s Scope) bool { return NewGrants(s).Subset(g) }

// Subset reports whether all of g is in h.
func (g Grants) Subset(h Grants) bool { return g.Subtract(h).Empty() }

// Empty reports whether nothing is in g.
func (g Grants) Empty() bool { return len(g.places()) == 0 }

// places returns where g has anything, in order.
func (g Grants) places() (keys []string) {
	for key, s := range g.at {
		if len(s) > 0 && !g.hollow(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// hollow reports whether all that is beneath a network is said by its two halves, so
// that it stands for no address of its own.
func (g Grants) hollow(key string) bool {
	if !under(key, topAddr) && !under(key, topListen) {
		return false
	}
	return g.says(key+"/0") && g.says(key+"/1")
}

// says reports whether g says something of all addresses of a network.
func (g Grants) says(key string) bool {
	if _, ok := g.at[key]; ok {
		return true
	}
	for k := range g.at {
		if beneath(k, key) { // only then it can be
			return g.says(key+"/0") && g.says(key+"/1")
		}
	}
	return false
}

// String lists g, as flags where there are any.
func (g Grants) String() string {
	var parts []string
	for _, key := range g.places() {
		parts = append(parts, describe(key, g.at[key]))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, " ")
}

// ExceedsError says what a child was to have and its parent has not.
type ExceedsError struct {
	Excess Grants
}

// Error names the first of it.
func (e *ExceedsError) Error() string {
	keys := e.Excess.places()
	if len(keys) == 0 {
		return "nothing exceeds"
	}
	msg := describe(keys[0], e.Excess.at[keys[0]]) + " is more than the parent has"
	if n := len(keys) - 1; n > 0 {
		msg += fmt.Sprintf(", and %d more", n)
	}
	return msg
}

// First names the first of what exceeds, as a flag.
func (e *ExceedsError) First() string {
	for _, key := range e.Excess.places() {
		return describe(key, e.Excess.at[key])
	}
	return ""
}

// Attenuate returns the grants of a child, which are child as it is. It fails with an
// *ExceedsError if they are not a subset of what its parent has: nothing is cut off
// silently, and nothing is ever amplified.
func Attenuate(parent, child Grants) (Grants, error) {
	if excess := child.Subtract(parent); !excess.Empty() {
		return Grants{}, &ExceedsError{excess}
	}
	return child, nil
}

// Grants returns what s gives: of files by the host path behind each guest path, and
// of those that are private by the guest path. What makes other programs run code
// (see [Subject.Protected]) is not taken out of a write grant here.
func (s *Subject) Grants() Grants {
	var g Grants
	for c := range abi.NumCapabilities {
		if c != abi.CapNone && s.caps.Has(c) {
			g = g.Union(NewGrants(Plain(c)))
		}
	}
	seen := map[string]bool{}
	for i := range s.rules {
		r := &s.rules[i]
		if seen[r.key] {
			continue // the one before it decides
		}
		seen[r.key] = true
		g = g.Union(s.reach(r))
	}
	return g
}

// reach is what one rule gives: less what a more specific one or a deny says.
func (s *Subject) reach(r *rule) Grants {
	right := r.Right
	switch {
	case !s.caps.Has(abi.CapFileRead):
		right = None
	case right == Write && !s.caps.Has(abi.CapFileWrite):
		right = Read
	}
	place := func(key string, right Right) Scope {
		below := key[len(r.key):]
		if r.Host == "" {
			return Own(r.key+below, right)
		}
		return File(r.host+below, right)
	}
	if s.denied(r, r.key) != nil {
		return Grants{}
	}
	g := NewGrants(place(r.key, right))
	var taken []Scope
	take := func(key string) {
		if beneath(key, r.key) {
			taken = append(taken, place(key, Write))
		}
	}
	for i := range s.rules {
		take(s.rules[i].key)
	}
	for i := range s.denies {
		take(s.denies[i].key)
	}
	for i := range r.denies {
		take(r.denies[i].key)
	}
	return g.Subtract(NewGrants(taken...))
}
