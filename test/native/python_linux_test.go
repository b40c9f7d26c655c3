package native

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suites are CPython's own tests of what touches the system most.
var suites = []struct {
	module string
	full   bool // only with -native
}{
	{"test_tempfile", false},
	{"test_os", true},
	{"test_subprocess", true},
	{"test_sqlite3", true},
	{"test_multiprocessing_main_handling", true},
	{"test_multiprocessing_fork", true},
	{"test_multiprocessing_spawn", true},
	{"test_multiprocessing_forkserver", true},
}

// TestCPython runs them outside and inside: what passes outside passes inside, but for
// what testdata/known.txt lists.
func TestCPython(t *testing.T) {
	list, err := readKnown()
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	h.users(t, func(t *testing.T, u *user) {
		u.contained(t)
		for _, s := range suites {
			t.Run(s.module, func(t *testing.T) {
				if s.full && !*everything {
					t.Skip("with -native only")
				}
				u.suite(t, s.module, list)
			})
		}
	})
}

// interpreters are where a Python may be: Debian's has no tests of sqlite3 in any
// package, those that people build themselves do.
func (u *user) interpreters() []string {
	all := []string{"/usr/bin/python3", "/usr/local/bin/python3"}
	for _, pattern := range []string{"/root/.pyenv/versions/*/bin/python3", "/opt/*/bin/python3"} {
		if more, err := filepath.Glob(pattern); err == nil { // the pattern is right
			all = append(all, more...)
		}
	}
	return all
}

func (u *user) suite(t *testing.T, module string, list []known) {
	dir := u.work(t, nil)
	var python string
	for _, p := range u.interpreters() {
		if _, err := exec.LookPath(p); err != nil {
			continue
		}
		if err := u.command(t.Context(), dir, []string{p, "-c", "import test." + module}).Run(); err == nil {
			python = p
			break
		}
	}
	if python == "" {
		t.Skipf("NOT CHECKED: no Python with test.%s; bash .ci/run native installs Debian's", module)
	}
	argv := []string{python, "-m", "test", "--junit-xml", filepath.Join(dir, "result.xml"), module}
	o := u.outside(t, dir, argv)
	outside := results(t, dir, o)
	u.work(t, nil)
	flags := []string{"--toolchain", "--write", dir}
	o = u.inside(t, dir, flags, argv)
	inside := results(t, dir, o)

	wrong := differences(outside, inside)
	// Tests of processes wait for things that a busy machine is late with.
	var again []string
	for name, how := range wrong {
		if how == "fails" && !slices.ContainsFunc(list, func(k known) bool { return k.is(module, name, how, u.name) }) {
			again = append(again, "-m", name)
		}
	}
	if len(again) > 0 {
		t.Logf("once more, since they failed inside: %q", again)
		u.work(t, nil)
		second := results(t, dir, u.inside(t, dir, flags, slices.Concat(argv, again)))
		for name, status := range second {
			if status == passed {
				delete(wrong, name)
			}
		}
	}
	for _, k := range list {
		if k.module != module || k.user != "*" && k.user != u.name {
			continue
		}
		// A test may be missing from another release, and may not work outside either.
		if now, there := inside[k.test]; there && now == passed && outside[k.test] == passed {
			t.Errorf("known.txt: %s %s passes", k.module, k.test)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		if !slices.ContainsFunc(list, func(k known) bool { return k.is(module, name, wrong[name], u.name) }) {
			t.Errorf("%s passes outside and %s inside", name, wrong[name])
		}
	}
	t.Logf("%s of %s: %d tests, %d of them pass inside; not as outside: %v", module, python, len(inside), count(inside), wrong)
	if t.Failed() {
		t.Log(o)
	}
}

// The states of a test.
const (
	passed  = "passes"
	failed  = "fails"
	skipped = "skips"
)

func count(r map[string]string) (n int) {
	for _, s := range r {
		if s == passed {
			n++
		}
	}
	return n
}

// differences returns what passes outside and not inside.
func differences(outside, inside map[string]string) map[string]string {
	wrong := map[string]string{}
	for name, status := range outside {
		now, there := inside[name]
		if !there { // e.g. one that failed in a subtest, which has another name
			now = failed
		}
		if status == passed && now != passed {
			wrong[name] = now
		}
	}
	return wrong
}

// results reads what each test said. A suite that ran no tests is a failure.
func results(t *testing.T, dir string, o outcome) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "result.xml"))
	if err != nil {
		t.Fatalf("%v; %s", err, o)
	}
	all, err := parseResults(text)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d tests, %v; %s", len(all), err, o)
	}
	return all
}

func parseResults(text []byte) (map[string]string, error) {
	var r struct {
		Suites []struct {
			Cases []struct {
				Name    string    `xml:"name,attr"`
				Skipped *struct{} `xml:"skipped"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, s := range r.Suites {
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil || c.Error != nil:
				all[c.Name] = failed
			case c.Skipped != nil && all[c.Name] == "":
				all[c.Name] = skipped
			case all[c.Name] != failed:
				all[c.Name] = passed
			}
		}
	}
	return all, nil
}

// known is a line of testdata/known.txt.
type known struct{ module, test, how, user string }

func (k known) is(module, test, how, user string) bool {
	return k.module == module && k.test == test && k.how == how && (k.user == "*" || k.user == user)
}

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
		if len(f) != 5 || f[4] == "" || f[2] != failed && f[2] != skipped || !slices.Contains([]string{"root", "user", "*"}, f[3]) {
			return nil, fmt.Errorf("known.txt:%d: want MODULE TEST fails|skips root|user|* REASON", n+1)
		}
		list = append(list, known{f[0], f[1], f[2], f[3]})
	}
	return list, nil
}

// TestVerdicts holds the reading and the comparison of results.
func TestVerdicts(t *testing.T) {
	const form = `<testsuites><testsuite><testcase name="a"/><testcase name="b">%s</testcase><testcase name="c"><skipped>x</skipped></testcase></testsuite></testsuites>`
	outside, err := parseResults(fmt.Appendf(nil, form, ""))
	if err != nil || len(outside) != 3 || count(outside) != 2 {
		t.Fatalf("%v %v", outside, err)
	}
	for inner, how := range map[string]string{"": "", "<failure>x</failure>": failed, "<error>x</error>": failed, "<skipped>x</skipped>": skipped} {
		inside, err := parseResults(fmt.Appendf(nil, form, inner))
		if err != nil {
			t.Fatal(err)
		}
		if got := differences(outside, inside); got["b"] != how || len(got) > 1 {
			t.Errorf("%q: %v, want b %q", inner, got, how)
		}
	}
	if got := differences(outside, map[string]string{"a": passed}); got["b"] != failed {
		t.Errorf("%v", got)
	}
	if _, err := readKnown(); err != nil {
		t.Error(err)
	}
}
