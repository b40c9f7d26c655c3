package cli

import (
	"context"
	"fmt"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/spf13/cobra"
)

func (inv *invocation) discardCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "discard [RUN]",
		Short: "Throw away what a run captured",
		Long: `Throw away what a run captured with --overlay and has not been committed, for good. RUN is
the last run with captured writes if none is named.`,
		Example: "  agentos discard\n  agentos discard 7kq2",
		Args:    exactly(0, 1, "agentos discard [RUN] [--json]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.withCaptured(strings.Join(args, ""), func(ctx context.Context, c *agentos.Captured) error {
				n, err := c.Discard(ctx)
				if err != nil {
					return capturedFailure(c.Run(), err)
				}
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), struct {
						Version   int    `json:"version"`
						Run       string `json:"run"`
						Discarded int    `json:"discarded"`
					}{agentos.DocumentVersion, c.Run(), n})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "discarded %d\n", n)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
