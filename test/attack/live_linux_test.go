package attack

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
)

// change is an attempt to keep what is taken away while the program runs. Where its
// calls say "wait" the guest waits for what the host does next.
type change struct {
	name, tries string
	grants      []string
	host        func(t testing.TB, top string)
	calls       []string
	revoke      []string                       // one for each wait, as a grant; "" for none
	after       func(t testing.TB, top string) // done after each of them
	answers     string
}

// fresh is what is written after a revocation: no attempt may see it.
func fresh(name string) func(testing.TB, string) {
	return func(t testing.TB, top string) { must(t, os.WriteFile(filepath.Join(top, name), []byte(canary), 0o644)) }
}

var changes = []change{
	{name: "descriptor", tries: "to read through a descriptor that was open",
		grants: []string{"read data"}, calls: []string{"open 3 sub/in.txt r", "read $0", "wait", "pread $0 0", "read $0", "fstat $0", "open 3 sub/in.txt r", "stat 3 sub/in.txt", "ls 3"},
		revoke: []string{"read data/sub"}, after: fresh("data/sub/in.txt"), answers: "ok ok ok EACCES EACCES EACCES ENOENT ENOENT ok"},
	{name: "directory", tries: "to walk and list from a directory that was open",
		grants: []string{"read data"}, calls: []string{"open 3 sub rd", "open $0 deep rd", "wait", "open $0 key r", "open $1 in.txt r", "ls $0", "ls $1", "open $1 ../key r", "stat $0 ."},
		revoke: []string{"read data/sub"}, after: fresh("data/sub/key"), answers: "ok ok ok EACCES|ENOENT EACCES|ENOENT EACCES|ENOENT EACCES|ENOENT EACCES|ENOENT|EPERM EACCES|ENOENT"},
	{name: "renumbered", tries: "to read through a descriptor that got another number",
		grants: []string{"read data"}, calls: []string{"open 3 sub/in.txt r", "open 3 pub.txt r", "wait", "renumber $0 $1", "pread $1 0", "renumber $1 3", "pread 3 0"},
		revoke: []string{"read data/sub"}, after: fresh("data/sub/in.txt"), answers: "ok ok ok ok EACCES ok EACCES"},
	{name: "preopened", tries: "the pre-opened directory itself, of which all is taken",
		grants: []string{"read data"}, calls: []string{"wait", "open 3 pub.txt r", "ls 3", "stat 3 .", "open 6 TOP/data/pub.txt r", "ls 6"},
		revoke: []string{"read data"}, after: fresh("data/pub.txt"), answers: "ok EACCES|ENOENT EACCES|ENOENT EACCES|ENOENT ENOENT ok"},
	{name: "write", tries: "to write after writing was taken",
		grants: []string{"write data"}, calls: []string{"open 3 ro/in.txt rw", "open 3 ro rd", "wait", "write $0 x", "resize $0 0", "allocate $0 100", "ftimes $0", "open $1 new wc", "unlink $1 in.txt", "rename 3 ro 3 r", "open 3 ro/in.txt r", "link 3 ro/in.txt 3 l"},
		revoke: []string{"write data/ro"}, answers: "ok ok ok EACCES EACCES EACCES EACCES EACCES EACCES EACCES|EBUSY ok EACCES"},
	{name: "renamed-before", tries: "a directory that was opened under another name, and moved to its own before it is taken",
		grants: []string{"write data"}, calls: []string{"rename 3 sub 3 tmp", "open 3 tmp rd", "open 3 tmp/key r", "rename 3 tmp 3 sub", "wait", "open $1 in.txt r", "read $5", "pread $2 0", "ls $1", "stat $1 in.txt"},
		revoke: []string{"read data/sub"}, after: fresh("data/sub/in.txt"), answers: "ok ok ok ok ok EACCES|ENOENT EBADF EACCES EACCES EACCES|ENOENT"},
	{name: "renamed-file-before", tries: "the same with a file",
		grants: []string{"write data"}, calls: []string{"rename 3 sub/key 3 tmp", "open 3 tmp rw", "rename 3 tmp 3 sub/key", "wait", "pread $1 0", "write $1 x"},
		revoke: []string{"read data/sub"}, after: fresh("data/sub/key"), answers: "ok ok ok ok EACCES EACCES"},
	{name: "linked-before", tries: "a second name, made before",
		grants: []string{"write data"}, calls: []string{"link 3 sub/key 3 mine", "open 3 sub/key r", "wait", "pread $1 0", "open 3 sub/key r"},
		revoke: []string{"read data/sub"}, answers: "ok ok ok EACCES ENOENT"},
	{name: "narrow-then-all", tries: "between two revocations",
		grants: []string{"write data"}, calls: []string{"open 3 sub/in.txt rw", "wait", "write $0 x", "pread $0 0", "wait", "pread $0 0"},
		revoke: []string{"write data/sub", "read data/sub"}, answers: "ok ok EACCES ok ok EACCES"},
	{name: "overlay", tries: "a descriptor of a captured file",
		grants: []string{"overlay data"}, calls: []string{"open 3 sub/in.txt rw", "write $0 mine", "wait", "pread $0 0", "write $0 x", "open 3 sub/in.txt r"},
		revoke: []string{"read data/sub"}, answers: "ok ok ok EACCES EACCES ENOENT"},
	{name: "two-mappings", tries: "the other guest name of what is taken by the host's",
		grants: []string{"read data:/a", "read data:/b"}, calls: []string{"open 4 sub/in.txt r", "wait", "pread $0 0", "open 3 sub/in.txt r", "open 4 sub/in.txt r"},
		revoke: []string{"read data/sub"}, after: fresh("data/sub/in.txt"), answers: "ok ok EACCES ENOENT ENOENT"},
}

