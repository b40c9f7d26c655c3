package attack

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
)

// duel is two calls that must take the same time: they differ only in whether what
// they ask for is there.
type duel struct {
	name, tries string
	grants      []string
	here, gone  string
	// differ says that the two do differ, to show that the test can tell.
	differ bool
}

var duels = []duel{
	{name: "outside", tries: "the time of a refusal to leave a directory, with and without something there",
		grants: []string{"read data"}, here: "open 3 ../outside/key r", gone: "open 3 ../outside/kex r"},
	{name: "outside-from-root", tries: "the same from the guest's root, where it does not exist",
		grants: []string{"read data"}, here: "open 6 TOP/outside/key r", gone: "open 6 TOP/outside/kex r"},
	{name: "denied-file", tries: "the time of opening a denied file, there and missing",
		grants: []string{"read data", "deny data/denied.txt", "deny data/denieX.txt"}, here: "open 3 denied.txt r", gone: "open 3 denieX.txt r"},
	{name: "denied-below", tries: "the same for files in a denied directory",
		grants: []string{"read data", "deny data/secret"}, here: "open 3 secret/key r", gone: "open 3 secret/kex r"},
	{name: "denied-create", tries: "the time of creating a denied file, there and missing",
		grants: []string{"write data", "deny data/denied.txt", "deny data/denieX.txt"}, here: "open 3 denied.txt wcx", gone: "open 3 denieX.txt wcx"},
	{name: "denied-stat", tries: "the time of describing a denied directory, there and missing",
		grants: []string{"read data", "deny data/secret", "deny data/secreX"}, here: "stat 3 secret", gone: "stat 3 secreX"},
	{name: "not-hidden", tries: "nothing: a file that may be read, against a missing one",
		grants: []string{"read data"}, here: "open 3 sub/deep/in.txt r", gone: "open 3 pubX.txt r", differ: true},
}

// TestTiming has a guest make two calls by turns, thousands of times, and compares
// how long each took by their ranks. AUC is the chance that one of the first is slower
// than one of the second; a half says that nothing can be told. What one guest could
// learn from many more calls than here is not ruled out by it; that the same work is
// done is what the tests of kernel/proc and kernel/perm count.
func TestTiming(t *testing.T) {
	h := open(t)
	for i := range duels {
		d := &duels[i]
		t.Run(d.name, func(t *testing.T) {
			// A machine that is busy may favour one side for once; not three times.
			var seen []float64
			for range 3 {
				auc := h.fight(t, d)
				seen = append(seen, auc)
				if told := math.Abs(auc-0.5) > 0.1; told == d.differ {
					t.Logf("AUC %.3f", seen)
					return
				}
			}
			if d.differ {
				t.Errorf("calls that do differ look alike: AUC %.3f; this test sees nothing", seen)
			} else {
				t.Errorf("%s against %s: AUC %.3f, so that the time tells whether it is there", d.here, d.gone, seen)
			}
		})
	}
}

func (h *house) fight(t *testing.T, d *duel) float64 {
	t.Helper()
	const calls = 3000
	top := plant(t)
	spec := agentos.Spec{
		Program: "attack.wasm", Image: h.image, Limits: agentos.Limits{Timeout: time.Minute},
		Args: []string{strings.ReplaceAll(fmt.Sprintf("duel %d %s ; %s", calls, d.here, d.gone), "TOP", top)},
	}
	for _, g := range d.grants {
		spec.Grants = append(spec.Grants, grant(t, top, g))
	}
	r, out := h.run(t, spec)
	if r.Cause != "exited" || r.ExitCode != 0 {
		t.Fatalf("the guest ended by %s %d (%s): %s", r.Cause, r.ExitCode, r.Detail, out)
	}
	var times [2][]int64
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		k, err := strconv.Atoi(f[1])
		must(t, err)
		for _, s := range f[2:] {
			n, err := strconv.ParseInt(s, 10, 64)
			must(t, err)
			times[k] = append(times[k], n)
		}
	}
	if len(times[0]) != calls || len(times[1]) != calls {
		t.Fatalf("%d and %d calls", len(times[0]), len(times[1]))
	}
	for k, who := range []string{"there", "missing"} {
		part := slices.Sorted(slices.Values(times[k][calls/10:]))
		t.Logf("%s: a tenth takes less than %d ns, half %d, nine tenths %d", who, part[len(part)/10], part[len(part)/2], part[len(part)*9/10])
	}
	// The first calls find nothing in any cache, and the record of denials empty.
	return auc(times[0][calls/10:], times[1][calls/10:])
}

// auc is the share of pairs of which a's is the greater; equal ones count half.
func auc(a, b []int64) float64 {
	b = slices.Sorted(slices.Values(b))
	sum := 0.0
	for _, x := range a {
		low, _ := slices.BinarySearch(b, x)
		high, _ := slices.BinarySearch(b, x+1)
		sum += float64(low) + float64(high-low)/2
	}
	return sum / float64(len(a)) / float64(len(b))
}
