package script

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGrantAndRevoke changes what a running program may do, from another process.
func TestGrantAndRevoke(t *testing.T) {
	t.Parallel()
	s, dir, more := state(t), t.TempDir(), t.TempDir()
	file, report := filepath.Join(dir, "f"), filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := begin(t, s, "run", "--report", report, "--write", dir+":/d", guest(), "spin")
	var runs struct{ Runs []struct{ Run string } }
	status, out, errs := tool(t, s, "ps", "--json")
	if err := json.Unmarshal([]byte(out), &runs); err != nil || status != 0 || len(runs.Runs) != 1 {
		t.Fatalf("ps: %d, %v, %s", status, err, errs)
	}
	run := runs.Runs[0].Run
	for _, c := range []struct {
		args   []string
		status int
		out    string // what standard output holds
		errs   string
	}{
		{[]string{"grant", run, "--read", more + ":/more"}, 0, "/more: deny → read, through /\n", ""},
		{[]string{"grant", run, "--read", more + ":/more"}, 0, "nothing changed", ""},
		{[]string{"grant", run, "--allow", "info"}, 0, "info: no → yes\n", ""},
		{[]string{"revoke", run, "--allow", "info", "--write", dir}, 0, "info: yes → no\n/d: write → read\n", ""},
		{[]string{"revoke", run, "--read", file}, 0, "/d/f: read → deny\n", ""},
		{[]string{"grant", run, "--read", file + ":/d/f", "--json"}, 0, `"applied": true`, ""},
		{[]string{"revoke", run, "--read", more, "--json"}, 0, `"was": "read",`, ""},
		{[]string{"revoke", run, "--read", "/none"}, 125, "", "AGENTOS-NOT-GRANTED"},
		{[]string{"grant", run, "--read", filepath.Join(more, "none")}, 125, "", "AGENTOS-GRANT"},
		{[]string{"grant", run, "--read", s}, 125, "", "AGENTOS-GRANT"},
		{[]string{"grant", run}, 125, "", "AGENTOS-USAGE"},
		{[]string{"revoke", run, "--allow", "fly"}, 125, "", "AGENTOS-USAGE"},
		{[]string{"grant", "01zzz", "--read", dir}, 125, "", "AGENTOS-NO-RUN"},
	} {
		status, out, errs := tool(t, s, c.args...)
		if status != c.status || !strings.Contains(out, c.out) || c.out == "" && out != "" || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
			t.Errorf("%v: %d, %q, %q", c.args, status, out, errs)
		}
	}
	if status, _, errs := tool(t, s, "kill", run); status != 0 {
		t.Errorf("kill: %d %s", status, errs)
	}
	if got := l.end(t); got != 143 {
		t.Errorf("it ended with %d: %s", got, &l.stderr)
	}
	if status, _, errs := tool(t, s, "grant", run, "--read", dir); status != 125 || !strings.Contains(errs, "is over") {
		t.Errorf("a grant to a run that is over: %d, %s", status, errs)
	}
	body, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		View []struct{ Path, Right, Source string }
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	var live []string
	for _, v := range r.View {
		if v.Source == "live" {
			live = append(live, v.Path+" "+v.Right)
		}
	}
	if got, want := strings.Join(live, ", "), "/more read, info allow, info deny, /d read, /d/f deny, /d/f read, /more deny"; got != want {
		t.Errorf("the report has %q, want %q", got, want)
	}
}
