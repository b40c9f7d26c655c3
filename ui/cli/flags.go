package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/manifest"
	"github.com/spf13/pflag"
)

// runFlags are the flags of `agentos run` as given, not yet joined with a
// manifest or the caller's surroundings.
type runFlags struct {
	grants     []agentos.Grant // Host as written
	env        []string        // KEY or KEY=VALUE
	allow      []abi.Capability
	unprotect  []string
	policies   []string // FILE or builtin:NAME
	denyPolicy bool     // --policy-default deny
	listen     []string // ADDR:PORT
	timeout    time.Duration
	cpuTime    time.Duration
	killAfter  time.Duration
	memory     uint64
	disk       uint64
	output     uint64
	files      int
	pids       int
	cpus       float64
	priority   int
	domain     string
	cwd        string
	name       string
	manifest   string
	report     string
	events     string
	onExit     string // keep, commit, discard, or "" for keep
	quiet      bool
	bestEffort bool
	audit      bool // --require-audit
	bare       bool
	toolchain  bool
	dryRun     bool
	json       bool
	tty, noTTY bool

	noNamespaces bool
	decisions    int // that a process's cache remembers; 0 is the default, negative none
}

// parsed is a pflag.Value that reads each occurrence with a function. Its
// sentences are the whole answer to a bad value.
type parsed struct {
	kind string
	set  func(string) error
}

func (p *parsed) String() string     { return "" }
func (p *parsed) Type() string       { return p.kind }
func (p *parsed) Set(s string) error { return p.set(s) }

// one makes a Value that keeps the last occurrence.
func one[T any](to *T, kind string, parse func(string) (T, error)) *parsed {
	return &parsed{kind, func(s string) error {
		v, err := parse(s)
		if err == nil {
			*to = v
		}
		return err
	}}
}

// many makes a Value that keeps every occurrence.
func many[T any](to *[]T, kind string, parse func(string) (T, error)) *parsed {
	return &parsed{kind, func(s string) error {
		v, err := parse(s)
		if err == nil {
			*to = append(*to, v)
		}
		return err
	}}
}

// grantOf parses the value of a grant's flag.
func grantOf(kind agentos.GrantKind) func(string) (agentos.Grant, error) {
	return func(s string) (agentos.Grant, error) {
		if kind == agentos.GrantDeny {
			host, err := manifest.ParseDenied(s)
			return agentos.Grant{Kind: kind, Host: host, Source: "flag"}, err
		}
		host, guest, err := manifest.ParseGrant(s)
		return agentos.Grant{Kind: kind, Host: host, Guest: guest, Source: "flag"}, err
	}
}

// registerGrants defines the flags that decisions depend on.
func (f *runFlags) registerGrants(fs *pflag.FlagSet) {
	fs.VarP(many(&f.grants, "HOST[:GUEST]", grantOf(agentos.GrantRead)), "read", "r", "grant reading and listing under a path")
	fs.VarP(many(&f.grants, "HOST[:GUEST]", grantOf(agentos.GrantWrite)), "write", "w", "grant reading, creating, changing, and deleting under a path")
	fs.Var(many(&f.grants, "HOST[:GUEST]", grantOf(agentos.GrantOverlay)), "overlay", "grant like --write, but capture the writes until they are committed")
	fs.Var(many(&f.grants, "PATH", grantOf(agentos.GrantDeny)), "deny", "nothing under this path, whatever else is granted")
	fs.Var(many(&f.unprotect, "PATH", parsePath), "unprotect", "lift the protection of a path inside a write grant")
	fs.Var(many(&f.policies, "FILE", parsePath), "policy", "policies in the Cedar language that bind the program, whatever is granted; or builtin:NAME (agentos policy list)")
	fs.Var(one(&f.denyPolicy, "allow|deny", manifest.ParsePolicyDefault), "policy-default", "what becomes of what no policy decides (default allow)")
	fs.Var(one(&f.cwd, "PATH", manifest.ParseGuestPath), "cwd", "working directory, as the program sees it")
	fs.Var(one(&f.domain, "DOMAIN", manifest.ParseDomain), "domain", "auto, wasm, or native (default auto)")
	fs.BoolVar(&f.bare, "bare", false, "without what a program otherwise has unasked")
	fs.Var(one(&f.name, "NAME", parseText), "name", "a label for people")
	fs.Var(one(&f.manifest, "FILE", parsePath), "manifest", "take grants and limits from a TOML file; flags add to it")
}

