package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/nearest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Caller is what the tool is started with. Main neither closes the streams nor
// keeps anything after it returns.
type Caller struct {
	Args   []string // without the tool's own name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Env looks a variable up; nil is the process's own environment.
	Env func(string) (string, bool)
}

// invocation is one run of the tool.
type invocation struct {
	Caller
	screen *screen
	open   func(agentos.Config) (kernel, error)
	status int // what Main returns if no error does
}

// Main runs the command line and returns the exit status of docs/CLI.md.
func Main(c Caller) int { return execute(c, openKernel) }

// execute is Main over any kernel.
func execute(c Caller, open func(agentos.Config) (kernel, error)) int {
	// With SIGPIPE caught, a closed standard output is an error of a write, to
	// the guest as to us, instead of the end of everything.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)

	if c.Env == nil {
		c.Env = os.LookupEnv
	}
	inv := &invocation{Caller: c, open: open, screen: newScreen(c.Stderr, c.Env)}
	root := inv.root()
	root.SetArgs(append([]string{}, c.Args...)) // never nil, which would mean os.Args
	out := &stickyWriter{w: c.Stdout}
	inv.Stdout = out.unlessFile()
	root.SetOut(out)
	root.SetErr(c.Stderr)
	err := root.Execute()
	if err == nil {
		err = out.err
	}
	switch {
	case err == nil:
		return inv.status
	case errors.Is(err, syscall.EPIPE):
		return statusSignal + int(syscall.SIGPIPE) // whoever read has seen enough
	case out.err != nil && errors.Is(err, out.err):
		err = &Failure{Status: statusRefused, Code: CodeOutput, Where: "standard output", Problem: "cannot be written: " + reason(err), Err: err}
	}
	f := asFailure(err)
	inv.screen.fail(f)
	return f.Status
}

// stickyWriter remembers the first error, for those who print without looking.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

// unlessFile returns the writer itself where it is a file, which the kernel hands
// to guests by descriptor.
func (s *stickyWriter) unlessFile() io.Writer {
	if f, ok := s.w.(*os.File); ok {
		return f
	}
	return s
}

// root builds the command tree.
func (inv *invocation) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "agentos",
		Short: "Run programs that nobody has reason to trust",
		Long: `AgentOS is a userspace kernel: it runs programs that nobody has reason to trust
as its processes. A program has what it is granted and nothing else.`,
		Example: `  agentos demo
  agentos run hello.wasm
  agentos run --read ./data --write ./out --timeout 10s report.wasm`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return inv.unknownCommand(cmd, args)
		},
	}
	root.SetFlagErrorFunc(inv.flagError)
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			sub, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return inv.unknownCommand(root, args)
			}
			return sub.Help()
		},
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		inv.runCommand(), inv.demoCommand(),
		inv.psCommand(), inv.killCommand(), inv.grantCommand(), inv.revokeCommand(), inv.waitCommand(), inv.explainCommand(), inv.runsCommand(), inv.reportCommand(), inv.pruneCommand(),
		inv.diffCommand(), inv.commitCommand(), inv.discardCommand(), inv.policyCommand(), inv.auditCommand(),
		inv.syscallsCommand(), inv.doctorCommand(), inv.versionCommand(), inv.completionCommand(root),
	)
	return root
}

// unknownCommand suggests what was meant.
func (inv *invocation) unknownCommand(root *cobra.Command, args []string) error {
	name := args[0]
	if o, ok := otherCommandOf(name); ok {
		if o.NotYet {
			return refuse(CodeNotYet, "agentos "+name, "does not exist in this version", o.Answer)
		}
		return refuse(CodeNeighbour, "agentos "+name, "is not a command", o.Answer)
	}
	if _, err := os.Stat(name); err == nil && (strings.Contains(name, "/") || strings.HasSuffix(name, ".wasm")) {
		return refuse(CodeUsage, "agentos "+name, "is not a command", "write agentos run "+name)
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	if near := nearest.Of(name, names); near != "" {
		return refuse(CodeUsage, "agentos "+name, "is not a command", "did you mean agentos "+near+"?")
	}
	return refuse(CodeUsage, "agentos "+name, "is not a command", "agentos --help lists them: "+strings.Join(sorted(names), ", "))
}

// flagError turns pflag's errors into sentences.
func (inv *invocation) flagError(cmd *cobra.Command, err error) error {
	where := cmd.CommandPath()
	help := where + " --help lists them"
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown, help)
	case errors.As(err, &missing):
		f := missing.GetFlag()
		return &Failure{Status: statusRefused, Code: CodeUsage, Where: "--" + f.Name, Problem: "needs a value", Fix: "write --" + f.Name + " " + f.Value.Type(), Err: err}
	case errors.As(err, &invalid):
		problem, fix := split(invalid.Unwrap())
		if strings.HasPrefix(problem, "strconv.ParseBool") {
			problem, fix = "takes no value", "write --"+invalid.GetFlag().Name+" alone"
		}
		return &Failure{Status: statusRefused, Code: CodeUsage, Where: "--" + invalid.GetFlag().Name, Problem: problem, Fix: fix, Err: err}
	}
	return &Failure{Status: statusRefused, Code: CodeUsage, Where: where, Problem: err.Error(), Fix: help, Err: err}
}

// unknownFlag answers a flag that does not exist here.
func unknownFlag(cmd *cobra.Command, e *pflag.NotExistError, help string) error {
	name, group := e.GetSpecifiedName(), e.GetSpecifiedShortnames()
	spelled := "--" + name
	if group != "" {
		spelled = "-" + name
	}
	if cmd.Name() == "run" {
		n, ok := neighbourOf(group)
		if ok {
			spelled = "-" + group
		} else if len(name) > 1 || group != "" {
			n, ok = neighbourOf(name)
		}
		switch {
		case ok && n.NotYet:
			return refuse(CodeNotYet, spelled, "does not exist in this version", n.Answer)
		case ok:
			return refuse(CodeNeighbour, spelled, "is not a flag of agentos run", n.Answer)
		}
	}
	if group == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearestFlag(name, names); near != "" {
			return refuse(CodeUsage, spelled, "is not a flag of "+cmd.CommandPath(), near)
		}
	}
	return refuse(CodeUsage, spelled, "is not a flag of "+cmd.CommandPath(), help)
}

// exactly refuses other numbers of arguments than from lo to hi.
func exactly(lo, hi int, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < lo {
			return refuse(CodeUsage, cmd.CommandPath(), "an argument is missing", "write "+usage)
		}
		if len(args) > hi {
			return refuse(CodeUsage, cmd.CommandPath(), "does not take "+args[hi], "write "+usage)
		}
		return nil
	}
}

// completionCommand prints a completion script.
func (inv *invocation) completionCommand(root *cobra.Command) *cobra.Command {
	const usage = "agentos completion bash|zsh|fish"
	return &cobra.Command{
		Use:     "completion bash|zsh|fish",
		Short:   "Print a completion script for a shell",
		Example: "  source <(agentos completion bash)",
		Args:    exactly(1, 1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b bytes.Buffer
			var err error
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&b, true)
			case "zsh":
				err = root.GenZshCompletion(&b)
			case "fish":
				err = root.GenFishCompletion(&b, true)
			default:
				return refuse(CodeUsage, "agentos completion", args[0]+" is not a shell it knows", "write "+usage)
			}
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b.Bytes())
			return err
		},
	}
}
