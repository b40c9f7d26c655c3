package stdlib

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// event is a line of go test -json, as far as it is needed.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of what was built
	Elapsed                       float64
}

// result is what one package did in one view. Tests are those at the top level.
type result struct {
	pkg, view   string
	verdict     string            // of the package: pass, fail, or skip
	status      map[string]string // of each test: run, pass, fail, or skip
	seconds     float64
	fails, ends []string // known.txt
	output      map[string][]string
}

func (r *result) count(status string) (n int) {
	for _, s := range r.status {
		if s == status {
			n++
		}
	}
	return n
}

// bad says what is wrong with a run; nothing if it is as it must be.
func (r *result) bad() (bad []string) {
	failed := false
	for test, status := range r.status {
		listed := slices.Contains(r.fails, test)
		switch {
		case status == "fail" && listed:
			failed = true
		case status == "fail":
			failed = true
			bad = append(bad, fmt.Sprintf("%s fails:\n%s", test, strings.Join(r.output[test], "")))
		case status == "run":
			bad = append(bad, test+" never ended")
		case listed:
			bad = append(bad, fmt.Sprintf("%s does not fail (%s): take it off testdata/known.txt", test, status))
		}
	}
	for _, test := range r.fails {
		if r.status[test] == "" {
			bad = append(bad, test+" was not run: take it off testdata/known.txt")
		}
	}
	switch {
	case r.verdict == "":
		bad = append(bad, "go test said nothing of the package")
	case r.verdict == "fail" && !failed:
		bad = append(bad, "the package fails outside its tests:\n"+strings.Join(r.output[""], ""))
	}
	if len(r.status) == 0 {
		bad = append(bad, "no test was run")
	}
	slices.Sort(bad)
	return bad
}

// kept is how many lines of output of one test are kept for a failure.
const kept = 200

func (r *result) take(e event) {
	name, _, _ := strings.Cut(e.Test, "/")
	sub := name != e.Test
	switch e.Action {
	case "output":
		if lines := r.output[name]; len(lines) < kept {
			r.output[name] = append(lines, e.Output)
		}
	case "run", "pass", "fail", "skip":
		switch {
		case sub:
		case name != "":
			r.status[name] = e.Action
		default:
			r.verdict, r.seconds = e.Action, e.Elapsed
		}
	}
}

// TestStandardLibrary compiles and runs the packages that -stdlib names.
func TestStandardLibrary(t *testing.T) {
	chosen, full := selected(t, *which)
	list, err := readKnown()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	binary := build(t)
	env := append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-buildvcs=false", "GOWORK=off",
		"AGENTOS_STATE="+filepath.Join(t.TempDir(), "state"), "TMPDIR="+t.TempDir(), envBinary+"="+binary,
		envGoroot+"="+strings.TrimSpace(string(goroot)))

	var results []*result
	for _, c := range chosen {
		for _, view := range c.in() {
			r := &result{pkg: c.pkg, view: view, status: map[string]string{}, output: map[string][]string{}}
			r.fails, r.ends = of(list, c.pkg, view)
			results = append(results, r)
			skip := slices.Clone(r.ends)
			if !full && c.slow != "" {
				skip = append(skip, c.slow)
			}
			args := []string{"test", "-json", "-short", "-count=1", "-vet=off", "-timeout=20m", "-exec=" + quoted(self)}
			if len(skip) > 0 {
				args = append(args, "-skip=^("+strings.Join(skip, "|")+")$")
			}
			cmd := exec.Command("go", append(args, c.pkg)...)
			cmd.Env = append(env, envView+"="+view)
			r.run(t, cmd)
			for _, bad := range r.bad() {
				t.Errorf("%s in %s: %s", r.pkg, r.view, bad)
			}
		}
	}
	if err := table(results); err != nil {
		t.Error(err)
	}
}

func (r *row) in() []string {
	if r.views == nil {
		return []string{memory}
	}
	return r.views
}

// run runs go test and takes its events. That it fails is in the events.
func (r *result) run(t *testing.T, cmd *exec.Cmd) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("%s: go test -json said %q: %v", r.pkg, lines.Text(), err)
			continue
		}
		if e.Package == r.pkg || e.ImportPath != "" {
			r.take(e)
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("%s: %v", r.pkg, err)
	}
	if stderr.Len() > 0 {
		t.Logf("%s: go test said: %s", r.pkg, &stderr)
	}
}

// quoted is a path as -exec wants it: split at spaces unless quoted.
func quoted(p string) string {
	if strings.ContainsAny(p, " \t") {
		return "'" + p + "'"
	}
	return p
}

// table prints what was done, for people; go test shows it with -v.
func table(results []*result) error {
	var b strings.Builder
	b.WriteString("PACKAGE\tFILES\tPASSED\tFAILED\tOF THESE KNOWN\tLEFT OUT\tSKIPPED BY GO\tTIME\n")
	var pass, fail, listed, out, skip int
	var seconds float64
	for _, r := range results {
		knownFails := 0
		for _, test := range r.fails {
			if r.status[test] == "fail" {
				knownFails++
			}
		}
		fmt.Fprintf(&b, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.1fs\n", r.pkg, r.view, r.count("pass"), r.count("fail"), knownFails,
			len(r.ends), r.count("skip"), r.seconds)
		pass, fail, skip = pass+r.count("pass"), fail+r.count("fail"), skip+r.count("skip")
		listed, out, seconds = listed+knownFails, out+len(r.ends), seconds+r.seconds
	}
	fmt.Fprintf(&b, "total\t\t%d\t%d\t%d\t%d\t%d\t%.1fs\n", pass, fail, listed, out, skip, seconds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	w.Write([]byte(b.String()))
	return w.Flush()
}
