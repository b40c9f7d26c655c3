package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tinyModule is the least that readProgram takes for a program.
var tinyModule = []byte("\x00asm\x01\x00\x00\x00")

// fakeKernel runs nothing and records what it was asked.
type fakeKernel struct {
	spec     agentos.Spec
	report   agentos.Report
	startErr error
	waitErr  error
	degraded []string
	closed   bool

	signals []abi.Signal
	killed  bool
}

func (k *fakeKernel) Start(ctx context.Context, s agentos.Spec) (process, error) {
	k.spec = s
	if k.startErr != nil {
		return nil, k.startErr
	}
	return k, nil
}
func (k *fakeKernel) Ask(agentos.Spec, abi.Action, string) (*agentos.Explanation, error) {
	return nil, k.startErr
}

func (k *fakeKernel) Plan(s agentos.Spec) (*agentos.Plan, error) {
	k.spec = s
	return &agentos.Plan{Program: s.Program, Domain: "wasm"}, k.startErr
}
func (k *fakeKernel) Degraded() []string { return k.degraded }
func (k *fakeKernel) Close() error       { k.closed = true; return nil }
func (k *fakeKernel) Run() string        { return "01run" }
func (k *fakeKernel) Wait(context.Context) (*agentos.Report, error) {
	return &k.report, k.waitErr
}
func (k *fakeKernel) Signal(s abi.Signal) error { k.signals = append(k.signals, s); return nil }
func (k *fakeKernel) Listening() []string       { return nil }
func (k *fakeKernel) Kill() error               { k.killed = true; return nil }
func (k *fakeKernel) Stop() error               { return nil }
func (k *fakeKernel) Continue() error           { return nil }
func (k *fakeKernel) Resize(uint16, uint16)     {}

// result is what one run of the tool did.
type result struct {
	status      int
	out, stderr string
}

// runTool executes the command line against k, in an empty environment.
func runTool(t *testing.T, k *fakeKernel, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"AGENTOS_STATE": filepath.Join(t.TempDir(), "state"), "GIVEN": "caller's"}
	status := execute(Caller{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
	}, func(agentos.Config) (kernel, error) { return k, nil })
	return result{status, out.String(), errs.String()}
}

