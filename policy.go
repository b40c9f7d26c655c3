package agentos

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/perm/cedar"
)

// Policy is a file of policies in the Cedar language, which can only refuse what the
// grants allow. See docs/POLICIES.md.
type Policy struct {
	// Name is a host path, or builtin: and the name of one that comes with AgentOS.
	// With Text it is only what messages call it.
	Name string
	Text []byte
}

// builtin begins the names of policies that come with AgentOS.
const builtin = "builtin:"

// maxPolicy bounds a file of policies, in bytes.
const maxPolicy = 4 << 20

// source reads the policy.
func (p *Policy) source() (cedar.Source, error) {
	if p.Text != nil {
		return cedar.Source{Name: p.Name, Text: p.Text}, nil
	}
	if name, ok := strings.CutPrefix(p.Name, builtin); ok {
		return cedar.Builtin(name)
	}
	st, err := os.Stat(p.Name)
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("is not a file")
	}
	if err == nil && st.Size() > maxPolicy {
		err = fmt.Errorf("has %d bytes, and a file of policies may have %d", st.Size(), maxPolicy)
	}
	if err != nil {
		return cedar.Source{}, err
	}
	text, err := os.ReadFile(p.Name)
	return cedar.Source{Name: p.Name, Text: text}, err
}

// CheckPolicies loads policies as a run would and returns one line about each file. The
// error is a *StartError that says all that is wrong.
func CheckPolicies(policies []Policy) ([]string, error) {
	e, err := loadPolicies(policies, false)
	if err != nil || e == nil {
		return nil, err
	}
	return e.Describe(), nil
}

// loadPolicies returns nil if there is nothing to decide.
func loadPolicies(policies []Policy, defaultDeny bool) (*cedar.Engine, error) {
	if len(policies) == 0 && !defaultDeny {
		return nil, nil
	}
	sources := make([]cedar.Source, 0, len(policies))
	for i := range policies {
		s, err := policies[i].source()
		if err != nil {
			return nil, policyError(policies[i].Name, err)
		}
		sources = append(sources, s)
	}
	e, err := cedar.Load(sources, cedar.Options{DefaultDeny: defaultDeny})
	if err != nil {
		return nil, policyError("", err)
	}
	return e, nil
}

// policyError says what is wrong with policies: the first thing as the place, problem,
// and remedy, the others behind it.
func policyError(name string, err error) *StartError {
	const remedy = "agentos policy check FILE checks without running anything; docs/POLICIES.md has the schema"
	var e *cedar.Error
	if !errors.As(err, &e) {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return refuse("POLICY-FILE", "--policy "+name, err.Error(), "name a file of policies, or builtin:NAME", err)
	}
	first, more, _ := strings.Cut(err.Error(), "\n")
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column)
	}
	problem := strings.TrimPrefix(first, where+": ")
	if more != "" {
		problem += "; and " + strings.ReplaceAll(more, "\n", "; ")
	}
	return refuse("POLICY-FILE", where, problem, remedy, err)
}

// bind makes the authority of a run and asks whether its policies let it start. It
// drops from env what they refuse.
func (p *Process) bind(v *view, engine *cedar.Engine, program string, env []string) (*perm.Authority, []string, error) {
	spec := &p.spec
	var e perm.Engine
	if engine != nil {
		e = engine
	}
	who := perm.Principal{Program: program, Name: spec.Name, Domain: p.domain, Run: p.run}
	a := perm.NewAuthority(who, v.subject(spec), e).Remember(p.k.config.DecisionCache.options())
	if engine == nil {
		return a, env, nil
	}
	start := perm.Query{Action: abi.ActExecute, Target: perm.TargetProgram, Path: program, Argv: append([]string{argv0(spec.Program)}, spec.Args...)}
	if d := a.Ask(&start); !d.Allow {
		return nil, nil, notRunnable("DENIED-POLICY", program, "a policy refuses to start it: "+d.Rule, "", nil)
	}
	for _, address := range spec.Listen {
		q, err := listenQuery(address)
		if err != nil {
			return nil, nil, err
		}
		if d := a.Ask(q); !d.Allow {
			return nil, nil, notRunnable("DENIED-POLICY", "--listen "+address, "a policy refuses it: "+d.Rule, "", nil)
		}
	}
	kept := make([]string, 0, len(env))
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		d := a.Ask(&perm.Query{Action: abi.ActEnv, Target: perm.TargetVariable, Name: name})
		if d.Allow {
			kept = append(kept, kv)
			continue
		}
		p.denied.Add(perm.Denial{Nr: abi.SysEnviron, Via: "start", Layer: d.Layer, Reason: d.Reason, Rule: d.Rule, Requested: name, Errno: d.Errno})
	}
	return a, kept, nil
}

// listenQuery asks about an address that is listened on. One that is a name is not
// resolved: policies see the name.
func listenQuery(address string) (*perm.Query, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, refuse("USAGE", "--listen "+address, "is not an address and a port", "write ADDR:PORT", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, refuse("USAGE", "--listen "+address, "is not an address and a port", "write ADDR:PORT", err)
	}
	q := &perm.Query{Action: abi.ActListen, Target: perm.TargetEndpoint, Host: host, Port: uint16(n)}
	if host == "" {
		q.Address = netip.IPv6Unspecified()
	} else if addr, err := netip.ParseAddr(host); err == nil {
		q.Address = addr
	}
	return q, nil
}

// principalProgram is the host path of a program, by which policies know it.
func principalProgram(spec *Spec) string {
	p := spec.Program
	if spec.Image != nil && !filepath.IsAbs(p) {
		return p // a name and nothing else
	}
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		p = real
	}
	return p
}

// uncheckedNatively says which policies decide on calls that a native program makes
// without asking, "" if none does. The start of it and its environment are decided
// before it runs, and a network it does not have.
func uncheckedNatively(e *cedar.Engine) string {
	if e == nil {
		return ""
	}
	return e.Concerning(func(a abi.Action, t perm.Target) bool {
		return t != perm.TargetVariable && t != perm.TargetEndpoint && t != perm.TargetChannel && !(a == abi.ActExecute && t == perm.TargetProgram)
	})
}

// unenforcedPolicy is the sentence of a report.
func unenforcedPolicy(what string) string {
	return "--policy: decides only on the start and the environment of a native program, not on its calls: " + what
}
