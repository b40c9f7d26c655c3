package programs

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module   = "../../examples/programs"
	testdata = module + "/testdata"
)

var (
	run    = flag.Bool("programs", false, "build the programs, which downloads their modules, and run them")
	update = flag.Bool("update", false, "write the expected output")
)

// TestTable holds what needs no building: every program is pinned, every input
// and expected output is there, and nothing is granted that is not used.
func TestTable(t *testing.T) {
	pinned, err := os.ReadFile(module + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	tools := strings.Fields(string(pinned))
	seen := map[string]bool{}
	for _, p := range programs {
		if !slices.Contains(tools, p.pkg) {
			t.Errorf("%s: examples/programs/go.mod has no tool %s", p.name, p.pkg)
		}
		if seen[p.name] || p.does == "" {
			t.Errorf("%s: a name of its own and a sentence, please", p.name)
		}
		seen[p.name] = true
		if p.after != "" && !seen[p.after] {
			t.Errorf("%s: %s is not before it", p.name, p.after)
		}
		for _, g := range p.grants {
			if !strings.Contains(strings.Join(p.args, " "), "@/"+g.dir) {
				t.Errorf("%s: no argument is beneath %s, which is granted", p.name, g.dir)
			}
		}
		if _, err := os.Stat(golden(p)); err != nil {
			t.Errorf("%s: %v; -programs -update writes it", p.name, err)
		}
	}
}

func golden(p program) string { return filepath.Join(testdata, "golden", p.name+".txt") }

// TestPrograms builds every program twice and runs it: for the host, under
// AgentOS, and under AgentOS with less.
func TestPrograms(t *testing.T) {
	if !*run {
		t.Skip("it downloads and builds programs of others: go test ./test/programs -programs, which .ci/run programs does")
	}
	h := &house{bin: t.TempDir(), files: map[string]string{}}
	h.state = filepath.Join(h.bin, "state") // made by agentos, closed to others
	h.agentos = filepath.Join(h.bin, "agentos")
	h.build(t, "../..", h.agentos, "./cmd/agentos", "")
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) { h.check(t, p) })
	}
}

// house is what the runs share.
type house struct {
	bin, state, agentos string
	files               map[string]string // of each run, the directory that it worked on
}

func (h *house) build(t *testing.T, dir, out, pkg, tags string, env ...string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags="+tags, "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, b)
	}
}

// outcome is what a run can be seen by.
type outcome struct {
	status         int
	stdout, stderr string
	files          map[string]string
}

// same compares all but standard error, where AgentOS itself speaks.
func (o outcome) same(p outcome) bool {
	if o.status != p.status || o.stdout != p.stdout || len(o.files) != len(p.files) {
		return false
	}
	for name, text := range o.files {
		if other, ok := p.files[name]; !ok || other != text {
			return false
		}
	}
	return true
}

func (o outcome) String() string {
	return fmt.Sprintf("status %d, files %q\nstdout:\n%s\nstderr:\n%s", o.status, o.files, o.stdout, o.stderr)
}

func (h *house) check(t *testing.T, p program) {
	name := filepath.Base(strings.TrimSuffix(p.pkg, "/v2"))
	native, wasm := filepath.Join(h.bin, name), filepath.Join(h.bin, name+".wasm")
	if _, err := os.Stat(wasm); err != nil {
		h.build(t, module, native, p.pkg, p.tags, "CGO_ENABLED=0")
		h.build(t, module, wasm, p.pkg, "", "GOOS=wasip1", "GOARCH=wasm")
	}

	want := h.native(t, p, native)
	got := h.guest(t, p, wasm, p.grants, true)
	if !got.same(want) {
		t.Fatalf("under AgentOS: %s\nwithout: %s", got, want)
	}
	if got.status != p.status {
		t.Errorf("status %d, want %d", got.status, p.status)
	}
	for _, f := range p.writes {
		if _, ok := got.files[f]; !ok {
			t.Errorf("it did not write %s", f)
		}
	}
	if p.gives != "" {
		if whole, err := os.ReadFile(filepath.Join(testdata, p.gives)); err != nil || got.stdout != string(whole) {
			t.Errorf("standard output is not %s (%v): %s", p.gives, err, got)
		}
	}
	h.expect(t, p, got)
	h.learn(t, p, wasm)

	for i, g := range p.grants {
		without := slices.Delete(slices.Clone(p.grants), i, i+1)
		// Of a directory that it writes to a program may ask first to read it.
		h.refused(t, p, wasm, without, []string{"--read", g.flag}, g.dir, want, "without "+g.flag+" "+g.dir)
		if g.flag == "--write" {
			less := slices.Clone(p.grants)
			less[i].flag = "--read"
			h.refused(t, p, wasm, less, []string{g.flag}, g.dir, want, "with --read in place of --write "+g.dir)
		}
	}
}

