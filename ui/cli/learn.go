package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/manifest"
	"github.com/spf13/cobra"
)

// learnCommand is `agentos learn`.
func (inv *invocation) learnCommand() *cobra.Command {
	f := &runFlags{}
	var out, from, check string
	var within []agentos.Grant
	cmd := &cobra.Command{
		Use:   "learn [flags] PROGRAM [ARG…]",
		Short: "Find the least that a program needs, as a manifest",
		Long: `Learn runs a program inside an outer bound, records what it does to files, and writes the
least manifest that it needs, each grant with the call that took it. The bound is --within,
whose writes are captured and thrown away, or grants as for agentos run; without either it
is the current directory. --from takes a past run's grants and what it was refused instead.

--check runs a program by its manifest, with writes captured and thrown away, as it is and
without each grant in turn: it says whether the manifest is enough, and whether it is least.`,
		Example: `  agentos learn --within . -o tool.toml tool.wasm in.txt
  agentos learn --from 01k5 -o tool.toml
  agentos learn --check tool.toml`,
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case from != "" && check != "", (from != "" || check != "") && len(args) > 0:
				return refuse(CodeUsage, "learn", "--from, --check, and a program exclude each other", "give one of them")
			case check != "":
				return inv.checkManifest(cmd, check)
			case from != "":
				return inv.learnFrom(from, out)
			}
			return inv.learn(cmd, f, within, out, args)
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false)
	fs.VarP(one(&out, "FILE", parsePath), "output", "o", "write the manifest to a file (default standard output, and the program's own goes to standard error)")
	fs.Var(many(&within, "HOST[:GUEST]", grantOf(agentos.GrantOverlay)), "within", "the outer bound: the program may read and write under this path, and its writes are thrown away")
	fs.Var(one(&from, "RUN", parsePath), "from", "from the grants and denials of a past run, or last")
	fs.Var(one(&check, "FILE", parsePath), "check", "say whether a manifest is enough, and whether it is least")
	f.registerGrants(fs)
	f.registerEnv(fs)
	return cmd
}

// learn runs a program and writes what it needed.
func (inv *invocation) learn(cmd *cobra.Command, f *runFlags, within []agentos.Grant, out string, args []string) error {
	if len(within) == 0 && len(f.grants) == 0 && f.manifest == "" {
		within = []agentos.Grant{{Kind: agentos.GrantOverlay, Host: ".", Source: "flag"}}
	}
	for _, g := range within {
		if st, err := os.Stat(g.Host); err == nil && !st.IsDir() {
			g.Kind = agentos.GrantRead
		}
		f.grants = append(f.grants, g)
	}
	if slices.ContainsFunc(f.grants, func(g agentos.Grant) bool { return g.Kind == agentos.GrantOverlay }) {
		f.onExit = "discard"
	}
	req, err := f.request(cmd.Flags(), args, inv.surroundings())
	if err != nil {
		return err
	}
	var l learned
	req.spec.Observe = l.add
	own := inv.Stdout
	if out == "" {
		inv.Stdout = inv.Stderr // the manifest is the answer
	}
	files, err := openFiles(f)
	if err != nil {
		return err
	}
	program, programArgs := req.spec.Program, req.spec.Args
	if err := inv.runWith(f, req, files); err != nil {
		return err
	}
	if abs, err := filepath.Abs(program); err == nil && strings.Contains(program, "/") {
		program = abs
	}
	var tops []string
	for _, g := range req.spec.Grants {
		if g.Kind == agentos.GrantDeny {
			continue
		}
		real, err := filepath.EvalSymlinks(g.Host)
		if err != nil {
			real = g.Host
		}
		tops = append(tops, real)
	}
	var env []string
	for _, kv := range req.spec.Env {
		key, _, _ := strings.Cut(kv, "=")
		env = append(env, key)
	}
	text := writeManifest(program, programArgs, l.needs(tops), nil, env, capabilityNames(req.spec.Allow), nil,
		[]string{"Learned from one run, which ended with status " + fmt.Sprint(inv.status) + ". What another run does differently is not here."})
	if out == "" {
		_, err = io.WriteString(own, text)
		return err
	}
	return writeNewFile(out, text)
}

func capabilityNames(caps []abi.Capability) (names []string) {
	for _, c := range caps {
		names = append(names, c.String())
	}
	return names
}

// writeNewFile writes a manifest, and does not replace one.
func writeNewFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = io.WriteString(f, text)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return refuse(CodeOutput, "-o "+name, "cannot be written: "+reason(err), "name a file that does not exist yet")
	}
	return nil
}

// learnFrom writes a manifest of what a run had and what it was refused.
func (inv *invocation) learnFrom(run, out string) error {
	if run == lastRun {
		run = ""
	}
	var text string
	err := inv.withState(func(d *statedir.Dir) error {
		e, err := find(d, run)
		if err != nil {
			return err
		}
		rep, err := readReport(e)
		if err != nil {
			return refuse(CodeNoRun, "run "+e.ID, "has no report that could be read: "+reason(err), "wait for its end")
		}
		text = manifestOf(rep)
		return nil
	})
	if err != nil {
		return err
	}
	if out != "" {
		return writeNewFile(out, text)
	}
	_, err = io.WriteString(inv.Stdout, text)
	return err
}

