//go:build invariants

package agentos_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/invariants"
)

// TestPanicUnderEveryLock makes a handler panic at every place where a kernel
// lock is held: that process ends with kernel_error or, where the lock is
// outside of a call, its setup or cleanup says so; the lock is released, and the
// next process finds everything in order.
func TestPanicUnderEveryLock(t *testing.T) {
	k := open(t, nil)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := agentos.Spec{Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir}}}
	round := func() *agentos.Report {
		var diag strings.Builder
		s := spec
		s.Program, s.Image, s.Args, s.Stderr, s.Stdin = "guests.wasm", guests, []string{"everything", "/tmp", dir}, &diag, strings.NewReader("input")
		r, err := k.Run(t.Context(), s)
		if err != nil {
			t.Logf("refused: %v", err)
			return nil
		}
		if r.Cause == "exited" && r.ExitCode != 0 {
			t.Errorf("the guest failed: %s", diag.String())
		}
		return r
	}
	invariants.Seen()
	round()
	passes := invariants.Seen()
	if len(passes) < 8 {
		t.Fatalf("only %v were passed", passes)
	}
	for _, p := range slices.Sorted(maps.Keys(passes)) {
		n := passes[p]
		skips := []int{0, n / 4, n / 2, 3 * n / 4, n - 1}
		slices.Sort(skips)
		for _, skip := range slices.Compact(skips) {
			t.Run(fmt.Sprintf("%s/%d of %d", p, skip, n), func(t *testing.T) {
				invariants.Arm(p, skip)
				r := round()
				if invariants.Disarm(p) {
					return // this round passed it less often: the order of slices varies
				}
				if r != nil && r.Cause == "kernel_error" && strings.HasPrefix(r.Detail, "panic in ") && !slices.Contains(r.Backtrace, "_rt0_wasm_wasip1") {
					t.Errorf("%s, and the guest's backtrace is %v", r.Detail, r.Backtrace)
				}
				if r != nil {
					t.Logf("%s: %s %v", r.Cause, r.Detail, r.Cleanup.Errors)
					if r.Cause == "exited" && len(r.Cleanup.Errors) == 0 {
						t.Error("the panic left no trace")
					}
				}
				if err := errors.Join(remove(dir, "a"), remove(dir, "b"), remove(dir, "c"), remove(dir, "l"), remove(dir, "d")); err != nil {
					t.Fatal(err) // what the interrupted guest had made
				}
				after := round()
				if after == nil || after.Cause != "exited" || after.ExitCode != 0 {
					t.Fatalf("the next process: %+v", after)
				}
				check(t, after)
			})
		}
	}
}

func remove(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
