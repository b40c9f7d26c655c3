package perm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// question is one concrete thing that can be asked for, in words that have nothing to
// do with how a set keeps them.
type question struct {
	kind string // file, own, name, addr, listen, host, env, spawn, ipc, signal, cap
	what string // path, name, relation
	addr netip.Addr
	n    int // port; for a path 0 to read, 1 to change
}

// place is where a set keeps q.
func (q question) place() (key string, num uint16) {
	one := func(s Scope) string { return s.key }
	full := func() netip.Prefix { return netip.PrefixFrom(q.addr, q.addr.BitLen()) }
	switch q.kind {
	case "file":
		return one(File(q.what, Read)), uint16(q.n)
	case "own":
		return one(Own(q.what, Read)), uint16(q.n)
	case "name":
		return one(Host(q.what, 1, 1)), uint16(q.n)
	case "addr":
		return one(Address(full(), 1, 1)), uint16(q.n)
	case "listen":
		return one(Listen(full(), 1, 1)), uint16(q.n)
	case "host":
		return one(Loopback(1, 1)), uint16(q.n)
	case "env":
		return one(Variable(q.what)), 0
	case "spawn":
		return one(Spawn(q.what)), 0
	case "ipc":
		return one(Channel(q.what)), 0
	case "signal":
		return topSignal + "/" + q.what, 0
	}
	return topPlain + "/" + q.what, 0
}

func (g Grants) answers(q question) bool {
	key, num := q.place()
	return g.find(key).has(num)
}

// universe is a small world that has, for every scope that leaf makes, something at it,
// beneath it, and beside it.
func universe() (all []question) {
	var paths []string
	parts := []string{"", "/a", "/b", "/ab", "/z"} // z is in no scope
	for _, x := range parts {
		for _, y := range parts {
			for _, z := range parts {
				if p := x + y + z; p != "" {
					paths = append(paths, p)
				}
			}
		}
	}
	for _, p := range append(paths, "/") {
		for n := range 2 {
			all = append(all, question{kind: "file", what: p, n: n}, question{kind: "own", what: p, n: n})
		}
		all = append(all, question{kind: "spawn", what: p})
	}
	ports := []int{1, 2, 79, 80, 81, 442, 443, 444, 65534, 65535}
	for _, port := range ports {
		for _, name := range []string{"org", "x.org", "y.org", "z.org", "x.x.org", "y.x.org", "z.x.org", "z.z.x.org", "com", "xorg"} {
			all = append(all, question{kind: "name", what: name, n: port})
		}
		for i := range 10 {
			v4, v6 := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)})
			all = append(all, question{kind: "addr", addr: v4, n: port}, question{kind: "addr", addr: v6, n: port}, question{kind: "listen", addr: v4, n: port})
		}
		all = append(all, question{kind: "host", n: port})
	}
	for _, s := range []string{"A", "B", "a/b", "a", "%2F", "/", "%"} {
		all = append(all, question{kind: "env", what: s}, question{kind: "ipc", what: s})
	}
	for _, r := range []Relation{Self, Child, Other} {
		all = append(all, question{kind: "signal", what: r.String()})
	}
	for c := range abi.NumCapabilities {
		if c != abi.CapNone {
			all = append(all, question{kind: "cap", what: c.String()})
		}
	}
	return all
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// leaf makes a scope and, in other words, what it reaches.
func leaf(r *rand.Rand) (Scope, func(question) bool) {
	path := pick(r, "/", "/a", "/b", "/a/a", "/a/b", "/ab", "/b/a")
	right := pick(r, Read, Write)
	inside := func(p string) bool { return path == "/" || p == path || strings.HasPrefix(p, path+"/") }
	lo := pick(r, 1, 80, 443)
	hi := max(lo, pick(r, 1, 80, 443, 65535))
	port := func(q question) bool { return lo <= q.n && q.n <= hi }
	v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8))}), 28+r.IntN(5)).Masked()
	v6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(8))}), 124+r.IntN(5)).Masked()
	name := pick(r, "org", "x.org", "x.x.org", "*.org", "*.x.org", "com")
	word := pick(r, "A", "a/b", "%2F", "/")
	switch r.IntN(12) {
	case 0, 1:
		return File(path, right), func(q question) bool { return q.kind == "file" && inside(q.what) && q.n < int(right) }
	case 2:
		return Own(path, right), func(q question) bool { return q.kind == "own" && inside(q.what) && q.n < int(right) }
	case 3, 4:
		return Host(name, uint16(lo), uint16(hi)), func(q question) bool {
			if q.kind != "name" || !port(q) {
				return false
			}
			if domain, ok := strings.CutPrefix(name, "*."); ok {
				return strings.HasSuffix(q.what, "."+domain)
			}
			return q.what == name
		}
	case 5:
		return Address(v4, uint16(lo), uint16(hi)), func(q question) bool { return q.kind == "addr" && v4.Contains(q.addr) && port(q) }
	case 6:
		return Address(v6, uint16(lo), uint16(hi)), func(q question) bool { return q.kind == "addr" && v6.Contains(q.addr) && port(q) }
	case 7:
		return Listen(v4, uint16(lo), uint16(hi)), func(q question) bool { return q.kind == "listen" && v4.Contains(q.addr) && port(q) }
	case 8:
		return Loopback(uint16(lo), uint16(hi)), func(q question) bool { return q.kind == "host" && port(q) }
	case 9:
		if r.IntN(2) == 0 {
			return Variable(word), func(q question) bool { return q.kind == "env" && q.what == word }
		}
		return Channel(word), func(q question) bool { return q.kind == "ipc" && q.what == word }
	case 10:
		return Spawn(path), func(q question) bool { return q.kind == "spawn" && inside(q.what) }
	}
	if r.IntN(2) == 0 {
		rel := pick(r, Self, Child, Other)
		return Signal(rel), func(q question) bool { return q.kind == "signal" && q.what == rel.String() }
	}
	c := abi.Capability(1 + r.IntN(int(abi.NumCapabilities)-1))
	return Plain(c), func(q question) bool { return q.kind == "cap" && q.what == c.String() }
}

