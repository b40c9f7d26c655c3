package agentos

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/internal/control"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/perm/cedar"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Process is a run that was started.
type Process struct {
	k       *Kernel
	p       *kernel.Process
	run     string
	started time.Time
	spec    Spec
	source  guest.Source
	domain  string
	exec    string // of a native program: the guest path to execute
	view    *view
	denied  *perm.Denials

	policies *cedar.Engine // nil for none
	audit    *auditor      // nil without a record

	// Set before the program can run; nil where there is none.
	record      *statedir.Run
	control     *control.Server
	unsubscribe func() error // ends the subscription to events
	missing     []string     // what the run goes without
	listening   []string     // set while the process is initialized
	changes     changes      // made while it runs
	authority   *perm.Authority
	children    map[*Process]bool // started within it, while they live; guarded by k.family
	captured    int               // changes that its overlays hold; set when it is dead

	reported chan struct{} // closed when report is there
	done     chan struct{} // closed when nothing of the run is left
	report   *Report       // valid once reported is closed
	err      error         // what went wrong with the records; valid once done is closed
}

// Run executes a program and returns its report. The error is a *StartError if
// nothing ran; a program that fails is a report, not an error. If ctx ends first
// the program is killed.
func (k *Kernel) Run(ctx context.Context, spec Spec) (*Report, error) {
	p, err := k.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() }) // it can only have ended already
	defer stop()
	<-p.done
	return p.report, p.err
}

// Start begins a run. When it returns without an error the program is loaded and
// schedulable, or has ended already, e.g. because its time ran out while it was
// compiled. ctx bounds the start only.
func (k *Kernel) Start(ctx context.Context, spec Spec) (*Process, error) {
	if !k.enter() {
		return nil, refuse("SETUP", "", "the kernel is closed", "", nil)
	}
	p, err := k.prepare(&spec)
	if err != nil {
		k.runs.Done()
		return nil, err
	}
	go p.finish() // counts the run as over
	return p.launch(ctx)
}

// prepare resolves everything that a spec names and creates the process.
func (k *Kernel) prepare(spec *Spec) (*Process, error) {
	src, domain, err := k.load(spec)
	if err != nil {
		return nil, err
	}
	caps, err := k.caps(spec, domain)
	if err != nil {
		return nil, err
	}
	v, err := k.resolve(spec, domain)
	if err != nil {
		return nil, err
	}
	if err := checkListen(spec.Listen); err != nil {
		return nil, err
	}
	exec, err := k.executable(spec, domain, v)
	if err != nil {
		return nil, err
	}
	engine, err := loadPolicies(spec.Policies, spec.PolicyDefaultDeny)
	if err != nil {
		return nil, err
	}
	if unchecked := uncheckedNatively(engine); domain == "native" && unchecked != "" && !spec.BestEffort {
		return nil, refuse("UNENFORCED", "--policy", "the calls of a native program are not decided one by one in this version, and this would be: "+unchecked,
			"leave it out, or add --best-effort: then it binds only the start and the environment", nil)
	}
	p := &Process{exec: exec, k: k, spec: *spec, source: src, domain: domain, view: v, denied: new(perm.Denials),
		reported: make(chan struct{}), done: make(chan struct{})}
	p.openRecord()
	if err := p.openAudit(); err != nil {
		return nil, errors.Join(err, p.dropRecord())
	}
	if err := p.openStores(); err != nil {
		return nil, errors.Join(err, p.dropRecord())
	}
	p.policies = engine
	authority, env, err := p.bind(v, engine, principalProgram(spec), environment(spec, domain, v))
	if err != nil {
		return nil, errors.Join(err, p.dropRecord())
	}
	ks := kernel.Spec{
		Program:   spec.Program,
		Domain:    domain,
		Args:      append([]string{argv0(spec.Program)}, spec.Args...),
		Env:       env,
		Caps:      caps,
		Authority: authority,
		Denials:   p.denied,
		Observe:   p.observer(),
		Mount:     v.build,
		Streams:   func(kp *proc.Process) [3]*vfs.File { return openStreams(kp, &p.spec) },
		Preopens:  v.preopens,
		Listen:    p.openListeners,
		Chain:     newChain(),
		Created:   p.created,
	}
	if domain == "native" {
		p.native(&ks)
	}
	p.authority = ks.Authority
	if err := p.within(func() error { _, err := k.kernel.Create(ks); return err }); err != nil {
		var se *StartError
		if errors.As(err, &se) {
			return nil, errors.Join(err, p.dropRecord())
		}
		return nil, errors.Join(refuse("SETUP", spec.Program, err.Error(), "", err), p.dropRecord())
	}
	return p, nil
}

