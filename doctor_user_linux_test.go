package agentos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// doctorEnv makes this test binary print a diagnosis; its value is the state directory.
const doctorEnv = "AGENTOS_TEST_DOCTOR"

func doctorRole(state string) int {
	d := agentos.Doctor(agentos.Config{State: state, NoNamespaces: strings.HasSuffix(state, "bare")})
	if err := json.NewEncoder(os.Stdout).Encode(d); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestDoctorOfUser: for an ordinary user everything is held as well, or refused.
func TestDoctorOfUser(t *testing.T) {
	if raceEnabled {
		t.Skip("NOT CHECKED here: the guest is this binary, and the detector's own memory is more than the limit that is tried; the run without it checks it")
	}
	if os.Geteuid() != 0 {
		t.Skip("TestDoctor does this already for an ordinary user; another user was NOT CHECKED, which takes root")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "agentos-user-") // t.TempDir's are for root only
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "doctor")
	if err := os.WriteFile(program, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, floor := range []string{"namespaces", "bare"} {
		t.Run(floor, func(t *testing.T) {
			home := filepath.Join(dir, "home-"+floor)
			if err := os.Mkdir(home, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(home, nobody, nobody); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program)
			cmd.Dir = home
			cmd.Env = []string{"HOME=" + home, "TMPDIR=" + home, "PATH=/usr/bin:/bin", doctorEnv + "=" + filepath.Join(home, floor)}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, os.Stderr
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			var d agentos.Diagnosis
			if err := json.Unmarshal(out.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
			held, refused := 0, 0
			for _, c := range d.Checks {
				switch {
				case c.Outcome == agentos.OutcomeHeld:
					held++
				case c.Outcome == agentos.OutcomeDegraded || c.Name == "native" && !c.OK:
					refused++
				}
				if c.Protects && !c.OK {
					t.Errorf("%s: %s %s", c.Name, c.Outcome, c.Detail)
				}
				if c.Outcome != agentos.OutcomeHeld && c.Name != "kernel" {
					t.Logf("%s %s %s", c.Name, c.Outcome, c.Detail)
				}
			}
			if !d.Safe || held < 3 || held < 40 && refused == 0 {
				t.Errorf("safe %v, %d held, %d refused", d.Safe, held, refused)
			}
			left, err := os.ReadDir(home)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if e.Name() != floor { // the state directory
					t.Errorf("left: %s", e.Name())
				}
			}
		})
	}
}
