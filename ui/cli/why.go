package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/spf13/cobra"
)

// lastRun is what --run calls the last run.
const lastRun = "last"

// fileActions are what --op takes.
var fileActions = []abi.Action{abi.ActRead, abi.ActList, abi.ActWrite, abi.ActCreate, abi.ActDelete, abi.ActExecute}

// parseOp reads --op.
func parseOp(s string) (abi.Action, error) {
	names := make([]string, len(fileActions))
	for i, a := range fileActions {
		if names[i] = a.String(); names[i] == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%q is not one of %s", s, strings.Join(names, ", "))
}

// explainCommand is `agentos explain`.
func (inv *invocation) explainCommand() *cobra.Command {
	var f runFlags
	var run, target string
	op := abi.ActRead
	cmd := &cobra.Command{
		Use:   "explain [ID]",
		Short: "Say why something was refused, by which rule, and what would allow it",
		Long: `Explain a denial of a run: which layer refused it, by which rule, and the smallest
grant that would allow it; or that it was not AgentOS. Without ID it is the last denial of
the run, without --run that of the last run. ID is the event of a denial, as in the report.

With --path alone, or with grants and policies as for agentos run, nothing has run: the
answer is what would be decided. With --run it is what happened to that path there.`,
		Example: `  agentos explain
  agentos explain --run 01k5 --path /data/a
  agentos explain --path /data/a --op write --read ./data:/data`,
		Args: exactly(0, 1, "agentos explain [ID] [--run RUN] [--path PATH] [--json]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			fs := cmd.Flags()
			var x *agentos.Explanation
			var err error
			switch {
			case len(args) == 1 && target != "":
				return refuse(CodeUsage, "explain "+args[0], "an event and --path contradict each other", "give one of them")
			case target != "" && !fs.Changed("run"):
				x, err = inv.wouldBe(&f, cmd, op, target)
			default:
				id := ""
				if len(args) == 1 {
					id = args[0]
				}
				x, err = inv.whatWas(run, id, target)
			}
			if err != nil {
				return err
			}
			if x.Decision == "deny" && target != "" && !fs.Changed("run") {
				inv.status = 1
			}
			if f.json {
				return writeJSON(inv.Stdout, x)
			}
			return printExplanation(inv.Stdout, x)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&run, "run", "", "the run, by the beginning or end of its id, or last (default last)")
	fs.Var(one(&target, "PATH", parsePath), "path", "the path, as the program names it")
	fs.Var(one(&op, "OP", parseOp), "op", "read, list, write, create, delete, or execute (default read)")
	f.registerGrants(fs)
	fs.BoolVar(&f.json, "json", false, "as JSON")
	return cmd
}

// wouldBe asks without running anything.
func (inv *invocation) wouldBe(f *runFlags, cmd *cobra.Command, op abi.Action, target string) (*agentos.Explanation, error) {
	var sp agentos.Spec
	s := inv.surroundings()
	if f.manifest != "" {
		req, err := f.request(cmd.Flags(), []string{"program"}, s)
		if err != nil {
			return nil, err
		}
		sp = req.spec
	} else if err := f.addTo(&sp, cmd.Flags(), s); err != nil {
		return nil, err
	}
	sp.Program = ""
	if !strings.HasPrefix(target, "/") && sp.Dir == "" {
		wd, err := s.getwd()
		if err != nil {
			return nil, refuse(CodeUsage, "--path "+target, "the current directory is not known: "+reason(err), "write an absolute path")
		}
		target = filepath.Join(wd, target)
	}
	k, err := inv.open(inv.config(nil))
	if err != nil {
		return nil, startFailure(err)
	}
	x, err := k.Ask(sp, op, target)
	if cerr := k.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, startFailure(err)
	}
	return x, nil
}

// history is what a run was refused, and what failed.
type history struct {
	Denials  []agentos.Denial     `json:"denials"`
	Failures []agentos.FailedCall `json:"failures"`
}

// whatWas looks into the record of a run.
func (inv *invocation) whatWas(run, id, target string) (x *agentos.Explanation, err error) {
	if run == lastRun {
		run = ""
	}
	err = inv.withState(func(d *statedir.Dir) error {
		e, err := find(d, run)
		if err != nil {
			return err
		}
		h, err := historyOf(e)
		if err != nil {
			return err
		}
		x, err = h.about(e.ID, id, target)
		return err
	})
	return x, err
}

// historyOf asks a live run, and reads the record of one that is over.
func historyOf(e *statedir.Entry) (*history, error) {
	h := new(history)
	if !e.Live {
		rep, err := readReport(e)
		if err != nil {
			return nil, refuse(CodeNoRun, "run "+e.ID, "has no report that could be read: "+reason(err), "agentos runs lists the runs")
		}
		h.Denials, h.Failures = rep.Denials, rep.Failures
		return h, nil
	}
	ctx := context.Background()
	c, err := dial(ctx, e)
	if err != nil {
		return nil, err
	}
	body, err := c.Denied(ctx)
	_ = c.Close() // the answer was read, or the error counts
	if err != nil {
		return nil, controlFailure(e, err)
	}
	if err := json.Unmarshal(body, h); err != nil {
		return nil, controlFailure(e, err)
	}
	return h, nil
}

// about finds what is asked for: an event, a path, or the last denial.
func (h *history) about(run, id, target string) (*agentos.Explanation, error) {
	switch {
	case id != "":
		return h.event(run, id)
	case target != "":
		return h.path(run, target)
	case len(h.Denials) > 0:
		return h.Denials[len(h.Denials)-1].Explain(run), nil
	case len(h.Failures) > 0:
		return h.Failures[len(h.Failures)-1].Explain(run), nil
	}
	return nil, refuse(CodeNoDenial, "run "+run, "nothing was refused in it, and no call failed", "agentos explain --path PATH asks about a path")
}

// event finds a denial or a failure by its event, or an unambiguous beginning of that.
func (h *history) event(run, id string) (*agentos.Explanation, error) {
	var found []*agentos.Explanation
	for i := range h.Denials {
		if d := &h.Denials[i]; d.Event == id {
			return d.Explain(run), nil
		} else if strings.HasPrefix(d.Event, id) {
			found = append(found, d.Explain(run))
		}
	}
	for i := range h.Failures {
		if f := &h.Failures[i]; f.Event == id {
			return f.Explain(run), nil
		} else if strings.HasPrefix(f.Event, id) {
			found = append(found, f.Explain(run))
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, refuse(CodeNoDenial, "event "+id, "no denial and no failure of run "+run+" has that event", "agentos report "+run+" lists them")
	}
	return nil, refuse(CodeNoDenial, "event "+id, strconv.Itoa(len(found))+" events of run "+run+" begin so", "give more of its letters")
}

// path finds the last denial that is about a path, or the last failure.
func (h *history) path(run, target string) (*agentos.Explanation, error) {
	for i := len(h.Denials) - 1; i >= 0; i-- {
		if d := &h.Denials[i]; d.Requested == target || d.Canonical == target {
			return d.Explain(run), nil
		}
	}
	for i := len(h.Failures) - 1; i >= 0; i-- {
		if f := &h.Failures[i]; f.Path == target {
			return f.Explain(run), nil
		}
	}
	return nil, refuse(CodeNoDenial, target, "nothing about it was refused in run "+run+", and no call on it failed", "agentos report "+run+" lists what was")
}

// printExplanation says it to people.
func printExplanation(w io.Writer, x *agentos.Explanation) error {
	var rows [][]string
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, printable(value)})
		}
	}
	what := "refused by AgentOS"
	switch {
	case !x.Ours:
		what = "not AgentOS: " + x.Rule
	case x.Decision == "allow":
		what = "allowed"
	}
	row("decision", what)
	if x.Ours {
		row("layer", x.Layer)
		row("rule", x.Rule)
	}
	call := x.Syscall
	if x.Via != "" && x.Via != x.Syscall {
		call += " (" + x.Via + ")"
	}
	row("call", call)
	row("requested", x.Requested)
	if x.Canonical != x.Requested {
		row("canonical", x.Canonical)
	}
	row("error", x.Errno)
	if x.Count > 1 {
		row("count", strconv.FormatUint(x.Count, 10))
	}
	switch {
	case x.Grant != "":
		row("grant", x.Grant)
	case x.Decision == "deny":
		row("grant", "none would allow it")
	}
	if x.Decision == "deny" {
		row("retry", map[string]string{agentos.RetryNever: "never: it would be refused again", agentos.RetryAfterGrant: "after the grant"}[x.Retry])
	}
	row("code", x.Code)
	row("event", x.Event)
	row("run", x.Run)
	return table(w, rows)
}
