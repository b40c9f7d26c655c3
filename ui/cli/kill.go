package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/control"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/spf13/cobra"
)

func (inv *invocation) killCommand() *cobra.Command {
	var sig abi.Signal = abi.SIGTERM
	cmd := &cobra.Command{
		Use:   "kill RUN[/PID]",
		Short: "Send a signal to a run",
		Long: `Send a signal to a run, TERM unless another is named: KILL ends it whatever it
does. RUN is an id, or an unambiguous beginning or end of one.`,
		Example: "  agentos kill 01k5\n  agentos kill --signal KILL 01k5",
		Args:    exactly(1, 1, "agentos kill [--signal SIGNAL] RUN[/PID]"),
		RunE: func(_ *cobra.Command, args []string) error {
			ref, pid, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			return inv.withState(func(d *statedir.Dir) error {
				e, err := find(d, ref)
				if err != nil {
					return err
				}
				return deliver(context.Background(), e, pid, sig)
			})
		},
	}
	cmd.Flags().VarP(one(&sig, "SIGNAL", parseSignal), "signal", "s", "INT, TERM, HUP, QUIT, ABRT, or KILL (default TERM)")
	return cmd
}

// parseTarget splits RUN[/PID]; pid is 0 without one.
func parseTarget(s string) (ref string, pid abi.PID, err error) {
	ref, num, given := strings.Cut(s, "/")
	if ref == "" {
		return "", 0, refuse(CodeUsage, "agentos kill "+s, "names no run", "write RUN or RUN/PID; agentos ps lists them")
	}
	if !given {
		return ref, 0, nil
	}
	n, perr := strconv.ParseUint(num, 10, 32)
	if perr != nil || n == 0 {
		return "", 0, refuse(CodeUsage, "agentos kill "+s, fmt.Sprintf("%q is not a process id", num), "write RUN or RUN/PID, with a number above 0")
	}
	return ref, abi.PID(n), nil
}

// parseSignal accepts a signal by name or by its number on Linux.
func parseSignal(s string) (abi.Signal, error) {
	if sig, ok := abi.ParseSignal(strings.ToUpper(s)); ok {
		return sig, nil
	}
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && abi.Signal(n).String() != "?" {
		return abi.Signal(n), nil
	}
	return 0, fmt.Errorf("%q is not a signal that can be sent; write INT, TERM, HUP, QUIT, ABRT, or KILL", s)
}

// dial reaches the kernel of a run.
func dial(ctx context.Context, e *statedir.Entry) (*control.Client, error) {
	if !e.Live {
		return nil, refuse(CodeNoRun, "run "+e.ID, "is over", "agentos report "+e.ID+" says how it ended")
	}
	conn, err := e.Dial(ctx)
	if err != nil {
		return nil, controlFailure(e, err)
	}
	return control.NewClient(conn), nil
}

// deliver sends one signal.
func deliver(ctx context.Context, e *statedir.Entry, pid abi.PID, sig abi.Signal) error {
	c, err := dial(ctx, e)
	if err != nil {
		return err
	}
	if sig == abi.SIGKILL {
		err = c.Kill(ctx, pid)
	} else {
		err = c.Signal(ctx, pid, sig)
	}
	_ = c.Close() // the answer was read, or the error counts
	if errors.Is(err, abi.ESRCH) {
		return refuse(CodeNoRun, fmt.Sprintf("run %s", e.ID), fmt.Sprintf("has no process %d", pid), "name the run alone for its first process")
	}
	if err != nil {
		return controlFailure(e, err)
	}
	return nil
}

func controlFailure(e *statedir.Entry, err error) error {
	if errors.Is(err, statedir.ErrNotLive) || errors.Is(err, control.ErrGone) {
		return &Failure{Status: statusRefused, Code: CodeControl, Where: "run " + e.ID, Problem: "its kernel is gone", Fix: "agentos report " + e.ID + " says how it ended, if there was time to write it", Err: err}
	}
	return &Failure{Status: statusRefused, Code: CodeControl, Where: "run " + e.ID, Problem: "its kernel does not answer: " + reason(err), Fix: "agentos ps lists the live runs", Err: err}
}

func (inv *invocation) waitCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "wait RUN",
		Short: "Wait for the end of a run, and end with its status",
		Example: `  agentos wait 01k5
  agentos wait --json 01k5`,
		Args: exactly(1, 1, "agentos wait [--json] RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return inv.withState(func(d *statedir.Dir) error {
				e, err := find(d, args[0])
				if err != nil {
					return err
				}
				rep, err := await(ctx, d, e)
				if errors.Is(err, context.Canceled) {
					inv.status = statusSignal + int(syscall.SIGINT)
					return nil // the run goes on
				}
				if err != nil {
					return err
				}
				inv.status = rep.ExitCode
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), rep)
				}
				if line := causeLine(rep, &agentos.Limits{}); line != "" {
					inv.screen.note("", line)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report, as JSON")
	return cmd
}

// await returns the report of a run, now or once it has ended.
func await(ctx context.Context, d *statedir.Dir, e *statedir.Entry) (*agentos.Report, error) {
	if e.Live && !e.Finished {
		c, err := dial(ctx, e)
		var body []byte
		if err == nil {
			body, err = c.Wait(ctx)
			_ = c.Close() // the answer was read, or the error counts
		}
		if err == nil {
			rep := new(agentos.Report)
			if err := json.Unmarshal(body, rep); err != nil {
				return nil, controlFailure(e, err)
			}
			return rep, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// It may have ended between the look and the call; then its record
		// knows more than the socket.
		again, ferr := d.Find(e.ID)
		if ferr != nil || !again.Finished {
			if f := (*Failure)(nil); errors.As(err, &f) {
				return nil, f
			}
			return nil, controlFailure(e, err)
		}
		e = again
	}
	rep, err := readReport(e)
	if errors.Is(err, statedir.ErrNoReport) {
		return nil, refuse(CodeControl, "run "+e.ID, "its kernel was killed before it could write a report", "the next agentos run sweeps up after it")
	}
	if err != nil {
		return nil, refuse(CodeState, "run "+e.ID, "its report cannot be read: "+err.Error(), "")
	}
	return rep, nil
}
