package agentos_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/test/records"
)

// writerEnv makes this test binary a kernel whose guest writes to a grant; its
// value is the directory that holds the state, the guests, and the grant.
const writerEnv = "AGENTOS_TEST_WRITER"

// kills of TestKilledWhileWriting.
var kills = flag.Int("kills", 100, "how often TestKilledWhileWriting kills a kernel")

// writer is that kernel.
func writer(dir string) error {
	image, err := os.ReadFile(filepath.Join(dir, "guests.wasm"))
	if err != nil {
		return err
	}
	k, err := agentos.Open(agentos.Config{State: filepath.Join(dir, "state")})
	if err != nil {
		return err
	}
	report, err := k.Run(context.Background(), agentos.Spec{
		Program: "guests.wasm", Image: image, Args: []string{"records", "/out", os.Getenv(writerEnv + "_FROM")},
		Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: filepath.Join(dir, "out"), Guest: "/out"}},
		Stdout: os.Stdout, Stderr: os.Stderr,
	})
	return errors.Join(err, fmt.Errorf("the guest ended: %+v", report))
}

// TestKilledWhileWriting kills a kernel with SIGKILL at random instants while its
// guest writes to a grant. What the host holds then must be what a sequence of
// calls that were completed explains, with at most the one under way done in part.
func TestKilledWhileWriting(t *testing.T) {
	rounds := *kills
	if testing.Short() || raceEnabled { // what is killed is another process, which the detector only slows
		rounds = 15
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "guests.wasm"), guests, 0o600), os.Mkdir(out, 0o700)); err != nil {
		t.Fatal(err)
	}
	warm, err := agentos.Open(agentos.Config{State: filepath.Join(dir, "state")}) // compile the guests once
	if err != nil {
		t.Fatal(err)
	}
	guest(t, warm, agentos.Spec{}, "args")
	if err := warm.Close(); err != nil {
		t.Fatal(err)
	}
	var seen aftermath
	next := 0
	for i := range rounds {
		said := killWriter(t, dir, next)
		next = seen.check(t, i, out, said, next)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills over %d files: %d left an unfinished file, %d of them in the middle of a record; %d came between a record and the next file's",
		rounds, next, seen.unfinished, seen.torn, seen.between)
	if seen.unfinished < rounds/5 {
		t.Error("too few kills hit a file that was being written for this to prove anything")
	}
}

// killWriter starts a kernel, lets its guest write its first record, and kills the
// kernel at a random instant after. It returns what the guest had said by then.
func killWriter(t *testing.T, dir string, next int) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), writerEnv+"="+dir, fmt.Sprintf("%s_FROM=%d", writerEnv, next))
	var diag strings.Builder
	cmd.Stderr = &diag
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(pipe)
	first, err := in.ReadString('\n')
	if err != nil {
		t.Errorf("the guest did not begin: %v", err)
	}
	instant := time.NewTimer(time.Duration(rand.Int64N(int64(40 * time.Millisecond))))
	rest := make(chan string, 1)
	go func() { // ends with the pipe, which ends with the kernel
		var all bytes.Buffer
		if _, err := all.ReadFrom(in); err != nil {
			t.Errorf("read what the guest says: %v", err)
		}
		rest <- all.String()
	}()
	<-instant.C
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	said := first + <-rest
	if err := cmd.Wait(); err == nil || diag.Len() > 0 {
		t.Fatalf("the writer said %q (%v)", diag.String(), err)
	}
	return said
}

// aftermath counts what kills left.
type aftermath struct{ unfinished, torn, between int }

// check compares what is in the grant with what the guest said, removes the
// unfinished file, and returns the number of the file to go on with.
func (a *aftermath) check(t *testing.T, round int, out, said string, from int) int {
	t.Helper()
	// What the guest said is whole lines, but for the last.
	wrote, named := map[int]int{}, from-1
	for _, line := range strings.SplitAfter(said, "\n") {
		var what string
		var file, n int
		if !strings.HasSuffix(line, "\n") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%s %d %d\n", &what, &file, &n); err != nil {
			t.Fatalf("round %d: the guest said %q: %v", round, line, err)
		}
		if what == "named" {
			named = file
		} else {
			wrote[file] = n + 1
		}
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	there := map[int]bool{}
	latest := -1
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(out, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		c, err := records.Check(b)
		switch {
		case err != nil:
			t.Errorf("round %d: %s: %v", round, e.Name(), err)
		case e.Name() == records.Temporary:
			continue
		case !c.Whole || e.Name() != records.Final(c.File):
			t.Errorf("round %d: %s has its name and holds %+v", round, e.Name(), c)
		case e.Name() == records.Latest:
			latest = c.File
		}
		there[c.File] = true
	}
	last := max(from-1, latest)
	for file := range there {
		last = max(last, file)
	}
	for file := range last + 1 { // in order: what was named later is not there without what was named before
		if !there[file] && (records.Final(file) != records.Latest || file > latest) {
			t.Errorf("round %d: file %d is missing, %d is there", round, file, last)
		}
	}
	if last < named || last > named+1 {
		t.Errorf("round %d: the guest said that %d was named, and %d is there", round, named, last)
	}
	tmp := filepath.Join(out, records.Temporary)
	b, err := os.ReadFile(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		if wrote[last+1] > 0 {
			t.Errorf("round %d: %d records of file %d were written, and it is nowhere", round, wrote[last+1], last+1)
		}
		a.between++
		return last + 1
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := records.Check(b)
	switch {
	case err != nil:
		t.Errorf("round %d: %v", round, err)
	case c.File >= 0 && c.File != last+1:
		t.Errorf("round %d: file %d is unfinished, and %d is the last", round, c.File, last)
	case c.Records < wrote[last+1]:
		t.Errorf("round %d: %d records of file %d were written, %d are there", round, wrote[last+1], last+1, c.Records)
	case c.Records > wrote[last+1]+1:
		t.Errorf("round %d: %d records of file %d are there, %d were written", round, c.Records, last+1, wrote[last+1])
	}
	a.unfinished++
	if c.Torn > 0 {
		a.torn++
	}
	if err := os.Remove(tmp); err != nil {
		t.Fatal(err)
	}
	return last + 1
}