// manifestOf is what a run had, and the smallest grants for what it was refused.
func manifestOf(rep *agentos.Report) string {
	var needs []need
	var deny, allow, unprotect []string
	for _, v := range rep.View {
		if v.Source != "flag" && !strings.HasPrefix(v.Source, "manifest:") && v.Source != "live" {
			continue
		}
		host := v.Host
		if host == "" {
			host = v.Path
		}
		switch v.Right {
		case "read":
			needs = append(needs, need{host: host, guest: v.Path, why: "had"})
		case "write", "overlay":
			needs = append(needs, need{write: true, host: host, guest: v.Path, why: "had"})
		case "deny":
			deny = append(deny, host)
		}
	}
	for i := range rep.Denials {
		d := &rep.Denials[i]
		flag, value, _ := strings.Cut(d.Grant, " ")
		value = unquote(value)
		switch flag {
		case "--read", "--write":
			host, guest, err := manifest.ParseGrant(value)
			if err != nil {
				continue
			}
			if guest == "" {
				guest = host
			}
			n := need{write: flag == "--write", host: host, guest: guest, why: fmt.Sprintf("refused: %s (%s) %s", d.Syscall, d.Via, subject(d)), calls: int(d.Count)}
			if !slices.ContainsFunc(needs, func(o need) bool { return o.host == n.host && o.guest == n.guest && o.write == n.write }) {
				needs = append(needs, n)
			}
		case "--allow":
			if !slices.Contains(allow, value) {
				allow = append(allow, value)
			}
		case "--unprotect":
			if !slices.Contains(unprotect, value) {
				unprotect = append(unprotect, value)
			}
		}
	}
	return writeManifest(rep.Program, nil, needs, deny, nil, allow, unprotect,
		[]string{"What run " + rep.Run + " had, and what it was refused. Its arguments and variables are not recorded."})
}

// unquote undoes the quoting of a shell word as denials have it.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return strings.ReplaceAll(s[1:len(s)-1], `'\''`, "'")
	}
	return s
}

// checkManifest replays a manifest, whole and without each of its grants.
func (inv *invocation) checkManifest(cmd *cobra.Command, file string) error {
	f := &runFlags{manifest: file}
	req, err := f.request(cmd.Flags(), nil, inv.surroundings())
	if err != nil {
		return err
	}
	if req.spec.Domain == "" {
		req.spec.Domain = "auto"
	}
	prog, err := inv.lookUp(req)
	if err != nil {
		return err
	}
	sp := req.spec
	sp.Program, sp.Image = prog.path, prog.image
	k, err := inv.open(inv.config(nil))
	if err != nil {
		return startFailure(err)
	}
	defer func() { _ = k.Close() }() // nothing of the runs is left to be lost
	for i := range sp.Grants {
		g := &sp.Grants[i]
		if st, err := os.Stat(g.Host); err == nil && st.IsDir() && g.Kind == agentos.GrantWrite {
			g.Kind = agentos.GrantOverlay // what the replays write is thrown away
		}
	}
	whole, err := inv.replay(k, sp)
	if err != nil {
		return startFailure(err)
	}
	// A program may look for more than it needs, and do without.
	good := whole.Usage.Denials == 0 || whole.ExitCode == 0
	enough := verdict(good, "enough", "NOT ENOUGH")
	if good && whole.Usage.Denials > 0 {
		enough = "enough: it did without what it was refused"
	}
	rows := [][]string{{"WITHOUT", "STATUS", "DENIED", ""}, {"nothing", fmt.Sprint(whole.ExitCode), fmt.Sprint(whole.Usage.Denials), enough}}
	for i, g := range sp.Grants {
		if g.Kind == agentos.GrantDeny {
			continue
		}
		less := sp
		less.Grants = slices.Delete(slices.Clone(sp.Grants), i, i+1)
		needed, status, denials := true, "does not start", ""
		if rep, err := inv.replay(k, less); err == nil {
			needed = rep.Usage.Denials > whole.Usage.Denials || rep.ExitCode != whole.ExitCode || rep.Cause != whole.Cause
			status, denials = fmt.Sprint(rep.ExitCode), fmt.Sprint(rep.Usage.Denials)
		}
		good = good && needed
		rows = append(rows, []string{printable(mapping(g.Host, g.Guest)), status, denials, verdict(needed, "needed", "NOT NEEDED")})
	}
	if err := table(inv.Stdout, rows); err != nil {
		return err
	}
	if !good {
		inv.status = 1
	}
	return nil
}

func verdict(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

// replay runs a program whose output and writes nobody wants.
func (inv *invocation) replay(k kernel, sp agentos.Spec) (*agentos.Report, error) {
	p, err := k.Start(context.Background(), sp)
	if err != nil {
		return nil, err
	}
	rep, err := p.Wait(context.Background())
	if err != nil || rep.Captured == 0 {
		return rep, err
	}
	return rep, inv.finishCaptured("discard", rep)
}
