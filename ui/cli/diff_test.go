package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/linediff"
)

func painted(e *diffEntry) string {
	var b bytes.Buffer
	p := painter{w: &b}
	p.change(e)
	return b.String()
}

func TestDiffOfEachKind(t *testing.T) {
	text := func(old, new string) []linediff.Hunk { return linediff.Compare([]byte(old), []byte(new), 3) }
	for _, tt := range []struct {
		e    diffEntry
		want string
	}{
		{diffEntry{Change: &agentos.Change{Path: "a", Kind: "added", Type: "regular", Outcome: "committed"}, hunks: text("", "x\n")},
			"added a\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n"},
		{diffEntry{Change: &agentos.Change{Path: "a", Kind: "deleted", WasType: "regular", Outcome: "committed"}, hunks: text("x", "")},
			"deleted a\n--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n"},
		{diffEntry{Change: &agentos.Change{Path: "a", Kind: "mode", Type: "regular", WasType: "regular", Mode: "0755", WasMode: "0644", Outcome: "unnamed", Why: "is executable"}},
			"mode a (0644 → 0755)\n! to be named: is executable\n"},
		{diffEntry{Change: &agentos.Change{Path: "a", Kind: "mode", Type: "regular", WasType: "regular", Mode: "0644", WasMode: "0644", Outcome: "committed"}}, "mode a (times)\n"},
		{diffEntry{Change: &agentos.Change{Path: "l", Kind: "modified", Type: "symlink", WasType: "symlink", Target: "y\x1b[2J", WasTarget: "x", Outcome: "refused", Why: "leaves"}},
			"symlink l (symlink to x → symlink to y\\x1b[2J)\n! refused: leaves\n"},
		{diffEntry{Change: &agentos.Change{Path: "d", Kind: "modified", Type: "directory", WasType: "regular", Mode: "0755", WasMode: "0644", Outcome: "committed"}, hunks: text("x\n", "")},
			"type d (regular → directory, 0644 → 0755)\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"},
		{diffEntry{Change: &agentos.Change{Path: "b", Kind: "modified", Type: "regular", WasType: "regular", Size: 2048, WasSize: 1, Outcome: "conflict", Why: "was changed"}, Binary: true},
			"modified b\n! conflict: was changed\nbinary: 1 B → 2 KiB\n"},
		{diffEntry{Change: &agentos.Change{Path: "b", Kind: "modified", Type: "regular", WasType: "regular", Size: 8 << 20, WasSize: 1, Outcome: "already"}, TooLarge: true},
			"modified b\n! the host has it already\ntoo large to compare line by line: 1 B → 8 MiB\n"},
		{diffEntry{Change: &agentos.Change{Path: "n\nm", Kind: "added", Type: "regular", Link: "a", Outcome: "committed"}, hunks: text("", "\ttab\r\n")},
			"added n\\nm (another name of a)\n--- /dev/null\n+++ b/n\\nm\n@@ -0,0 +1 @@\n+\ttab\\r\n"},
	} {
		if got := painted(&tt.e); got != tt.want {
			t.Errorf("got\n%swant\n%s", got, tt.want)
		}
	}
}

func TestDiffIsBounded(t *testing.T) {
	var old, new strings.Builder
	for i := range maxDiffLines {
		fmt.Fprintf(&old, "old %d\n", i)
		fmt.Fprintf(&new, "new %d\n", i)
	}
	e := diffEntry{Change: &agentos.Change{Path: "a", Kind: "modified", Type: "regular", WasType: "regular", Outcome: "committed"},
		hunks: linediff.Compare([]byte(old.String()), []byte(new.String()), 3)}
	got := painted(&e)
	if n := strings.Count(got, "\n"); n != maxDiffLines+5 || !strings.HasSuffix(got, fmt.Sprintf("! %d more lines are not shown\n", maxDiffLines)) {
		t.Errorf("%d lines, ends %q", n, got[max(0, len(got)-60):])
	}
}

func TestDiffColours(t *testing.T) {
	var b bytes.Buffer
	p := painter{w: &b, colour: true}
	p.change(&diffEntry{Change: &agentos.Change{Path: "a", Kind: "modified", Type: "regular", WasType: "regular", Outcome: "committed"}, hunks: linediff.Compare([]byte("x\n"), []byte("y\n"), 3)})
	for _, want := range []string{"\x1b[31m-x\x1b[0m\n", "\x1b[32m+y\x1b[0m\n", "\x1b[36m@@ -1 +1 @@\x1b[0m\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q lacks %q", b.String(), want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"a/b.c": "a/b.c", "-x": "'-x'", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "ü": "'ü'"} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %q, want %q", in, got, want)
		}
	}
}
