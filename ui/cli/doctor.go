package cli

import (
	"fmt"
	"io"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/spf13/cobra"
)

func (inv *invocation) doctorCommand() *cobra.Command {
	var asJSON, noNamespaces bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try what a program must not be able to do, and say what stopped it here",
		Long: `Try, in throw-away programs of both domains, what a program must not be able to
do: read a secret, connect out, signal and trace others, use more than it may, and
so on. Say what stopped each attempt on this host, what is weaker here than it could
be, and what to change. The status is 0 if a default run is safe here: no attempt
got through, and none is left in doubt. A kind of program that is refused is safe.`,
		Example: "  agentos doctor\n  agentos doctor --json",
		Args:    exactly(0, 0, "agentos doctor [--json] [--no-namespaces]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := inv.config(nil)
			c.NoNamespaces = noNamespaces
			d := agentos.Doctor(c)
			if !d.Safe {
				inv.status = 1
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			return present(cmd.OutOrStdout(), d)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&noNamespaces, "no-namespaces", false, "as on a host without namespaces: by Landlock and seccomp only")
	return cmd
}

// present writes a diagnosis for people.
func present(w io.Writer, d *agentos.Diagnosis) error {
	if err := table(w, checkRows(d)); err != nil {
		return err
	}
	if rows := attemptRows(d); len(rows) > 1 {
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, conclusion(d))
	return err
}

// checkRows are what was looked at and not tried.
func checkRows(d *agentos.Diagnosis) [][]string {
	rows := [][]string{{"CHECK", "STATE", "DETAIL"}}
	for _, c := range d.Checks {
		if c.Outcome != "" {
			continue
		}
		state, detail := "ok", c.Detail
		switch {
		case !c.OK && c.Protects:
			state = "FAILED"
		case !c.OK:
			state = "absent"
		}
		if c.Fix != "" {
			detail += "; " + c.Fix
		}
		rows = append(rows, []string{c.Name, state, detail})
	}
	return append(rows, []string{"host", "", d.Host}, []string{"build", "", d.Build})
}

// marks show an outcome at a glance.
func mark(outcome string) string {
	switch outcome {
	case agentos.OutcomeHeld:
		return "✓ held"
	case agentos.OutcomeEscaped:
		return "✗ ESCAPED"
	case agentos.OutcomeDegraded:
		return "~ degraded"
	case agentos.OutcomeUntried:
		return "– not tried"
	}
	return "? UNKNOWN"
}

// attemptRows are what programs tried.
func attemptRows(d *agentos.Diagnosis) [][]string {
	rows := [][]string{{"DOMAIN", "A PROGRAM TRIES TO", "OUTCOME", "STOPPED BY"}}
	for _, c := range d.Checks {
		if c.Outcome == "" {
			continue
		}
		domain, _, _ := strings.Cut(c.Name, ".")
		why := c.StoppedBy
		switch {
		case why == "":
			why = c.Detail
		case c.Outcome != agentos.OutcomeHeld && c.Detail != "":
			why += ": " + c.Detail
		}
		if c.Errno != "" {
			why += " (" + c.Errno + ")"
		}
		rows = append(rows, []string{domain, c.Tried, mark(c.Outcome), why})
	}
	return rows
}

// conclusion says what is weak here, and what it all means.
func conclusion(d *agentos.Diagnosis) string {
	var b strings.Builder
	b.WriteByte('\n')
	for _, w := range d.Degraded {
		fmt.Fprintf(&b, "degraded: %s\n", printable(w.What))
		if w.Fix != "" {
			fmt.Fprintf(&b, "  to change that: %s\n", printable(w.Fix))
		}
	}
	if d.Safe {
		b.WriteString("A default run is safe here.\n")
		return b.String()
	}
	var bad []string
	for _, c := range d.Checks {
		if c.Protects && !c.OK {
			bad = append(bad, c.Name)
		}
	}
	fmt.Fprintf(&b, "A default run is NOT SAFE here: %s.\n", strings.Join(bad, ", "))
	return b.String()
}
