package perm

import (
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// SubjectSpec is what a process is made with.
type SubjectSpec struct {
	Caps  abi.CapSet
	Paths []PathRule
	// Unprotect are host paths, absolute and clean, beneath which the
	// protected names are ordinary files.
	Unprotect []string
	// FoldCase compares path rules without regard to case, for hosts whose file
	// systems do. Protected names are compared so everywhere.
	FoldCase bool
}

// Subject is the credentials of one process. It is immutable.
type Subject struct {
	caps      abi.CapSet
	fold      bool
	rules     []rule // grants, the longest guest path first
	denies    []deny // denies by guest path
	unprotect []string
	hides     bool // any deny at all
	spec      SubjectSpec
}

// NewSubject compiles spec. Paths that are not absolute are taken as absolute;
// they are cleaned.
func NewSubject(spec SubjectSpec) *Subject {
	s := &Subject{caps: spec.Caps, fold: spec.FoldCase, spec: spec.clone()}
	for _, u := range spec.Unprotect {
		s.unprotect = append(s.unprotect, foldPath(cleanKey(u)))
	}
	var denied []PathRule
	for _, p := range spec.Paths {
		if p.Right == None {
			denied = append(denied, p)
			continue
		}
		s.rules = append(s.rules, rule{PathRule: p, key: s.key(cleanKey(p.Guest)), host: cleanKey(p.Host)})
	}
	slices.SortStableFunc(s.rules, func(a, b rule) int { return len(b.key) - len(a.key) })
	for _, d := range denied {
		s.hides = true
		text, revoked := "--deny "+firstOf(d.Host, d.Guest), d.Source == SourceRevoked
		if revoked {
			text = "revoked: " + firstOf(d.Host, d.Guest)
		}
		if d.Guest != "" {
			s.denies = append(s.denies, deny{key: s.key(cleanKey(d.Guest)), text: text, revoked: revoked})
		}
		if d.Host == "" {
			continue
		}
		// The same host file may be seen under several guest names: the deny is
		// carried into every grant that shows it.
		host := s.key(cleanKey(d.Host))
		for i := range s.rules {
			r := &s.rules[i]
			if r.Host == "" {
				continue
			}
			switch rh := s.key(r.host); {
			case under(rh, host):
				r.denies = append(r.denies, deny{key: r.key, text: text, revoked: revoked})
			case under(host, rh):
				r.denies = append(r.denies, deny{key: r.key + host[len(rh):], text: text, revoked: revoked})
			}
		}
	}
	return s
}

// Caps returns the capabilities of s.
func (s *Subject) Caps() abi.CapSet { return s.caps }

// Rules returns the path rules in the order in which they are asked.
func (s *Subject) Rules() []PathRule {
	out := make([]PathRule, len(s.rules))
	for i := range s.rules {
		out[i] = s.rules[i].PathRule
	}
	return out
}

// Allows reports layer 1 for a capability. It is small enough to be inlined into
// the hot path; [Subject.Capability] explains a refusal.
func (s *Subject) Allows(c abi.Capability) bool { return s.caps.Has(c) }

// Capability decides layer 1 for an operation.
func (s *Subject) Capability(row *abi.Row) Decision {
	if s.caps.Has(row.Capability) {
		return Decision{Allow: true}
	}
	return lacking(row.Capability)
}

// lacking is the refusal for want of capability c.
func lacking(c abi.Capability) Decision {
	return Decision{
		Layer: abi.LayerCapability, Reason: Lacking, Errno: abi.EPERM,
		Rule: "no capability " + c.String(), Grant: "--allow " + c.String(),
	}
}

// Decision is the answer of one layer. Only Allow is set when it allows.
type Decision struct {
	Allow  bool
	Layer  abi.Layer
	Reason Reason
	Errno  abi.Errno // what the guest is told
	Rule   string    // what refused, in words: "--deny /data/secret"
	Grant  string    // the smallest grant that would allow it, as a flag; "" if there is none
	Cached bool      // the refusal was remembered
}

// Reason classifies a refusal.
type Reason uint8

// The reasons.
const (
	Allowed   Reason = iota
	Lacking          // the capability is missing
	Ungranted        // no grant covers the path
	ReadOnly         // the grant that covers it only reads
	Denied           // an explicit deny
	Protected        // a file that makes other programs run code
	Hidden           // it exists on the host and the process cannot see it
	Limited          // a limit refused
	Forbidden        // a policy
	Revoked          // it was granted and taken back while the process ran
	NumReasons
)

var reasonNames = [NumReasons]string{"allowed", "capability", "ungranted", "read_only", "denied", "protected", "hidden", "limit", "policy", "revoked"}

// String returns the stable name of r.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "?"
}

// Code returns the stable code of a refusal for r, such as
// "AGENTOS-DENIED-READ-ONLY".
func (r Reason) Code() string {
	return "AGENTOS-DENIED-" + strings.ToUpper(strings.ReplaceAll(r.String(), "_", "-"))
}

// firstOf returns the first of ss that is not empty.
func firstOf(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}