// described is a set and, in other words, what is in it.
type described struct {
	Grants
	has func(question) bool
}

func randomSet(r *rand.Rand, depth int) described {
	if depth == 0 {
		s, has := leaf(r)
		return described{NewGrants(s), has}
	}
	a, b := randomSet(r, depth-1-r.IntN(depth)), randomSet(r, depth-1)
	switch r.IntN(4) {
	case 0:
		return described{a.Intersect(b.Grants), func(q question) bool { return a.has(q) && b.has(q) }}
	case 1:
		return described{a.Subtract(b.Grants), func(q question) bool { return a.has(q) && !b.has(q) }}
	}
	return described{a.Union(b.Grants), func(q question) bool { return a.has(q) || b.has(q) }}
}

// TestGrantsAgainstModel compares sets that were made by random operations with what
// the operations mean, question by question.
func TestGrantsAgainstModel(t *testing.T) {
	all := universe()
	rounds := 1500
	if testing.Short() {
		rounds = 200
	}
	var subsets, exceeding int
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		a, b := randomSet(r, 1+r.IntN(5)), randomSet(r, 1+r.IntN(5))
		if r.IntN(3) == 0 {
			// Parents of random children have little in common with them.
			c := a
			a = described{b.Intersect(c.Grants), func(q question) bool { return b.has(q) && c.has(q) }}
		}
		subset, empty, exceeds := true, true, ""
		for _, q := range all {
			if a.answers(q) != a.has(q) {
				t.Fatalf("seed %d: %+v: the set %s says %t", seed, q, a, a.answers(q))
			}
			empty = empty && !a.has(q)
			if a.has(q) && !b.has(q) {
				subset, exceeds = false, fmt.Sprint(q)
			}
		}
		if a.Subset(b.Grants) != subset || a.Empty() != empty {
			t.Fatalf("seed %d: %s within %s: %t, want %t (%s); empty %t, want %t", seed, a, b, a.Subset(b.Grants), subset, exceeds, a.Empty(), empty)
		}
		_, err := Attenuate(b.Grants, a.Grants)
		var ex *ExceedsError
		if subset != (err == nil) || err != nil && (!errors.As(err, &ex) || ex.First() == "" || strings.Contains(err.Error(), "nothing")) {
			t.Fatalf("seed %d: attenuating %s within %s: %v", seed, a, b, err)
		}
		s, has := leaf(r)
		contains := true
		for _, q := range all {
			contains = contains && (!has(q) || a.has(q))
		}
		if a.Contains(s) != contains {
			t.Fatalf("seed %d: %s contains %s: %t", seed, a, s, a.Contains(s))
		}
		if subset && !empty {
			subsets++
		} else if !subset {
			exceeding++
		}
	}
	if subsets < rounds/50 || exceeding < rounds/50 {
		t.Errorf("%d subsets and %d others: the test tests one side", subsets, exceeding)
	}
}