// registerEnv defines what else a program is given, and its most important bounds.
func (f *runFlags) registerEnv(fs *pflag.FlagSet) {
	fs.VarP(many(&f.env, "KEY[=VALUE]", parseVariable), "env", "e", "one environment variable; without =VALUE the caller's")
	fs.Var(many(&f.allow, "CAPABILITY", manifest.ParseCapability), "allow", "another capability, by its name in agentos syscalls")
	fs.Var(one(&f.timeout, "DURATION", manifest.ParseDuration), "timeout", "wall time, from creation (default none)")
	fs.Var(one(&f.memory, "SIZE", manifest.ParseSize), "memory", "memory (default half of the host's)")
	fs.BoolVar(&f.quiet, "quiet", false, "say nothing but errors")
}

// register defines the flags of run.
func (f *runFlags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	f.registerGrants(fs)
	f.registerEnv(fs)
	fs.Var(one(&f.onExit, "keep|commit|discard", parseOnExit), "on-exit", "what becomes of captured writes when the run ends (default keep)")
	fs.Var(many(&f.listen, "[ADDR:]PORT", manifest.ParseListen), "listen", "listen on a TCP port of this host (default address 127.0.0.1; port 0 is any free one)")
	fs.Var(one(&f.cpuTime, "DURATION", manifest.ParseDuration), "cpu-time", "processor time (default none)")
	fs.Var(one(&f.cpus, "N", manifest.ParseCPUs), "cpus", "processors (default all)")
	fs.Var(one(&f.pids, "N", manifest.ParseCount), "pids", "processes (default 1024)")
	fs.Var(one(&f.files, "N", manifest.ParseCount), "files", "open files (default 1024)")
	fs.Var(one(&f.disk, "SIZE", manifest.ParseSize), "disk", "private writable space (default 512M)")
	fs.Var(one(&f.output, "SIZE", manifest.ParseSize), "output", "standard output and error together (default none)")
	fs.Var(one(&f.priority, "0..10", manifest.ParsePriority), "priority", "0 (least) to 10 (default 5)")
	fs.Var(one(&f.killAfter, "DURATION", manifest.ParseDuration), "kill-after", "grace between TERM and KILL (default 2s)")
	fs.BoolVar(&f.toolchain, "toolchain", false, "grant reading of the installation that a native program belongs to")
	fs.BoolVar(&f.bestEffort, "best-effort", false, "run although a limit or protection cannot be enforced here")
	fs.BoolVar(&f.audit, "require-audit", false, "refuse the run if its audit log cannot be written, and end it when that becomes so")
	fs.BoolVar(&f.noNamespaces, "no-namespaces", false, "confine a native program as on a host without namespaces: by Landlock and seccomp only")
	fs.Var(one(&f.decisions, "N|off", parseDecisions), "decision-cache", "how many decisions the kernel remembers for each process (default 2048); no answer depends on it")
	fs.BoolVarP(&f.tty, "tty", "t", false, "insist on passing a terminal through")
	fs.BoolVarP(&f.noTTY, "no-tty", "T", false, "never pass a terminal through")
	fs.Var(one(&f.report, "FILE", parsePath), "report", "write the report, as JSON")
	fs.Var(one(&f.events, "FILE", parsePath), "events", "write every event, as JSON lines")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what the program would have, and run nothing")
	fs.BoolVar(&f.json, "json", false, "with --dry-run: as JSON")
}

func parseVariable(s string) (string, error) {
	key, _, _ := strings.Cut(s, "=")
	if p := manifest.CheckKey(key); p != "" {
		return "", fmt.Errorf("%q %s", s, p)
	}
	return parseText(s)
}

func parseText(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q has a zero byte", s)
	}
	return s, nil
}

func parseOnExit(s string) (string, error) {
	switch s {
	case "keep", "commit", "discard":
		return s, nil
	}
	return "", fmt.Errorf("%q is not one of keep, commit, and discard", s)
}

func parseDecisions(s string) (int, error) {
	if s == "off" {
		return -1, nil
	}
	return manifest.ParseCount(s)
}