// programFile writes a file that looks like a module.
func programFile(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "p.wasm")
	if err := os.WriteFile(p, tinyModule, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRunPassesTheSpec(t *testing.T) {
	p := programFile(t)
	k := &fakeKernel{report: agentos.Report{Cause: "exited", ExitCode: 7}}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	r := runTool(t, k, "run", "-r", "a:/a", "-w", "/b/../c", "--deny", `x\:y`, "-e", "GIVEN", "-e", "K=v", "-e", "K=w", "--allow", "info",
		"--unprotect", "u", "--cwd", "/a", "--timeout", "1s", "--cpu-time", "2s", "--cpus", "2", "--memory", "64M", "--pids", "3", "--files", "4",
		"--disk", "1K", "--output", "2K", "--priority", "0", "--kill-after", "5s", "--domain", "wasm", "--bare", "--best-effort", "--name", "n",
		p, "--read", "x", "-q")
	if r.status != 7 || r.stderr != "" || r.out != "" || !k.closed {
		t.Errorf("got %+v, closed %v", r, k.closed)
	}
	s := k.spec
	wantGrants := []agentos.Grant{
		{Kind: agentos.GrantRead, Host: filepath.Join(wd, "a"), Guest: "/a", Source: "flag"},
		{Kind: agentos.GrantWrite, Host: "/c", Source: "flag"},
		{Kind: agentos.GrantDeny, Host: filepath.Join(wd, "x:y"), Source: "flag"},
	}
	check := func(what string, got, want any) {
		t.Helper()
		g, err1 := json.Marshal(got)
		w, err2 := json.Marshal(want)
		if err1 != nil || err2 != nil || string(g) != string(w) {
			t.Errorf("%s: got %s, want %s", what, g, w)
		}
	}
	check("grants", s.Grants, wantGrants)
	check("env", s.Env, []string{"GIVEN=caller's", "K=w"})
	check("args", s.Args, []string{"--read", "x", "-q"})
	check("allow", s.Allow, []abi.Capability{abi.CapInfo})
	check("unprotect", s.Unprotect, []string{filepath.Join(wd, "u")})
	check("limits", s.Limits, agentos.Limits{Timeout: 1e9, CPUTime: 2e9, CPUs: 2, Memory: 64 << 20, Pids: 3, Files: 4, Disk: 1 << 10, Output: 2 << 10, PrioritySet: true})
	check("rest", []any{s.Program, s.Dir, s.KillAfter, s.Domain, s.Bare, s.BestEffort, s.Name, s.Image}, []any{p, "/a", 5e9, "wasm", true, true, "n", tinyModule})
}

func TestManifestAndFlagsJoin(t *testing.T) {
	p := programFile(t)
	dir := filepath.Dir(p)
	m := filepath.Join(dir, "m.toml")
	doc := "version = 1\nprogram = \"./p.wasm\"\nargs = [\"a\"]\nname = \"from manifest\"\nread = [\"one\"]\ninherit_env = [\"GIVEN\", \"UNSET\"]\nbest_effort = true\n[env]\nK = \"m\"\n[limits]\ntimeout = \"9s\"\npriority = 0\n"
	if err := os.WriteFile(m, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &fakeKernel{report: agentos.Report{Cause: "exited"}}
	r := runTool(t, k, "run", "--manifest", m, "-e", "K=flag", "--timeout", "1s", "-r", "/two")
	if r.status != 0 || !strings.Contains(r.stderr, "m.toml:6: inherit_env: UNSET is not set here") {
		t.Errorf("got %+v", r)
	}
	s := k.spec
	if s.Program != p || len(s.Args) != 1 || s.Name != "from manifest" || !s.BestEffort || s.Limits.Timeout != 1e9 || !s.Limits.PrioritySet {
		t.Errorf("spec %+v", s)
	}
	if len(s.Grants) != 2 || s.Grants[0].Source != "manifest:5" || s.Grants[0].Host != filepath.Join(dir, "one") || s.Grants[1].Source != "flag" {
		t.Errorf("grants %+v", s.Grants)
	}
	if strings.Join(s.Env, ",") != "GIVEN=caller's,K=flag" {
		t.Errorf("env %q", s.Env)
	}
	// PROGRAM replaces the manifest's program and arguments.
	other := programFile(t)
	if r := runTool(t, k, "run", "--manifest", m, "--best-effort=false", other); r.status != 0 || k.spec.Program != other || len(k.spec.Args) != 0 || k.spec.BestEffort {
		t.Errorf("got %+v, %+v", r, k.spec)
	}
}

// TestCauses holds that every way to end but a plain exit has its line, that the
// status is the report's, and that --quiet leaves the line.
func TestCauses(t *testing.T) {
	p := programFile(t)
	limits := agentos.Limits{Timeout: 1e9, CPUTime: 1e9, Memory: 1 << 20, Output: 1 << 10}
	seen := map[string]abi.Cause{}
	for c := abi.CauseNone + 1; c < abi.NumCauses; c++ {
		rep := agentos.Report{Cause: c.String(), ExitCode: 100 + int(c), Signal: 15, Detail: "why", Backtrace: []string{"main.f"}}
		line := causeLine(&rep, &limits)
		if (line == "") != (c == abi.CauseExited) || strings.HasPrefix(line, "ended: ") {
			t.Errorf("%s: line %q", c, line)
		}
		if d, dup := seen[line]; dup {
			t.Errorf("%s and %s have one line: %q", c, d, line)
		}
		seen[line] = c
		k := &fakeKernel{report: rep}
		r := runTool(t, k, "run", "--quiet", p)
		if r.status != rep.ExitCode || (r.stderr == "") != (c == abi.CauseExited) {
			t.Errorf("%s: %+v", c, r)
		}
		if at := strings.Contains(r.stderr, "agentos:   at main.f\n"); at != (c == abi.CauseFault || c == abi.CauseKernelError) {
			t.Errorf("%s, backtrace %v: %q", c, at, r.stderr)
		}
	}
	if line := causeLine(&agentos.Report{Cause: "from the future", Detail: "x"}, &limits); line != "ended: from the future: x" {
		t.Errorf("unknown cause: %q", line)
	}
}

func TestDenials(t *testing.T) {
	p := programFile(t)
	k := &fakeKernel{report: agentos.Report{Cause: "exited", Degraded: []string{"cache: gone"}}, degraded: []string{"cache: gone"}}
	for range maxLines + 5 {
		k.report.Denials = append(k.report.Denials, agentos.Denial{Syscall: "open", Requested: "etc/\x1b[2Jx", Canonical: "/etc/\x1b[2Jx", Grant: "--read /etc/x", Errno: "ENOENT", Code: "AGENTOS-DENIED-HIDDEN", Count: 2})
	}
	r := runTool(t, k, "run", p)
	if n := strings.Count(r.stderr, "denied open"); n != maxLines {
		t.Errorf("%d denials, want %d", n, maxLines)
	}
	if n := strings.Count(r.stderr, "cache: gone"); n != 1 {
		t.Errorf("what is missing is said %d times", n)
	}
	want := `agentos: denied open /etc/\x1b[2Jx (2 times): ENOENT; --read /etc/x would allow it [AGENTOS-DENIED-HIDDEN]` + "\n"
	if !strings.Contains(r.stderr, want) || strings.ContainsRune(r.stderr, 0x1b) || !strings.Contains(r.stderr, "5 more kinds") {
		t.Errorf("got %q, want %q in it", r.stderr, want)
	}
	if r := runTool(t, k, "run", "--quiet", p); r.stderr != "" {
		t.Errorf("--quiet: %q", r.stderr)
	}
	if line := denialLine(&agentos.Denial{Syscall: "open", Requested: "/x", Rule: "no capability"}); !strings.Contains(line, "which no flag lifts") {
		t.Errorf("no grant: %q", line)
	}
}

func TestStartErrors(t *testing.T) {
	p := programFile(t)
	report := filepath.Join(t.TempDir(), "r.json")
	k := &fakeKernel{startErr: &agentos.StartError{Status: 126, Code: "AGENTOS-NOT-RUNNABLE", Where: "p", Problem: "is broken", Fix: "mend it"}}
	r := runTool(t, k, "run", "--quiet", "--report", report, p)
	if r.status != 126 || r.stderr != "agentos: p: is broken; mend it [AGENTOS-NOT-RUNNABLE]\n" || !k.closed {
		t.Errorf("got %+v", r)
	}
	var rep agentos.Report
	body, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &rep); err != nil || rep.Cause != "setup_failed" || rep.ExitCode != 126 || rep.Version != 1 || !strings.Contains(rep.Detail, "is broken") {
		t.Errorf("report %s, %v", body, err)
	}
	k = &fakeKernel{startErr: errors.New("odd")}
	if r := runTool(t, k, "run", p); r.status != 125 || !strings.Contains(r.stderr, "odd [AGENTOS-SETUP]") {
		t.Errorf("got %+v", r)
	}
	// A record that could not be written is said, and the status is still the
	// program's.
	k = &fakeKernel{report: agentos.Report{Cause: "exited", ExitCode: 3}, waitErr: errors.New("no space")}
	if r := runTool(t, k, "run", p); r.status != 3 || !strings.Contains(r.stderr, "no space") {
		t.Errorf("got %+v", r)
	}
}

func TestSignals(t *testing.T) {
	cancelled := 0
	s := &signals{cancel: func() { cancelled++ }}
	s.deliver(abi.SIGINT)
	if cancelled != 1 {
		t.Error("a signal before the start did not cancel it")
	}
	k := &fakeKernel{}
	s.attach(k)
	if len(k.signals) != 1 || k.signals[0] != abi.SIGINT {
		t.Errorf("a signal during the start was lost: %v", k.signals)
	}
	s.deliver(abi.SIGTERM)
	if !k.killed || len(k.signals) != 1 {
		t.Errorf("the second signal did not kill: %+v", k)
	}
	k = &fakeKernel{}
	s = &signals{cancel: func() { t.Error("cancelled while it ran") }}
	s.attach(k)
	s.deliver(abi.SIGHUP)
	if first, err := s.came(); first != abi.SIGHUP || err != nil || len(k.signals) != 1 || k.killed {
		t.Errorf("HUP: %v %v %+v", first, err, k)
	}
	// Interrupted before the start: 128+N, and nothing ran.
	p := programFile(t)
	k = &fakeKernel{}
	inv := &invocation{screen: &screen{w: new(bytes.Buffer)}}
	_, err := inv.supervise(interrupting{k}, &agentos.Spec{Program: p}, false)
	if f := asFailure(err); f.Status != 130 || f.Code != CodeInterrupted {
		t.Errorf("got %+v", f)
	}
}

// interrupting is a kernel that is sent INT while it starts.
type interrupting struct{ *fakeKernel }

func (interrupting) Start(ctx context.Context, _ agentos.Spec) (process, error) {
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// failing is a standard output that refuses.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestOwnOutput(t *testing.T) {
	for err, want := range map[error]int{syscall.EPIPE: 141, syscall.ENOSPC: 125} {
		for _, args := range [][]string{{"version"}, {"syscalls", "--json"}, {"--help"}, {"completion", "bash"}, {"run", "--dry-run", programFile(t)}} {
			var stderr bytes.Buffer
			got := execute(Caller{Args: args, Stdout: failing{err}, Stderr: &stderr, Env: func(string) (string, bool) { return "", false }},
				func(agentos.Config) (kernel, error) { return &fakeKernel{}, nil })
			if got != want || (stderr.Len() == 0) != (want == 141) {
				t.Errorf("%v with %v: status %d, want %d: %s", args, err, got, want, &stderr)
			}
		}
	}
}

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"bin/tool": 0o755, "bin/data": 0o644, "bin/mod.wasm": 0o644, "tool": 0o755, "here": 0o644} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "bin")
	for name, want := range map[string]string{"tool": bin + "/tool", "mod.wasm": bin + "/mod.wasm", "here": "./here", "./x": "./x", "/a/b": "/a/b"} {
		if got, err := findProgram(name, "relative::"+bin); got != want || err != nil {
			t.Errorf("findProgram(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	for name, status := range map[string]int{"nothing": 127, "data": 126, "nul\x00": 127} {
		if _, err := findProgram(name, bin); err == nil || asFailure(err).Status != status {
			t.Errorf("findProgram(%q): %v, want status %d", name, err, status)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"plain ü 日": "plain ü 日", "a\nb": `a\nb`, "\x1b]0;x\a": `\x1b]0;x\a`, "\xff": `\xff`, "\u202e": `\u202e`, "": ""} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 64 << 20: "64 MiB", 12700352512: "11.8 GiB", 1<<64 - 1: "16 EiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("formatBytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := strings.Join(wrap("one two  three", 7), "|"); got != "one two|three" {
		t.Errorf("wrap: %q", got)
	}
}

// commands walks the tree.
func commands(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, s := range c.Commands() {
		commands(s, f)
	}
}

func newRoot() *cobra.Command {
	inv := &invocation{Caller: Caller{Env: func(string) (string, bool) { return "", false }}, screen: &screen{w: new(bytes.Buffer)}}
	return inv.root()
}

func TestHelp(t *testing.T) {
	commands(newRoot(), func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" && c.Name() != "help" {
			t.Errorf("%s has no summary or example", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no description", c.CommandPath(), f.Name)
			}
		})
	})
}

