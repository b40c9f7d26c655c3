package cli

import (
	"strings"
	"testing"

	agentos "github.com/agentos-kernel/agentos"
)

// TestPresentDiagnosis: what escaped cannot be overlooked, and what is weak comes with
// what to do.
func TestPresentDiagnosis(t *testing.T) {
	d := &agentos.Diagnosis{
		Host: "linux/amd64", Build: "b", Safe: true,
		Checks: []agentos.Check{
			{Name: "kernel", OK: true, Protects: true, Detail: "boots"},
			{Name: "native.secret", OK: true, Protects: true, Tried: "read a secret", Outcome: agentos.OutcomeHeld, StoppedBy: "Landlock", Errno: "EACCES"},
			{Name: "native.state", OK: true, Tried: "open the state", Outcome: agentos.OutcomeUntried, Detail: "there is none"},
			{Name: "native.memory", Tried: "use more memory", Outcome: agentos.OutcomeDegraded, StoppedBy: "such a run is refused", Detail: "no group"},
		},
		Degraded: []agentos.Weakness{{What: "There is no group.", Fix: "be root"}},
	}
	show := func() string {
		var b strings.Builder
		if err := present(&b, d); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	want := func(text string, lines ...string) {
		t.Helper()
		for _, l := range lines {
			if !strings.Contains(text, l) {
				t.Errorf("%q is not in\n%s", l, text)
			}
		}
	}
	text := show()
	want(text, "kernel  ok", "✓ held", "Landlock (EACCES)", "– not tried", "there is none", "~ degraded", "such a run is refused: no group",
		"degraded: There is no group.\n  to change that: be root\n", "A default run is safe here.")
	if strings.Contains(text, "ESCAPED") || strings.Contains(text, "NOT SAFE") {
		t.Errorf("nothing escaped:\n%s", text)
	}
	d.Safe = false
	d.Checks = append(d.Checks,
		agentos.Check{Name: "native.usr", Protects: true, Tried: "write to /usr", Outcome: agentos.OutcomeEscaped, Detail: "nothing stopped it"},
		agentos.Check{Name: "native.ptrace", Protects: true, Tried: "trace", Outcome: agentos.OutcomeUnknown, Detail: "it fell silent"})
	want(show(), "✗ ESCAPED", "nothing stopped it", "? UNKNOWN", "it fell silent", "A default run is NOT SAFE here: native.usr, native.ptrace.")
}
