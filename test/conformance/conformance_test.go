package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/guest/wasm/wasip1"
)

func TestMain(m *testing.M) {
	agentos.Helper()
	os.Exit(m.Run())
}

// build compiles the guest.
func build(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func run(t *testing.T, k *agentos.Kernel, spec agentos.Spec, args ...string) (*agentos.Report, string) {
	t.Helper()
	var out bytes.Buffer
	spec.Program, spec.Args, spec.Stdout, spec.Stderr = "guest.wasm", args, &out, &out
	spec.Env = append(spec.Env, "ONE=1", "TWO=2")
	spec.Stdin = strings.NewReader("input")
	r, err := k.Run(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cleanup.Errors) > 0 {
		t.Errorf("cleanup: %v", r.Cleanup.Errors)
	}
	return r, out.String()
}

// TestConformance checks every function on each kind of file system that a
// directory can be of.
func TestConformance(t *testing.T) {
	image := build(t)
	k, err := agentos.Open(agentos.Config{State: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}()
	grant := func(kind agentos.GrantKind, guest string) []agentos.Grant {
		return []agentos.Grant{{Kind: kind, Host: t.TempDir(), Guest: guest}}
	}
	called := map[string]bool{}
	for _, c := range []struct {
		name, dir string
		grants    []agentos.Grant
	}{
		{"memory", "/tmp", nil},
		{"host", "/w", grant(agentos.GrantWrite, "/w")},
		{"host as the root", "/", grant(agentos.GrantWrite, "/")},
		{"host under a relative name", "w.dir", grant(agentos.GrantWrite, "w.dir")},
		{"overlay", "/w", grant(agentos.GrantOverlay, "/w")},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"check", c.dir}
			if c.name == "overlay" {
				args = append(args, "remote") // it counts as a host that may never answer
			}
			r, out := run(t, k, agentos.Spec{Image: image, Grants: c.grants}, args...)
			cases := 0
			for line := range strings.Lines(out) {
				verdict, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				if verdict != "ok" {
					t.Error(strings.TrimSpace(line))
					continue
				}
				cases++
				f, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
				called[f] = true
			}
			if r.Cause != "exited" || r.ExitCode != 0 || cases < 300 {
				t.Errorf("%s with %d after %d cases", r.Cause, r.ExitCode, cases)
			}
			for _, g := range c.grants {
				if left, err := os.ReadDir(g.Host); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v %v", left, err)
				}
			}
		})
	}
	for _, code := range []int{0, 1, 33, 127, 255, 256} {
		r, out := run(t, k, agentos.Spec{Image: image}, "exit", strconv.Itoa(code))
		if r.Cause != "exited" || r.ExitCode != code&0xff {
			t.Errorf("exit %d: %s %d %s", code, r.Cause, r.ExitCode, out)
		}
	}
	called["proc_exit"] = true
	for sig, want := range map[int]string{9: "signaled", 15: "signaled", 6: "signaled", 17: "exited"} {
		r, out := run(t, k, agentos.Spec{Image: image}, "raise", strconv.Itoa(sig))
		if r.Cause != want {
			t.Errorf("raise %d: %s %s, want %s", sig, r.Cause, out, want)
		}
	}
	for _, f := range wasip1.Functions() {
		if !called[f.Name] {
			t.Errorf("%s was never called", f.Name)
		}
	}
}
