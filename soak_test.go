package agentos_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos"
)

var soak = flag.Bool("soak", false, "run the full numbers of TestNothingIsLeft: 10,000 runs and 500 at once")

// footprint is what a process of the host holds.
type footprint struct {
	goroutines, descriptors, mappings, scratch int
	resident                                   int64 // bytes
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d mappings, %d files of scratch, %.1f MiB resident",
		f.goroutines, f.descriptors, f.mappings, f.scratch, float64(f.resident)/(1<<20))
}

// measure takes the footprint after everything that can go has gone. Where
// there is no /proc, descriptors, mappings, and resident memory read 0.
func measure(t *testing.T, state string) footprint {
	t.Helper()
	for range 3 {
		debug.FreeOSMemory()
	}
	f := footprint{goroutines: runtime.NumGoroutine()}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.descriptors = len(fds)
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		f.mappings = strings.Count(string(maps), "\n")
	}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		f.resident = pages * int64(os.Getpagesize())
	}
	for _, where := range []string{"live/*", "staging/*", "trash/*", "cache/tmp-*", "runs/*/scratch", "runs/*/control.sock"} {
		found, err := filepath.Glob(filepath.Join(state, where))
		if err != nil {
			t.Fatal(err)
		}
		f.scratch += len(found)
	}
	return f
}

// TestNothingIsLeft runs many guests one after another and many at once and
// compares what the kernel holds with what it held before.
func TestNothingIsLeft(t *testing.T) {
	after, atOnce := 300, 60
	if *soak {
		after, atOnce = 10_000, 500
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	k := open(t, nil)
	spec := agentos.Spec{Grants: []agentos.Grant{{Host: dir}}}
	round := func() {
		p := start(t, k, spec, "exit", "0")
		r, err := p.Wait(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		check(t, r)
	}
	crowd := func(n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(round)
		}
		wg.Wait()
	}
	for range 20 {
		round()
	}
	crowd(atOnce) // the runtime keeps its threads; they are not the runs'
	before := measure(t, cache)
	t.Logf("before:            %v", before)
	for range after {
		round()
	}
	sequence := measure(t, cache)
	t.Logf("after %5d runs:  %v", after, sequence)
	crowd(atOnce)
	crowded := measure(t, cache)
	t.Logf("after %5d at once: %v", atOnce, crowded)
	for what, f := range map[string]footprint{"one after another": sequence, "at once": crowded} {
		if f.goroutines > before.goroutines || f.descriptors > before.descriptors || f.scratch > before.scratch {
			t.Errorf("%s left something behind: %v, before %v", what, f, before)
		}
		// The allocator of the runtime keeps arenas and stacks; a leak would grow
		// with the number of runs. The race detector's own memory is not counted.
		if f.mappings > before.mappings+50 || !raceEnabled && f.resident > before.resident+64<<20 {
			t.Errorf("%s: memory grew: %v, before %v", what, f, before)
		}
	}
}
