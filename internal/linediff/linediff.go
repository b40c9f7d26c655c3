package linediff

import (
	"bytes"
	"fmt"
)

// maxEdits bounds the number of changed lines that a minimal comparison looks for,
// and maxWork its steps, of which there may be twice that number for each line.
const (
	maxEdits = 2000
	maxWork  = 200_000_000
)

// The kinds of line in a hunk.
const (
	Same    = ' '
	Deleted = '-'
	Added   = '+'
)

// Line is one line of a hunk.
type Line struct {
	Kind byte
	Text []byte // without its newline
	Bare bool   // the text's last line, and without a newline
}

// Hunk is one group of changes with the lines around it. Starts count from 1; a
// side without lines has the number of the line before it, as diff and patch
// have it.
type Hunk struct {
	OldStart, OldLines int
	NewStart, NewLines int
	Lines              []Line
}

// Header is the hunk's first line.
func (h *Hunk) Header() string {
	return "@@ -" + span(h.OldStart, h.OldLines) + " +" + span(h.NewStart, h.NewLines) + " @@"
}

func span(start, lines int) string {
	if lines == 1 {
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, lines)
}

// Compare returns the hunks that turn old into new, with up to context lines
// around each change; none if they are equal.
func Compare(old, new []byte, context int) []Hunk {
	a, b := split(old), split(new)
	ids := map[string]int32{}
	return hunks(a, b, script(number(a, ids), number(b, ids)), max(context, 0))
}

// split cuts a text into lines that keep their newline.
func split(text []byte) [][]byte {
	var lines [][]byte
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\n') + 1
		if n == 0 {
			n = len(text)
		}
		lines = append(lines, text[:n])
		text = text[n:]
	}
	return lines
}

// number gives equal lines equal numbers.
func number(lines [][]byte, ids map[string]int32) []int32 {
	out := make([]int32, len(lines))
	for i, l := range lines {
		id, ok := ids[string(l)]
		if !ok {
			id = int32(len(ids))
			ids[string(l)] = id
		}
		out[i] = id
	}
	return out
}

// run is a stretch of the comparison: keep lines that are the same, then drop
// lines of the old text, then take lines of the new.
type run struct{ keep, drop, take int }

// script compares two sequences. The runs cover both.
func script(a, b []int32) []run {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	runs := []run{{keep: head}}
	add := func(r run) {
		last := &runs[len(runs)-1]
		if r.keep == 0 || last.drop == 0 && last.take == 0 {
			last.keep, last.drop, last.take = last.keep+r.keep, last.drop+r.drop, last.take+r.take
			return
		}
		runs = append(runs, r)
	}
	for _, r := range myers(a[head:len(a)-tail], b[head:len(b)-tail]) {
		add(r)
	}
	add(run{keep: tail})
	return runs
}

// myers finds a shortest script, or past maxEdits replaces everything.
func myers(a, b []int32) []run {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return []run{{drop: n, take: m}}
	}
	limit := min(n+m, maxEdits, maxWork/2/(n+m))
	// furthest[k+off] is how far a is read on diagonal k = x-y.
	off := limit + 1
	furthest := make([]int32, 2*limit+3)
	var trace [][]int32 // furthest as it was before step d, diagonals -d..d
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int32(nil), furthest[off-d:off+d+1]...))
		for k := -d; k <= d; k += 2 {
			x := next(furthest, off, d, k)
			for y := x - k; x < n && y < m && a[x] == b[y]; x, y = x+1, y+1 {
			}
			furthest[off+k] = int32(x)
			if x >= n && x-k >= m {
				return back(trace, n, m)
			}
		}
	}
	return []run{{drop: n, take: m}}
}

// next is where step d begins on diagonal k: a line of b is taken where that came
// further, else a line of a is dropped.
func next(furthest []int32, off, d, k int) int {
	if d == 0 {
		return 0
	}
	if k == -d || k != d && furthest[off+k-1] < furthest[off+k+1] {
		return int(furthest[off+k+1])
	}
	return int(furthest[off+k-1]) + 1
}

// back follows the steps back from the end and returns them in order.
func back(trace [][]int32, x, y int) []run {
	var rev []run
	for d := len(trace) - 1; d >= 0; d-- {
		row := trace[d]
		k := x - y
		if d == 0 {
			rev = append(rev, run{keep: x})
			break
		}
		// The row holds diagonals -d..d of the step before.
		from := k - 1
		if k == -d || k != d && row[d+k-1] < row[d+k+1] {
			from = k + 1
		}
		px := int(row[d+from])
		py := px - from
		step := run{take: 1}
		sx := px
		if from == k-1 {
			step = run{drop: 1}
			sx++
		}
		if keep := x - sx; keep > 0 {
			rev = append(rev, run{keep: keep})
		}
		rev = append(rev, step)
		x, y = px, py
	}
	out := make([]run, 0, len(rev))
	for i := len(rev) - 1; i >= 0; i-- {
		out = append(out, rev[i])
	}
	return out
}

// hunks groups the changes, with context around them.
func hunks(a, b [][]byte, runs []run, context int) []Hunk {
	var out []Hunk
	var h *Hunk
	x, y := 0, 0
	for _, r := range runs {
		changes := r.drop+r.take > 0
		// What is kept belongs to the hunk before it, the one after it, or both.
		lead, trail := 0, 0
		if h != nil {
			trail = min(context, r.keep)
		}
		if changes {
			lead = min(context, r.keep)
		}
		if h != nil && (!changes || trail+lead < r.keep) {
			h.keep(a, x, trail)
			h = nil
		} else if h != nil {
			lead = r.keep
		}
		x, y = x+r.keep, y+r.keep
		if !changes {
			continue
		}
		if h == nil {
			out = append(out, Hunk{OldStart: x - lead, NewStart: y - lead})
			h = &out[len(out)-1]
		}
		h.keep(a, x-lead, lead)
		for range r.drop {
			h.Lines, h.OldLines = append(h.Lines, line(Deleted, a[x])), h.OldLines+1
			x++
		}
		for range r.take {
			h.Lines, h.NewLines = append(h.Lines, line(Added, b[y])), h.NewLines+1
			y++
		}
	}
	for i := range out {
		if out[i].OldLines > 0 {
			out[i].OldStart++
		}
		if out[i].NewLines > 0 {
			out[i].NewStart++
		}
	}
	return out
}

// keep adds n lines that are the same, from line x of the old text.
func (h *Hunk) keep(a [][]byte, x, n int) {
	for i := range n {
		h.Lines = append(h.Lines, line(Same, a[x+i]))
	}
	h.OldLines, h.NewLines = h.OldLines+n, h.NewLines+n
}

func line(kind byte, text []byte) Line {
	cut, whole := bytes.CutSuffix(text, []byte("\n"))
	return Line{Kind: kind, Text: cut, Bare: !whole}
}

// Count returns how many lines the hunks add and delete.
func Count(hunks []Hunk) (added, deleted int) {
	for i := range hunks {
		for _, l := range hunks[i].Lines {
			switch l.Kind {
			case Added:
				added++
			case Deleted:
				deleted++
			}
		}
	}
	return added, deleted
}
