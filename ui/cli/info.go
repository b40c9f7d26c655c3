package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/spf13/cobra"
)

// version describes this binary.
type version struct {
	Version  int    `json:"version"` // of the document
	AgentOS  string `json:"agentos"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// thisVersion reads what the Go toolchain recorded in the binary.
func thisVersion() version {
	v := version{Version: agentos.DocumentVersion, AgentOS: agentos.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (inv *invocation) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  agentos version --json",
		Args:    exactly(0, 0, "agentos version [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := thisVersion()
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			s := "agentos " + v.AgentOS
			if v.Revision != "" {
				s += " " + v.Revision
				if v.Modified {
					s += " with changes"
				}
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s (%s, %s/%s)\n", s, v.Go, v.OS, v.Arch)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// syscallRow is one row of the syscall table as a document.
type syscallRow struct {
	Name       string `json:"name"`
	Category   string `json:"category"`
	Capability string `json:"capability"`
	Action     string `json:"action"`
	Touches    string `json:"touches"`
	Waits      bool   `json:"waits"`
	Doc        string `json:"doc"`
}

func (inv *invocation) syscallsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "syscalls",
		Short:   "List the kernel's operations and the capabilities they need",
		Example: "  agentos syscalls --json",
		Args:    exactly(0, 0, "agentos syscalls [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc := struct {
				Version  int          `json:"version"`
				Syscalls []syscallRow `json:"syscalls"`
			}{Version: agentos.DocumentVersion}
			rows := [][]string{{"NAME", "CATEGORY", "CAPABILITY", "ACTION", "TOUCHES", "WAITS", "WHAT IT DOES"}}
			for _, r := range abi.Rows() {
				s := syscallRow{r.Name, r.Category.String(), r.Capability.String(), r.Action.String(), r.Touches.String(), r.Waits, r.Doc}
				doc.Syscalls = append(doc.Syscalls, s)
				rows = append(rows, []string{s.Name, s.Category, s.Capability, s.Action, s.Touches, yes(s.Waits), s.Doc})
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), doc)
			}
			return table(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func yes(b bool) string {
	if b {
		return "may"
	}
	return "no"
}
