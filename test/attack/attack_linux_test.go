package attack

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/guest/wasm/wasip1"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

var update = flag.Bool("update", false, "write ATTEMPTS.md")

// attempt is one way to get what is not granted.
type attempt struct {
	name, tries string
	grants      []string // "write data", "read data:/d", "deny data/secret"; paths are beneath the tree
	unprotect   []string
	policy      string                         // in the Cedar language, or builtin:NAME
	host        func(t testing.TB, top string) // prepares the tree
	calls       []string                       // TOP stands for the tree, STATE for the state directory
	// answers are the errors, a word for each call: OK, EPERM, "EPERM|ENOENT" for
	// either, "-" for any.
	answers string
	// gone is what is taken away for a second run: the answers must not differ.
	gone []string
	// free are names in the tree that the attempt may change although others may not.
	free []string
	// bare is what the same calls show on the host itself: leaks, changes, or tells.
	// Anything else is the reason why they cannot be made there.
	bare string
}

// class is attempts of a kind.
type class struct {
	name     string
	attempts []attempt
}

func classes() []class {
	return []class{traversal, symlinks, hardLinks, renames, protected, denies, policies, nodes, descriptors, memory, overlays, tells}
}

// house is what the attempts share: a kernel and the guest.
type house struct {
	k     *agentos.Kernel
	image []byte
}

func TestMain(m *testing.M) {
	agentos.Helper()
	os.Exit(m.Run())
}

func open(t testing.TB) *house {
	t.Helper()
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	image, err := os.ReadFile(out)
	must(t, err)
	k, err := agentos.Open(agentos.Config{State: filepath.Join(dir, "state")})
	must(t, err)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
	})
	return &house{k, image}
}

// TestAttack makes every attempt, and makes it again where nothing protects.
func TestAttack(t *testing.T) {
	h := open(t)
	for _, c := range classes() {
		for i := range c.attempts {
			a := &c.attempts[i]
			t.Run(c.name+"/"+a.name, func(t *testing.T) {
				h.holds(t, a)
				a.works(t)
			})
		}
	}
}

// outcome is what a run of an attempt showed.
type outcome struct {
	answers []string // error and text of each call
	errnos  []string
	out     string
	before  string // the digest
	after   string
	report  *agentos.Report
}

// guarded makes the attempt as a guest.
func (h *house) guarded(t testing.TB, a *attempt, top string) outcome {
	t.Helper()
	spec := agentos.Spec{Program: "attack.wasm", Image: h.image, Args: a.spelled(top, h.k.StateDir().Path()), Limits: agentos.Limits{Timeout: time.Minute}}
	for _, g := range a.grants {
		spec.Grants = append(spec.Grants, grant(t, top, g))
	}
	switch {
	case strings.HasPrefix(a.policy, "builtin:"):
		spec.Policies = []agentos.Policy{{Name: a.policy}}
	case a.policy != "":
		spec.Policies = []agentos.Policy{{Name: "attack.cedar", Text: []byte(a.policy)}}
	}
	for _, u := range a.unprotect {
		spec.Unprotect = append(spec.Unprotect, filepath.Join(top, u))
	}
	before := digest(t, top, a.keeps())
	r, out := h.run(t, spec)
	after := digest(t, top, a.keeps())
	if r.Cause != "exited" || r.ExitCode != 0 {
		t.Fatalf("the guest ended by %s %d (%s): %s", r.Cause, r.ExitCode, r.Detail, out)
	}
	o := parse(t, out)
	o.before, o.after, o.report = before, after, r
	return o
}

// parse reads what the guest printed.
func parse(t testing.TB, out string) outcome {
	t.Helper()
	o := outcome{out: out}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		f := strings.SplitN(line, " ", 3)
		if len(f) != 3 || f[0] != strconv.Itoa(i) {
			t.Fatalf("line %d: %s", i, line)
		}
		o.errnos = append(o.errnos, errnoName(t, f[1]))
		o.answers = append(o.answers, f[1]+" "+f[2])
	}
	return o
}

func (h *house) run(t testing.TB, spec agentos.Spec) (*agentos.Report, string) {
	t.Helper()
	var out bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &out
	r, err := h.k.Run(t.Context(), spec)
	must(t, err)
	if len(r.Cleanup.Errors) > 0 {
		t.Errorf("cleanup: %v", r.Cleanup.Errors)
	}
	return r, out.String()
}

// holds fails the test if the attempt got anything.
func (h *house) holds(t *testing.T, a *attempt) {
	top := a.tree(t)
	o := h.guarded(t, a, top)
	if strings.Contains(o.out, canary) {
		t.Errorf("the secret came out:\n%s", o.out)
	}
	if o.before != o.after {
		t.Errorf("changed:\n%s", differing(o.before, o.after))
	}
	want := strings.Fields(a.answers)
	if len(want) != len(a.calls) {
		t.Fatalf("%d answers for %d calls", len(want), len(a.calls))
	}
	for i, w := range want {
		if w != "-" && !strings.Contains("|"+w+"|", "|"+o.errnos[i]+"|") {
			t.Errorf("%s: %s, want %s", a.calls[i], o.answers[i]+" "+o.errnos[i], w)
		}
	}
	if len(a.gone) == 0 {
		return
	}
	other := a.tree(t)
	a.without(t, other)
	if p := h.guarded(t, a, other); !same(t, o.answers, p.answers, top, other) {
		t.Errorf("with it:    %q\nwithout it: %q", o.answers, p.answers)
	}
}

