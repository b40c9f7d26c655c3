package agentos_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
)

// goTree writes files to a directory of its own and returns it. A content that begins
// with "-> " is the target of a symbolic link.
func goTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if target, link := strings.CutPrefix(content, "-> "); err == nil && link {
			err = os.Symlink(strings.ReplaceAll(target, "$DIR", dir), p)
		} else if err == nil {
			err = os.WriteFile(p, []byte(strings.ReplaceAll(content, "$DIR", dir)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openGo opens a kernel that can compile Go, in a state directory that the tests share
// for the sake of the standard library.
func openGo(t *testing.T) *agentos.Kernel {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("NOT CHECKED: there is no Go on PATH")
	}
	return open(t, nil)
}

// runGo runs Go source and returns what it wrote.
func runGo(t *testing.T, k *agentos.Kernel, spec agentos.Spec) (r *agentos.Report, stdout, stderr string, err error) {
	t.Helper()
	var out, diag bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &diag
	r, err = k.Run(t.Context(), spec)
	return r, out.String(), diag.String(), err
}

const (
	hello = `package main

import ("fmt"; "os")

func main() { fmt.Println("hello", os.Args[1:]) }
`
	// greet imports nothing beyond what the runtime needs, and so compiles fast.
	greet = "package main\n\nfunc main() { println(%) }\n"
)

func greeting(expr string) string { return strings.ReplaceAll(greet, "%", expr) }

// TestGoSource: what compiles, and what the program then does.
func TestGoSource(t *testing.T) {
	k := openGo(t)
	for _, c := range []struct {
		name, program string
		files         map[string]string
		args          []string
		stdout        string
		stderr        string
	}{
		{name: "a file", program: "hello.go", files: map[string]string{"hello.go": hello, "broken.go": "package"}, args: []string{"a", "b c"}, stdout: "hello [a b c]\n"},
		{name: "a directory", program: "", files: map[string]string{"a.go": greeting("word"), "b.go": "package main\n\nconst word = `two`\n", "c_test.go": "broken"}, stderr: "two\n"},
		{name: "a package of a module", program: "cmd/tool", files: map[string]string{
			"go.mod": "module m\n\ngo 1.21\n", "cmd/tool/main.go": "package main\n\nimport \"m/internal/word\"\n\nfunc main() { println(word.Word) }\n",
			"internal/word/word.go": "package word\n\nconst Word = `inside`\n"}, stderr: "inside\n"},
		{name: "a vendored module", program: "", files: map[string]string{
			"go.mod": "module m\n\ngo 1.21\n\nrequire example.org/dep v1.0.0\n", "main.go": "package main\n\nimport \"example.org/dep\"\n\nfunc main() { println(dep.Word) }\n",
			"vendor/modules.txt": "# example.org/dep v1.0.0\n## explicit; go 1.21\nexample.org/dep\n", "vendor/example.org/dep/dep.go": "package dep\n\nconst Word = `vendored`\n"}, stderr: "vendored\n"},
		{name: "an embedded file", program: "", files: map[string]string{
			"go.mod": "module m\n\ngo 1.21\n", "main.go": "package main\n\nimport _ \"embed\"\n\n//go:embed data/word.txt\nvar word string\n\nfunc main() { println(word) }\n",
			"data/word.txt": "embedded"}, stderr: "embedded\n"},
		{name: "another toolchain that it wishes for", program: "", files: map[string]string{
			"go.mod": "module m\n\ngo 1.21\n\ntoolchain go1.999.0\n", "main.go": greeting("`mine`")}, stderr: "mine\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := goTree(t, c.files)
			r, out, diag, err := runGo(t, k, agentos.Spec{Program: filepath.Join(dir, c.program), Args: c.args})
			if err != nil {
				t.Fatalf("%v\n%s", err, diag)
			}
			if out != c.stdout || diag != c.stderr || r.Domain != "wasm" || r.Cause != "exited" || r.ExitCode != 0 || len(r.Degraded) > 0 {
				t.Errorf("%s %s %d %v, wrote %q and %q", r.Domain, r.Cause, r.ExitCode, r.Degraded, out, diag)
			}
		})
	}
}

// TestGoRefusals: what does not compile is status 126, with the compiler's own words
// on the program's standard error.
func TestGoRefusals(t *testing.T) {
	k := openGo(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("package hush_hush\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	mod := "module m\n\ngo 1.21\n"
	for _, c := range []struct {
		name, program  string
		files          map[string]string
		code           string
		stderr, reason string
	}{
		{"an error", "main.go", map[string]string{"main.go": "package main\n\nfunc main() { undefined() }\n"}, "COMPILE", "main.go:3:15: undefined: undefined", "main.go:3:15: undefined: undefined"},
		{"no program", "", map[string]string{"go.mod": mod, "lib.go": "package lib\n"}, "COMPILE", "", "is package lib"},
		{"tests only", "", map[string]string{"go.mod": mod, "a_test.go": "package m\n"}, "COMPILE", "no non-test Go files", "no non-test Go files"},
		{"two packages", "", map[string]string{"go.mod": mod, "a.go": greeting("1"), "b.go": "package b\n"}, "COMPILE", "found packages", "found packages"},
		{"cgo", "", map[string]string{"go.mod": mod, "a.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"}, "COMPILE", "build constraints exclude all Go files", "without cgo"},
		{"a module that is not there", "", map[string]string{"go.mod": mod, "a.go": "package main\n\nimport \"example.org/none\"\n\nfunc main() { none.Run() }\n"},
			"COMPILE", "example.org/none", "go mod download"},
		{"a required module that is not there", "", map[string]string{"go.mod": mod + "\nrequire example.org/none v1.0.0\n", "go.sum": "example.org/none v1.0.0 h1:AAAA\nexample.org/none v1.0.0/go.mod h1:AAAA\n",
			"a.go": "package main\n\nimport \"example.org/none\"\n\nfunc main() { none.Run() }\n"}, "COMPILE", "example.org/none", "go mod download"},
		{"a newer language", "", map[string]string{"go.mod": "module m\n\ngo 1.999\n", "a.go": greeting("1")}, "COMPILE", "go >= 1.999", "put a newer Go on your PATH"},
		{"a workspace", "m", map[string]string{"go.work": "go 1.21\n\nuse (\n\t./m\n\t./dep\n)\n", "dep/go.mod": "module example.org/dep\n\ngo 1.21\n", "dep/dep.go": "package dep\n\nfunc Run() {}\n",
			"m/go.mod": mod, "m/a.go": "package main\n\nimport \"example.org/dep\"\n\nfunc main() { dep.Run() }\n"}, "COMPILE", "example.org/dep", "go mod download"},
		{"a replacement outside", "m", map[string]string{"dep/go.mod": "module example.org/dep\n\ngo 1.21\n", "dep/dep.go": "package dep\n\nfunc Run() {}\n",
			"m/go.mod": mod + "\nrequire example.org/dep v1.0.0\n\nreplace example.org/dep => ../dep\n", "m/a.go": "package main\n\nimport \"example.org/dep\"\n\nfunc main() { dep.Run() }\n"},
			"COMPILE", "example.org/dep", "go mod vendor"},
		{"source that is a link to a secret", "", map[string]string{"go.mod": mod, "a.go": greeting("1"), "b.go": "-> " + secret}, "COMPILE", "b.go", ""},
		{"an embedded link to a secret", "", map[string]string{"go.mod": mod, "a.go": "package main\n\nimport _ \"embed\"\n\n//go:embed s\nvar s string\n\nfunc main() { println(s) }\n", "s": "-> " + secret},
			"COMPILE", "cannot embed irregular file", ""},
		{"an embedded directory that is a link", "", map[string]string{"go.mod": mod, "a.go": "package main\n\nimport \"embed\"\n\n//go:embed d/secret\nvar s embed.FS\n\nfunc main() { println(s.Open) }\n", "d": "-> " + filepath.Dir(secret)},
			"COMPILE", "pattern d/secret", ""},
		{"an embedded file of the parent", "m", map[string]string{"s": "hush_hush", "m/go.mod": mod, "m/a.go": "package main\n\nimport _ \"embed\"\n\n//go:embed ../s\nvar s string\n\nfunc main() { println(s) }\n"},
			"COMPILE", "invalid pattern syntax", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := goTree(t, c.files)
			r, out, diag, err := runGo(t, k, agentos.Spec{Program: filepath.Join(dir, c.program),
				Grants: []agentos.Grant{{Kind: agentos.GrantRead, Host: filepath.Dir(secret)}}}) // not for the compiler
			var se *agentos.StartError
			if !errors.As(err, &se) {
				t.Fatalf("error %v; it ran: %+v, %q, %q", err, r, out, diag)
			}
			if se.Status != 126 || se.Code != "AGENTOS-"+c.code || !strings.Contains(se.Error(), c.reason) {
				t.Errorf("%d %s %q, want 126 %s %q", se.Status, se.Code, se, c.code, c.reason)
			}
			if !strings.Contains(diag, c.stderr) || strings.Contains(diag+se.Error(), "hush_hush") || out != "" {
				t.Errorf("wrote %q and %q, want %q", out, diag, c.stderr)
			}
		})
	}
}

// TestGoSettings: neither the caller's settings nor what stands in the source has the
// compiler run anything.
func TestGoSettings(t *testing.T) {
	k := openGo(t)
	dir := goTree(t, map[string]string{
		"m/go.mod": "module m\n\ngo 1.21\n", "m/a.go": "package main\n\n//go:generate touch $DIR/mark\n\nfunc main() { println(`ran`) }\n",
		"tool": "#!/bin/sh\ntouch $DIR/mark\nexec \"$@\"\n", "config/go/env": "GOFLAGS=-toolexec=$DIR/tool\n",
	})
	if err := os.Chmod(filepath.Join(dir, "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", "-toolexec="+dir+"/tool")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("GOOS", "plan9")
	_, _, diag, err := runGo(t, k, agentos.Spec{Program: filepath.Join(dir, "m")})
	if err != nil || diag != "ran\n" {
		t.Errorf("%v, wrote %q", err, diag)
	}
	if _, err := os.Stat(filepath.Join(dir, "mark")); err == nil {
		t.Error("something ran")
	}
}

// TestGoIsKept: the second run of the same source compiles nothing, and a change is
// never missed.
func TestGoIsKept(t *testing.T) {
	k := openGo(t)
	kept := filepath.Join(k.StateDir().Path(), "cache", "go", "programs")
	run := func(dir, want string) {
		t.Helper()
		r, _, diag, err := runGo(t, k, agentos.Spec{Program: dir})
		if err != nil || diag != want+"\n" || len(r.Degraded) > 0 {
			t.Fatalf("%v, wrote %q, want %q", err, diag, want)
		}
	}
	modules := func() (all []string) {
		entries, err := os.ReadDir(kept)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	added := func(before []string) string {
		t.Helper()
		after := slices.DeleteFunc(modules(), func(n string) bool { return slices.Contains(before, n) })
		if len(after) != 1 {
			t.Fatalf("a compilation added %v", after)
		}
		return filepath.Join(kept, after[0])
	}
	a := goTree(t, map[string]string{"go.mod": "module m\n\ngo 1.21\n", "a.go": greeting("`first`")})
	if err := os.MkdirAll(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	before := modules()
	run(a, "first")
	one := added(before)
	before = modules()
	if err := os.WriteFile(filepath.Join(a, "a.go"), []byte(greeting("`second`")), 0o644); err != nil {
		t.Fatal(err)
	}
	run(a, "second")
	two := added(before)
	before = modules()
	run(a, "second")
	if after := modules(); !slices.Equal(before, after) {
		t.Errorf("there was %v and is %v", before, after)
	}
	// With the two exchanged, what runs shows that nothing was compiled.
	swap := two + ".swap"
	if err := errors.Join(os.Rename(two, swap), os.Rename(one, two), os.Rename(swap, one)); err != nil {
		t.Fatal(err)
	}
	run(a, "first")
	// What is damaged is compiled again.
	if err := os.Truncate(two, 1000); err != nil {
		t.Fatal(err)
	}
	run(a, "second")
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
}

// TestGoDamagedLibrary: a standard library that a power failure left in pieces costs
// time and nothing else.
func TestGoDamagedLibrary(t *testing.T) {
	k := open(t, func(c *agentos.Config) { c.State = filepath.Join(t.TempDir(), "state") })
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("NOT CHECKED: there is no Go on PATH")
	}
	run := func(word string) *agentos.Report {
		t.Helper()
		dir := goTree(t, map[string]string{"a.go": greeting("`" + word + "`")})
		r, _, diag, err := runGo(t, k, agentos.Spec{Program: filepath.Join(dir, "a.go")})
		if err != nil || diag != word+"\n" {
			t.Fatalf("%v, wrote %q", err, diag)
		}
		return r
	}
	run("whole")
	parts, err := filepath.Glob(filepath.Join(k.StateDir().Path(), "cache/go/std-*/cache/??/*-d"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no parts: %v", err)
	}
	for _, p := range parts {
		if err := os.Truncate(p, 0); err != nil {
			t.Fatal(err)
		}
	}
	if r := run("damaged"); !slices.ContainsFunc(r.Degraded, func(s string) bool { return strings.Contains(s, "was damaged") }) {
		t.Errorf("the report does not say so: %v", r.Degraded)
	}
	// The run before found it out, and this one starts again.
	if r := run("mended"); len(r.Degraded) > 0 {
		t.Errorf("still degraded: %v", r.Degraded)
	}
}

// TestGoPlan: what would be compiled is said, and nothing is.
func TestGoPlan(t *testing.T) {
	k := openGo(t)
	dir := goTree(t, map[string]string{"go.mod": "module m\n\ngo 1.21\n", "a.go": "package main\n\nbroken"})
	p, err := k.Plan(agentos.Spec{Program: dir})
	if err != nil || p.Domain != "wasm" || !strings.Contains(p.Compile, "go1.") || !strings.Contains(p.Compile, dir) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestGoWithoutToolchain(t *testing.T) {
	k := openGo(t)
	dir := goTree(t, map[string]string{"a.go": greeting("1"), "go/x": ""})
	for _, path := range []string{"", dir, "."} {
		t.Setenv("PATH", path)
		_, _, _, err := runGo(t, k, agentos.Spec{Program: filepath.Join(dir, "a.go")})
		var se *agentos.StartError
		if !errors.As(err, &se) || se.Code != "AGENTOS-NO-COMPILE" || se.Status != 126 || !strings.Contains(se.Fix, "PATH") {
			t.Errorf("PATH=%q: %v", path, err)
		}
	}
}

// TestGoEnds: the time of a run counts from its creation, and a caller who gives up
// waits for nothing.
func TestGoEnds(t *testing.T) {
	k := openGo(t)
	file := filepath.Join(goTree(t, map[string]string{"a.go": greeting("`never`")}), "a.go")
	r, _, diag, err := runGo(t, k, agentos.Spec{Program: file, Limits: agentos.Limits{Timeout: 30 * time.Millisecond}})
	if err != nil || r.Cause != "timeout" || r.ExitCode != 124 || diag != "" {
		t.Errorf("%+v, %v, wrote %q", r, err, diag)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	p, err := k.Start(ctx, agentos.Spec{Program: file})
	if p != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("started %v, %v", p, err)
	}
}