// TestNeighbours holds the answers to other tools' spellings to the truth: what
// they answer is not ours, and what they name is.
func TestNeighbours(t *testing.T) {
	root := newRoot()
	run, _, err := root.Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`--([a-z-]+)`)
	truthful := func(what, answer string) {
		for _, m := range named.FindAllStringSubmatch(answer, -1) {
			if run.Flags().Lookup(m[1]) == nil {
				t.Errorf("%s: the answer names --%s, which does not exist", what, m[1])
			}
		}
		if answer == "" {
			t.Errorf("%s has no answer", what)
		}
	}
	seen := map[string]bool{}
	for _, n := range neighbours() {
		if run.Flags().Lookup(n.Name) != nil || len(n.Name) == 1 && run.Flags().ShorthandLookup(n.Name) != nil {
			t.Errorf("%s is a flag of ours", n.Name)
		}
		if seen[n.Name] {
			t.Errorf("%s is answered twice", n.Name)
		}
		seen[n.Name] = true
		truthful(n.Name, n.Answer)
	}
	for _, o := range otherCommands() {
		if c, _, err := root.Find([]string{o.Name}); err == nil && c != root {
			t.Errorf("%s is a command of ours", o.Name)
		}
		for _, m := range regexp.MustCompile(`agentos ([a-z]+)`).FindAllStringSubmatch(o.Answer, -1) {
			if c, _, err := root.Find([]string{m[1]}); err != nil || c == root {
				t.Errorf("%s: the answer names agentos %s, which does not exist", o.Name, m[1])
			}
		}
		truthful(o.Name, o.Answer)
	}
}
