package agentos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/test/hostile"
)

// crashEnv makes this test binary a kernel that is to be killed; its value is
// the state directory.
const crashEnv = "AGENTOS_TEST_KERNEL"

// victim is that kernel: it runs honest guests, and has modules compiled that it
// has never seen, until it is killed.
func victim(state string) error {
	image, err := os.ReadFile(filepath.Join(filepath.Dir(state), "guests.wasm"))
	if err != nil {
		return err
	}
	k, err := agentos.Open(agentos.Config{State: state})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				if _, err := k.Run(context.Background(), agentos.Spec{Program: "guests.wasm", Image: image, Args: []string{"everything", "/tmp"}}); err != nil {
					fmt.Fprintln(os.Stderr, "victim:", err)
					return
				}
			}
		})
	}
	for i := 0; ; i++ {
		bomb := append(hostile.Laborious(100), 0, 4, 1, 'n', byte(i), byte(rand.Int())) // a custom section makes it a new one
		_, err := k.Run(context.Background(), agentos.Spec{Program: "bomb", Image: bomb, Limits: agentos.Limits{Timeout: 50 * time.Millisecond}})
		if err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
		}
	}
}

// TestKilledKernel kills a kernel at random instants. Each time the next start
// must sweep all that was left: unlocked runs, scratch, sockets, half-made
// files, and compile children.
func TestKilledKernel(t *testing.T) {
	rounds := 200
	if testing.Short() || raceEnabled { // what is killed is another process, which the detector only slows
		rounds = 20
	}
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.WriteFile(filepath.Join(dir, "guests.wasm"), guests, 0o600); err != nil {
		t.Fatal(err)
	}
	warm, err := agentos.Open(agentos.Config{State: state}) // compile the guests once
	if err != nil {
		t.Fatal(err)
	}
	guest(t, warm, agentos.Spec{}, "args")
	if err := warm.Close(); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	crashed, swept := 0, 0
	for i := range rounds {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), crashEnv+"="+state)
		var diag strings.Builder
		cmd.Stderr = &diag
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // the random instant
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || diag.Len() > 0 {
			t.Fatalf("round %d: the victim said %q (%v)", i, diag.String(), err)
		}
		k, err := agentos.Open(agentos.Config{State: state})
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if k.Swept().Any() {
			swept++
			crashed += k.Swept().Crashed
		}
		leftovers(t, state)
		scratchLeft(t, state)
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	orphans(t, exe)
	t.Logf("%d kills, %d left something, %d runs were cut off", rounds, swept, crashed)
	if swept < rounds/5 {
		t.Error("too few kills hit a running kernel for this to prove anything")
	}
}

// leftovers fails the test for whatever a sweep should have removed, and for a
// record that cannot be read.
func leftovers(t *testing.T, state string) {
	t.Helper()
	for _, where := range []string{"live/*", "staging/*", "trash/*", "runs/*/scratch", "runs/*/control.sock", "runs/*/*.tmp*"} {
		found, err := filepath.Glob(filepath.Join(state, where))
		if err != nil || len(found) > 0 {
			t.Fatalf("left behind: %v %v", found, err)
		}
	}
	reports, err := filepath.Glob(filepath.Join(state, "runs/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range reports {
		b, err := os.ReadFile(filepath.Join(run, "report.json"))
		if err != nil {
			t.Fatalf("a run without a report: %v", err)
		}
		var r agentos.Report
		if err := json.Unmarshal(b, &r); err != nil || r.Version != 1 || r.Cause == "" {
			t.Fatalf("%s: %v: %s", run, err, b)
		}
		if err := os.RemoveAll(run); err != nil { // seen; the next rounds are quicker without it
			t.Fatal(err)
		}
	}
}

// scratchLeft fails the test for what a dead kernel was compiling. A compile child
// sees the end of its pipe some milliseconds after its kernel died, and may still
// write; what it adds then is for the sweep after.
func scratchLeft(t *testing.T, state string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(state, "cache/tmp-*"))
	if err != nil {
		t.Fatal(err)
	}
	locks, err := filepath.Glob(filepath.Join(state, "cache/locks/kernel-*"))
	if err != nil || len(left) > 1 || len(locks) > 1 {
		t.Fatalf("scratch of the dead: %v, locks %v %v", left, locks, err)
	}
}

// orphans waits until no child of a killed kernel is left.
func orphans(t *testing.T, exe string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("NOT CHECKED: compile children of killed kernels (needs /proc)")
		return
	}
	alive := func() (pids []string) {
		links, err := filepath.Glob("/proc/[0-9]*/exe")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			target, err := os.Readlink(l)
			if pid := filepath.Base(filepath.Dir(l)); err == nil && target == exe && pid != fmt.Sprint(os.Getpid()) {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		left := alive()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("compile children outlive their kernel: %v", left)
		}
		time.Sleep(10 * time.Millisecond) // they see the end of their pipe and go
	}
}
