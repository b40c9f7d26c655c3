package cli

import (
	"fmt"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/perm/cedar"
	"github.com/spf13/cobra"
)

// builtinPolicy begins the name of a policy that comes with AgentOS.
const builtinPolicy = "builtin:"

func (inv *invocation) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "Check policies, and show those that come with AgentOS",
		Example: "  agentos policy check team.cedar",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return refuse(CodeUsage, "agentos policy "+args[0], "is not a command", "write agentos policy check FILE…, list, show NAME, or schema")
		},
	}
	cmd.AddCommand(inv.policyCheckCommand(), inv.policyListCommand(), inv.policyShowCommand(), inv.policySchemaCommand())
	return cmd
}

// checkedPolicies is the answer of `agentos policy check --json`.
type checkedPolicies struct {
	Version  int      `json:"version"`
	Valid    bool     `json:"valid"`
	Policies []string `json:"policies"`
	Problem  string   `json:"problem,omitempty"`
}

func (inv *invocation) policyCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "check FILE…",
		Short:   "Say whether policies are valid, without running anything",
		Example: "  agentos policy check team.cedar builtin:no-secrets",
		Args:    exactly(1, 1000, "agentos policy check [--json] FILE…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ps []agentos.Policy
			for _, a := range args {
				ps = append(ps, agentos.Policy{Name: a})
			}
			lines, err := agentos.CheckPolicies(ps)
			if asJSON {
				doc := checkedPolicies{Version: agentos.DocumentVersion, Valid: err == nil, Policies: lines}
				if err != nil {
					doc.Problem, doc.Policies = err.Error(), []string{}
				}
				if werr := writeJSON(cmd.OutOrStdout(), doc); werr != nil {
					return werr
				}
			}
			if err != nil {
				return startFailure(err)
			}
			if asJSON {
				return nil
			}
			for _, l := range lines {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), "valid: "+l); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// readyPolicy is one of the policies that come with AgentOS.
type readyPolicy struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

func (inv *invocation) policyListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the policies that come with AgentOS",
		Example: "  agentos policy list",
		Args:    exactly(0, 0, "agentos policy list [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := cedar.Library()
			if err != nil {
				return err
			}
			out := struct {
				Version  int           `json:"version"`
				Policies []readyPolicy `json:"policies"`
			}{Version: agentos.DocumentVersion}
			rows := [][]string{{"NAME", "WHAT IT IS FOR"}}
			for _, r := range all {
				out.Policies = append(out.Policies, readyPolicy{builtinPolicy + r.Name, r.Doc})
				rows = append(rows, []string{builtinPolicy + r.Name, r.Doc})
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), out)
			}
			return table(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func (inv *invocation) policyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Print a policy that comes with AgentOS",
		Example: "  agentos policy show no-secrets > mine.cedar",
		Args:    exactly(1, 1, "agentos policy show NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := cedar.Builtin(strings.TrimPrefix(args[0], builtinPolicy))
			if err != nil {
				return refuse(CodePolicyFile, "agentos policy show "+args[0], "does not come with AgentOS", "agentos policy list names those that do")
			}
			_, err = cmd.OutOrStdout().Write(s.Text)
			return err
		},
	}
}

func (inv *invocation) policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the schema of policies, in the Cedar language",
		Example: "  agentos policy schema > agentos.cedarschema",
		Args:    exactly(0, 0, "agentos policy schema"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), cedar.Schema())
			return err
		},
	}
}
