package deps

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../.."

// The bounds of a file and of a package, in lines; beyond them a reader is told,
// and beyond hardLimit a file must be split.
const (
	fileLimit = 600
	hardLimit = 1200
	pkgLimit  = 5000
)

var productRules = &rules{
	lattice:  lattice,
	testOnly: testOnly,
	planned:  planned,
	loosen:   "if the edge is right, add it to internal/deps/lattice_test.go and a line with the reason to docs/RATIONALE.md",
}

func tree(t *testing.T) []pkg {
	t.Helper()
	pkgs, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 10 {
		t.Fatalf("found only %d packages beneath %s", len(pkgs), root)
	}
	return pkgs
}

func fail(t *testing.T, bad []string) {
	t.Helper()
	for _, b := range bad {
		t.Error(b)
	}
}

func TestLattice(t *testing.T)             { fail(t, productRules.check(tree(t))) }
func TestNoInitFunctions(t *testing.T)     { fail(t, initFuncs(tree(t))) }
func TestNoMutableGlobals(t *testing.T)    { fail(t, mutableGlobals(tree(t))) }
func TestNames(t *testing.T)               { fail(t, names(tree(t))) }
func TestPackageComments(t *testing.T)     { fail(t, undocumented(tree(t))) }
func TestNoFilePastHardLimit(t *testing.T) { fail(t, long(tree(t), hardLimit, 1<<30)) }

// TestLengths only reports: length is a reason to look, not a fault.
func TestLengths(t *testing.T) {
	for _, l := range long(tree(t), fileLimit, pkgLimit) {
		t.Log("worth a second look: " + l)
	}
}

// TestChecksBite gives each check a small tree that breaks it, and one like it
// that does not.
func TestChecksBite(t *testing.T) {
	r := &rules{
		lattice: []room{
			{path: "low"},
			{path: "mid", may: []string{"low"}, third: []string{"example.org/engine"}},
			{path: "high", may: []string{"mid"}},
			{path: "later"},
		},
		testOnly: map[string][]string{"example.org/check": {"mid/..."}},
		planned:  []string{"later"},
		loosen:   "loosen",
	}
	const doc = "// Package p is.\n//\n// Invariants: none.\n//\n// Locks: none.\n//\n// Imports: none.\n"
	// whole is a tree without a fault.
	whole := map[string]string{
		"low/low.go":        doc + "package low\n",
		"mid/mid.go":        doc + "package mid\nimport (\n_ \"" + modulePath + "/low\"\n_ \"example.org/engine/v2\"\n)\n",
		"mid/mid_test.go":   "package mid_test\nimport (\n_ \"example.org/check\"\n_ \"" + modulePath + "/mid\"\n)\n",
		"high/high.go":      doc + "package high\nimport _ \"" + modulePath + "/mid\"\n",
		"high/x_test.go":    "package high\nimport _ \"" + modulePath + "/low\"\n",
		"tool/go.mod":       "module other\n",
		"tool/main.go":      "package nothing\nimport \"C\"\n",
		"low/testdata/a.go": "package bad syntax",
	}
	all := func(pkgs []pkg) (bad []string) {
		bad = append(bad, r.check(pkgs)...)
		bad = append(bad, initFuncs(pkgs)...)
		bad = append(bad, mutableGlobals(pkgs)...)
		bad = append(bad, names(pkgs)...)
		bad = append(bad, undocumented(pkgs)...)
		return append(bad, long(pkgs, 50, 80)...)
	}
	for _, test := range []struct{ name, file, text, want string }{
		{"whole", "", "", ""},
		{"upward edge", "low/up.go", "package low\nimport _ \"" + modulePath + "/mid\"\n", "no such edge"},
		{"skipped layer", "high/skip.go", "package high\nimport _ \"" + modulePath + "/low\"\n", "no such edge"},
		{"edge behind a build tag", "low/up_plan9.go", "//go:build plan9\n\npackage low\nimport _ \"" + modulePath + "/high\"\n", "no such edge"},
		{"upward edge in a test", "low/up_test.go", "package low\nimport _ \"" + modulePath + "/mid\"\n", "no such edge"},
		{"module out of its place", "high/eng.go", "package high\nimport _ \"example.org/engine\"\n", "not admitted"},
		{"test module in product", "mid/check.go", "package mid\nimport _ \"example.org/check\"\n", "not admitted"},
		{"look-alike module", "mid/like.go", "package mid\nimport _ \"example.org/engineer\"\n", "not admitted"},
		{"unlisted package", "more/more.go", doc + "package more\n", "has no row"},
		{"planned package landed", "later/later.go", doc + "package later\n", "take it off"},
		{"row without package", "low/low.go", "\x00", "row and the tree no package"},
		{"cgo", "low/c.go", "package low\nimport \"C\"\n", "pure Go"},
		{"log", "low/log.go", "package low\nimport _ \"log\"\n", "only edges log"},
		{"unsafe", "low/u.go", "package low\nimport _ \"unsafe\"\n", "unsafe belongs"},
		{"init", "low/init.go", "package low\nfunc init() {}\n", "func init"},
		{"global assigned", "low/g.go", "package low\nvar g int\nfunc f() { g = 1 }\n", "package variable g"},
		{"global's field", "low/g.go", "package low\nvar g struct{ a [2]int }\nfunc f() { g.a[1]++ }\n", "package variable g"},
		{"shadowed global", "low/g.go", "package low\nvar g int\nfunc f() int { g := 0; g = 1; return g }\n", ""},
		{"empty name", "utils/u.go", doc + "package utils\n", "says nothing"},
		{"name and directory", "low/n.go", "package lower\n", "in directory low"},
		{"no comment", "low/low.go", "// Package low is.\npackage low\n", "no paragraph on locks"},
		{"long file", "low/long.go", "package low\n" + strings.Repeat("\n", 60), "61 lines"},
		{"long package", "low/a.go", "package low\n" + strings.Repeat("\n", 45) + "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := make(fstest.MapFS)
			for name, text := range whole {
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			switch {
			case test.text == "\x00":
				delete(fsys, test.file)
			case test.file != "":
				fsys[test.file] = &fstest.MapFile{Data: []byte(test.text)}
			}
			pkgs, err := load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			bad := all(pkgs)
			if test.want == "" {
				fail(t, bad)
				return
			}
			if !strings.Contains(strings.Join(bad, "\n"), test.want) {
				t.Errorf("got %q, want %q among them", bad, test.want)
			}
		})
	}
}

// TestLatticeIsALadder gives the check a row that names one above it.
func TestLatticeIsALadder(t *testing.T) {
	r := &rules{lattice: []room{{path: "a", may: []string{"b"}}, {path: "b"}}, planned: []string{"a", "b"}}
	if bad := r.check(nil); len(bad) != 1 || !strings.Contains(bad[0], "not below it") {
		t.Errorf("got %q", bad)
	}
}
