package bench

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// How often one iteration of BenchmarkNativeSpawn does what.
const (
	rounds    = 20 // of single runs, each after a pause
	sustained = 5  // of runs in a row
	inRow     = 50
)

// nativeKernel boots one for native programs, or skips.
func nativeKernel(b *testing.B, change func(*agentos.Config)) *agentos.Kernel {
	b.Helper()
	k := kernel(b, change)
	if _, err := nativeRun(k, agentos.Spec{Program: "/bin/true"}); err != nil {
		b.Skipf("NOT CHECKED: no native program can be run here: %v", err)
	}
	return k
}

// nativeRun runs a program, and fails unless it exited and everything was cleaned up.
func nativeRun(k *agentos.Kernel, spec agentos.Spec) (status int, err error) {
	spec.Domain = "native"
	r, err := k.Run(context.Background(), spec)
	if err != nil {
		return 0, err
	}
	if r.Cause != "exited" || len(r.Cleanup.Errors) > 0 {
		return 0, fmt.Errorf("%s (%s) %v", r.Cause, r.Detail, r.Cleanup.Errors)
	}
	return r.ExitCode, nil
}

// inKernel is a kernel that runs already.
func inKernel(b *testing.B, config agentos.Config) *contestant {
	b.Helper()
	k := nativeKernel(b, func(c *agentos.Config) { c.NoState, c.NativeReady = config.NoState, config.NativeReady })
	return &contestant{name: "agentos", run: func(program string) (int, error) { return nativeRun(k, agentos.Spec{Program: program}) }}
}

func plain() *contestant {
	return &contestant{name: "plain", run: func(program string) (int, error) { return spawn([]string{program}, environment) }}
}

// cold is the whole command, with a kernel that boots and stops.
func cold(b *testing.B) *contestant {
	b.Helper()
	dir := b.TempDir()
	binary := filepath.Join(dir, "agentos")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/agentos").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	env := append([]string{"AGENTOS_STATE=" + filepath.Join(dir, "state")}, environment...)
	return &contestant{name: "cold", run: func(program string) (int, error) {
		return spawn([]string{binary, "run", "--quiet", program}, env)
	}}
}

// BenchmarkNativeSpawn is spawn → exit of /bin/true by turns: plain fork and exec, a
// kernel that runs already, the whole command, and the other sandboxes that are here.
// In "ready" each has a pause before, in which the kernel makes the sandbox of the next
// run; "recorded" is the same with a record of each run on disk. In "sustained" runs
// follow each other without a pause, so that making the sandboxes counts in full; in
// "fresh" none is made ahead.
func BenchmarkNativeSpawn(b *testing.B) {
	ratio := bound{of: "agentos", to: "plain", limit: 1.6}
	const noRecords, records = true, false
	b.Run("ready", func(b *testing.B) {
		all := []*contestant{plain(), inKernel(b, agentos.Config{NoState: noRecords}), cold(b)}
		contest(b, append(all, peers(b)...), rounds, 1, []bound{
			ratio,
			{of: "bwrap", to: "agentos", limit: 4, least: true},
			{of: "runc", to: "agentos", limit: 20, least: true},
			{of: "runsc", to: "agentos", limit: 60, least: true},
		})
	})
	b.Run("recorded", func(b *testing.B) {
		contest(b, []*contestant{plain(), inKernel(b, agentos.Config{NoState: records})}, rounds, 1, []bound{{of: "agentos", to: "plain"}})
	})
	b.Run("sustained", func(b *testing.B) {
		all := []*contestant{plain(), inKernel(b, agentos.Config{NoState: noRecords})}
		contest(b, append(all, peers(b, "bwrap")...), sustained, inRow, []bound{
			ratio,
			{of: "bwrap", to: "agentos", limit: 4, least: true},
		})
	})
	b.Run("fresh", func(b *testing.B) {
		contest(b, []*contestant{plain(), inKernel(b, agentos.Config{NoState: noRecords, NativeReady: -1})}, sustained, inRow,
			[]bound{{of: "agentos", to: "plain"}})
	})
}