func TestParseNet(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"example.org", "--net example.org:443"},
		{"EXAMPLE.org.:80", "--net example.org:80"},
		{"*.example.org:8000-8999", "--net *.example.org:8000-8999"},
		{"a_b.example:*", "--net a_b.example:*"},
		{"10.0.0.0/8", "--net 10.0.0.0/8:443"},
		{"10.1.2.3:22", "--net 10.1.2.3:22"},
		{"::1", "--net [::1]:443"},
		{"[2001:db8::]:*", "--net [2001:db8::]:*"},
		{"2001:db8::/32", "--net [2001:db8::/32]:443"},
		{"[2001:db8::/32]:80", "--net [2001:db8::/32]:80"},
		{"::ffff:10.1.2.3", "--net 10.1.2.3:443"},
		{"localhost:5432", "--net localhost:5432"},
	} {
		s, err := ParseNet(c.value)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: %s, %v, want %s", c.value, s, err, c.want)
		}
	}
	for _, bad := range []string{"", ":80", "example.org:", "[::1]:", "[::1", "[::1]80", "example.org:0", "example.org:65536", "example.org:9-8", "example.org:x",
		"example.org:1-", "*", "*.*.org", "a.*.org", "-a.org", "a..org", "ä.org", "a b.org", "127.1", "2130706433", "0x7f.1:80:80", "10.0.0.1/8", "fe80::1%eth0",
		"http://example.org", "user@example.org", strings.Repeat("a", 64) + ".org", strings.Repeat("a.", 127) + "org"} {
		if s, err := ParseNet(bad); err == nil || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%q: %s, %v", bad, s, err)
		}
	}
}

func TestGrantsOfSubject(t *testing.T) {
	s := NewSubject(SubjectSpec{
		Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite, abi.CapClock),
		Paths: []PathRule{
			{Guest: "/d", Right: Write, Host: "/h"},
			{Guest: "/d/ro", Right: Read, Host: "/h/ro"},
			{Guest: "/d/over", Right: Read, Host: "/else"},
			{Guest: "/tmp", Right: Write},
			{Host: "/h/no", Right: None},
			{Guest: "/tmp/no", Right: None},
		},
	})
	g := s.Grants()
	for _, c := range []struct {
		scope Scope
		want  bool
	}{
		{File("/h/x", Write), true},
		{File("/h", Write), false}, // not the parts that are less
		{File("/h/ro", Read), true},
		{File("/h/ro/x", Write), false},
		{File("/h/over", Read), false}, // another stands in front of it
		{File("/else/x", Read), true},
		{File("/else", Write), false},
		{File("/h/no/x", Read), false},
		{File("/", Read), false},
		{Own("/tmp/x", Write), true},
		{Own("/tmp/no", Read), false},
		{File("/tmp", Read), false},
		{Plain(abi.CapClock), true},
		{Plain(abi.CapRandom), false},
		{Scope{}, true},
	} {
		if got := g.Contains(c.scope); got != c.want {
			t.Errorf("%s: %t, want %t", c.scope, got, c.want)
		}
	}
	_, err := Attenuate(g, NewGrants(File("/h/ro/x", Write), Plain(abi.CapClock)))
	if err == nil || err.Error() != "--write /h/ro/x is more than the parent has" {
		t.Errorf("err = %v", err)
	}
	if got := NewSubject(SubjectSpec{Paths: []PathRule{{Guest: "/d", Right: Read, Host: "/h"}}}).Grants(); !got.Empty() {
		t.Errorf("without the capability there is %s", got)
	}
}
