package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/observe/audit"
	"github.com/spf13/cobra"
)

func (inv *invocation) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show and check the audit log of a run",
		Example: `  agentos audit show
  agentos audit verify 01k5 --head HASH`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return refuse(CodeUsage, "agentos audit "+args[0], "is not a command", "write agentos audit show or agentos audit verify")
		},
	}
	cmd.AddCommand(inv.auditShowCommand(), inv.auditVerifyCommand())
	return cmd
}

// withAudit reads the log of a run.
func (inv *invocation) withAudit(ref string, f func(e *statedir.Entry, log []byte) error) error {
	return inv.withState(func(d *statedir.Dir) error {
		e, err := find(d, ref)
		if err != nil {
			return err
		}
		log, err := e.Audit()
		if errors.Is(err, fs.ErrNotExist) {
			return refuse(CodeNoAudit, "run "+e.ID, "has no audit log", "its report says why, if there is one")
		}
		if err != nil {
			return refuse(CodeState, "run "+e.ID, "its audit log cannot be read: "+err.Error(), "")
		}
		return f(e, log)
	})
}

func (inv *invocation) auditShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Print the audit log of a run, the last one if none is named",
		Long: `Print what was refused, granted, and revoked in a run, and by which policies it was
bound. It prints what stands there; agentos audit verify says whether that is what was
written.`,
		Example: "  agentos audit show\n  agentos audit show 01k5 --json",
		Args:    exactly(0, 1, "agentos audit show [RUN] [--json]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.withAudit(strings.Join(args, ""), func(_ *statedir.Entry, log []byte) error {
				if asJSON {
					_, err := cmd.OutOrStdout().Write(log)
					return err
				}
				return printAudit(cmd.OutOrStdout(), log)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON lines, as they are in the file")
	return cmd
}

// printAudit prints one line a record.
func printAudit(w io.Writer, log []byte) error {
	for line := range strings.Lines(string(log)) {
		var r audit.Record
		text := "(no record)"
		if json.Unmarshal([]byte(line), &r) == nil {
			text = fmt.Sprintf("%d %s %s", r.N, r.Time.Format("15:04:05.000"), auditLine(&r))
		}
		if _, err := fmt.Fprintln(w, printable(text)); err != nil {
			return err
		}
	}
	return nil
}

// auditLine says a record in words.
func auditLine(r *audit.Record) string {
	switch r.Kind {
	case audit.KindStart:
		return strings.Join(append([]string{"start", r.Domain, r.Program}, r.Grants...), " ")
	case audit.KindPolicy:
		return "policy " + r.Subject
	case audit.KindDenial:
		return denialLine(&agentos.Denial{Code: r.Code, Syscall: r.Syscall, Rule: r.Rule, Requested: r.Requested,
			Canonical: r.Canonical, Grant: r.Grant, Errno: r.Errno, Count: r.Count})
	case audit.KindRepeated:
		return fmt.Sprintf("the denial of record %d came %d times so far", r.Of, r.Count)
	case audit.KindUnlisted:
		return fmt.Sprintf("%d denials so far have no record of their own", r.Count)
	case audit.KindEnd:
		return strings.TrimSuffix("end "+r.Cause+": "+r.Detail, ": ")
	}
	return fmt.Sprintf("%s %s: %s → %s", r.Kind, r.Subject, r.Was, r.Is)
}

// verdict is the answer of `agentos audit verify --json`.
type verdict struct {
	Version  int             `json:"version"`
	Run      string          `json:"run"`
	Intact   bool            `json:"intact"`
	Checked  string          `json:"checked"` // head, or consistency
	Head     string          `json:"head"`    // of the records that fit together
	Records  uint64          `json:"records"`
	Ended    bool            `json:"ended"`
	Torn     bool            `json:"torn"`
	Problems []audit.Problem `json:"problems"`
}

func (inv *invocation) auditVerifyCommand() *cobra.Command {
	var asJSON bool
	var head *audit.Expected
	cmd := &cobra.Command{
		Use:   "verify [RUN]",
		Short: "Say whether the audit log of a run is the one that was written",
		Long: `Check the audit log of a run, the last one if none is named. With the head that the
report of the run gave, kept where whoever might change the log cannot write, any edit
shows: a record that was changed, taken out, moved, or added, and an end that was cut
off. Without a head it only shows whether the records fit together, which they also do
after everything was written anew, or the end was cut off at a record.`,
		Example: `  agentos run --report r.json PROGRAM
  agentos audit verify --head "$(jq -r .audit.head r.json)"`,
		Args: exactly(0, 1, "agentos audit verify [RUN] [--head HEAD] [--json]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.withAudit(strings.Join(args, ""), func(e *statedir.Entry, log []byte) error {
				return inv.verify(cmd.OutOrStdout(), e, audit.Verify(e.ID, log, head), asJSON)
			})
		},
	}
	cmd.Flags().Var(one(&head, "HEAD", func(s string) (*audit.Expected, error) {
		e, err := audit.ParseExpected(s)
		return &e, err
	}), "head", "the head that was kept: HASH, or RECORDS:HASH")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// verify prints what was found.
func (inv *invocation) verify(w io.Writer, e *statedir.Entry, r *audit.Result, asJSON bool) error {
	if asJSON {
		v := verdict{Version: agentos.DocumentVersion, Run: e.ID, Intact: r.Intact(), Checked: "consistency", Head: r.Head.Hash.String(),
			Records: r.Head.Records, Ended: r.Ended, Torn: r.Torn, Problems: append([]audit.Problem{}, r.Problems...)}
		if r.Checked {
			v.Checked = "head"
		}
		if !r.Intact() {
			inv.status = 1
		}
		return writeJSON(w, v)
	}
	if !r.Intact() {
		for _, p := range r.Problems {
			if _, err := fmt.Fprintln(w, printable(p.Kind+": "+p.Detail)); err != nil {
				return err
			}
		}
		return &Failure{Status: 1, Code: CodeAudit, Where: "run " + e.ID, Problem: "its audit log is not the one that was written"}
	}
	said := fmt.Sprintf("intact: %d records, and the last is the one of the head", r.Head.Records)
	if !r.Checked {
		said = fmt.Sprintf("consistent: %d records fit together. Without --head this does not show whether the end was cut off or all was written anew", r.Head.Records)
	}
	lines := []string{said}
	if r.Torn {
		lines = append(lines, "the last line was cut short, as by a crash; it was no record yet")
	}
	switch {
	case !r.Ended && e.Live:
		lines = append(lines, "the run is still going on")
	case !r.Ended:
		lines = append(lines, "no record says that the run ended: its kernel was killed, or the end was cut off")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}
