package linediff

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// render writes hunks as diff does.
func render(hs []Hunk) string {
	var b strings.Builder
	for i := range hs {
		b.WriteString(hs[i].Header() + "\n")
		for _, l := range hs[i].Lines {
			fmt.Fprintf(&b, "%c%s\n", l.Kind, l.Text)
			if l.Bare {
				b.WriteString("\\ No newline at end of file\n")
			}
		}
	}
	return b.String()
}

// patch applies hunks to a text, and fails where they do not fit.
func patch(old []byte, hs []Hunk) ([]byte, error) {
	lines := split(old)
	var out []byte
	at := 0
	for i := range hs {
		h := &hs[i]
		start := h.OldStart
		if h.OldLines > 0 {
			start--
		}
		if start < at {
			return nil, fmt.Errorf("hunk %d starts at %d, before %d", i, start, at)
		}
		for ; at < start; at++ {
			out = append(out, lines[at]...)
		}
		olds, news := 0, 0
		for _, l := range h.Lines {
			text := append([]byte(nil), l.Text...)
			if !l.Bare {
				text = append(text, '\n')
			}
			if l.Kind != Added {
				if at >= len(lines) || !bytes.Equal(lines[at], text) {
					return nil, fmt.Errorf("hunk %d does not fit at line %d", i, at+1)
				}
				at, olds = at+1, olds+1
			}
			if l.Kind != Deleted {
				out, news = append(out, text...), news+1
			}
		}
		if olds != h.OldLines || news != h.NewLines {
			return nil, fmt.Errorf("hunk %d counts %d and %d lines, has %d and %d", i, h.OldLines, h.NewLines, olds, news)
		}
	}
	for ; at < len(lines); at++ {
		out = append(out, lines[at]...)
	}
	return out, nil
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"", "", ""},
		{"a\n", "a\n", ""},
		{"", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		{"a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
		{"a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
		{"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "x\n1\n2\n3\n4\n5\n6\n7\n8\n", "@@ -1,3 +1,4 @@\n+x\n 1\n 2\n 3\n@@ -6,4 +7,3 @@\n 6\n 7\n 8\n-9\n"},
		{"1\n2\n3\n4\n5\n6\n", "1x\n2\n3\n4\n5\n6x\n", "@@ -1,6 +1,6 @@\n-1\n+1x\n 2\n 3\n 4\n 5\n-6\n+6x\n"},
	} {
		if got := render(Compare([]byte(tt.old), []byte(tt.new), 3)); got != tt.want {
			t.Errorf("%q to %q:\n%swant\n%s", tt.old, tt.new, got, tt.want)
		}
	}
}

// TestShortest compares with the length of a longest common subsequence.
func TestShortest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func() []byte {
		var b []byte
		for range rnd.IntN(30) {
			b = append(b, byte('a'+rnd.IntN(4)), '\n')
		}
		if len(b) > 0 && rnd.IntN(4) == 0 {
			b = b[:len(b)-1]
		}
		return b
	}
	for range 5000 {
		old, new := text(), text()
		a, b := split(old), split(new)
		lcs := make([][]int, len(a)+1)
		for i := range lcs {
			lcs[i] = make([]int, len(b)+1)
		}
		for i := range a {
			for j := range b {
				lcs[i+1][j+1] = max(lcs[i][j+1], lcs[i+1][j])
				if bytes.Equal(a[i], b[j]) {
					lcs[i+1][j+1] = lcs[i][j] + 1
				}
			}
		}
		hs := Compare(old, new, rnd.IntN(4))
		added, deleted := Count(hs)
		if want := len(a) + len(b) - 2*lcs[len(a)][len(b)]; added+deleted != want {
			t.Fatalf("%q to %q: %d edits, want %d", old, new, added+deleted, want)
		}
		if got, err := patch(old, hs); err != nil || !bytes.Equal(got, new) {
			t.Fatalf("%q to %q: the hunks make %q, %v\n%s", old, new, got, err, render(hs))
		}
	}
}

// TestTooDifferent: texts with more changes than are looked for.
func TestTooDifferent(t *testing.T) {
	var old, new bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&old, "old %d\n", i)
		fmt.Fprintf(&new, "new %d\n", i)
		if i%100 == 0 {
			old.WriteString("both\n")
			new.WriteString("both\n")
		}
	}
	hs := Compare(old.Bytes(), new.Bytes(), 3)
	if got, err := patch(old.Bytes(), hs); err != nil || !bytes.Equal(got, new.Bytes()) {
		t.Errorf("the hunks do not make the new text: %v", err)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add([]byte("a\nb\n"), []byte("b\nc"), 3)
	f.Fuzz(func(t *testing.T, old, new []byte, context int) {
		hs := Compare(old, new, context%8)
		if got, err := patch(old, hs); err != nil || !bytes.Equal(got, new) {
			t.Errorf("the hunks make %q, %v", got, err)
		}
	})
}
