// Package nearest finds the name that a misspelt one was probably meant to be.
//
// Invariants: it is bounded, whatever it is given, and has no say in anything but a
// sentence for people.
//
// Locks: none.
//
// Imports: nothing of this module.
package nearest

import "strings"

// Of returns the candidate that word was probably meant to be, or "". A
// candidate is near if it takes at most a third of its letters (and at least
// one) in insertions, deletions, substitutions, and swaps of neighbours to get
// from one to the other (restricted Damerau–Levenshtein distance), or if word is
// a beginning of it at least three letters long.
func Of(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	w := strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	best, bestDistance := "", 1<<30
	for _, c := range candidates {
		n := strings.ToLower(strings.ReplaceAll(c, "-", "_"))
		d := distance(w, n)
		if d > max(1, max(len(w), len(n))/3) {
			if len(w) < 3 || !strings.HasPrefix(n, w) {
				continue
			}
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of a and b, by bytes.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