// differing are the lines that are in one digest only.
func differing(before, after string) string {
	var b strings.Builder
	for l := range strings.Lines(before) {
		if !strings.Contains(after, l) {
			b.WriteString("- " + l)
		}
	}
	for l := range strings.Lines(after) {
		if !strings.Contains(before, l) {
			b.WriteString("+ " + l)
		}
	}
	return b.String()
}

// same compares answers in which the trees' own names may stand.
func same(t testing.TB, a, b []string, top, other string) bool {
	t.Helper()
	return strings.ReplaceAll(strings.Join(a, "\n"), top, "TOP") == strings.ReplaceAll(strings.Join(b, "\n"), other, "TOP")
}

// works fails the test if the attempt gets nothing where nothing protects.
func (a *attempt) works(t *testing.T) {
	if a.bare == "" {
		t.Fatal("it does not say what it shows without protection")
	}
	run := func(prepare func(testing.TB, string)) (answers []string, leaks, changes bool, top string) {
		top = a.tree(t)
		prepare(t, top)
		before := digest(t, top, a.keeps())
		answers = naked(t, a.directories(t, top), a.spelled(top, ""))
		return answers, strings.Contains(strings.Join(answers, "\n"), canary), digest(t, top, a.keeps()) != before, top
	}
	nothing := func(testing.TB, string) {}
	switch a.bare {
	case "leaks":
		if answers, leaks, _, _ := run(nothing); !leaks {
			t.Errorf("without protection the secret does not come out: %q", answers)
		}
	case "changes":
		if answers, _, changes, _ := run(nothing); !changes {
			t.Errorf("without protection nothing is changed: %q", answers)
		}
	case "tells":
		with, _, _, top := run(nothing)
		without, _, _, other := run(a.without)
		if same(t, with, without, top, other) {
			t.Errorf("without protection the answers are the same: %q", with)
		}
	}
}

// tree plants and prepares.
func (a *attempt) tree(t testing.TB) string {
	t.Helper()
	top := plant(t)
	if a.host != nil {
		a.host(t, top)
	}
	return top
}

func (a *attempt) without(t testing.TB, top string) {
	t.Helper()
	for _, g := range a.gone {
		must(t, os.RemoveAll(filepath.Join(top, g)))
	}
}

// spelled are the calls with the names of the tree and the state directory in them.
func (a *attempt) spelled(top, state string) (calls []string) {
	names := strings.NewReplacer("TOP", top, "STATE", state)
	for _, c := range a.calls {
		calls = append(calls, names.Replace(c))
	}
	return calls
}

// keeps are the names that must not change.
func (a *attempt) keeps() (names []string) {
	writes := false
	for _, g := range a.grants {
		writes = writes || strings.HasPrefix(g, "write ")
	}
	if !writes {
		return []string{"outside", "data", "other"}
	}
	free := " " + strings.Join(a.free, " ") + " "
	for _, k := range kept {
		if !strings.Contains(free, " "+k+" ") {
			names = append(names, k)
		}
	}
	return names
}

func grant(t testing.TB, top, g string) agentos.Grant {
	t.Helper()
	kind, p, _ := strings.Cut(g, " ")
	host, guest, mapped := strings.Cut(p, ":")
	kinds := map[string]agentos.GrantKind{"read": agentos.GrantRead, "write": agentos.GrantWrite, "deny": agentos.GrantDeny, "overlay": agentos.GrantOverlay}
	k, ok := kinds[kind]
	if !ok {
		t.Fatalf("no grant %q", g)
	}
	if !filepath.IsAbs(host) {
		host = filepath.Join(top, host)
	}
	if !mapped {
		guest = ""
	}
	return agentos.Grant{Kind: k, Host: host, Guest: guest}
}

// directories are the host's that stand behind the guest's descriptors from 3 on.
func (a *attempt) directories(t testing.TB, top string) (dirs []string) {
	t.Helper()
	for _, g := range a.grants {
		g := grant(t, top, g)
		if g.Kind == agentos.GrantDeny {
			continue
		}
		if st, err := os.Stat(g.Host); err == nil && !st.IsDir() {
			g.Host = filepath.Dir(g.Host)
		}
		dirs = append(dirs, g.Host)
	}
	return append(dirs, top, top, "/") // in the place of /tmp and /dev, and the root
}

// errnoName names an error of WASI.
func errnoName(t testing.TB, number string) string {
	t.Helper()
	n, err := strconv.Atoi(number)
	must(t, err)
	for e := abi.OK; e < abi.NumErrnos; e++ {
		if int(wasip1.Errno(e)) == n {
			return e.String()
		}
	}
	return fmt.Sprint("error ", n)
}
