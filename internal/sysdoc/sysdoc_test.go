package sysdoc

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

const page = "../../docs/SYSCALLS.md"

func TestPageIsUpToDate(t *testing.T) {
	want := Markdown()
	if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/SYSCALLS.md is not what the table says; run `go generate ./internal/sysdoc`")
	}
}

// TestPageIsWhole holds the page to the table by a count that does not share
// code with the renderer.
func TestPageIsWhole(t *testing.T) {
	text := Markdown()
	operations, capabilities, ok := strings.Cut(text, "## Capabilities")
	if !ok {
		t.Fatal("the page has no part on capabilities")
	}
	for _, r := range abi.Rows() {
		if n := strings.Count(operations, "\n| `"+r.Name+"` |"); n != 1 {
			t.Errorf("%s has %d rows", r.Name, n)
		}
		if !strings.Contains(capabilities, "`"+r.Name+"`") {
			t.Errorf("%s is missing from the capabilities", r.Name)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `") && strings.Contains(line, "?") {
			t.Errorf("a value without a name: %s", line)
		}
	}
}

// TestMain declares the flag here: the package itself declares none.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the page")
	flag.Parse()
	os.Exit(m.Run())
}