// launch loads the program and makes the process schedulable.
func (p *Process) launch(ctx context.Context) (*Process, error) {
	program, err := p.load(ctx)
	if err == nil {
		err = errors.Join(p.k.kernel.Start(ctx, p.p, program), program.Close()) // an instance keeps its own hold
	}
	if err == nil || p.p.Killed() {
		return p, nil // its report says what became of it
	}
	<-p.done
	var se *StartError
	if errors.As(err, &se) {
		return nil, err
	}
	return nil, refuse("SETUP", p.spec.Program, err.Error(), "", err)
}

// load compiles the program within the run's time. If that fails the process is
// discarded.
func (p *Process) load(ctx context.Context) (guest.Program, error) {
	src := p.source
	p.source.Image, p.spec.Image = nil, nil // the program keeps what it needs
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.p.SetWake(func() { cancel(errKilled) }) // a kill, the time-out's too, ends the compilation
	if p.p.Killed() {
		cancel(errKilled)
	}
	var program guest.Program
	var err error
	if p.spec.source != nil {
		src.Image, err = p.k.compileGo(ctx, p)
	}
	if err == nil {
		program, err = p.k.domain(p.domain).Load(ctx, src)
	}
	if err == nil {
		return program, nil
	}
	e := proc.End{Cause: abi.CauseSetupFailed, Detail: err.Error()}
	if ctx.Err() != nil && !p.p.Killed() {
		e = proc.End{Cause: abi.CauseKilled, Signal: abi.SIGKILL, Detail: "cancelled while the program was compiled"}
	}
	p.k.kernel.Discard(p.p, e)
	return nil, startError(src.Name, err)
}

var errKilled = errors.New("killed while the program was compiled")

// startError turns a load error into a StartError.
func startError(name string, err error) *StartError {
	var se *StartError
	if errors.As(err, &se) {
		return se
	}
	var le *guest.LoadError
	if !errors.As(err, &le) {
		return refuse("SETUP", name, err.Error(), "", err)
	}
	problem := le.Reason
	if le.Err != nil {
		problem += ": " + le.Err.Error()
	}
	switch le.Kind {
	case guest.TooCostly:
		return notRunnable("TOO-COSTLY", name, problem, le.Fix, err)
	case guest.HostFailed:
		return refuse("SETUP", name, problem, le.Fix, err)
	}
	return notRunnable("NOT-RUNNABLE", name, problem, le.Fix, err)
}

// argv0 is the name that a program sees itself under.
func argv0(program string) string {
	if program == "" {
		return "program"
	}
	return program
}

// environment is what was granted, plus what a WASM program can be told in no other
// way: PWD, its working directory, and the descriptors of its listeners.
func environment(spec *Spec, domain string, v *view) []string {
	if domain == "native" {
		return nativeEnvironment(spec, v)
	}
	env := append([]string(nil), spec.Env...)
	if n := len(spec.Listen); n > 0 {
		env = append(env, listenFDs(3+len(v.preopens), n))
	}
	for _, kv := range env {
		if strings.HasPrefix(kv, "PWD=") {
			return env
		}
	}
	if v.cwd != "" {
		env = append(env, "PWD="+v.cwd)
	}
	return env
}

// newChain makes a causality id that no other run has.
func newChain() abi.ChainID {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand does not fail
	}
	return abi.ChainID(binary.LittleEndian.Uint64(b[:]) | 1)
}

