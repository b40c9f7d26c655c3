package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/manifest"
	"github.com/spf13/cobra"
)

// runsDocument is what `ps --json` and `runs --json` print.
type runsDocument struct {
	Version int         `json:"version"`
	Runs    []runRecord `json:"runs"`
}

// runRecord is one run in a list, oldest first.
type runRecord struct {
	Run       string    `json:"run"`
	Name      string    `json:"name"`
	Program   string    `json:"program"`
	Domain    string    `json:"domain"`
	PID       uint32    `json:"pid"`
	KernelPID int       `json:"kernel_pid"`
	Started   time.Time `json:"started"`
	Live      bool      `json:"live"`
	Captured  bool      `json:"captured,omitempty"`  // it has writes to be committed or discarded
	Cause     string    `json:"cause"`               // "" while it is live
	ExitCode  *int      `json:"exit_code,omitempty"` // absent while it is live
	Problem   string    `json:"problem,omitempty"`   // why the record could not be read
}

// state opens the state directory to look at. Nil without an error means that
// there is none yet, and so no runs.
func (inv *invocation) state() (*statedir.Dir, error) {
	d, err := statedir.Open(statedir.Options{Getenv: inv.getenv, NoCreate: true})
	if err == nil {
		return d, nil
	}
	var u *statedir.Unavailable
	if errors.As(err, &u) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		problem := u.Reason
		if u.Err != nil {
			problem += ": " + reason(u.Err)
		}
		return nil, &Failure{Status: statusRefused, Code: CodeState, Where: "state directory " + u.Path, Problem: problem, Fix: u.Fix, Err: err}
	}
	return nil, stateFailure(err)
}

func stateFailure(err error) *Failure {
	return &Failure{Status: statusRefused, Code: CodeState, Where: "state directory", Problem: err.Error(), Err: err}
}

// getenv is Env for those who take an unset variable for an empty one.
func (inv *invocation) getenv(k string) string {
	v, _ := inv.Env(k)
	return v
}

// withState runs f with the state directory, which is nil if there is none.
func (inv *invocation) withState(f func(*statedir.Dir) error) error {
	d, err := inv.state()
	if err != nil {
		return err
	}
	if d == nil {
		return f(nil)
	}
	return errors.Join(f(d), d.Close())
}

// find resolves what a caller calls a run: an id, an unambiguous beginning or
// end of one, or "" for the last.
func find(d *statedir.Dir, ref string) (*statedir.Entry, error) {
	noRun := func(what string) error {
		return refuse(CodeNoRun, what, "no such run", "agentos runs lists them")
	}
	if d == nil {
		if ref == "" {
			return nil, refuse(CodeNoRun, "last run", "nothing has been run yet", "agentos run PROGRAM runs something")
		}
		return nil, noRun(ref)
	}
	var e *statedir.Entry
	var err error
	if ref == "" {
		e, err = d.Last()
	} else {
		e, err = d.Find(ref)
	}
	var many *statedir.Ambiguous
	switch {
	case errors.As(err, &many):
		return nil, refuse(CodeNoRun, ref, many.Error(), "give more of its letters")
	case errors.Is(err, statedir.ErrNoRun) && ref == "":
		return nil, refuse(CodeNoRun, "last run", "there is no record of any", "agentos run PROGRAM runs something")
	case errors.Is(err, statedir.ErrNoRun):
		return nil, noRun(ref)
	case err != nil:
		return nil, stateFailure(err)
	case e.Problem != nil:
		return nil, refuse(CodeState, "run "+e.ID, "its record cannot be read: "+e.Problem.Error(), "agentos prune removes damaged records")
	}
	return e, nil
}

// record describes an entry, with the end of its report if it has one.
func record(e *statedir.Entry) runRecord {
	d := e.Description
	r := runRecord{Run: e.ID, Name: d.Name, Program: d.Program, Domain: d.Domain, PID: d.PID, KernelPID: d.KernelPID, Started: d.Started, Live: e.Live, Captured: e.Uncommitted}
	if e.Problem != nil {
		r.Problem = e.Problem.Error()
		return r
	}
	if !e.Finished {
		return r
	}
	rep, err := readReport(e)
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	r.Cause, r.ExitCode = rep.Cause, &rep.ExitCode
	return r
}

// readReport decodes an entry's report.
func readReport(e *statedir.Entry) (*agentos.Report, error) {
	body, err := e.Report()
	if err != nil {
		return nil, err
	}
	rep := new(agentos.Report)
	if err := json.Unmarshal(body, rep); err != nil {
		return nil, err
	}
	if rep.Version > agentos.DocumentVersion {
		return nil, fmt.Errorf("its report has version %d; this program reads %d", rep.Version, agentos.DocumentVersion)
	}
	return rep, nil
}