// learn has AgentOS find out what the program needs, in a directory that holds more than
// that, and has it check that this is enough, and the least.
func (h *house) learn(t *testing.T, p program, wasm string) {
	t.Helper()
	if p.stdin != "" || p.status != 0 {
		return // a replay has no input, and without a grant it fails all the same
	}
	dir := h.workspace(t, p)
	learned := filepath.Join(t.TempDir(), "learned.toml")
	o := h.run(t, p, dir, []string{h.agentos, "learn", "--within", dir, "-o", learned, wasm})
	text, err := os.ReadFile(learned)
	if o.status != p.status || err != nil {
		t.Errorf("learn: %v: %s", err, o)
		return
	}
	cmd := exec.Command(h.agentos, "learn", "--check", learned)
	cmd.Dir = filepath.Join(dir, p.grants[0].dir)
	cmd.Env = append(os.Environ(), "AGENTOS_STATE="+h.state, "NO_COLOR=1")
	table, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("learn --check: %v\n%s\n%s", err, table, text)
	}
	t.Logf("learned:\n%s\n%s", text, table)
}

// expect compares with the expected output: that of the program, and the text
// files that it wrote.
func (h *house) expect(t *testing.T, p program, got outcome) {
	text := got.stdout
	for _, f := range p.writes {
		if !strings.HasSuffix(f, ".s2") { // another version may compress otherwise
			text += "--- " + f + "\n" + got.files[f]
		}
	}
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(golden(p)), 0o755), os.WriteFile(golden(p), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden(p))
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%s\nwant, by %s,\n%s", text, golden(p), want)
	}
}

// refused runs p with less than it needs. It must not do its work, and AgentOS
// must say that one of flags was missing for dir.
func (h *house) refused(t *testing.T, p program, wasm string, grants []grant, flags []string, dir string, whole outcome, how string) {
	t.Helper()
	got := h.guest(t, p, wasm, grants, false)
	if got.same(whole) {
		t.Errorf("%s it does the same: the grant is not needed", how)
	}
	for line := range strings.SplitSeq(got.stderr, "\n") {
		for _, f := range flags {
			if strings.HasPrefix(line, "agentos: denied ") && strings.Contains(line, "; "+f+" @/"+dir) {
				return
			}
		}
	}
	t.Errorf("%s no denial names %s of @/%s: %s", how, strings.Join(flags, " or "), dir, got)
}

// workspace is a directory of its own for a run, with the inputs in it.
func (h *house) workspace(t *testing.T, p program) string {
	t.Helper()
	dir := t.TempDir()
	if p.after != "" {
		from, ok := h.files[p.after]
		if !ok {
			t.Fatalf("%s goes on from %s, which was not run", p.name, p.after)
		}
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	} else if err := os.CopyFS(dir, os.DirFS(testdata)); err != nil {
		t.Fatal(err)
	}
	for _, g := range p.grants {
		if err := os.MkdirAll(filepath.Join(dir, g.dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// native runs the program on the host.
func (h *house) native(t *testing.T, p program, binary string) outcome {
	return h.run(t, p, h.workspace(t, p), []string{binary})
}

// guest runs the program under AgentOS. The files of a run that is kept are what
// a later one may go on with.
func (h *house) guest(t *testing.T, p program, wasm string, grants []grant, keep bool) outcome {
	t.Helper()
	dir := h.workspace(t, p)
	args := []string{h.agentos, "run"}
	for _, g := range grants {
		args = append(args, g.flag, filepath.Join(dir, g.dir))
	}
	o := h.run(t, p, dir, append(args, wasm))
	if keep {
		// t.TempDir of this subtest ends with it.
		kept, err := os.MkdirTemp(h.bin, p.name+"-")
		if err == nil {
			err = os.CopyFS(kept, os.DirFS(dir))
		}
		if err != nil {
			t.Fatal(err)
		}
		h.files[p.name] = kept
	}
	return o
}

// run runs a command with the arguments of p in dir. What it says of dir is said
// of @.
func (h *house) run(t *testing.T, p program, dir string, args []string) outcome {
	t.Helper()
	for _, a := range p.args {
		if rest, ok := strings.CutPrefix(a, "@/"); ok {
			a = filepath.Join(dir, rest)
		}
		args = append(args, a)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Join(dir, p.grants[0].dir)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "AGENTOS_STATE="+h.state, "NO_COLOR=1")
	if p.stdin != "" {
		in, err := os.Open(filepath.Join(dir, p.stdin))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd.Stdin = in
	}
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	o := outcome{status: cmd.ProcessState.ExitCode(), stdout: strings.ReplaceAll(out.String(), dir, "@"),
		stderr: strings.ReplaceAll(errs.String(), dir, "@"), files: map[string]string{}}
	for _, f := range p.writes {
		text, err := os.ReadFile(filepath.Join(dir, f))
		switch {
		case err == nil:
			o.files[f] = string(text)
		case !errors.Is(err, os.ErrNotExist):
			t.Fatal(err)
		}
	}
	return o
}