// openStreams makes descriptors 0 to 2.
func openStreams(p *proc.Process, spec *Spec) [3]*vfs.File {
	overflow := func() {
		p.Kill(proc.End{Cause: abi.CauseOutputLimit, Detail: "wrote more than " + strconv.FormatUint(spec.Limits.Output, 10) + " bytes"})
	}
	var in io.Reader = eof{}
	if spec.Stdin != nil {
		in = spec.Stdin
	}
	out, diag := io.Discard, io.Discard
	if spec.Stdout != nil {
		out = spec.Stdout
	}
	if spec.Stderr != nil {
		diag = spec.Stderr
	}
	return [3]*vfs.File{
		vfs.NewStream(in, nil, vfs.StreamOptions{Type: streamType(in), Ino: 1}),
		vfs.NewStream(nil, out, vfs.StreamOptions{Type: streamType(out), Ino: 2, Account: p.Account(), Exceeded: overflow}),
		vfs.NewStream(nil, diag, vfs.StreamOptions{Type: streamType(diag), Ino: 3, Account: p.Account(), Exceeded: overflow}),
	}
}

// eof is an input that is at its end.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// streamType is what a guest is told about a stream: a terminal is a character
// device, and nothing else matters to it.
func streamType(s any) abi.FileType {
	if f, ok := s.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return abi.TypeCharDevice
	}
	return abi.TypeUnknown
}

// Run returns the run's id, the RUN of the command line.
func (p *Process) Run() string { return p.run }

// PID returns the number of the run's first process.
func (p *Process) PID() abi.PID { return p.p.PID }

