package agentos

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leftovers are what doctor must not leave in a directory for temporary files, or
// among the processes.
func leftovers(t *testing.T, tmp string) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tasks {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), "AGENTOS_ATTEMPT=") && strings.Contains(string(b), tmp) {
			left = append(left, p)
		}
	}
	return left
}

func checkLeftovers(t *testing.T, tmp string) {
	t.Helper()
	var left []string
	for range 100 { // what was killed may take a moment to be gone
		if left = leftovers(t, tmp); len(left) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("left: %v", left)
}

// TestDoctor: everything that is tried here is held, and nothing is left of it.
func TestDoctor(t *testing.T) {
	for _, bare := range []bool{false, true} {
		name := "namespaces"
		if bare {
			name = "no namespaces"
		}
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			state := filepath.Join(t.TempDir(), "state")
			begun := time.Now()
			d := Doctor(Config{State: state, NoNamespaces: bare})
			took := time.Since(begun)
			tried := map[string]int{}
			for _, c := range d.Checks {
				t.Logf("%-24s %-8s %s (%s) %s", c.Name, c.Outcome, c.StoppedBy, c.Errno, c.Detail)
				if c.Protects && !c.OK {
					t.Errorf("%s: %s %s", c.Name, c.Outcome, c.Detail)
				}
				domain, _, _ := strings.Cut(c.Name, ".")
				if c.Outcome == OutcomeHeld {
					tried[domain]++
					if c.StoppedBy == "" && c.Detail == "" {
						t.Errorf("%s: nobody is said to have stopped it", c.Name)
					}
				}
				if c.Name == "native" && !c.OK {
					t.Skipf("%s: that violations are held was NOT CHECKED", c.Detail)
				}
			}
			if tried["wasm"] < 3 || tried["native"] < 40 {
				t.Errorf("held: %v", tried)
			}
			if !d.Safe {
				t.Error("a default run is said not to be safe")
			}
			if runs, err := os.ReadDir(filepath.Join(state, "runs")); err != nil || len(runs) != 0 {
				t.Errorf("records are left: %v %v", runs, err)
			}
			checkLeftovers(t, tmp)
			t.Logf("%d held, in %v", tried["native"]+tried["wasm"], took)
		})
	}
}

// TestDoctorSeesEscapes: run as a plain process of the host, the same program escapes,
// and doctor says so.
func TestDoctorSeesEscapes(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	k, err := Open(Config{State: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}()
	plain := func(ctx context.Context, s Spec) (*Report, error) {
		cmd := exec.CommandContext(ctx, s.Program, s.Args...)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append([]string{"TMPDIR=" + tmp}, s.Env...), s.Dir, s.Stdout, s.Stderr
		cmd.WaitDelay = 10 * time.Millisecond // who holds its output does not hold us
		if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.ExitCode() < 0 {
			return nil, err
		}
		return &Report{Cause: "exited", ExitCode: cmd.ProcessState.ExitCode()}, nil
	}
	d := &Diagnosis{}
	tr := &trial{k: k, run: plain}
	if err := tr.lay(); err != nil {
		t.Fatal(err)
	}
	tr.try(d)
	if err := tr.bait.Close(); err != nil {
		t.Error(err)
	}
	escaped := map[string]bool{}
	for _, c := range d.Checks {
		switch {
		case c.Outcome == OutcomeEscaped:
			escaped[c.Name] = true
			if c.OK || !c.Protects || c.StoppedBy != "" {
				t.Errorf("an escape is played down: %+v", c)
			}
		case c.Outcome == OutcomeHeld && (strings.HasPrefix(c.StoppedBy, "seccomp") || strings.Contains(c.StoppedBy, "namespace")):
			t.Errorf("held by what is not there: %+v", c)
		default:
			t.Logf("%-24s %s %s %s", c.Name, c.Outcome, c.StoppedBy, c.Detail)
		}
	}
	for _, name := range []string{"secret", "symlink", "deny", "state", "write_read_grant", "protected", "connect_host", "abstract_socket", "environ",
		"signal_outside", "memory", "pids", "disk", "cpu_time", "wall_time", "output", "files", "outlive"} {
		if !escaped["native."+name] {
			t.Errorf("%s was not seen to escape", name)
		}
	}
	t.Logf("%d of %d escaped", len(escaped), len(d.Checks))
	time.Sleep(2 * time.Second) // what outlived its program
	checkLeftovers(t, tmp)
}

// TestStrainEnds checks what the ends of programs that take too much mean.
func TestStrainEnds(t *testing.T) {
	tr := &trial{enforced: map[string]string{"memory": "a group"}}
	s := &strains[0]
	for _, c := range []struct {
		r    Report
		want string
		by   string
	}{
		{Report{Cause: "memory_limit", ExitCode: 137}, OutcomeHeld, "a group"},
		{Report{Cause: "exited", ExitCode: 9}, OutcomeHeld, "a group"},
		{Report{Cause: "exited"}, OutcomeEscaped, ""},
		{Report{Cause: "timeout", ExitCode: 124}, OutcomeUnknown, ""},
		{Report{Cause: "exited", ExitCode: 2}, OutcomeUnknown, ""},
		{Report{Cause: "kernel_error", ExitCode: 134}, OutcomeUnknown, ""},
	} {
		if got := tr.ended(s, &c.r); got.Outcome != c.want || got.StoppedBy != c.by {
			t.Errorf("%+v: %+v, want %s by %q", c.r, got, c.want, c.by)
		}
	}
}

// TestRefusedIsSafe: a limit that this host cannot hold makes doctor say so, and is not
// dangerous, since such a run does not start. A program that cannot be run at all
// proves nothing.
func TestRefusedIsSafe(t *testing.T) {
	for _, c := range []struct {
		err      error
		outcome  string
		protects bool
	}{
		{refuse("UNENFORCED", "--memory", "there is no group", "be root", nil), OutcomeDegraded, false},
		{notFound("agentos", nil), OutcomeUnknown, true},
		{io.ErrUnexpectedEOF, OutcomeUnknown, true},
	} {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		d := &Diagnosis{}
		tr := &trial{k: &Kernel{}, run: func(context.Context, Spec) (*Report, error) { return nil, c.err }}
		if err := tr.lay(); err != nil {
			t.Fatal(err)
		}
		tr.try(d)
		if err := tr.bait.Close(); err != nil {
			t.Error(err)
		}
		if len(d.Checks) != 1+len(strains) {
			t.Errorf("%v: %d checks", c.err, len(d.Checks))
		}
		for _, check := range d.Checks {
			if check.Outcome != c.outcome || check.Protects != c.protects || check.OK {
				t.Errorf("%v: %+v", c.err, check)
			}
		}
		checkLeftovers(t, tmp)
	}
}
