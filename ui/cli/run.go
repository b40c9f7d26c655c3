package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/spf13/cobra"
)

// progressAfter is how long a start may take before a terminal is told why.
const progressAfter = 300 * time.Millisecond

func (inv *invocation) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run [flags] PROGRAM [ARG…]",
		Short: "Run a program with what it is granted and nothing else",
		Long: `Run a WebAssembly program as a process of the kernel.

It has its arguments, standard input, output, and error, clocks, random bytes,
and a private /tmp in memory. Everything else is granted by flags, which end at
PROGRAM. The exit status is the program's own; 124 is a timeout, 125 to 127 mean
that nothing ran, and one line on standard error says the cause.`,
		Example: `  agentos run hello.wasm world
  agentos run --read ./data:/data --write ./out:/out --timeout 10s report.wasm /data
  agentos run --dry-run --read . tool.wasm
  agentos run ./cmd/tool input`,
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.run(cmd, f, args)
		},
	}
	cmd.Flags().SetInterspersed(false)
	f.register(cmd.Flags())
	return cmd
}

// run carries out `agentos run`.
func (inv *invocation) run(cmd *cobra.Command, f *runFlags, args []string) error {
	inv.screen.quiet = f.quiet
	req, err := f.request(cmd.Flags(), args, inv.surroundings())
	if err != nil {
		return err
	}
	files, err := openFiles(f)
	if err != nil {
		return err
	}
	err = inv.runWith(f, req, files)
	if err != nil {
		// The report is written whatever the cause, a refusal included.
		fail := asFailure(err)
		files.writeReport(refusalReport(&req.spec, fail))
		err = fail
	}
	for _, e := range files.close() {
		inv.screen.fail(e)
	}
	return err
}

// refusalReport is the report of a run that was refused before there was one.
func refusalReport(sp *agentos.Spec, f *Failure) *agentos.Report {
	return &agentos.Report{
		Name: sp.Name, Program: sp.Program, Domain: sp.Domain,
		Cause: "setup_failed", ExitCode: f.Status, Detail: f.Error(),
	}
}

// runWith does what needs no cleaning up after by its caller.
func (inv *invocation) runWith(f *runFlags, req *request, files *files) error {
	sp := &req.spec
	if sp.Domain == "" {
		sp.Domain = "auto"
	}
	prog, err := inv.lookUp(req)
	if err != nil {
		return err
	}
	native := prog.native(sp.Domain)
	if native && sp.Observe != nil {
		return refuse(CodeUnenforced, "learn "+prog.path, "is a native program, whose calls are not seen one by one in this version", "agentos learn --from RUN works for those denials that the record has")
	}
	if err := inv.terminal(f, sp, native); err != nil {
		return err
	}
	sp.Program, sp.Image = prog.path, prog.image
	sp.Events = files.eventWriter()

	c := inv.config(nil)
	c.NoNamespaces = f.noNamespaces
	c.DecisionCache.Entries = f.decisions
	k, err := inv.open(c)
	if err != nil {
		return startFailure(err)
	}
	defer func() {
		if err := k.Close(); err != nil {
			inv.screen.fail(&Failure{Code: CodeSetup, Where: "closing the kernel", Problem: err.Error()})
		}
	}()
	for _, d := range k.Degraded() {
		inv.screen.noteOnce(d)
	}
	if f.dryRun {
		p, err := k.Plan(*sp)
		if err != nil {
			return startFailure(err)
		}
		return inv.printPlan(p, f.json)
	}
	rep, err := inv.supervise(k, sp, native)
	if err != nil {
		return err
	}
	inv.status = rep.ExitCode
	files.writeReport(rep)
	inv.screen.done()
	inv.explain(rep, sp)
	return inv.finishCaptured(f.onExit, rep)
}

