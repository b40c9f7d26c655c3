//go:build unix

package commit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

var kills = flag.Int("kills", 100, "how often TestKilledAtAnyInstant kills a commit")

func TestMain(m *testing.M) {
	if p := os.Getenv("COMMIT_TEST_SOURCE"); p != "" {
		if err := child(p, os.Getenv("COMMIT_TEST_HOST")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a process that commits and may be killed at any instant.
func child(source, host string) error {
	s, err := loadTree(source)
	if err != nil {
		return err
	}
	f, err := hostfs.Open(host, hostfs.Options{Write: true})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	res, err := Apply(context.Background(), f, s, Options{Run: testRun, Root: host, Umask: umask()})
	for _, r := range res {
		if !r.Outcome.Done() {
			err = errors.Join(err, fmt.Errorf("%s: %s %s", r.Change.Path, r.Outcome, r.Why))
		}
	}
	return errors.Join(err, f.Close())
}

// TestKilledAtAnyInstant kills a commit with SIGKILL over and over until it is
// through, and begins anew, until there were enough kills. After each kill every file
// is wholly old or wholly new, and whatever was killed can be run again.
func TestKilledAtAnyInstant(t *testing.T) {
	want, unit := *kills, time.Millisecond
	if testing.Short() || raceEnabled { // what is killed is another process, which the detector only slows
		want = 20
	}
	if raceEnabled {
		unit *= 30
	}
	killed, torn, left := 0, 0, 0
	for round := 0; killed < want; round++ {
		host := t.TempDir()
		var specs []string
		for i := range 12 {
			specs = append(specs, fmt.Sprintf("d%d/mod%d=%s", i%3, i, strings.Repeat(fmt.Sprint("old ", i), 100_000)), fmt.Sprintf("d%d/gone%d=x", i%3, i), fmt.Sprintf("t%d/f=x", i))
		}
		lay(t, host, append(specs, "tofile/a=1", "todir=1", "h1=hard")...)
		must(t, os.Link(filepath.Join(host, "h1"), filepath.Join(host, "h2")))
		s := capture(t, host, func(d string) {
			for i := range 12 {
				lay(t, d, fmt.Sprintf("d%d/mod%d=%s", i%3, i, strings.Repeat(fmt.Sprint("new ", i), 150_000)), fmt.Sprintf("new%d/sub/f=%s", i, strings.Repeat("n", 300_000)))
				remove(t, d, fmt.Sprintf("d%d/gone%d", i%3, i), fmt.Sprintf("t%d", i))
			}
			remove(t, d, "tofile", "todir", "h1", "h2")
			lay(t, d, "tofile=2", "todir/x=2", "h1="+strings.Repeat("h", 500_000), "link->h1")
			must(t, os.Link(filepath.Join(d, "h1"), filepath.Join(d, "h2")))
		})
		old, new := scan(t, host), scan(t, s.Merged)
		source := filepath.Join(t.TempDir(), "source")
		s.save(t, source)
		for try := 0; ; try++ {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "COMMIT_TEST_SOURCE="+source, "COMMIT_TEST_HOST="+host)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			r, w, err := os.Pipe()
			must(t, err)
			cmd.Stdout = w
			must(t, cmd.Start())
			must(t, w.Close())
			if _, err := readLine(r); err != nil {
				t.Fatalf("the child did not start: %v %s", err, &stderr)
			}
			// The instant is what varies here; nothing is asserted about time. Later
			// tries have longer, so that a slow build comes through as well.
			time.Sleep(time.Duration(rand.Int64N(int64(6+3*try) * int64(unit))))
			must(t, cmd.Process.Kill())
			err = cmd.Wait()
			must(t, r.Close())
			torn += check(t, host, old, new)
			if err == nil {
				break // it was through before the kill
			}
			if ee := (*exec.ExitError)(nil); !errors.As(err, &ee) || ee.ExitCode() != -1 {
				t.Fatalf("the commit ended by itself: %v\n%s", err, &stderr)
			}
			killed++
			if len(temporaries(t, host)) > 0 {
				left++
			}
			if t.Failed() {
				t.FailNow()
			}
		}
		for p, r := range apply(t, host, s, Options{}) {
			if !r.Outcome.Done() {
				t.Errorf("%s: %s %s", p, r.Outcome, r.Why)
			}
		}
		same(t, host, s.Merged)
		if l := temporaries(t, host); l != nil {
			t.Errorf("left %q", l)
		}
		if c := s.Changes(); len(c) != 0 {
			t.Errorf("%d changes are not done", len(c))
		}
		a, err := os.Stat(filepath.Join(host, "h1"))
		must(t, err)
		if b, err := os.Stat(filepath.Join(host, "h2")); err != nil || !os.SameFile(a, b) {
			t.Errorf("h1 and h2 are not one file: %v", err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d left a temporary file, %d files torn", killed, left, torn)
	if left == 0 {
		t.Error("no kill left a temporary file: the test does not test")
	}
}

// check counts the files of the host that are neither old nor new.
func check(t *testing.T, host string, old, new map[string]*entry) (torn int) {
	t.Helper()
	now := scan(t, host)
	for _, p := range paths(now, old, new) {
		if strings.HasPrefix(filepath.Base(p), ".agentos-") {
			continue
		}
		text := func(m map[string]*entry) string {
			if m[p] == nil {
				return "nothing"
			}
			return m[p].st.Type.String() + m[p].target + m[p].text
		}
		n := text(now)
		switch {
		case n == text(old) || n == text(new):
		case n == "nothing" && old[p].st.Type != new[p].st.Type: // between a file and a directory
		default:
			torn++
			t.Errorf("%s is neither old nor new: %d bytes %.40q", p, len(n), n)
		}
	}
	return torn
}
