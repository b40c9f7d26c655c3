package perm

import (
	"path"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Right is what a path rule gives.
type Right uint8

// The rights. None is a deny.
const (
	None Right = iota
	Read
	Write
)

var rightNames = [...]string{"deny", "read", "write"}

// String returns the stable name of r.
func (r Right) String() string {
	if int(r) < len(rightNames) {
		return rightNames[r]
	}
	return "?"
}

// PathRule gives, or with None refuses, everything at and beneath a path. Guest
// is the path as the process sees it; Host, if not empty, is the real path that
// stands behind it, absolute, clean, and free of symbolic links. A deny may give
// either or both: by Host it holds under every guest name of that file.
type PathRule struct {
	Guest  string
	Right  Right
	Source string // where it came from: "default", "flag", "manifest:12"
	Host   string // "" for what is private to the process
}

// rule is a compiled grant.
type rule struct {
	PathRule
	key    string // comparable guest path, "" for the root
	host   string // clean host path, "" for the root or none
	denies []deny // host denies, as guest paths of this grant
}

// deny is a compiled deny.
type deny struct {
	key  string
	text string // the rule in words
	// revoked says that it took back a grant while the process ran.
	revoked bool
}

// reason is what d refuses for.
func (d *deny) reason() Reason {
	if d.revoked {
		return Revoked
	}
	return Denied
}

// cleanKey makes p absolute and clean, with "" for the root.
func cleanKey(p string) string {
	if p == "" {
		return ""
	}
	p = path.Clean("/" + p)
	if p == "/" {
		return ""
	}
	return p
}

// key is the comparable form of a clean path.
func (s *Subject) key(p string) string {
	if s.fold {
		return foldPath(p)
	}
	return p
}

// under reports whether p is at or beneath top; both are keys.
func under(p, top string) bool {
	return strings.HasPrefix(p, top) && (len(p) == len(top) || p[len(top)] == '/')
}

// Protected reports whether a change to clean, a canonical guest path inside a write
// grant, is refused because it makes other programs run code. asDir asks about making
// and removing a directory.
func (s *Subject) Protected(clean string, asDir bool) bool {
	r := s.cover(s.key(cleanKey(clean)))
	return r != nil && r.Right == Write && s.protects(r, clean, asDir) != ""
}

// cover returns the most specific grant of key, or nil.
func (s *Subject) cover(key string) *rule {
	for i := range s.rules {
		if under(key, s.rules[i].key) {
			return &s.rules[i]
		}
	}
	return nil
}

// denied returns the deny that covers key, or nil. r is the grant that covers it.
func (s *Subject) denied(r *rule, key string) *deny {
	for i := range s.denies {
		if under(key, s.denies[i].key) {
			return &s.denies[i]
		}
	}
	if r != nil {
		for i := range r.denies {
			if under(key, r.denies[i].key) {
				return &r.denies[i]
			}
		}
	}
	return nil
}

// changes reports whether act changes what it is done to. An action that layer 2
// does not know counts as a change.
func changes(act abi.Action) bool {
	switch act {
	case abi.ActRead, abi.ActList, abi.ActExecute, abi.ActInfo:
		return false
	}
	return true
}

// Path decides layer 2: act on the canonical path, which is absolute, clean, and
// made of real components. A trailing slash asks about a directory as such, to
// be made or removed by mkdir or rmdir.
//
// What is denied or not granted does not exist: reading it is ENOENT. Changing
// it, or what is granted for reading only, or what is protected, is EACCES.
func (s *Subject) Path(act abi.Action, canonical string) Decision {
	clean := strings.TrimRight(canonical, "/")
	asDir := len(clean) < len(canonical) && clean != ""
	key := s.key(clean)
	change := changes(act)
	errno := abi.ENOENT
	if change {
		errno = abi.EACCES
	}
	r := s.cover(key)
	if s.hides {
		if d := s.denied(r, key); d != nil {
			return Decision{Layer: abi.LayerPath, Reason: d.reason(), Errno: errno, Rule: d.text}
		}
	}
	if r == nil {
		if !change && s.above(key) {
			return Decision{Allow: true} // a directory that leads to a grant
		}
		return Decision{Layer: abi.LayerPath, Reason: Ungranted, Errno: errno,
			Rule: "no grant covers " + shown(clean), Grant: s.suggest(act, nil, clean)}
	}
	if !change {
		return Decision{Allow: true}
	}
	if !s.caps.Has(abi.CapFileWrite) {
		return lacking(abi.CapFileWrite)
	}
	if r.Right < Write {
		return Decision{Layer: abi.LayerPath, Reason: ReadOnly, Errno: abi.EACCES,
			Rule: r.text(), Grant: s.suggest(act, r, clean)}
	}
	if r.Host != "" {
		if p := s.protects(r, clean, asDir); p != "" {
			return Decision{Layer: abi.LayerPath, Reason: Protected, Errno: abi.EACCES,
				Rule: "protected: " + p, Grant: "--unprotect " + quote(p)}
		}
	}
	return Decision{Allow: true}
}

// Visible reports whether a path is free of denies, which is to say, whether it
// may be looked up and listed if it is there.
func (s *Subject) Visible(canonical string) bool {
	if !s.hides {
		return true
	}
	key := s.key(strings.TrimRight(canonical, "/"))
	return s.denied(s.cover(key), key) == nil
}

// Covered reports whether a grant covers the path, denied or not, and whether
// that grant shows the host.
func (s *Subject) Covered(canonical string) (covered, host bool) {
	if r := s.cover(s.key(strings.TrimRight(canonical, "/"))); r != nil {
		return true, r.Host != ""
	}
	return false, false
}

// HostPath translates a canonical guest path to the host path behind it. Where
// no grant covers it, it is the same path.
func (s *Subject) HostPath(canonical string) string {
	clean := strings.TrimRight(canonical, "/")
	r := s.cover(s.key(clean))
	if r == nil || r.Host == "" {
		return shown(clean)
	}
	return shown(r.hostOf(clean))
}

// HidesBeneath reports whether a deny stands strictly beneath dir, so that a
// walk or listing below it must ask about each name.
func (s *Subject) HidesBeneath(dir string) bool {
	if !s.hides {
		return false
	}
	key := s.key(strings.TrimRight(dir, "/"))
	_, ok := s.denyBeneath(key)
	return ok
}

func (s *Subject) denyBeneath(key string) (string, bool) {
	for i := range s.denies {
		if beneath(s.denies[i].key, key) {
			return s.denies[i].key, true
		}
	}
	for i := range s.rules {
		for j := range s.rules[i].denies {
			if k := s.rules[i].denies[j].key; beneath(k, key) {
				return k, true
			}
		}
	}
	return "", false
}

// beneath reports whether p is strictly beneath top.
func beneath(p, top string) bool { return len(p) > len(top) && under(p, top) }

// above reports whether a grant stands strictly beneath key.
func (s *Subject) above(key string) bool {
	for i := range s.rules {
		if beneath(s.rules[i].key, key) {
			return true
		}
	}
	return false
}

// Pinned reports whether the directory at a canonical path must stay where it
// is, because moving it (or moving another over it) would carry something out
// from under a rule, or into one. It returns the path that the rule is about;
// whether anything is there does not matter.
func (s *Subject) Pinned(canonical string) (string, bool) {
	clean := strings.TrimRight(canonical, "/")
	key := s.key(clean)
	if p, ok := s.denyBeneath(key); ok {
		return clean + p[len(key):], true
	}
	for i := range s.rules {
		if k := s.rules[i].key; beneath(k, key) {
			return clean + k[len(key):], true
		}
	}
	r := s.cover(key)
	if r == nil || r.Host == "" {
		return "", false
	}
	host := r.hostOf(clean)
	folded := foldPath(host)
	for _, u := range s.unprotect {
		if beneath(u, folded) {
			return clean + u[len(folded):], true
		}
	}
	if name := zoneOf(folded); name != "" {
		if p := clean + "/" + name; s.protects(r, p, false) != "" {
			return p, true
		}
	}
	return "", false
}

// hostOf translates a clean guest path under r.
func (r *rule) hostOf(clean string) string {
	if under(clean, r.key) { // to its last component: "/w." begins with "/w"
		return r.host + clean[len(r.key):]
	}
	// They match only when folded, and folding may change lengths.
	return r.host + clean[len(cutComponents(clean, strings.Count(r.key, "/"))):]
}

// text is the grant in words, as a flag.
func (r *rule) text() string {
	return "--" + r.Right.String() + " " + mapping(firstOf(r.Host, r.Guest), r.Guest)
}

// suggest is the smallest grant that would allow act on clean, in host terms.
// Making or removing a name changes the directory that holds it.
func (s *Subject) suggest(act abi.Action, r *rule, clean string) string {
	flag := "--read "
	if changes(act) {
		flag = "--write "
	}
	if act == abi.ActCreate || act == abi.ActDelete {
		dir := cleanKey(path.Dir("/" + clean))
		if dir != "" && (r == nil || under(s.key(dir), r.key)) { // never the whole root
			clean = dir
		}
	}
	host := clean
	if r != nil {
		if r.Host == "" {
			return "" // private to the process: no grant of the host changes it
		}
		host = r.hostOf(clean)
	}
	return flag + mapping(shown(host), shown(clean))
}

// mapping writes HOST or HOST:GUEST.
func mapping(host, guest string) string {
	if host == guest || guest == "" {
		return quote(host)
	}
	return quote(host + ":" + guest)
}

// shown is a key as a path.
func shown(key string) string {
	if key == "" {
		return "/"
	}
	return key
}

// quote makes p one word of a shell.
func quote(p string) string {
	plain := p != ""
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c < '+' || c == ';' || c == '<' || c == '>' || c == '?' || c == '[' || c == '\\' || c == '`' || c > 'z' && c != '~' || c == '^' || c == '~' && i == 0 {
			plain = false
			break
		}
	}
	if plain {
		return p
	}
	return "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
}

// Granted names the grant that covers a canonical path, as a flag; "" if none does, or
// if it is private to the process.
func (s *Subject) Granted(canonical string) string {
	r := s.cover(s.key(strings.TrimRight(canonical, "/")))
	switch {
	case r == nil:
		return ""
	case r.Host == "":
		return "private to the program"
	}
	return r.text()
}