// Wait waits until the run has ended and everything it held was released. The
// error is ctx's, or says what went wrong with the run's records; the report is
// valid in the second case.
func (p *Process) Wait(ctx context.Context) (*Report, error) {
	select {
	case <-p.done:
		return p.report, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ErrEnded is returned for a run that has ended already.
var ErrEnded = errors.New("the run has ended")

// Kill ends the run at once.
func (p *Process) Kill() error { return p.kill(abi.SIGKILL, "killed on request") }

func (p *Process) kill(sig abi.Signal, why string) error {
	if !p.p.Kill(proc.End{Cause: abi.CauseKilled, Signal: sig, Detail: why}) {
		return ErrEnded
	}
	return nil
}

// Signal sends a signal. A WASM program cannot handle one, so it has the
// default action: TERM, INT, HUP, QUIT, and ABRT end the run, STOP and CONT
// stop and continue it.
func (p *Process) Signal(sig abi.Signal) error {
	if p.p.End() != nil {
		return ErrEnded
	}
	switch {
	case sig == abi.SIGKILL:
		return p.Kill()
	case sig != abi.SIGSTOP && sig != abi.SIGCONT && p.deliver(sig):
		return nil
	case sig == abi.SIGSTOP:
		p.p.Stop()
	case sig == abi.SIGCONT:
		p.p.Continue()
	case sig == 0 || sig > 31:
		return fmt.Errorf("no signal %d", sig)
	case !sig.Ignored():
		if !p.p.Kill(proc.End{Cause: abi.CauseSignaled, Signal: sig, Detail: "signal " + sig.String()}) {
			return ErrEnded
		}
	}
	return nil
}

// deliver sends a signal to a program that can handle it, and reports whether there
// is one.
func (p *Process) deliver(sig abi.Signal) bool {
	s, ok := p.p.Instance().(guest.Signaler)
	return ok && s.Signal(sig)
}

// caps turns the limits of a spec into those of an account. Errors are
// *StartErrors.
func (k *Kernel) caps(spec *Spec, domain string) (limit.Caps, error) {
	l := &spec.Limits
	if domain != "native" && l.CPUs != 0 && l.CPUs < 1 && !spec.BestEffort {
		return limit.Caps{}, refuse("UNENFORCED", "--cpus", "a share of a processor cannot be enforced for a WASM program in this version", "leave it out, or add --best-effort", nil)
	}
	var c limit.Caps
	c[abi.LimitMemory] = l.Memory
	if l.Memory == 0 {
		c[abi.LimitMemory] = defaultMemory()
	}
	c[abi.LimitDisk] = orDefault(l.Disk, 512<<20)
	c[abi.LimitOutput] = l.Output
	c[abi.LimitFiles] = orDefault(uint64(max(l.Files, 0)), 1024)
	c[abi.LimitProcesses] = orDefault(uint64(max(l.Pids, 0)), 1024)
	c[abi.LimitCPU] = uint64(max(l.CPUTime, 0))
	c[abi.LimitWall] = uint64(max(l.Timeout, 0))
	return c, nil
}

func orDefault(v, def uint64) uint64 {
	if v == 0 {
		return def
	}
	return v
}

// defaultMemory is half of the host's memory, or 1 GiB where that is unknown.
func defaultMemory() uint64 {
	if ram := hostMemory(); ram != 0 {
		return ram / 2
	}
	return 1 << 30
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Plan is what a run would be given, without running it.
type Plan struct {
	Version int         `json:"version"`
	Program string      `json:"program"`
	Domain  string      `json:"domain"`
	View    []ViewEntry `json:"view"`
	Env     []string    `json:"env"` // names only
	Dir     string      `json:"dir"`
	Limits  PlanLimits  `json:"limits"`
	Compile string      `json:"compile,omitempty"` // what compiles the program first, if it is source
	Policy  []string    `json:"policies"`          // in force, one line a file
	Missing []string    `json:"missing"`           // what would not be enforced, with BestEffort
}

// PlanLimits are the limits as they would be enforced; 0 means none.
type PlanLimits struct {
	TimeoutNS int64  `json:"timeout_ns"`
	CPUTimeNS int64  `json:"cpu_time_ns"`
	Memory    uint64 `json:"memory_bytes"`
	Disk      uint64 `json:"disk_bytes"`
	Output    uint64 `json:"output_bytes"`
	Files     uint64 `json:"files"`
	Pids      uint64 `json:"pids"`
}

// Plan resolves a spec as Start would and runs nothing.
func (k *Kernel) Plan(spec Spec) (*Plan, error) {
	_, domain, err := k.load(&spec)
	if err != nil {
		return nil, err
	}
	caps, err := k.caps(&spec, domain)
	if err != nil {
		return nil, err
	}
	v, err := k.resolve(&spec, domain)
	if err != nil {
		return nil, err
	}
	if err := checkListen(spec.Listen); err != nil {
		return nil, err
	}
	if _, err := k.executable(&spec, domain, v); err != nil {
		return nil, err
	}
	plan := &Plan{
		Version: DocumentVersion, Program: spec.Program, Domain: domain, View: append(v.entries(), listenEntries(&spec, nil)...), Dir: v.cwd,
		Env: []string{}, Missing: k.missing(&spec, domain), Policy: []string{},
		Limits: PlanLimits{
			TimeoutNS: int64(caps[abi.LimitWall]), CPUTimeNS: int64(caps[abi.LimitCPU]), Memory: caps[abi.LimitMemory],
			Disk: caps[abi.LimitDisk], Output: caps[abi.LimitOutput], Files: caps[abi.LimitFiles], Pids: caps[abi.LimitProcesses],
		},
	}
	engine, err := loadPolicies(spec.Policies, spec.PolicyDefaultDeny)
	if err != nil {
		return nil, err
	}
	if engine != nil {
		plan.Policy = engine.Describe()
		if unchecked := uncheckedNatively(engine); domain == "native" && unchecked != "" {
			plan.Missing = append(plan.Missing, unenforcedPolicy(unchecked))
		}
	}
	if spec.source != nil {
		plan.Compile = spec.source.String()
	}
	for _, kv := range environment(&spec, domain, v) {
		name, _, _ := strings.Cut(kv, "=")
		plan.Env = append(plan.Env, name)
	}
	return plan, nil
}

// missing says what of a spec is not enforced here.
func (k *Kernel) missing(spec *Spec, domain string) []string {
	m := []string{}
	if domain == "native" {
		return m // found out when the limits are put on
	}
	if spec.Limits.CPUs != 0 && spec.Limits.CPUs < 1 {
		m = append(m, "--cpus: a share of a processor is not enforced for WASM programs")
	}
	if spec.Limits.PrioritySet || spec.Limits.Priority != 0 && spec.Limits.Priority != 5 {
		m = append(m, "--priority: the scheduler is round robin and treats all alike in this version")
	}
	return m
}

// observer passes on what the program was allowed, to who asked for that.
func (p *Process) observer() func(abi.Action, string, *abi.Call) {
	tell := p.spec.Observe
	if tell == nil {
		return nil
	}
	return func(act abi.Action, canonical string, c *abi.Call) {
		x := Access{Action: act, Path: canonical}
		s := p.authority.Subject()
		if covered, host := s.Covered(canonical); covered && host {
			x.Host = s.HostPath(canonical)
		}
		if c != nil {
			x.Syscall, x.Via = c.Nr.String(), c.Via
		}
		tell(x)
	}
}
