package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/examples"
	"github.com/spf13/cobra"
)

// Bounds of what the demonstration shows of a program's output and results.
const (
	demoOutput = 64 << 10 // bytes kept
	demoLines  = 18       // lines shown
	demoResult = 12       // lines of a result file shown
)

// demoDocument is what `demo --json` prints.
type demoDocument struct {
	Version  int           `json:"version"`
	OK       bool          `json:"ok"`
	Programs []demoProgram `json:"programs"`
}

// demoProgram is one program's part of it.
type demoProgram struct {
	Name   string          `json:"name"`
	Title  string          `json:"title"`
	OK     bool            `json:"ok"` // it ended as the kernel should have made it end
	Want   string          `json:"want"`
	Output string          `json:"output"`
	Report *agentos.Report `json:"report"`
}

func (inv *invocation) demoCommand() *cobra.Command {
	var asJSON bool
	var without []string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run four embedded programs and show what becomes of each",
		Long: `Run four embedded WebAssembly programs, one after another, as untrusted programs:
one does honest work on a directory it was granted, one looks for secrets, one
never ends, and one eats memory. For each: how it ended, what it used, what it
was refused and the flag that would grant it, and what was cleaned up after it.`,
		Example: "  agentos demo\n  agentos demo --without state --without events",
		Args:    exactly(0, 0, "agentos demo [--json]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inv.demo(cmd.OutOrStdout(), without, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, with the reports")
	cmd.Flags().Var(many(&without, "SUBSYSTEM", subsystem), "without", "leave out an optional subsystem: "+strings.Join(agentos.Subsystems(), ", "))
	return cmd
}

// subsystem accepts the name of an optional subsystem.
func subsystem(s string) (string, error) {
	var c agentos.Config
	if err := c.Without(s); err != nil {
		return "", fmt.Errorf("%q is not an optional subsystem; there are %s", s, strings.Join(agentos.Subsystems(), ", "))
	}
	return s, nil
}

