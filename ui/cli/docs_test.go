package cli

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/manifest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the generated parts of docs/ instead of comparing them")

const docs = "../../docs"

// generated compares the part of a page between its markers with want, or writes
// it.
func generated(t *testing.T, page, name, want string) {
	t.Helper()
	file := filepath.Join(docs, page)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin := "<!-- " + name + ": written by go test ./ui/cli -update -->\n"
	end := "<!-- end of " + name + " -->\n"
	head, rest, ok1 := strings.Cut(string(body), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no markers for %s", page, name)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s: the part %q is not what the source says; run go test ./ui/cli -update", page, name)
	}
	if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func TestErrorsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("| code | status | meaning | what to do |\n|---|---|---|---|\n")
	seen := map[Code]bool{}
	for _, c := range codes() {
		status := c.Status
		if status == "" {
			status = "—"
		}
		if seen[c.Code] || c.Meaning == "" || c.Remedy == "" {
			t.Errorf("row %+v", c)
		}
		seen[c.Code] = true
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Code, status, cell(c.Meaning), cell(c.Remedy))
	}
	generated(t, "ERRORS.md", "codes", b.String())
}

// TestEveryCodeIsDocumented reads the source: a code that is printed somewhere
// and has no row is one that nobody can look up.
func TestEveryCodeIsDocumented(t *testing.T) {
	known := map[string]bool{}
	for _, c := range codes() {
		known[string(c.Code)] = true
	}
	literal := regexp.MustCompile(`AGENTOS-[A-Z]+(?:-[A-Z]+)*`)
	// The root package writes its codes without their prefix.
	short := regexp.MustCompile(`\b(?:refuse|notRunnable)\("([A-Z]+(?:-[A-Z]+)*)"|code, fix := .*, "([A-Z]+(?:-[A-Z]+)*)", "|what, code = .*, "([A-Z]+(?:-[A-Z]+)*)"`)
	found := 0
	err := filepath.WalkDir("../..", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if e != nil && e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata" || e.Name() == "bin") {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		codes := literal.FindAllString(string(body), -1)
		for _, m := range short.FindAllStringSubmatch(string(body), -1) {
			codes = append(codes, "AGENTOS-"+m[1]+m[2]+m[3])
		}
		for _, c := range codes {
			found++
			if !known[c] && c != "AGENTOS-DENIED" { // a prefix in kernel/perm
				t.Errorf("%s: %s has no row in codes.go", p, c)
			}
		}
		return nil
	})
	if err != nil || found < len(known) {
		t.Errorf("found %d codes, %v", found, err)
	}
}

func TestManifestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("| key | type | flag | meaning |\n|---|---|---|---|\n")
	root := newRoot()
	run, _, err := root.Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]bool{}
	for _, k := range manifest.Schema() {
		same := ""
		if k.Flag != "" {
			same = "`" + k.Flag + "`"
		}
		flag, _, _ := strings.Cut(k.Flag, " ")
		if name, ok := strings.CutPrefix(flag, "--"); ok {
			if run.Flags().Lookup(name) == nil {
				t.Errorf("%s: there is no flag %s", k.Name, k.Flag)
			}
			covered[name] = true
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Type, cell(same), cell(k.Doc))
	}
	// Every flag is mirrored, but those that say how to run rather than what.
	for _, how := range []string{"help", "manifest", "report", "events", "dry-run", "json", "quiet", "tty", "no-tty", "on-exit", "no-namespaces", "decision-cache"} {
		covered[how] = true
	}
	run.Flags().VisitAll(func(f *pflag.Flag) {
		if !covered[f.Name] {
			t.Errorf("--%s has no key in the manifest", f.Name)
		}
	})
	generated(t, "MANIFEST.md", "keys", b.String())
}

func TestCommandLinePage(t *testing.T) {
	var flags, cmds strings.Builder
	root := newRoot()
	run, _, err := root.Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	flags.WriteString("| flag | takes | meaning |\n|---|---|---|\n")
	run.Flags().VisitAll(func(f *pflag.Flag) {
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		kind := f.Value.Type()
		if kind == "bool" {
			kind = ""
		}
		fmt.Fprintf(&flags, "| %s | %s | %s |\n", name, cell(kind), cell(f.Usage))
	})
	generated(t, "CLI.md", "flags", flags.String())
	cmds.WriteString("| command | what it does |\n|---|---|\n")
	commands(root, func(c *cobra.Command) {
		if c == root || c.Hidden {
			return
		}
		fmt.Fprintf(&cmds, "| `agentos %s` | %s |\n", cell(c.Use), cell(c.Short))
	})
	generated(t, "CLI.md", "commands", cmds.String())
	var caps strings.Builder
	for c := abi.CapNone + 1; c < abi.NumCapabilities; c++ {
		fmt.Fprintf(&caps, "- `%s`\n", c)
	}
	generated(t, "CLI.md", "capabilities", caps.String())
}
