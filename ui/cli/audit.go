package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/observe/audit"
	"github.com/spf13/cobra"
)

func (inv *invocation) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Show and verify what a run was refused, given, and deprived of",
		Example: "  agentos audit verify 01k5 --head 7:3fa8…",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return refuse(CodeUsage, "agentos audit "+args[0], "is not a command", "write agentos audit show [RUN], or verify [RUN] [--head HEAD]")
		},
	}
	cmd.AddCommand(inv.auditShowCommand(), inv.auditVerifyCommand())
	return cmd
}

// auditLog opens the audit log of a run; nil without an error if it has none.
func auditLog(d *statedir.Dir, ref string) (*statedir.Entry, *os.File, error) {
	if ref == lastRun {
		ref = ""
	}
	e, err := find(d, ref)
	if err != nil {
		return nil, nil, err
	}
	f, err := e.Audit()
	if errors.Is(err, statedir.ErrNoAudit) {
		return e, nil, nil
	}
	if err != nil {
		return nil, nil, refuse(CodeState, "run "+e.ID, "its audit log cannot be read: "+reason(err), "")
	}
	return e, f, nil
}

// verify reads the log of a run.
func verify(e *statedir.Entry, f *os.File, kept *audit.Head, each func(*audit.Record)) (*audit.Result, error) {
	if f == nil {
		return audit.Verify(strings.NewReader(""), e.ID, kept, each)
	}
	res, err := audit.Verify(f, e.ID, kept, each)
	return res, errors.Join(err, f.Close())
}

func (inv *invocation) auditShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Print the audit log of a run, as far as it is intact",
		Example: `  agentos audit show
  agentos audit show --json 01k5`,
		Args: exactly(0, 1, "agentos audit show [--json] [RUN]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.withState(func(d *statedir.Dir) error {
				e, f, err := auditLog(d, arg(args))
				if err != nil {
					return err
				}
				var rows [][]string
				var werr error
				res, err := verify(e, f, nil, func(r *audit.Record) {
					if asJSON {
						line, err := json.Marshal(r)
						if err == nil {
							_, err = fmt.Fprintf(inv.Stdout, "%s\n", line)
						}
						werr = errors.Join(werr, err)
						return
					}
					rows = append(rows, []string{r.Time.Format(time.RFC3339), r.Kind, printable(auditLine(r))})
				})
				if err = errors.Join(err, werr); err != nil {
					return err
				}
				if len(rows) > 0 {
					if err := table(inv.Stdout, rows); err != nil {
						return err
					}
				}
				if !res.Intact() {
					return &Failure{Status: 1, Code: CodeAudit, Where: fmt.Sprintf("record %d", res.Line), Problem: res.What, Fix: "what stands before it is intact"}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON lines")
	return cmd
}

// auditLine is a record in words.
func auditLine(r *audit.Record) string {
	switch r.Kind {
	case audit.KindDenial:
		var d agentos.Denial
		if json.Unmarshal(r.Body, &d) == nil {
			return denialLine(&d)
		}
	case audit.KindEnd:
		var e struct {
			Cause    string `json:"cause"`
			ExitCode int    `json:"exit_code"`
			Denials  uint64 `json:"denials"`
		}
		if json.Unmarshal(r.Body, &e) == nil {
			return fmt.Sprintf("%s, status %d, %d denials", e.Cause, e.ExitCode, e.Denials)
		}
	case audit.KindStart:
		var s struct {
			Program string `json:"program"`
			Domain  string `json:"domain"`
		}
		if json.Unmarshal(r.Body, &s) == nil {
			return s.Program + " (" + s.Domain + ")"
		}
	}
	return string(r.Body)
}

// auditVerified is the answer of `agentos audit verify --json`.
type auditVerified struct {
	Version int    `json:"version"`
	Run     string `json:"run"`
	Intact  bool   `json:"intact"`
	Head    string `json:"head"` // of the part that is intact
	Records uint64 `json:"records"`
	Kept    string `json:"kept,omitempty"` // the head that it was held to
	Wrong   uint64 `json:"wrong,omitempty"`
	Problem string `json:"problem,omitempty"`
	Torn    int    `json:"torn_bytes,omitempty"`
}

func (inv *invocation) auditVerifyCommand() *cobra.Command {
	var asJSON bool
	var head string
	cmd := &cobra.Command{
		Use:   "verify [RUN]",
		Short: "Say whether the audit log of a run is still what it was",
		Long: `Verify reads the audit log of a run and names the first record that was edited, removed,
inserted, or moved. With --head, a head that was kept (it is in the report), it also finds
that the log was cut off or written anew. Without, whoever can write the file could have
written another that fits together.`,
		Example: `  agentos audit verify --head 7:3fa8… 01k5`,
		Args:    exactly(0, 1, "agentos audit verify [--head RECORDS:HASH] [--json] [RUN]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var kept *audit.Head
			if head != "" {
				h, err := audit.ParseHead(head)
				if err != nil {
					return refuse(CodeUsage, "--head", err.Error(), "the report has it as audit.head")
				}
				kept = &h
			}
			return inv.withState(func(d *statedir.Dir) error {
				e, f, err := auditLog(d, arg(args))
				if err != nil {
					return err
				}
				res, err := verify(e, f, kept, nil)
				if err != nil {
					return err
				}
				doc := auditVerified{Version: agentos.DocumentVersion, Run: e.ID, Intact: res.Intact(), Head: res.Head.String(), Records: res.Head.Records, Wrong: res.Line, Problem: res.What, Torn: res.Torn, Kept: head}
				if asJSON {
					if err := writeJSON(inv.Stdout, doc); err != nil {
						return err
					}
				}
				if !res.Intact() {
					return &Failure{Status: 1, Code: CodeAudit, Where: fmt.Sprintf("run %s, record %d", e.ID, res.Line), Problem: res.What, Fix: "what stands before it is intact"}
				}
				if asJSON {
					return nil
				}
				proof := "it was like that when the head was taken, and has only grown since"
				if kept == nil {
					proof = "it fits together; only --head with a head that was kept tells whether it was written anew"
				}
				if res.Torn > 0 {
					proof += fmt.Sprintf("; %d bytes at its end are no whole record, as a crash leaves them", res.Torn)
				}
				_, err = fmt.Fprintf(inv.Stdout, "intact: %d records; %s\nhead: %s\n", res.Head.Records, proof, res.Head)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a head that was kept, RECORDS:HASH")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// arg is the one argument, or "".
func arg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