// lookUp finds and reads the program that the request names.
func (inv *invocation) lookUp(req *request) (*program, error) {
	path, err := findProgram(req.spec.Program, inv.getenv("PATH"))
	var prog *program
	if err == nil {
		prog, err = readProgram(path, req.spec.Domain)
	}
	if err != nil && req.from != "" {
		f := asFailure(err)
		f.Where = req.from + " " + f.Where
		return nil, f
	}
	return prog, err
}

// terminal sets the streams and holds -t to its word. A native program is given a
// terminal of its own; another has the caller's, if that is one.
func (inv *invocation) terminal(f *runFlags, sp *agentos.Spec, native bool) error {
	sp.Stdin, sp.Stdout, sp.Stderr = inv.Stdin, inv.Stdout, inv.Stderr
	both := isTerminal(inv.Stdin) && isTerminal(inv.Stdout)
	if native {
		if !f.noTTY && (both || f.tty) {
			sp.Terminal = &agentos.Terminal{}
			sp.Terminal.Rows, sp.Terminal.Cols = inv.size()
			if isTerminal(inv.Stdout) && isTerminal(inv.Stderr) {
				sp.Stderr = sp.Stdout
			}
		}
		return nil // without one it has pipes, and never sees what is at their other ends
	}
	if f.tty && !sp.BestEffort && !both {
		return refuse(CodeTerminal, "-t", "standard input and output are not both terminals, and a WebAssembly program cannot be given another", "leave -t out, or add --best-effort")
	}
	if f.noTTY {
		// Without their descriptors the kernel cannot tell what they are.
		if sp.Stdin != nil {
			sp.Stdin = struct{ io.Reader }{sp.Stdin}
		}
		sp.Stdout, sp.Stderr = struct{ io.Writer }{sp.Stdout}, struct{ io.Writer }{sp.Stderr}
	}
	return nil
}

// supervise starts the program and waits for its end, forwarding signals.
func (inv *invocation) supervise(k kernel, sp *agentos.Spec, native bool) (*agentos.Report, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sigs := listen(cancel)
	defer sigs.stop()

	var con *console
	if native {
		con = inv.newConsole(sp)
		defer con.close()
	}

	slow := time.AfterFunc(progressAfter, func() {
		inv.screen.progress("preparing " + sp.Program + " (compiling it; the next run finds it compiled)…")
	})
	p, err := k.Start(ctx, *sp)
	slow.Stop()
	inv.screen.done()
	if err != nil {
		if sig, _ := sigs.came(); sig != 0 && errors.Is(err, context.Canceled) {
			return nil, &Failure{Status: statusSignal + int(sig), Code: CodeInterrupted, Problem: "interrupted by SIG" + sig.String() + " before the program had started", Err: err}
		}
		return nil, startFailure(err)
	}
	sigs.attach(p)
	con.attach(p)
	for _, a := range p.Listening() {
		inv.screen.note(yellow, "listening on "+a)
	}
	rep, err := p.Wait(context.Background())
	con.close() // before anything more is said
	if rep == nil {
		return nil, startFailure(err)
	}
	if err != nil { // the run is over and its report good; only its record is not
		inv.screen.fail(&Failure{Code: CodeState, Where: "record of the run", Problem: err.Error()})
	}
	if _, serr := sigs.came(); serr != nil && !errors.Is(serr, agentos.ErrEnded) {
		inv.screen.note(yellow, "a signal could not be passed on: "+serr.Error())
	}
	return rep, nil
}

// startFailure takes over a StartError of the kernel.
func startFailure(err error) *Failure {
	var s *agentos.StartError
	if !errors.As(err, &s) {
		return asFailure(err)
	}
	return &Failure{Status: s.Status, Code: Code(s.Code), Where: s.Where, Problem: s.Problem, Fix: s.Fix, Err: err}
}

// surroundings are the caller's.
func (inv *invocation) surroundings() surroundings {
	return surroundings{lookup: inv.Env, getwd: os.Getwd, note: func(s string) { inv.screen.note(yellow, s) }}
}