func (inv *invocation) psCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List the runs that are going on",
		Example: "  agentos ps --json",
		Args:    exactly(0, 0, "agentos ps [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inv.list(cmd.OutOrStdout(), asJSON, (*statedir.Dir).ListLive, func(r *runRecord) []string {
				return []string{r.Run, strconv.Itoa(r.KernelPID), since(r.Started), r.Name, r.Program}
			}, "RUN", "KERNEL", "AGE", "NAME", "PROGRAM")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func (inv *invocation) runsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "runs",
		Short:   "List the runs there is a record of, oldest first",
		Example: "  agentos runs\n  agentos runs --json",
		Args:    exactly(0, 0, "agentos runs [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inv.list(cmd.OutOrStdout(), asJSON, (*statedir.Dir).List, func(r *runRecord) []string {
				end, status := r.Cause, ""
				switch {
				case r.Problem != "":
					end = "unreadable"
				case r.Live:
					end = "running"
				case end == "":
					end = "unfinished"
				}
				if r.Captured && !r.Live {
					end += ", captured"
				}
				if r.ExitCode != nil {
					status = strconv.Itoa(*r.ExitCode)
				}
				started := ""
				if !r.Started.IsZero() {
					started = r.Started.Local().Format("2006-01-02 15:04:05")
				}
				return []string{r.Run, started, end, status, r.Name, r.Program}
			}, "RUN", "STARTED", "END", "STATUS", "NAME", "PROGRAM")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// list prints entries, as JSON or as a table.
func (inv *invocation) list(w io.Writer, asJSON bool, entries func(*statedir.Dir) ([]*statedir.Entry, error), row func(*runRecord) []string, head ...string) error {
	return inv.withState(func(d *statedir.Dir) error {
		doc := runsDocument{Version: agentos.DocumentVersion, Runs: []runRecord{}}
		if d != nil {
			list, err := entries(d)
			if err != nil {
				return stateFailure(err)
			}
			for _, e := range list {
				doc.Runs = append(doc.Runs, record(e))
			}
		}
		if asJSON {
			return writeJSON(w, doc)
		}
		rows := [][]string{head}
		for i := range doc.Runs {
			rows = append(rows, row(&doc.Runs[i]))
		}
		return table(w, rows)
	})
}

// since is the age of a time, for people.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := max(time.Since(t), 0)
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// writeJSON prints a document.
func writeJSON(w io.Writer, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(body, '\n'))
	return err
}

func (inv *invocation) reportCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "report [RUN]",
		Short:   "Print the report of a run, the last one if none is named",
		Example: "  agentos report\n  agentos report 01k --json",
		Args:    exactly(0, 1, "agentos report [RUN] [--json]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.withState(func(d *statedir.Dir) error {
				e, err := find(d, strings.Join(args, ""))
				if err != nil {
					return err
				}
				rep, err := readReport(e)
				if errors.Is(err, statedir.ErrNoReport) && e.Live {
					return refuse(CodeNoRun, "run "+e.ID, "is still going on and has no report", "agentos wait "+e.ID+" waits for it")
				}
				if err != nil {
					return refuse(CodeState, "run "+e.ID, "its report cannot be read: "+err.Error(), "")
				}
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), rep)
				}
				return printReport(cmd.OutOrStdout(), rep)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, the whole of it")
	return cmd
}

func (inv *invocation) pruneCommand() *cobra.Command {
	var p statedir.PrunePolicy
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the records of runs that have ended",
		Long: `Remove the records of runs that have ended. Those of live runs, and those with
captured writes that were neither committed nor discarded, stay.`,
		Example: "  agentos prune --keep 20 --older-than 24h",
		Args:    exactly(0, 0, "agentos prune [--keep N] [--older-than DURATION] [--dry-run] [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inv.withState(func(d *statedir.Dir) error {
				var res statedir.PruneResult
				if d != nil {
					var err error
					if res, err = d.Prune(context.Background(), p); err != nil {
						return stateFailure(err)
					}
				}
				return printPruned(cmd.OutOrStdout(), res, p.DryRun, asJSON)
			})
		},
	}
	cmd.Flags().Var(one(&p.Keep, "N", manifest.ParseCount), "keep", "keep the newest N")
	cmd.Flags().Var(one(&p.OlderThan, "DURATION", manifest.ParseDuration), "older-than", "only those that started longer ago")
	cmd.Flags().BoolVar(&p.DryRun, "dry-run", false, "only say what would go")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printPruned(w io.Writer, res statedir.PruneResult, dry, asJSON bool) error {
	if asJSON {
		if res.Removed == nil {
			res.Removed = []string{}
		}
		return writeJSON(w, struct {
			Version     int      `json:"version"`
			Removed     []string `json:"removed"`
			Kept        int      `json:"kept"`
			Live        int      `json:"live"`
			Uncommitted int      `json:"uncommitted"`
			Unreadable  int      `json:"unreadable"`
			DryRun      bool     `json:"dry_run"`
		}{agentos.DocumentVersion, res.Removed, res.Kept, res.Live, res.Uncommitted, res.Unreadable, dry})
	}
	verb := "removed"
	if dry {
		verb = "would remove"
	}
	_, err := fmt.Fprintf(w, "%s %d; kept %d finished, %d live, %d uncommitted, %d unreadable\n",
		verb, len(res.Removed), res.Kept, res.Live, res.Uncommitted, res.Unreadable)
	return err
}