// TestChange makes each attempt. Without the revocation every one of its calls goes on
// to succeed, which is what shows that the attempt would.
func TestChange(t *testing.T) {
	h := open(t)
	for i := range changes {
		c := &changes[i]
		t.Run(c.name, func(t *testing.T) {
			o := h.change(t, c, true)
			if strings.Contains(o.out, canary) {
				t.Errorf("what was written after the revocation came out:\n%s", o.out)
			}
			for i, w := range strings.Fields(c.answers) {
				if !strings.Contains("|"+w+"|", "|"+o.errnos[i]+"|") {
					t.Errorf("%s: %s, want %s", c.calls[i], o.answers[i]+" "+o.errnos[i], w)
				}
			}
			if free := h.change(t, c, false); strings.Join(free.errnos, " ") == strings.Join(o.errnos, " ") {
				t.Errorf("without the revocation the answers are the same: %q", o.errnos)
			}
		})
	}
}

// change runs c, with or without its revocations.
func (h *house) change(t *testing.T, c *change, revoke bool) outcome {
	t.Helper()
	top := plant(t)
	if c.host != nil {
		c.host(t, top)
	}
	in, feed, err := os.Pipe()
	must(t, err)
	defer func() { _ = in.Close() }() // the guest has ended
	out := &lines{}
	spec := agentos.Spec{Program: "attack.wasm", Image: h.image, Stdin: in, Stdout: out, Stderr: out, Limits: agentos.Limits{Timeout: time.Minute}}
	a := attempt{calls: c.calls}
	spec.Args = a.spelled(top, "")
	for _, g := range c.grants {
		spec.Grants = append(spec.Grants, grant(t, top, g))
	}
	p, err := h.k.Start(t.Context(), spec)
	must(t, err)
	n := 0
	for i, call := range c.calls {
		if call != "wait" {
			continue
		}
		out.wait(t, i)
		if r := c.revoke[n]; revoke && r != "" {
			if _, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, grant(t, top, r)); err != nil {
				must(t, feed.Close())
				t.Fatalf("%v: %s", err, out.String())
			}
		}
		if c.after != nil {
			c.after(t, top)
		}
		n++
		_, err := feed.Write([]byte("go on\n"))
		must(t, err)
	}
	must(t, feed.Close())
	r, err := p.Wait(context.Background())
	must(t, err)
	if r.Cause != "exited" || r.ExitCode != 0 {
		t.Fatalf("the guest ended by %s %d (%s): %s", r.Cause, r.ExitCode, r.Detail, out.String())
	}
	return parse(t, out.String())
}

// lines is what a guest has written so far.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// wait waits until n lines are there.
func (l *lines) wait(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); strings.Count(l.String(), "\n") < n; {
		if time.Now().After(end) {
			t.Fatalf("the guest wrote no %d lines: %s", n, l.String())
		}
		time.Sleep(time.Millisecond)
	}
}