func parsePath(s string) (string, error) {
	if s == "" {
		return "", errors.New("names no path; write one")
	}
	return parseText(s)
}

// surroundings are what the command line takes from its caller besides flags.
type surroundings struct {
	lookup func(string) (string, bool) // environment
	getwd  func() (string, error)
	note   func(string) // a line for people
}

// request is one run, joined from flags, manifest, and surroundings. The program
// is still a name: nothing has been looked up.
type request struct {
	spec agentos.Spec // Program as named by the caller
	from string       // where Program was named, for messages
}

// request joins flags, manifest, and surroundings; args are what stands after
// the flags. The manifest's grants come first.
func (f *runFlags) request(fs *pflag.FlagSet, args []string, s surroundings) (*request, error) {
	r := &request{}
	if f.manifest != "" {
		m, err := manifest.Load(f.manifest)
		if err != nil {
			return nil, manifestFailure(err)
		}
		r.take(m, s)
	}
	if err := f.addTo(&r.spec, fs, s); err != nil {
		return nil, err
	}
	if len(args) > 0 {
		r.spec.Program, r.spec.Args, r.from = args[0], args[1:], ""
	}
	if r.spec.Program == "" {
		return nil, refuse(CodeUsage, "run", "no program is named", "write agentos run [flags] PROGRAM [ARG…]")
	}
	if f.tty && f.noTTY {
		return nil, refuse(CodeUsage, "run", "-t and -T contradict each other", "give one of them")
	}
	if f.onExit != "" && !slices.ContainsFunc(r.spec.Grants, func(g agentos.Grant) bool { return g.Kind == agentos.GrantOverlay }) {
		return nil, refuse(CodeUsage, "--on-exit", "belongs to --overlay, and nothing is granted with that", "grant a directory with --overlay, or leave it out")
	}
	if f.json && !f.dryRun {
		return nil, refuse(CodeUsage, "--json", "goes with --dry-run only", "--report FILE writes a JSON report of a run")
	}
	return r, nil
}

// manifestFailure keeps place, problem, and fix of a manifest's error apart.
func manifestFailure(err error) *Failure {
	var e *manifest.Error
	if !errors.As(err, &e) {
		return refuse(CodeManifest, "--manifest", err.Error(), "")
	}
	return &Failure{Status: statusRefused, Code: CodeManifest, Where: e.Where(), Problem: e.Problem, Fix: e.Fix, Err: err}
}

// take fills the request from a manifest.
func (r *request) take(m *manifest.Manifest, s surroundings) {
	sp := &r.spec
	if m.Program.Set() {
		sp.Program = m.Program.V
		r.from = fmt.Sprintf("%s:%d:%d: program", m.File, m.Program.Line, m.Program.Column)
	}
	sp.Args = m.Args.V
	sp.Name, sp.Domain, sp.Dir = m.Name.V, m.Domain.V, m.Cwd.V
	sp.Bare, sp.Toolchain, sp.BestEffort, sp.KillAfter, sp.RequireAudit = m.Bare.V, m.Toolchain.V, m.BestEffort.V, m.KillAfter.V, m.RequireAudit.V
	for _, g := range m.Grants {
		kind := [...]agentos.GrantKind{manifest.Read: agentos.GrantRead, manifest.Write: agentos.GrantWrite, manifest.Deny: agentos.GrantDeny, manifest.Overlay: agentos.GrantOverlay}[g.Kind]
		sp.Grants = append(sp.Grants, agentos.Grant{Kind: kind, Host: g.Host, Guest: g.Guest, Source: g.Source()})
	}
	for _, v := range m.Env {
		value := v.Value
		if v.Inherit {
			var ok bool
			if value, ok = s.lookup(v.Key); !ok {
				s.note(fmt.Sprintf("%s:%d: inherit_env: %s is not set here, so the program does not have it", m.File, v.Line, v.Key))
				continue
			}
		}
		sp.Env = setVariable(sp.Env, v.Key, value)
	}
	for _, c := range m.Allow {
		sp.Allow = append(sp.Allow, c.V)
	}
	for _, p := range m.Policies {
		sp.Policies = append(sp.Policies, agentos.Policy{Name: p.V})
	}
	sp.PolicyDefaultDeny = m.PolicyDeny.V
	for _, p := range m.Unprotect {
		sp.Unprotect = append(sp.Unprotect, p.V)
	}
	for _, a := range m.Listen {
		sp.Listen, sp.ListenBy = append(sp.Listen, a.V), append(sp.ListenBy, a.Source())
	}
	l := m.Limits
	sp.Limits = agentos.Limits{
		Timeout: l.Timeout.V, CPUTime: l.CPUTime.V,
		Memory: l.Memory.V, Disk: l.Disk.V, Output: l.Output.V,
		Files: l.Files.V, Pids: l.Pids.V, CPUs: l.CPUs.V,
		Priority: l.Priority.V, PrioritySet: l.Priority.Set(),
	}
}

