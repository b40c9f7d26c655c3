package agentos_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// output is written by a guest and read by a test meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until a guest has said something.
func (o *output) await(t testing.TB, text string) {
	t.Helper()
	for end := time.Now().Add(endless); !strings.Contains(o.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the guest did not say %q but %q", text, o)
		}
	}
}

// TestRevocationsRaceReaders takes the right to read from programs that read all the
// time: through open descriptors, by path, by listing, and by size. What is written
// when a revocation has returned, none of them ever sees.
func TestRevocationsRaceReaders(t *testing.T) {
	k := open(t, nil)
	rounds, readers := 1000, 3
	if testing.Short() {
		rounds = 100
	}
	dir, ctl := real(t), real(t)
	file := filepath.Join(dir, "f")
	calm, secret := "calm", strings.Repeat("secret ", 20)
	must(t, os.WriteFile(file, []byte(calm), 0o600))
	var runs []*agentos.Process
	var outs []*output
	for range readers {
		o := &output{}
		spec := agentos.Spec{Stdout: o, Stderr: o, Grants: []agentos.Grant{{Host: dir}, {Host: ctl}}}
		runs, outs = append(runs, start(t, k, spec, "gaze", file, filepath.Join(ctl, "stop"))), append(outs, o)
	}
	for _, o := range outs {
		o.await(t, "ready")
	}
	grant := agentos.Grant{Kind: agentos.GrantRead, Host: dir}
	for i := range rounds {
		p := runs[i%readers]
		if i%2 == 1 {
			grant.Host = file // a part of the grant
		} else {
			grant.Host = dir
		}
		c, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, grant)
		if err != nil {
			t.Fatalf("round %d: %v; the reader said %q", i, err, outs[i%readers])
		}
		if !c.Applied || len(c.Changes) == 0 || len(c.Remains) != 0 {
			t.Fatalf("round %d: %+v", i, c)
		}
		// The others may read: their view of the file is another's to take.
		for j, q := range runs {
			if q != p {
				if _, err := q.Revoke(t.Context(), agentos.RevokeOptions{}, grant); err != nil {
					t.Fatalf("round %d: %v; the reader said %q", i, err, outs[j])
				}
			}
		}
		must(t, os.WriteFile(file, []byte(secret), 0o600))
		if grant.Host == dir {
			must(t, os.WriteFile(filepath.Join(dir, "secret-name"), nil, 0o600))
		}
		if i%10 == 0 {
			time.Sleep(time.Millisecond) // let them try; nothing is asserted about time
		}
		if grant.Host == dir {
			must(t, os.Remove(filepath.Join(dir, "secret-name")))
		}
		must(t, os.WriteFile(file, []byte(calm), 0o600))
		for _, q := range runs {
			c, err := q.Grant(t.Context(), grant)
			must(t, err)
			if !c.Applied || c.Changes[0].Is != "read" {
				t.Fatalf("round %d: given back: %+v", i, c)
			}
		}
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	must(t, os.WriteFile(filepath.Join(ctl, "stop"), nil, 0o600))
	for i, p := range runs {
		r, err := p.Wait(t.Context())
		must(t, err)
		check(t, r)
		if want := "ready\nseen true refused true reopened true leaks 0\n"; outs[i].String() != want || r.ExitCode != 0 {
			t.Errorf("reader %d: %d, %q, want %q", i, r.ExitCode, outs[i], want)
		}
		if r.Usage.Denials == 0 {
			t.Error("no denial is recorded")
		}
	}
}

// TestLiveGrant: what is granted to a running program is there at its next call.
func TestLiveGrant(t *testing.T) {
	k := open(t, nil)
	dir, late := real(t), real(t)
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("calm"), 0o600))
	must(t, os.WriteFile(filepath.Join(late, "stop"), nil, 0o600))
	o := &output{}
	p := start(t, k, agentos.Spec{Stdout: o, Stderr: o, Grants: []agentos.Grant{{Host: dir}}}, "gaze", filepath.Join(dir, "in"), filepath.Join(late, "stop"))
	o.await(t, "ready")
	c, err := p.Grant(t.Context(), agentos.Grant{Host: late}, agentos.Grant{Kind: agentos.GrantAllow, Capability: abi.CapInfo})
	must(t, err)
	if len(c.Changes) != 2 || c.Changes[1].Path != late || c.Changes[1].Was != "deny" || c.Changes[1].Is != "read" || c.Changes[1].Via != "/tmp" || c.Changes[0].Capability != "info" {
		t.Errorf("granted %+v", c)
	}
	r, err := p.Wait(t.Context())
	must(t, err)
	check(t, r)
	if r.ExitCode != 0 || !strings.Contains(o.String(), "seen true") {
		t.Errorf("it ended with %d and said %q", r.ExitCode, o)
	}
	found := false
	for _, v := range r.View {
		found = found || v.Path == late && v.Source == "live" && v.Right == "read"
	}
	if !found {
		t.Errorf("the report's view lacks what was granted: %+v", r.View)
	}
	if _, err := p.Grant(context.Background(), agentos.Grant{Host: late}); !errors.Is(err, agentos.ErrEnded) {
		t.Errorf("a grant to a run that is over: %v", err)
	}
}
