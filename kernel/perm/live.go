package perm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// SourceRevoked is the source of a rule that takes back what was granted. Only such
// rules can be lifted again while the process runs.
const SourceRevoked = "revoked"

// The errors of a live change. They are wrapped with what it was about.
var (
	// ErrNotGranted: there is nothing to take.
	ErrNotGranted = errors.New("no grant of this run gives it")
	// ErrDenied: a deny that the run was started with stays.
	ErrDenied = errors.New("a --deny covers it, and is never lifted while the program runs")
	// ErrRevokedAbove: a part of what was revoked cannot be given back alone.
	ErrRevokedAbove = errors.New("a directory above it was revoked")
)

// Extent is what a live change is about: a host path under every guest name that it
// is seen by, or one guest path.
type Extent struct {
	Hosts []string // spellings of one host path, absolute and clean; the first is shown
	Guest string   // if not empty, only under this guest path
}

// Changed is one thing that a live change changed.
type Changed struct {
	Guest      string
	Host       string // "" for what is private to the process
	Capability abi.Capability
	Was, Is    Right // of a path
	// Held and Holds say it of a capability.
	Held, Holds bool
}

// clone copies the lists of s.
func (s SubjectSpec) clone() SubjectSpec {
	s.Paths, s.Unprotect = slices.Clone(s.Paths), slices.Clone(s.Unprotect)
	return s
}

// Spec returns what a subject like s is made from.
func (s *Subject) Spec() SubjectSpec { return s.spec.clone() }

// place is where a target stands beneath, above, or at a grant.
type place struct {
	rule *rule
	key  string // comparable guest path of the part of the grant that is meant
	path string // the same as it is spelled
	host string // host path of that part, "" if it is private
}

// Revoked reports whether paths were taken from s while it was in use.
func (s *Subject) Revoked() bool {
	return slices.ContainsFunc(s.spec.Paths, func(r PathRule) bool { return r.Source == SourceRevoked })
}

// places finds every part of a grant that t names.
func (s *Subject) places(t Extent) (out []place) {
	for i := range s.rules {
		r := &s.rules[i]
		add := func(below string) {
			p := place{rule: r, key: r.key + s.key(below), path: cleanKey(r.Guest) + below}
			if r.Host != "" {
				p.host = shown(r.host + below)
			}
			if !slices.ContainsFunc(out, func(have place) bool { return have.key == p.key }) {
				out = append(out, p)
			}
		}
		if t.Guest != "" {
			guest := cleanKey(t.Guest)
			switch key := s.key(guest); {
			case under(r.key, key):
				add("")
			case under(key, r.key) && s.cover(key) == r:
				add(beyond(guest, r.key))
			}
			continue
		}
		for _, h := range t.Hosts {
			if r.Host == "" {
				break
			}
			host := cleanKey(h)
			switch key, rh := s.key(host), s.key(r.host); {
			case under(rh, key):
				add("")
			case under(key, rh):
				if below := beyond(host, r.host); s.cover(r.key+s.key(below)) == r {
					add(below)
				}
			}
		}
	}
	return out
}

// beyond is what is left of p beneath top, which may match it only when folded.
func beyond(p, top string) string {
	if under(p, top) { // to its last component: "/w." begins with "/w"
		return p[len(top):]
	}
	return p[len(cutComponents(p, strings.Count(top, "/"))):]
}

// Narrow returns s without rights above to at and beneath what t names, whatever
// more specific grant gives them, and what that changed. To None nothing is left
// there. Denies carry to every name of a host path, so that a grant which is made
// later does not bring it back.
func (s *Subject) Narrow(t Extent, to Right) (*Subject, []Changed, error) {
	spec := s.Spec()
	var changed []Changed
	places := s.places(t)
	if len(places) == 0 {
		return s, nil, ErrNotGranted
	}
	for _, p := range places {
		was := p.rule.Right
		if s.denied(s.cover(p.key), p.key) != nil {
			was = None
		}
		if was <= to {
			continue
		}
		changed = append(changed, Changed{Guest: shown(p.path), Host: p.host, Was: was, Is: to})
		rule := PathRule{Guest: shown(p.path), Right: to, Source: SourceRevoked, Host: p.host}
		if i := s.ruleAt(spec.Paths, p.key); i >= 0 && to != None {
			spec.Paths[i].Right = to
			continue
		}
		if to == None && t.Guest != "" {
			rule.Host = "" // by its other names it stays
		}
		spec.Paths = append(spec.Paths, rule)
	}
	if to == None && t.Guest == "" && len(changed) > 0 {
		for _, h := range t.Hosts {
			spec.Paths = append(spec.Paths, PathRule{Right: None, Source: SourceRevoked, Host: h})
		}
	}
	return NewSubject(spec), changed, nil
}