// demo runs the programs. It leaves nothing behind but the records of the runs.
func (inv *invocation) demo(w io.Writer, without []string, asJSON bool) (err error) {
	dir, err := os.MkdirTemp("", "agentos-demo-")
	if err != nil {
		return refuse(CodeDemo, "agentos demo", "no temporary directory: "+reason(err), "set TMPDIR to a directory that you may write to")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k, err := inv.open(inv.config(without))
	if err != nil {
		return startFailure(err)
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	for _, d := range k.Degraded() {
		inv.screen.noteOnce(d)
	}
	doc := demoDocument{Version: agentos.DocumentVersion, OK: true}
	programs := examples.Demo()
	for i, p := range programs {
		home := filepath.Join(dir, p.Name)
		if err := os.Mkdir(home, 0o700); err != nil {
			return refuse(CodeDemo, p.Name, "its directory cannot be made: "+reason(err), "")
		}
		if !asJSON {
			if err := introduce(w, i, len(programs), &p, home); err != nil {
				return err
			}
		}
		done, err := inv.demonstrate(k, &p, home)
		if err != nil {
			return err
		}
		doc.Programs = append(doc.Programs, *done)
		doc.OK = doc.OK && done.OK
		if !asJSON {
			if err := show(w, &p, done, home); err != nil {
				return err
			}
		}
		if done.Report.Cause == "signaled" || done.Report.Cause == "killed" {
			inv.status = done.Report.ExitCode // somebody has seen enough
			return nil
		}
	}
	if asJSON {
		err = writeJSON(w, doc)
	} else {
		err = conclude(w, &doc)
	}
	if err == nil && !doc.OK {
		err = &Failure{Status: 1, Code: CodeDemo, Where: "agentos demo", Problem: "a program did not end as it should have", Fix: "please report it, with this output"}
	}
	return err
}

// demonstrate runs one program beneath home.
func (inv *invocation) demonstrate(k kernel, p *examples.Program, home string) (*demoProgram, error) {
	if p.Setup != nil {
		if err := p.Setup(home); err != nil {
			return nil, refuse(CodeDemo, p.Name, "its sample input cannot be written: "+reason(err), "")
		}
	}
	image, err := p.Wasm()
	if err != nil {
		return nil, refuse(CodeDemo, p.Name, err.Error(), "")
	}
	out := &bounded{max: demoOutput}
	sp := demoSpec(p, home)
	sp.Image, sp.Stdout, sp.Stderr = image, out, out
	rep, err := inv.supervise(k, sp, false)
	if err != nil {
		return nil, err
	}
	return &demoProgram{
		Name: p.Name, Title: p.Title, Output: out.String(), Report: rep,
		Want: ending(p.Cause, p.ExitCode),
		OK:   rep.Cause == p.Cause && rep.ExitCode == p.ExitCode,
	}, nil
}

// demoSpec is a program's run, as flags would give it.
func demoSpec(p *examples.Program, home string) *agentos.Spec {
	sp := &agentos.Spec{Program: "demo.wasm", Name: "demo-" + p.Name, Domain: "wasm", Args: p.Args,
		Limits: agentos.Limits{Timeout: p.Timeout, Memory: p.Memory}}
	for _, g := range p.Grants {
		kind := agentos.GrantRead
		if g.Write {
			kind = agentos.GrantWrite
		}
		sp.Grants = append(sp.Grants, agentos.Grant{Kind: kind, Host: filepath.Join(home, filepath.FromSlash(g.Path)), Guest: g.Guest, Source: "flag"})
	}
	return sp
}

// introduce says what is about to run, as a command line.
func introduce(w io.Writer, i, n int, p *examples.Program, home string) error {
	sp := demoSpec(p, home)
	var b strings.Builder
	fmt.Fprintf(&b, "── %d of %d: %s ── %s\n", i+1, n, p.Name, p.Title)
	for _, l := range wrap(p.Story, 76) {
		b.WriteString("   " + l + "\n")
	}
	b.WriteString("\n   $ agentos run")
	for _, g := range sp.Grants {
		fmt.Fprintf(&b, " %s %s:%s", g.Kind.Flag(), g.Host, g.Guest)
	}
	if p.Timeout > 0 {
		b.WriteString(" --timeout " + p.Timeout.String())
	}
	if p.Memory > 0 {
		fmt.Fprintf(&b, " --memory %dM", p.Memory>>20)
	}
	b.WriteString(" demo.wasm " + strings.Join(p.Args, " ") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// show prints how a program ended.
func show(w io.Writer, p *examples.Program, d *demoProgram, home string) error {
	var b strings.Builder
	quoted(&b, d.Output, demoLines)
	b.WriteByte('\n')
	r := d.Report
	rows := [][]string{{"cause", ending(causeOf(r), r.ExitCode)}}
	for i, f := range r.Backtrace {
		if i == 3 || !broke(r) {
			break
		}
		rows = append(rows, []string{"", "at " + f})
	}
	rows = append(rows, usageRows(r)...)
	if len(r.Denials) == 0 {
		rows = append(rows, []string{"denials", "none"})
	}
	for i, x := range r.Denials {
		if i == maxLines {
			rows = append(rows, []string{"", fmt.Sprintf("… %d more kinds", len(r.Denials)-i)})
			break
		}
		rows = append(rows, []string{first(i, "denials"), denialLine(&x)})
	}
	if !d.OK {
		rows = append(rows, []string{"EXPECTED", d.Want})
	}
	var t bytes.Buffer
	if err := table(&t, rows); err != nil {
		return err
	}
	for line := range strings.Lines(t.String()) {
		b.WriteString("   " + line)
	}
	for _, name := range p.Results {
		body, err := os.ReadFile(filepath.Join(home, filepath.FromSlash(name)))
		if err != nil {
			fmt.Fprintf(&b, "   result   %s was not written: %s\n", name, reason(err))
			continue
		}
		fmt.Fprintf(&b, "   result   %s, %s:\n", name, formatBytes(uint64(len(body))))
		quoted(&b, string(body), demoResult)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// ending is a cause with its status.
func ending(cause string, status int) string {
	return cause + ", status " + strconv.Itoa(status)
}

// conclude prints one row a program.
func conclude(w io.Writer, d *demoDocument) error {
	rows := [][]string{{"PROGRAM", "CAUSE", "STATUS", "DENIALS", "MEMORY", "WALL", "FREED"}}
	for _, p := range d.Programs {
		r := p.Report
		rows = append(rows, []string{p.Name, r.Cause, strconv.Itoa(r.ExitCode), strconv.FormatUint(r.Usage.Denials, 10),
			formatBytes(r.Usage.MemoryPeakBytes), span(r.Usage.WallNS), formatBytes(r.Cleanup.BytesFreed)})
	}
	return table(w, rows)
}

// quoted adds text as an indented block of at most n lines.
func quoted(b *strings.Builder, text string, n int) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		if i == n {
			fmt.Fprintf(b, "   │ … %d more lines\n", len(lines)-i)
			return
		}
		if l != "" || len(lines) > 1 {
			b.WriteString(strings.TrimRight("   │ "+printable(strings.ReplaceAll(l, "\t", "    ")), " ") + "\n")
		}
	}
}

// wrap breaks text into lines of at most n characters where words allow.
func wrap(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// bounded keeps the first max bytes written to it. It locks, since a killed
// program may leave a write behind that ends after it.
type bounded struct {
	max int

	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Write(p[:min(len(p), b.max-b.b.Len())])
	return len(p), nil
}

// String returns what was kept.
func (b *bounded) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
