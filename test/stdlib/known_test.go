package stdlib

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// known is a line of testdata/known.txt.
type known struct {
	pkg, view, test string
	ends            bool // it takes the process with it, and is not run
}

// readKnown parses testdata/known.txt and refuses what it does not understand.
func readKnown() (list []known, err error) {
	text, err := os.ReadFile("testdata/known.txt")
	if err != nil {
		return nil, err
	}
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " ", 5)
		switch {
		case len(f) != 5 || f[4] == "":
			return nil, fmt.Errorf("known.txt:%d: want PACKAGE VIEW TEST fails|ends REASON", n+1)
		case f[1] != memory && f[1] != root && f[1] != "*":
			return nil, fmt.Errorf("known.txt:%d: no such view: %s", n+1, f[1])
		case f[3] != "fails" && f[3] != "ends":
			return nil, fmt.Errorf("known.txt:%d: %s is neither fails nor ends", n+1, f[3])
		case !slices.ContainsFunc(rows, func(r row) bool { return r.pkg == f[0] }):
			return nil, fmt.Errorf("known.txt:%d: package %s is not run", n+1, f[0])
		}
		list = append(list, known{pkg: f[0], view: f[1], test: f[2], ends: f[3] == "ends"})
	}
	return list, nil
}

// of returns the tests of one package in one view that are known to fail, and
// those that are not run.
func of(list []known, pkg, view string) (fails, ends []string) {
	for _, k := range list {
		switch {
		case k.pkg != pkg || k.view != view && k.view != "*":
		case k.ends:
			ends = append(ends, k.test)
		default:
			fails = append(fails, k.test)
		}
	}
	return fails, ends
}

// TestVerdict holds the judgement of a run to what may and may not pass.
func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name string
		r    result
		bad  int
	}{
		{"all pass", result{verdict: "pass", status: map[string]string{"A": "pass"}}, 0},
		{"a failure", result{verdict: "fail", status: map[string]string{"A": "fail"}}, 1},
		{"a known failure", result{verdict: "fail", status: map[string]string{"A": "fail"}, fails: []string{"A"}}, 0},
		{"a known failure that passes", result{verdict: "pass", status: map[string]string{"A": "pass"}, fails: []string{"A"}}, 1},
		{"a known failure that is gone", result{verdict: "pass", status: map[string]string{"B": "pass"}, fails: []string{"A"}}, 1},
		{"another fails too", result{verdict: "fail", status: map[string]string{"A": "fail", "B": "fail"}, fails: []string{"A"}}, 1},
		{"a test that never ended", result{verdict: "fail", status: map[string]string{"A": "run"}}, 2},
		{"it never began", result{verdict: "fail", status: map[string]string{}}, 2},
		{"no verdict", result{status: map[string]string{"A": "pass"}}, 1},
		{"nothing ran", result{verdict: "pass", status: map[string]string{}}, 1},
	} {
		if bad := test.r.bad(); len(bad) != test.bad {
			t.Errorf("%s: %q, want %d", test.name, bad, test.bad)
		}
	}
}
