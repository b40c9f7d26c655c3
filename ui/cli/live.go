package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/control"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/manifest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// liveFlags are the flags of `agentos grant` and `agentos revoke`.
type liveFlags struct {
	grants []control.Grant
	hard   bool
	keep   bool
	json   bool
}

func (f *liveFlags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	of := func(kind string) func(string) (control.Grant, error) {
		return func(s string) (control.Grant, error) { return liveGrant(kind, s) }
	}
	fs.VarP(many(&f.grants, "HOST[:GUEST]", of(control.KindRead)), "read", "r", "reading and listing under a path")
	fs.VarP(many(&f.grants, "HOST[:GUEST]", of(control.KindWrite)), "write", "w", "creating, changing, and deleting under a path")
	fs.Var(many(&f.grants, "CAPABILITY", of(control.KindAllow)), "allow", "a capability, by its name in agentos syscalls")
}

// liveGrant reads one value. The kernel of the run has another working directory.
func liveGrant(kind, s string) (control.Grant, error) {
	if kind == control.KindAllow {
		c, err := manifest.ParseCapability(s)
		return control.Grant{Kind: kind, Capability: c.String()}, err
	}
	host, guest, err := manifest.ParseGrant(s)
	if err != nil {
		return control.Grant{}, err
	}
	if host, err = filepath.Abs(host); err != nil {
		return control.Grant{}, fmt.Errorf("%q cannot be made absolute: %w", s, err)
	}
	if guest != "" && !strings.HasPrefix(guest, "/") {
		guest = "/" + guest
	}
	return control.Grant{Kind: kind, Host: host, Guest: guest}, nil
}

func (inv *invocation) grantCommand() *cobra.Command {
	f := &liveFlags{}
	const usage = "agentos grant RUN --read HOST[:GUEST] | --write HOST[:GUEST] | --allow CAPABILITY …"
	cmd := &cobra.Command{
		Use:   "grant RUN [flags]",
		Short: "Give a running program more",
		Long: `Give a running WebAssembly program more than it was started with. Its next call
sees it. A path that it could not see is mounted, and is reached through the
pre-opened directory that the answer names. A --deny is never lifted.`,
		Example: `  agentos grant 01k5 --read ./more
  agentos grant 01k5 --write ./out:/out --json`,
		Args: exactly(1, 1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.change(cmd, control.OpGrant, f, args[0], usage)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.json, "json", false, "print the answer, as JSON")
	return cmd
}

func (inv *invocation) revokeCommand() *cobra.Command {
	f := &liveFlags{}
	const usage = "agentos revoke RUN --read HOST[:GUEST] | --write HOST[:GUEST] | --allow CAPABILITY … [--hard | --keep-open]"
	cmd := &cobra.Command{
		Use:   "revoke RUN [flags]",
		Short: "Take something from a running program",
		Long: `Take from a running program what it was granted, or a part of it: --read takes
everything at and beneath a path, --write leaves reading, --allow takes a
capability. HOST is taken under every name that the program sees it by, HOST:GUEST
under that name alone. When the command returns nothing that was allowed before is
in flight, and open descriptors of a WebAssembly program have lost the right.

A native program keeps what it has opened, mapped, and been shown: the command says
so and changes nothing, unless --hard ends the program (status 159).`,
		Example: `  agentos revoke 01k5 --read ./secrets
  agentos revoke 01k5 --write ./out --hard`,
		Args: exactly(1, 1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inv.change(cmd, control.OpRevoke, f, args[0], usage)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.hard, "hard", false, "end the program where something cannot be taken back otherwise")
	cmd.Flags().BoolVar(&f.keep, "keep-open", false, "leave their rights to the files that are open, until they are closed")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the answer, as JSON")
	return cmd
}

// change asks the kernel of a run for a change and prints the answer.
func (inv *invocation) change(cmd *cobra.Command, op control.Op, f *liveFlags, ref, usage string) error {
	if len(f.grants) == 0 {
		return refuse(CodeUsage, cmd.CommandPath(), "no path or capability is named", "write "+usage)
	}
	return inv.withState(func(d *statedir.Dir) error {
		e, err := find(d, ref)
		if err != nil {
			return err
		}
		ctx := context.Background()
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		body, err := c.Change(ctx, control.Request{Op: op, Hard: f.hard, Keep: f.keep, Grants: f.grants})
		_ = c.Close() // the answer was read, or the error counts
		if len(body) > 0 {
			if perr := inv.printChange(cmd.OutOrStdout(), f, body); perr != nil {
				return perr
			}
		}
		if err != nil {
			return changeFailure(e, err)
		}
		return nil
	})
}

// printChange prints what became of a change. Its status is 1 if something remains
// that was to be taken.
func (inv *invocation) printChange(w io.Writer, f *liveFlags, body []byte) error {
	var a agentos.LiveChange
	if err := json.Unmarshal(body, &a); err != nil {
		return &Failure{Status: statusRefused, Code: CodeControl, Where: "the answer", Problem: "is not understood: " + err.Error(), Err: err}
	}
	for _, c := range append([]*agentos.LiveChange{&a}, a.Children...) {
		if a.Applied && len(c.Remains) > 0 {
			inv.status = 1
		}
	}
	if f.json {
		return writeJSON(w, &a)
	}
	for _, c := range append([]*agentos.LiveChange{&a}, a.Children...) {
		for _, r := range c.Remains {
			inv.screen.note(yellow, "run "+c.Run+" keeps "+r.What+": "+printable(r.Detail))
		}
	}
	if !a.Applied {
		return nil
	}
	var b strings.Builder
	for _, c := range a.Changes {
		what := c.Capability
		if c.Path != "" {
			what = c.Path
		}
		fmt.Fprintf(&b, "%s: %s → %s", printable(what), c.Was, c.Is)
		if c.Via != "" {
			fmt.Fprintf(&b, ", through %s", printable(c.Via))
		}
		b.WriteByte('\n')
	}
	if len(a.Changes) == 0 {
		b.WriteString("nothing changed: it is so already\n")
	}
	if a.Kept > 0 {
		fmt.Fprintf(&b, "descriptors that are open and keep their rights: %d\n", a.Kept)
	}
	if a.Killed {
		b.WriteString("the program was ended\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// changeFailure words the refusal of a change.
func changeFailure(e *statedir.Entry, err error) error {
	var ce *control.Error
	switch {
	case errors.Is(err, abi.ESRCH):
		return refuse(CodeNoRun, "run "+e.ID, "is over", "agentos report "+e.ID+" says how it ended")
	case errors.As(err, &ce) && strings.HasPrefix(ce.Code, codePrefix):
		return &Failure{Status: statusRefused, Code: Code(ce.Code), Where: ce.Where, Problem: ce.Message, Fix: ce.Fix, Err: err}
	}
	return controlFailure(e, err)
}

// codePrefix begins every code of ours.
const codePrefix = "AGENTOS-"
