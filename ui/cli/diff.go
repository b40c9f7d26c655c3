package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/linediff"
	"github.com/spf13/cobra"
)

// Bounds of what is compared line by line.
const (
	maxDiffFile  = 4 << 20 // bytes of either side
	maxFileLines = 200_000 // lines of either side
	maxDiffLines = 20_000  // lines that are printed of one file
	binaryProbe  = 8 << 10 // bytes in which a zero byte makes a file binary
)

// diffDocument is what `diff --json` prints.
type diffDocument struct {
	Version int         `json:"version"`
	Run     string      `json:"run"`
	Changes []diffEntry `json:"changes"`
}

// diffEntry is one change and how many lines differ.
type diffEntry struct {
	*agentos.Change
	Binary     bool `json:"binary"`
	TooLarge   bool `json:"too_large"` // to be compared line by line
	Insertions int  `json:"insertions"`
	Deletions  int  `json:"deletions"`

	hunks []linediff.Hunk
}

func (inv *invocation) diffCommand() *cobra.Command {
	var stat, names, asJSON bool
	cmd := &cobra.Command{
		Use:   "diff [RUN] [PATH…]",
		Short: "Show what a run captured, against what the host has now",
		Long: `Show what a run captured with --overlay, against what the host has now: added, modified,
deleted, and retyped files, symbolic links, modes, and for text what differs in it. RUN is the
last run with captured writes if none is named. Control characters are shown escaped.`,
		Example: "  agentos diff\n  agentos diff --stat\n  agentos diff 7kq2 src --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if stat && names || asJSON && (stat || names) {
				return refuse(CodeUsage, "agentos diff", "--stat, --name-only, and --json contradict each other", "give one of them")
			}
			ref, paths, err := inv.splitRun(args)
			if err != nil {
				return err
			}
			return inv.withCaptured(ref, func(ctx context.Context, c *agentos.Captured) error {
				changes, err := c.Plan(ctx, nil, false)
				if err == nil && len(paths) > 0 {
					// What a commit of all would do, for those that are named.
					changes, err = only(ctx, c, changes, paths)
				}
				if err != nil {
					return capturedFailure(c.Run(), err)
				}
				return inv.printDiff(cmd.OutOrStdout(), c, changes, stat, names, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&stat, "stat", false, "one line for each file, and how many lines differ")
	cmd.Flags().BoolVar(&names, "name-only", false, "only the names")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// only keeps the changes at and beneath the named paths.
func only(ctx context.Context, c *agentos.Captured, changes []*agentos.Change, paths []string) ([]*agentos.Change, error) {
	named, err := c.Plan(ctx, paths, false)
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, n := range named {
		keep[n.Guest] = true
	}
	out := []*agentos.Change{}
	for _, ch := range changes {
		if keep[ch.Guest] {
			out = append(out, ch)
		}
	}
	return out, nil
}

func (inv *invocation) printDiff(w io.Writer, c *agentos.Captured, changes []*agentos.Change, stat, names, asJSON bool) error {
	if names {
		for _, ch := range changes {
			if _, err := fmt.Fprintln(w, printable(ch.Path)); err != nil {
				return err
			}
		}
		return nil
	}
	if asJSON || stat {
		entries := make([]diffEntry, 0, len(changes))
		for _, ch := range changes {
			e, err := compare(c, ch)
			if err != nil {
				return err
			}
			e.hunks = nil
			entries = append(entries, e)
		}
		if asJSON {
			return writeJSON(w, diffDocument{agentos.DocumentVersion, c.Run(), entries})
		}
		return printStat(w, entries)
	}
	p := painter{w: w, colour: inv.colourOn(w)}
	guest := ""
	for _, ch := range changes {
		host, g := ch.Directory()
		if g != guest {
			line := g
			if host != g {
				line += " (" + host + " on the host)"
			}
			p.line(dim, line)
			guest = g
		}
		e, err := compare(c, ch)
		if err != nil {
			return err
		}
		p.change(&e)
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// colourOn reports whether what is written to w may be coloured.
func (inv *invocation) colourOn(w io.Writer) bool { return newScreen(w, inv.Env).colour }

// compare reads both sides of a change, if they are to be compared by line.
func compare(c *agentos.Captured, ch *agentos.Change) (diffEntry, error) {
	e := diffEntry{Change: ch}
	if ch.Kind == "mode" || ch.Type != "regular" && ch.WasType != "regular" {
		return e, nil
	}
	old, new, err := c.Contents(ch, maxDiffFile)
	if errors.Is(err, agentos.ErrTooLarge) {
		e.TooLarge = true
		return e, nil
	}
	if err != nil {
		return e, &Failure{Status: statusRefused, Code: CodeFailed, Where: ch.Path, Problem: "cannot be compared: " + reason(err), Err: err}
	}
	if isBinary(old) || isBinary(new) {
		e.Binary = true
		return e, nil
	}
	if bytes.Count(old, []byte("\n")) > maxFileLines || bytes.Count(new, []byte("\n")) > maxFileLines {
		e.TooLarge = true
		return e, nil
	}
	e.hunks = linediff.Compare(old, new, 3)
	e.Insertions, e.Deletions = linediff.Count(e.hunks)
	return e, nil
}

func isBinary(b []byte) bool { return bytes.IndexByte(b[:min(len(b), binaryProbe)], 0) >= 0 }

// printStat prints a line for each change and a sum.
func printStat(w io.Writer, entries []diffEntry) error {
	const widest = 40
	most, ins, del := 1, 0, 0
	for i := range entries {
		most = max(most, entries[i].Insertions+entries[i].Deletions)
		ins, del = ins+entries[i].Insertions, del+entries[i].Deletions
	}
	rows := make([][]string, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		bar := func(n int, s string) string {
			if most > widest && n > 0 {
				n = max(1, n*widest/most)
			}
			return strings.Repeat(s, n)
		}
		what := ""
		switch {
		case e.TooLarge:
			what = fmt.Sprintf("too large to compare, %s → %s", formatBytes(uint64(e.WasSize)), formatBytes(uint64(e.Size)))
		case e.Binary:
			what = fmt.Sprintf("binary, %s → %s", formatBytes(uint64(e.WasSize)), formatBytes(uint64(e.Size)))
		case e.Insertions+e.Deletions > 0:
			what = fmt.Sprintf("%d %s%s", e.Insertions+e.Deletions, bar(e.Insertions, "+"), bar(e.Deletions, "-"))
		}
		if d := detailOf(e.Change); d != "" {
			what = strings.TrimPrefix(what+", "+d, ", ")
		}
		if w := standing(e.Change); w != "" {
			what = strings.TrimPrefix(what+"; "+w, "; ")
		}
		rows = append(rows, []string{label(e.Change), e.Path, what})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d changed, %d insertions(+), %d deletions(-)\n", len(entries), ins, del)
	return err
}

// standing says what would keep a change from being committed.
func standing(c *agentos.Change) string {
	switch c.Outcome {
	case "committed":
		return ""
	case "already":
		return "the host has it already"
	case "unnamed":
		return "to be named: " + c.Why
	}
	return c.Outcome + ": " + c.Why
}

// painter prints a diff in colours, escaped.
type painter struct {
	w      io.Writer
	colour bool
	err    error
}

const (
	green = "32"
	cyan  = "36"
	bold  = "1"
)

// line prints one line. Tabs are left; whatever else a terminal would obey is escaped.
func (p *painter) line(colour, s string) {
	if p.err != nil {
		return
	}
	parts := strings.Split(s, "\t")
	for i := range parts {
		parts[i] = printable(parts[i])
	}
	s = strings.Join(parts, "\t")
	if p.colour && colour != "" {
		s = "\x1b[" + colour + "m" + s + "\x1b[0m"
	}
	_, p.err = io.WriteString(p.w, s+"\n")
}

// change prints one change.
func (p *painter) change(e *diffEntry) {
	head := label(e.Change) + " " + e.Path
	if d := detailOf(e.Change); d != "" {
		head += " (" + d + ")"
	}
	p.line(bold, head)
	if w := standing(e.Change); w != "" {
		p.line(yellow, "! "+w)
	}
	switch {
	case e.TooLarge:
		p.line("", fmt.Sprintf("too large to compare line by line: %s → %s", formatBytes(uint64(e.WasSize)), formatBytes(uint64(e.Size))))
	case e.Binary:
		p.line("", fmt.Sprintf("binary: %s → %s", formatBytes(uint64(e.WasSize)), formatBytes(uint64(e.Size))))
	case len(e.hunks) > 0:
		p.hunks(e)
	}
}

func (p *painter) hunks(e *diffEntry) {
	side := func(prefix string, there bool) string {
		if !there {
			return "/dev/null"
		}
		return prefix + e.Path
	}
	p.line(bold, "--- "+side("a/", e.Kind != "added" && e.WasType == "regular"))
	p.line(bold, "+++ "+side("b/", e.Kind != "deleted" && e.Type == "regular"))
	printed, more := 0, 0
	for i := range e.hunks {
		h := &e.hunks[i]
		if printed == maxDiffLines {
			more += len(h.Lines)
			continue
		}
		p.line(cyan, h.Header())
		for j, l := range h.Lines {
			if printed++; printed == maxDiffLines {
				more = len(h.Lines) - j - 1
			}
			colour := ""
			switch l.Kind {
			case linediff.Added:
				colour = green
			case linediff.Deleted:
				colour = red
			}
			p.line(colour, string(l.Kind)+string(l.Text))
			if l.Bare {
				p.line("", `\ No newline at end of file`)
			}
			if printed == maxDiffLines {
				break
			}
		}
	}
	if more > 0 {
		p.line(yellow, fmt.Sprintf("! %d more lines are not shown", more))
	}
}
