package nearest

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	all := []string{"read", "write", "deny", "limits.timeout", "best_effort", "memory"}
	for word, want := range map[string]string{"raed": "read", "reed": "read", "wirte": "write", "best-effort": "best_effort", "memroy": "memory", "mem": "memory", "limits.timeuot": "limits.timeout", "xyzzy": "", "": "", "a": "", strings.Repeat("r", 100): ""} {
		if got := Of(word, all); got != want {
			t.Errorf("Of(%q) = %q, want %q", word, got, want)
		}
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("distance = %d, want 3", d)
	}
	if d := distance("ab", "ba"); d != 1 {
		t.Errorf("distance of a swap = %d, want 1", d)
	}
}