// ruleAt returns the index of the grant at exactly key, or -1.
func (s *Subject) ruleAt(paths []PathRule, key string) int {
	return slices.IndexFunc(paths, func(r PathRule) bool { return r.Right != None && s.key(cleanKey(r.Guest)) == key })
}

// Widen returns s with the right to, and the capability that goes with it, at and
// beneath a guest path that shows host, and what that changed. What was revoked there
// comes back as far as that right, and a deny that the process was started with is
// never lifted. More specific grants stay as they are.
func (s *Subject) Widen(guest, host string, to Right, source string) (*Subject, []Changed, error) {
	spec := s.Spec()
	key, hostKey := s.key(cleanKey(guest)), s.key(cleanKey(host))
	lifts := func(r PathRule) bool {
		if r.Source != SourceRevoked {
			return false
		}
		if r.Guest != "" {
			return under(s.key(cleanKey(r.Guest)), key) && r.Right < to
		}
		return under(s.key(cleanKey(r.Host)), hostKey)
	}
	before := s.right(key)
	var lifted []PathRule
	for _, r := range spec.Paths {
		if lifts(r) && r.Guest != "" {
			lifted = append(lifted, r)
		}
	}
	spec.Paths = slices.DeleteFunc(spec.Paths, lifts)
	set := func(r PathRule) {
		if i := s.ruleAt(spec.Paths, s.key(cleanKey(r.Guest))); i >= 0 {
			spec.Paths[i].Right = r.Right
		} else {
			spec.Paths = append(spec.Paths, r)
		}
	}
	clean := cleanKey(guest)
	if r := NewSubject(spec).cover(key); r == nil || r.Right < to || r.Host == "" && host != "" || r.Host != "" && r.hostOf(clean) != cleanKey(host) {
		// What covers it now may be of something else that is shown there.
		set(PathRule{Guest: shown(cleanKey(guest)), Right: to, Source: source, Host: host})
	}
	for _, r := range lifted {
		// No more comes back than was asked for.
		if c := NewSubject(spec).cover(s.key(cleanKey(r.Guest))); c != nil && c.Right > to {
			r.Right, r.Host = to, ""
			if c.Host != "" {
				r.Host = shown(c.hostOf(cleanKey(r.Guest)))
			}
			set(r)
		}
	}
	spec.Caps |= abi.Caps(abi.CapFileRead)
	if to == Write {
		spec.Caps |= abi.Caps(abi.CapFileWrite)
	}
	next := NewSubject(spec)
	if d := next.denied(next.cover(key), key); d != nil {
		if d.revoked {
			return nil, nil, fmt.Errorf("%w: %s", ErrRevokedAbove, d.text)
		}
		return nil, nil, fmt.Errorf("%w: %s", ErrDenied, d.text)
	}
	return next, []Changed{{Guest: shown(cleanKey(guest)), Host: host, Was: before, Is: next.right(key)}}, nil
}

// MayChange reports whether s lets a host path be written to under any name.
func (s *Subject) MayChange(host string) bool {
	return slices.ContainsFunc(s.places(Extent{Hosts: []string{host}}), func(p place) bool {
		return s.Path(abi.ActWrite, shown(p.path)).Allow && p.host == host
	})
}

// right is what s gives at key.
func (s *Subject) right(key string) Right {
	r := s.cover(key)
	if r == nil || s.denied(r, key) != nil {
		return None
	}
	return r.Right
}

// WithCaps returns s with the capabilities in add and without those in drop.
func (s *Subject) WithCaps(add, drop abi.CapSet) (*Subject, []Changed) {
	spec := s.Spec()
	spec.Caps = (spec.Caps | add) &^ drop
	var changed []Changed
	for c := range abi.NumCapabilities {
		if was, is := s.caps.Has(c), spec.Caps.Has(c); was != is {
			changed = append(changed, Changed{Capability: c, Held: was, Holds: is})
		}
	}
	return NewSubject(spec), changed
}
