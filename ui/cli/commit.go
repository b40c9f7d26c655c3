package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/spf13/cobra"
)

// commitDocument is what `commit --json` prints.
type commitDocument struct {
	Version   int               `json:"version"`
	Run       string            `json:"run"`
	DryRun    bool              `json:"dry_run"`
	Committed int               `json:"committed"` // those that the host has now, or would have
	Left      int               `json:"left"`      // changes of the run that are still captured
	Changes   []*agentos.Change `json:"changes"`
}

func (inv *invocation) commitCommand() *cobra.Command {
	var force, dry, asJSON bool
	cmd := &cobra.Command{
		Use:   "commit [RUN] [PATH…]",
		Short: "Write what a run captured to the host",
		Long: `Write what a run captured with --overlay to the host: all of it, or what is at and
beneath the paths that are named. RUN is the last run with captured writes if none is
named. PATH is as the program saw it, of the host, or relative to the granted directory.

A file that the host changed since the run began is a conflict and left alone. Files that
make other programs run code, and executables, are written only if they are named
themselves. Each file is replaced whole. A commit that was killed can be run again. The
status is 1 if something that was to be committed was not.`,
		Example: "  agentos commit\n  agentos commit 7kq2 src README.md\n  agentos commit 7kq2 bin/tool",
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, paths, err := inv.splitRun(args)
			if err != nil {
				return err
			}
			return inv.withCaptured(ref, func(ctx context.Context, c *agentos.Captured) error {
				do := c.Commit
				if dry {
					do = c.Plan
				}
				changes, err := do(ctx, paths, force)
				if err == nil || len(changes) > 0 {
					if perr := inv.committed(cmd.OutOrStdout(), c, changes, dry, asJSON); perr != nil {
						return perr
					}
				}
				if err != nil {
					return capturedFailure(c.Run(), err)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "write although the host changed since the run began")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be written")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// committed prints what became of changes and sets the status.
func (inv *invocation) committed(w io.Writer, c *agentos.Captured, changes []*agentos.Change, dry, asJSON bool) error {
	done := 0
	for _, ch := range changes {
		if ch.Done() {
			done++
		}
	}
	if done < len(changes) {
		inv.status = statusLeft
	}
	if asJSON {
		return writeJSON(w, commitDocument{agentos.DocumentVersion, c.Run(), dry, done, c.Left(), changes})
	}
	inv.notCommitted(c.Run(), changes)
	verb := "committed"
	if dry {
		verb = "would commit"
	}
	s := fmt.Sprintf("%s %d of %d", verb, done, len(changes))
	if left := c.Left(); left > 0 && !dry {
		s += fmt.Sprintf("; %d still captured: agentos diff | commit | discard", left)
	}
	_, err := fmt.Fprintln(w, s)
	return err
}

// notCommitted says on standard error why changes were not committed, and returns how
// many.
func (inv *invocation) notCommitted(run string, changes []*agentos.Change) int {
	left := 0
	for _, c := range changes {
		if c.Done() {
			if c.Why != "" {
				inv.screen.note(yellow, c.Path+" "+c.Why)
			}
			continue
		}
		left++
		line := c.Path + " " + c.Why
		code := CodeRefused
		switch c.Outcome {
		case "conflict":
			code = CodeConflict
			line += "; look at agentos diff " + run + " " + shellWord(c.Path) + ", and commit it with --force or discard it"
		case "unnamed":
			code = CodeUnnamed
			line += "; agentos commit " + run + " " + shellWord(c.Path) + " commits it by name"
		case "blocked":
			code = CodeBlocked
		case "failed":
			code = CodeFailed
		}
		inv.screen.line(red, fmt.Sprintf("not committed: %s [%s]", line, code))
	}
	return left
}

// shellWord makes a path one word of a shell.
func shellWord(p string) string {
	if p != "" && !strings.ContainsFunc(p, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r))
	}) && p[0] != '-' {
		return p
	}
	return "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
}
