package cli

import (
	agentos "github.com/agentos-kernel/agentos"
	"github.com/spf13/cobra"
)

func (inv *invocation) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this host can enforce, and what is missing",
		Long: `Say what this host can enforce, and what is missing. The status is 0 if programs
can be run, even where something that only informs is missing, else 1.`,
		Example: "  agentos doctor --json",
		Args:    exactly(0, 0, "agentos doctor [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := agentos.Doctor(inv.config(nil))
			if !healthy(d) {
				inv.status = 1
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			return table(cmd.OutOrStdout(), diagnosisRows(d))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// healthy reports whether every protection holds.
func healthy(d *agentos.Diagnosis) bool {
	for _, c := range d.Checks {
		if c.Protects && !c.OK {
			return false
		}
	}
	return true
}

func diagnosisRows(d *agentos.Diagnosis) [][]string {
	rows := [][]string{{"CHECK", "STATE", "DETAIL"}}
	for _, c := range d.Checks {
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