// addTo lays the flags over a spec: lists grow, single values replace.
func (f *runFlags) addTo(sp *agentos.Spec, fs *pflag.FlagSet, s surroundings) error {
	wd, wdErr := "", error(nil)
	abs := func(flag, p string) (string, error) {
		if filepath.IsAbs(p) {
			return filepath.Clean(p), nil
		}
		if wd == "" && wdErr == nil {
			wd, wdErr = s.getwd()
		}
		if wdErr != nil {
			return "", refuse(CodeUsage, flag+" "+p, "the current directory is not known: "+reason(wdErr), "write an absolute path")
		}
		return filepath.Join(wd, p), nil
	}
	for _, g := range f.grants {
		host, err := abs(g.Kind.Flag(), g.Host)
		if err != nil {
			return err
		}
		g.Host = host
		sp.Grants = append(sp.Grants, g)
	}
	for _, p := range f.unprotect {
		host, err := abs("--unprotect", p)
		if err != nil {
			return err
		}
		sp.Unprotect = append(sp.Unprotect, host)
	}
	for _, p := range f.policies {
		if !strings.HasPrefix(p, builtinPolicy) {
			var err error
			if p, err = abs("--policy", p); err != nil {
				return err
			}
		}
		sp.Policies = append(sp.Policies, agentos.Policy{Name: p})
	}
	sp.Listen = append(sp.Listen, f.listen...)
	for _, e := range f.env {
		key, value, given := strings.Cut(e, "=")
		if !given {
			var ok bool
			if value, ok = s.lookup(key); !ok {
				s.note("--env " + key + ": it is not set here, so the program does not have it")
				continue
			}
		}
		sp.Env = setVariable(sp.Env, key, value)
	}
	sp.Allow = append(sp.Allow, f.allow...)
	l := &sp.Limits
	for name, lay := range map[string]func(){
		"timeout":     func() { l.Timeout = f.timeout },
		"cpu-time":    func() { l.CPUTime = f.cpuTime },
		"cpus":        func() { l.CPUs = f.cpus },
		"memory":      func() { l.Memory = f.memory },
		"pids":        func() { l.Pids = f.pids },
		"files":       func() { l.Files = f.files },
		"disk":        func() { l.Disk = f.disk },
		"output":      func() { l.Output = f.output },
		"priority":    func() { l.Priority, l.PrioritySet = f.priority, true },
		"kill-after":  func() { sp.KillAfter = f.killAfter },
		"domain":      func() { sp.Domain = f.domain },
		"cwd":         func() { sp.Dir = f.cwd },
		"name":        func() { sp.Name = f.name },
		"bare":        func() { sp.Bare = f.bare },
		"toolchain":   func() { sp.Toolchain = f.toolchain },
		"best-effort": func() { sp.BestEffort = f.bestEffort },

		"require-audit":  func() { sp.RequireAudit = f.audit },
		"policy-default": func() { sp.PolicyDefaultDeny = f.denyPolicy },
	} {
		if fs.Changed(name) {
			lay()
		}
	}
	return nil
}

// setVariable sets KEY=VALUE in env, replacing an earlier one.
func setVariable(env []string, key, value string) []string {
	for i, e := range env {
		if k, _, _ := strings.Cut(e, "="); k == key {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

// reason is an error of the host without the operation and path that the
// message has already named.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	var se *os.SyscallError
	if errors.As(err, &se) {
		return se.Err.Error()
	}
	return err.Error()
}
