package cedar

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

var someone = &perm.Principal{Program: "/usr/bin/git", Name: "work", Domain: "wasm", Run: "01a"}

func load(t testing.TB, o Options, texts ...string) *Engine {
	t.Helper()
	var sources []Source
	for i, text := range texts {
		sources = append(sources, Source{Name: fmt.Sprintf("p%d.cedar", i), Text: []byte(text)})
	}
	e, err := Load(sources, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func file(a abi.Action, path string) *perm.Query {
	return &perm.Query{Action: a, Target: perm.TargetFile, Path: path, Guest: path}
}

func TestDecide(t *testing.T) {
	const ssh = `@id("no-ssh") forbid(principal, action, resource is AgentOS::File) when { resource.path like "*/.ssh/*" };`
	endpoint := func(host, addr string, port uint16) *perm.Query {
		q := &perm.Query{Action: abi.ActConnect, Target: perm.TargetEndpoint, Host: host, Port: port}
		if addr != "" {
			q.Address = netip.MustParseAddr(addr)
		}
		return q
	}
	for _, test := range []struct {
		name string
		o    Options
		text string
		q    *perm.Query
		rule string // "" allows
	}{
		{"nothing forbids", Options{}, ssh, file(abi.ActRead, "/home/a/x"), ""},
		{"forbid", Options{}, ssh, file(abi.ActRead, "/home/a/.ssh/id"), "forbid no-ssh at p0.cedar:1"},
		{"forbid of a change", Options{}, ssh, file(abi.ActCreate, "/home/a/.ssh/id"), "forbid no-ssh at p0.cedar:1"},
		{"forbid beats permit", Options{}, "permit(principal, action, resource);\n" + ssh, file(abi.ActRead, "/r/.ssh/x"), "forbid no-ssh at p0.cedar:2"},
		{"only one action", Options{}, `forbid(principal, action == AgentOS::Action::"write", resource);`, file(abi.ActRead, "/x"), ""},
		{"that action", Options{}, `forbid(principal, action == AgentOS::Action::"write", resource);`, file(abi.ActWrite, "/x"), "forbid at p0.cedar:1"},
		{"by program", Options{}, `forbid(principal, action, resource) when { principal.program like "*/git" };`, file(abi.ActRead, "/x"), "forbid at p0.cedar:1"},
		{"by another program", Options{}, `forbid(principal, action, resource) when { principal.program like "*/curl" };`, file(abi.ActRead, "/x"), ""},
		{"by uid", Options{}, `forbid(principal, action, resource == AgentOS::File::"/etc/passwd");`, file(abi.ActRead, "/etc/passwd"), "forbid at p0.cedar:1"},
		{"default deny", Options{DefaultDeny: true}, `permit(principal, action, resource is AgentOS::File) when { resource.path like "/w/*" };`, file(abi.ActRead, "/x"), "no policy permits it"},
		{"default deny, permitted", Options{DefaultDeny: true}, `permit(principal, action, resource is AgentOS::File) when { resource.path like "/w/*" };`, file(abi.ActRead, "/w/x"), ""},
		{"default deny, nothing loaded", Options{DefaultDeny: true}, "", file(abi.ActRead, "/x"), "no policy permits it"},
		{"failure refuses", Options{}, `forbid(principal, action, resource) when { principal.name == "other" && 9223372036854775807 + 1 == 0 };`, file(abi.ActRead, "/x"), ""},
		{"failure of a permit refuses", Options{}, `permit(principal, action, resource) when { 9223372036854775807 + 1 == 0 };`, file(abi.ActRead, "/x"), "permit at p0.cedar:1, which could not be evaluated"},
		{"address", Options{}, `forbid(principal, action == AgentOS::Action::"connect", resource) when { resource.address.isInRange(ip("169.254.0.0/16")) };`, endpoint("meta", "169.254.169.254", 80), "forbid at p0.cedar:1"},
		{"mapped address", Options{}, `forbid(principal, action == AgentOS::Action::"connect", resource) when { resource.address.isInRange(ip("169.254.0.0/16")) };`, endpoint("", "::ffff:169.254.169.254", 80), "forbid at p0.cedar:1"},
		{"no address", Options{}, `forbid(principal, action == AgentOS::Action::"connect", resource) when { resource.address.isInRange(ip("169.254.0.0/16")) };`, endpoint("meta", "", 80), "forbid at p0.cedar:1, which could not be evaluated"},
		{"port", Options{}, `forbid(principal, action, resource is AgentOS::Endpoint) unless { resource.port == 443 };`, endpoint("a.example", "192.0.2.1", 80), "forbid at p0.cedar:1"},
		{"program", Options{}, `forbid(principal, action == AgentOS::Action::"execute", resource is AgentOS::Program) when { resource.argv.contains("--force") };`,
			&perm.Query{Action: abi.ActExecute, Target: perm.TargetProgram, Path: "/usr/bin/git", Argv: []string{"git", "push", "--force"}}, "forbid at p0.cedar:1"},
		{"variable", Options{}, `forbid(principal, action == AgentOS::Action::"env", resource is AgentOS::Variable) when { resource.name like "*TOKEN*" };`,
			&perm.Query{Action: abi.ActEnv, Target: perm.TargetVariable, Name: "MY_TOKEN"}, "forbid at p0.cedar:1"},
		{"oneself", Options{}, `forbid(principal, action == AgentOS::Action::"signal", resource) unless { principal == resource };`,
			&perm.Query{Action: abi.ActSignal, Target: perm.TargetProcess}, ""},
		{"clock", Options{}, `forbid(principal, action == AgentOS::Action::"clock", resource);`, &perm.Query{Action: abi.ActClock, Target: perm.TargetHost}, "forbid at p0.cedar:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := load(t, test.o, test.text)
			v := e.Decide(someone, test.q)
			if v.Allow != (test.rule == "") || !strings.HasPrefix(v.Rule, test.rule) {
				t.Errorf("%+v, want rule %q", v, test.rule)
			}
			if w := e.decideWhole(someone, test.q); w != v {
				t.Errorf("%+v with a slice, %+v without", v, w)
			}
		})
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		text, problem, fix string
		line               int
	}{
		{"\nforbid(principal, action, resource", "", "", 2},
		{"forbid(principal, action, resource is AgentOS::Fiel);", "no type AgentOS::Fiel", "did you mean AgentOS::File?", 1},
		{"\n\nforbid(principal, action == AgentOS::Action::\"reed\", resource);", "no action reed", "did you mean read?", 3},
		{"forbid(principal, action == Action::\"read\", resource);", "no type of actions Action", "known are AgentOS::Action", 1},
		{"forbid(principal, action, resource is AgentOS::File) when { resource.pth like \"x\" };", "attribute pth", "did you mean path?", 1},
		{"forbid(principal, action, resource is AgentOS::File) when { resource.port == 1 };", "attribute `port`", "", 1},
		{"forbid(principal, action, resource is AgentOS::File) when { resource.path > 3 };", "unexpected type", "", 1},
		{"forbid(principal, action, resource) when { context.time > 3 };", "policies have no context", "principal and resource", 1},
		{"forbid(principal, action == AgentOS::Action::\"read\", resource is AgentOS::Endpoint);", "unable to find an applicable action", "", 1},
	} {
		_, err := Load([]Source{{"x.cedar", []byte(test.text)}}, Options{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if e.File != "x.cedar" || e.Line != test.line || !strings.Contains(e.Problem, test.problem) || !strings.Contains(e.Fix, test.fix) {
			t.Errorf("%q: %+v", test.text, e)
		}
	}
	// Everything that is wrong is said at once.
	_, err := Load([]Source{{"a", []byte("forbid(")}, {"b", []byte("forbid(principal, action, resource is AgentOS::X);")}}, Options{})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
}

// TestSchemaIsWhole: every action that an operation can have is one of policies, and
// back.
func TestSchemaIsWhole(t *testing.T) {
	for a := range abi.NumActions {
		if (len(targets[a]) == 0) != (a == abi.ActNone) {
			t.Errorf("action %s is done to %v", a, targets[a])
		}
	}
	for _, row := range abi.Rows() {
		if row.Action != abi.ActNone && len(targets[row.Action]) == 0 {
			t.Errorf("%s", row.Name)
		}
	}
	load(t, Options{}, "forbid(principal, action, resource);")
}

// words for policies and paths that are made up; few, so that they meet.
var (
	dirs  = []string{"/home", "/w", "/etc", "/", "/home/a", "/w/x"}
	names = []string{"a", ".ssh", "x", "*", `\*`, "key"}
)

func randomPolicy(r *rand.Rand) string {
	path := func() string {
		p := dirs[r.IntN(len(dirs))]
		for range r.IntN(3) {
			p = strings.TrimSuffix(p, "/") + "/" + names[r.IntN(len(names))]
		}
		if r.IntN(3) == 0 {
			p = "*" + p
		}
		return p
	}
	var cond func(depth int) string
	cond = func(depth int) string {
		switch r.IntN(8 - 2*depth) {
		case 0, 1:
			return fmt.Sprintf(`resource.path like "%s"`, path())
		case 2:
			return fmt.Sprintf(`"%s" == resource.path`, strings.ReplaceAll(path(), `\*`, "q"))
		case 3:
			return `principal.name == "work"`
		case 4:
			return "9223372036854775807 + 1 == 0" // fails
		case 5:
			return "!(" + cond(depth+1) + ")"
		case 6:
			return "(" + cond(depth+1) + " && " + cond(depth+1) + ")"
		default:
			return "(" + cond(depth+1) + " || " + cond(depth+1) + ")"
		}
	}
	effect := []string{"forbid", "forbid", "permit"}[r.IntN(3)]
	action := []string{"action", `action == AgentOS::Action::"read"`, `action in [AgentOS::Action::"write", AgentOS::Action::"list"]`}[r.IntN(3)]
	when := []string{"when", "when", "unless"}[r.IntN(3)]
	return fmt.Sprintf("%s(principal, %s, resource is AgentOS::File) %s { %s };\n", effect, action, when, cond(0))
}

// TestSlicesChangeNothing compares decisions by slices with those by all policies.
func TestSlicesChangeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			b.WriteString(randomPolicy(r))
		}
		e := load(t, Options{DefaultDeny: r.IntN(2) == 0}, b.String())
		for range 40 {
			p := dirs[r.IntN(len(dirs))]
			for range r.IntN(4) {
				p = strings.TrimSuffix(p, "/") + "/" + strings.ReplaceAll(names[r.IntN(len(names))], `\`, "")
			}
			q := file([]abi.Action{abi.ActRead, abi.ActWrite, abi.ActList, abi.ActDelete}[r.IntN(4)], p)
			if got, want := e.Decide(someone, q), e.decideWhole(someone, q); got != want {
				t.Fatalf("%s of %s by\n%s\n%+v with slices, %+v without", q.Action, q.Path, b.String(), got, want)
			}
		}
	}
}
