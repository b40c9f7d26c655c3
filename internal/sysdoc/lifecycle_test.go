package sysdoc

import (
	"os"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// TestLifecyclePageIsWhole: a cause of death or a kind of resource that the page
// does not name is one that nobody can look up.
func TestLifecyclePageIsWhole(t *testing.T) {
	data, err := os.ReadFile("../../docs/LIFECYCLE.md")
	if err != nil {
		t.Fatal(err)
	}
	row := func(name string) bool {
		for line := range strings.Lines(string(data)) {
			cells := strings.Split(line, "|")
			if len(cells) > 2 && strings.Contains(cells[1], "`"+name+"`") {
				return true
			}
		}
		return false
	}
	for c := abi.CauseNone + 1; c < abi.NumCauses; c++ {
		if !row(c.String()) {
			t.Errorf("docs/LIFECYCLE.md has no row for the cause %s", c)
		}
	}
	for k := range abi.NumResourceKinds {
		if !row(k.String()) {
			t.Errorf("docs/LIFECYCLE.md has no row for the resource kind %s", k)
		}
	}
}
