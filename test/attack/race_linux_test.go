package attack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos"
)

// rounds is how often a guest tries while the host flips what it tries.
const rounds = 20_000

// fewer is for rounds that are dear.
const fewer = 2_000

// flip is a race: the host exchanges two names again and again while a guest walks
// over one of them.
type flip struct {
	name, tries string
	grants      []string
	host        func(t testing.TB, top string)
	a, b        string // exchanged
	calls       string // of a round
	dear        bool
	// bare is a file that the same walk reaches in one of the two states, without
	// protection; it holds the secret. Empty says that what is tried is a change.
	bare string
}

var flips = []flip{
	{name: "directory-for-link-out", tries: "a directory on the way that turns into a link out of the grant",
		grants: []string{"read data"}, host: link("../outside", "data/evil"), a: "data/sub", b: "data/evil",
		calls: "open 3 sub/key r ; read $0", bare: "data/sub/key"},
	{name: "file-for-link-out", tries: "a file that turns into a link out of the grant",
		grants: []string{"read data"}, host: link("../outside/key", "data/evil"), a: "data/pub.txt", b: "data/evil",
		calls: "open 3 pub.txt r ; read $0 ; open 3 pub.txt rn ; read $2", bare: "data/pub.txt"},
	{name: "deep", tries: "the second of three directories, from the guest's root",
		grants: []string{"read data"}, host: func(t testing.TB, top string) {
			put(t, filepath.Join(top, "outside/deep/in.txt"), canary)
			link("../outside", "data/evil")(t, top)
		}, a: "data/sub", b: "data/evil", dear: true,
		calls: `open 6 "TOP/data/sub/deep/in.txt" r ; read $0 ; open 3 sub/deep rd ; open $2 in.txt r ; read $3`, bare: "data/sub/deep/in.txt"},
	{name: "link-target", tries: "a link inside that turns into one to a denied file",
		grants: []string{"read data", "deny data/denied.txt"}, host: links("pub.txt", "data/l", "denied.txt", "data/m"), a: "data/l", b: "data/m",
		calls: "open 3 l r ; read $0 ; stat 3 l", bare: "data/l"},
	{name: "handle-up", tries: "a directory that is moved out of the grant while it is open, and `..` from it",
		grants: []string{"read data"}, a: "data/sub/deep", b: "outside/dir", dear: true,
		calls: "open 3 sub/deep rd ; open $0 ../key r ; read $1 ; open $0 ../../key r ; read $3"},
	{name: "denied-by-exchange", tries: "a file that changes places with a denied one",
		grants: []string{"read data", "deny data/denied.txt"}, a: "data/pub.txt", b: "data/denied.txt",
		calls: "open 3 denied.txt r ; read $0"},
	{name: "write-through", tries: "to write through a directory that turns into a link out of the grant",
		grants: []string{"write data"}, host: link("../outside", "data/evil"), a: "data/sub", b: "data/evil", dear: true,
		calls: "open 3 sub/new wc ; write $0 x ; unlink 3 sub/new ; mkdir 3 sub/d ; rmdir 3 sub/d ; open 3 sub/writable wt ; times 3 sub/writable"},
	{name: "hook-through", tries: "to write a hook while an ordinary directory turns into the repository's",
		grants: []string{"write data"}, host: links("repo/.git/hooks", "data/evil"), a: "data/sub", b: "data/evil", dear: true,
		calls: "open 3 sub/pre-commit wc ; write $0 x ; unlink 3 sub/pre-commit"},
	{name: "overlay-through", tries: "the same through an overlay",
		grants: []string{"overlay data"}, host: link("../outside", "data/evil"), a: "data/sub", b: "data/evil", dear: true,
		calls: "open 3 sub/key r ; read $0"},
}

// TestFlips makes every race. What the host exchanges is not in the digest.
func TestFlips(t *testing.T) {
	h := open(t)
	for i := range flips {
		f := &flips[i]
		t.Run(f.name, func(t *testing.T) {
			top := plant(t)
			if f.host != nil {
				f.host(t, top)
			}
			keep := []string{"outside/key", "outside/writable", "data/repo"}
			before, names := digest(t, top, keep), entries(t, top)
			n := rounds
			if f.dear {
				n = fewer
			}
			spec := agentos.Spec{
				Program: "attack.wasm", Image: h.image, Limits: agentos.Limits{Timeout: 2 * time.Minute},
				Args: []string{strings.ReplaceAll(fmt.Sprintf("race %d %s", n, f.calls), "TOP", top)},
			}
			for _, g := range f.grants {
				spec.Grants = append(spec.Grants, grant(t, top, g))
			}
			var stdout bytes.Buffer
			spec.Stdout, spec.Stderr = &stdout, &stdout
			p, err := h.k.Start(t.Context(), spec)
			must(t, err)
			// From here on: a denied file must be where it is while the run is made.
			stop := exchange(t, filepath.Join(top, f.a), filepath.Join(top, f.b))
			r, err := p.Wait(context.Background())
			flipped := stop()
			must(t, err)
			out := stdout.String()
			if r.Cause != "exited" || r.ExitCode != 0 {
				t.Fatalf("the guest ended by %s %d (%s): %s", r.Cause, r.ExitCode, r.Detail, out)
			}
			// A denied file that lies under another name for a moment is found by its
			// identity, so that even then it is not read.
			if strings.Contains(out, canary) {
				t.Errorf("the secret came out:\n%s", out)
			}
			if after := digest(t, top, keep); before != after {
				t.Errorf("changed:\n%s", differing(before, after))
			}
			if now := entries(t, top); now != names {
				t.Errorf("outside there is now %s, before %s", now, names)
			}
			tried, kinds := count(t, out)
			if tried != n {
				t.Errorf("%d rounds of %d", tried, n)
			}
			if flipped < 10 {
				t.Errorf("the host exchanged only %d times: this raced nothing", flipped)
			}
			t.Logf("%d rounds, %d exchanges, %d different outcomes", tried, flipped, kinds)
			f.works(t, top)
		})
	}
}

// works shows that a walk without protection meets the secret.
func (f *flip) works(t *testing.T, top string) {
	if f.bare == "" {
		return
	}
	a, b := filepath.Join(top, f.a), filepath.Join(top, f.b)
	for range 2 {
		text, err := os.ReadFile(filepath.Join(top, f.bare))
		if err == nil && string(text) == canary {
			return
		}
		must(t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
	}
	t.Error("without protection the secret is not there to be met")
}

// entries are the names outside.
func entries(t testing.TB, top string) string {
	t.Helper()
	var names []string
	ents, err := os.ReadDir(filepath.Join(top, "outside"))
	must(t, err)
	for _, e := range ents {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// exchange swaps two names until it is stopped, and then says how often it did.
func exchange(t *testing.T, a, b string) (stop func() int) {
	t.Helper()
	var quit atomic.Bool
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for !quit.Load() {
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("exchange: %v", err)
				return
			}
			if n++; n%8 == 0 {
				time.Sleep(10 * time.Microsecond) // one processor must not belong to this alone
			}
		}
	})
	return func() int {
		quit.Store(true)
		wg.Wait()
		if n%2 == 1 { // as it was
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("exchange: %v", err)
			}
		}
		return n
	}
}

// count adds up the rounds that a guest reports.
func count(t testing.TB, out string) (rounds, kinds int) {
	t.Helper()
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "race" {
			t.Fatalf("the guest said %q", line)
		}
		n, err := strconv.Atoi(f[1])
		must(t, err)
		rounds += n
		kinds++
	}
	return rounds, kinds
}
