package agentos

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestModulesTell: each module of doctor's ends otherwise where it gets what it asks
// for, so that a held attempt means something.
func TestModulesTell(t *testing.T) {
	k, err := Open(Config{NoState: true, InProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}()
	if c := k.tryModule(growModule(), Limits{Memory: 1 << 30}, "memory", func(r *Report) bool { return r.Cause == "exited" }, "fault"); c.Outcome != OutcomeEscaped {
		t.Errorf("with memory: %+v", c)
	}
	if c := k.tryModule(spinModule(), Limits{Timeout: 1e8}, "cpu_time", func(r *Report) bool { return r.Cause == "cpu_limit" }, "timeout"); c.Outcome != OutcomeEscaped {
		t.Errorf("with time: %+v", c)
	}
	dir := t.TempDir()
	for _, name := range []string{"plain", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		granted, other string
		want           int
	}{{"plain", "secret", moduleFound}, {"plain", "absent", 0}, {"absent", "absent too", moduleNothing}} {
		r, err := k.Run(context.Background(), Spec{Program: "m", Image: openModule(c.granted, c.other), Grants: []Grant{{Kind: GrantRead, Host: dir}}})
		if err != nil || r.Cause != "exited" || r.ExitCode != c.want {
			t.Errorf("%s, %s: %+v %v, want %d", c.granted, c.other, r, err, c.want)
		}
	}
}
