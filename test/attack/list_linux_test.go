package attack

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// least is how many attempts there must be.
const least = 80

// TestList holds ATTEMPTS.md to what is tried.
func TestList(t *testing.T) {
	var b bytes.Buffer
	n := 0
	b.WriteString("# Attempts to get round the permission path\n\nWritten by `go test ./test/attack -run List -update`.\n")
	seen := map[string]bool{}
	row := func(class, name, tries string) {
		if seen[class+name] || tries == "" {
			t.Errorf("%s/%s: a name of its own and a sentence, please", class, name)
		}
		seen[class+name] = true
		n++
		fmt.Fprintf(&b, "| %s | %s |\n", name, tries)
	}
	head := func(class string) { fmt.Fprintf(&b, "\n## %s\n\n| attempt | what it tries |\n|---|---|\n", class) }
	for _, c := range classes() {
		head(c.name)
		for _, a := range c.attempts {
			row(c.name, a.name, a.tries)
		}
	}
	head("races")
	for _, f := range flips {
		row("races", f.name, f.tries)
	}
	head("timing")
	for _, d := range duels {
		row("timing", d.name, d.tries)
	}
	head("revocation")
	for _, c := range changes {
		row("revocation", c.name, c.tries)
	}
	head("poison")
	for _, p := range poisons {
		row("poison", p.name, p.tries)
	}
	if n < least {
		t.Errorf("%d attempts, want at least %d", n, least)
	}
	fmt.Fprintf(&b, "\n%d attempts.\n", n)
	if *update {
		must(t, os.WriteFile("ATTEMPTS.md", b.Bytes(), 0o644))
		return
	}
	if have, err := os.ReadFile("ATTEMPTS.md"); err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("ATTEMPTS.md is not what is tried (%v); -update writes it", err)
	}
}
