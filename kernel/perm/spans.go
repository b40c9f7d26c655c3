package perm

import (
	"slices"
	"strconv"
	"strings"
)

// span is the numbers from lo to hi, both among them.
type span struct{ lo, hi uint16 }

// spans is a set of numbers: the ports of an address, the rights to a path. The spans
// are sorted, do not touch, and are never changed. Nil is empty.
type spans []span

// between returns the numbers from lo to hi.
func between(lo, hi uint16) spans { return spans{{lo, hi}} }

// merge returns the numbers for which keep says so, given whether a and b have them.
func merge(a, b spans, keep func(a, b bool) bool) (out spans) {
	// Between two neighbouring edges nothing changes.
	edges := []uint32{0}
	for _, s := range [...]spans{a, b} {
		for _, p := range s {
			edges = append(edges, uint32(p.lo), uint32(p.hi)+1)
		}
	}
	edges = append(edges, 1<<16)
	slices.Sort(edges)
	edges = slices.Compact(edges)
	for i, lo := range edges[:len(edges)-1] {
		if !keep(a.has(uint16(lo)), b.has(uint16(lo))) {
			continue
		}
		hi := uint16(edges[i+1] - 1)
		if n := len(out); n > 0 && uint32(out[n-1].hi)+1 == lo {
			out[n-1].hi = hi
			continue
		}
		out = append(out, span{uint16(lo), hi})
	}
	return out
}

func (s spans) has(n uint16) bool {
	return slices.ContainsFunc(s, func(p span) bool { return p.lo <= n && n <= p.hi })
}

func either(a, b bool) bool  { return a || b }
func both(a, b bool) bool    { return a && b }
func without(a, b bool) bool { return a && !b }

// String writes s as ports: "80,443", "1-1023", "*".
func (s spans) String() string {
	if n := len(s); n == 1 && s[0].lo <= 1 && s[0].hi == 1<<16-1 {
		return "*" // port 0 is none
	}
	parts := make([]string, len(s))
	for i, p := range s {
		parts[i] = strconv.Itoa(int(p.lo))
		if p.hi != p.lo {
			parts[i] += "-" + strconv.Itoa(int(p.hi))
		}
	}
	return strings.Join(parts, ",")
}
