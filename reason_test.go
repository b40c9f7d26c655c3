package agentos_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// TestReason has a program ask why its calls failed.
func TestReason(t *testing.T) {
	k := open(t, nil)
	dir := t.TempDir()
	for _, n := range []string{"a", "secret", ".bashrc"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hidden := filepath.Join(t.TempDir(), "hidden")
	if err := os.WriteFile(hidden, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := agentos.Spec{Bare: true, Grants: []agentos.Grant{
		{Host: dir, Guest: "/r"}, {Kind: agentos.GrantWrite, Host: dir, Guest: "/w"}, {Kind: agentos.GrantDeny, Host: filepath.Join(dir, "secret")},
		{Kind: agentos.GrantDeny, Host: filepath.Join(dir, "nowhere")},
	}}
	o := guest(t, k, spec, "why", "w:/r/a", "w:/w/.bashrc", "r:/r/missing", "r:/r/secret", "r:/r/nowhere", "r:"+hidden, "r:"+hidden+"2", "r:/w/a")
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	const none = `{"version":1,"errno":"ENOENT","code":"AGENTOS-NOT-VISIBLE","retry":"never"}`
	want := []string{
		"first ",
		`true {"version":1,"errno":"EACCES","code":"AGENTOS-DENIED-READ-ONLY","retry":"after_grant"}`,
		`true {"version":1,"errno":"EACCES","code":"AGENTOS-DENIED-PROTECTED","retry":"after_grant"}`,
		"true " + none, "true " + none, "true " + none, "", "",
		"",             // the last one works, and the reason is still that of the one before
		"small errno ", // ERANGE
	}
	if len(lines) != len(want) {
		t.Fatalf("%q", lines)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], strings.TrimSuffix(w, " ")) {
			t.Errorf("line %d is %q, want %q", i, lines[i], w)
		}
	}
	// Whether the host has what is outside makes no difference, to a byte.
	if lines[6] != lines[7] || !strings.HasPrefix(lines[6], "true {") {
		t.Errorf("hidden %q, missing %q", lines[6], lines[7])
	}
	if lines[8] != "false "+strings.TrimPrefix(lines[7], "true ") {
		t.Errorf("after a call that worked: %q", lines[8])
	}
}
