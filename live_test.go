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

// code returns the stable code of a refusal.
func code(err error) string {
	var se *agentos.StartError
	if errors.As(err, &se) {
		return se.Code
	}
	return ""
}

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

// TestRevocationsRaceWriters takes the right to write from a program that changes a
// directory all the time. When a revocation has returned, nothing changes any more.
func TestRevocationsRaceWriters(t *testing.T) {
	k := open(t, nil)
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	dir, ctl := real(t), real(t)
	o := &output{}
	write := agentos.Grant{Kind: agentos.GrantWrite, Host: dir}
	p := start(t, k, agentos.Spec{Stdout: o, Stderr: o, Grants: []agentos.Grant{write, {Host: ctl}}}, "insist", dir, filepath.Join(ctl, "stop"))
	o.await(t, "ready")
	look := func() string {
		var b strings.Builder
		list, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range list {
			st, err := e.Info()
			must(t, err)
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if e.Name() == "f" {
				must(t, err)
			}
			b.WriteString(e.Name() + " " + st.ModTime().String() + " " + string(text) + "\n")
		}
		return b.String()
	}
	for i := range rounds {
		c, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, write)
		if err != nil {
			t.Fatalf("round %d: %v; it said %q", i, err, o)
		}
		if len(c.Changes) != 1 || c.Changes[0].Is != "read" || len(c.Remains) != 0 {
			t.Fatalf("round %d: %+v", i, c)
		}
		before := look()
		if i%10 == 0 {
			time.Sleep(time.Millisecond) // let it try
		}
		if after := look(); before != after {
			t.Fatalf("round %d: changed after the revocation from\n%s\nto\n%s", i, before, after)
		}
		_, err = p.Grant(t.Context(), write)
		must(t, err)
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	must(t, os.WriteFile(filepath.Join(ctl, "stop"), nil, 0o600))
	r, err := p.Wait(t.Context())
	must(t, err)
	check(t, r)
	if want := "ready\ndone true refused true\n"; o.String() != want || r.ExitCode != 0 {
		t.Errorf("it ended with %d and said %q, want %q", r.ExitCode, o, want)
	}
}

// TestLiveGrant: what is granted to a running program is there at its next call.
func TestLiveGrant(t *testing.T) {
	k := open(t, nil)
	dir, late := real(t), real(t)
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("calm"), 0o600))
	must(t, os.WriteFile(filepath.Join(late, "stop"), nil, 0o600))
	o, events := &output{}, output{}
	p := start(t, k, agentos.Spec{Stdout: o, Stderr: o, Events: &events, Grants: []agentos.Grant{{Host: dir}}}, "gaze", filepath.Join(dir, "in"), filepath.Join(late, "stop"))
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
	if n := strings.Count(events.String(), `"kind":"grant"`); n != 2 || !strings.Contains(events.String(), `"severity":"warning"`) || !strings.Contains(events.String(), `"change":"deny → read"`) {
		t.Errorf("%d grants in the events:\n%s", n, &events)
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

// TestKeepOpen: what is open keeps its rights if the revocation says so, and loses them
// to the next that does not.
func TestKeepOpen(t *testing.T) {
	k := open(t, nil)
	dir, ctl := real(t), real(t)
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("calm"), 0o600))
	for _, keep := range []bool{true, false} {
		o := &output{}
		p := start(t, k, agentos.Spec{Stdout: o, Stderr: o, Grants: []agentos.Grant{{Host: dir}, {Host: ctl}}}, "gaze", filepath.Join(dir, "f"), filepath.Join(ctl, "stop"))
		o.await(t, "ready")
		c, err := p.Revoke(t.Context(), agentos.RevokeOptions{KeepOpen: true}, agentos.Grant{Host: dir})
		must(t, err)
		// The file, its directory, and the pre-opened ones.
		if c.Kept < 4 {
			t.Errorf("%d descriptors keep their rights", c.Kept)
		}
		if _, err := p.Revoke(t.Context(), agentos.RevokeOptions{KeepOpen: true, Hard: true}, agentos.Grant{Host: dir}); code(err) != "AGENTOS-USAGE" {
			t.Errorf("both --hard and --keep-open: %v", err)
		}
		if !keep {
			_, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, agentos.Grant{Host: dir})
			must(t, err)
		}
		// Only what is open can still show this, of a size that counts as a leak too.
		must(t, os.WriteFile(filepath.Join(dir, "f"), []byte(strings.Repeat("secret ", 20)), 0o600))
		if keep {
			o.await(t, "a leak\n")
		} else {
			time.Sleep(20 * time.Millisecond) // let it try; nothing is asserted about time
		}
		must(t, os.WriteFile(filepath.Join(ctl, "stop"), nil, 0o600))
		_, err = p.Wait(t.Context())
		must(t, err)
		if got := !strings.HasSuffix(o.String(), " leaks 0\n"); got != keep {
			t.Errorf("kept %t: it said %q", keep, o)
		}
		must(t, os.Remove(filepath.Join(ctl, "stop")))
		must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("calm"), 0o600))
	}
}

// TestWithin: what is started within a process has no more than that, then and later.
func TestWithin(t *testing.T) {
	k := open(t, nil)
	dir, other := real(t), real(t)
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "ro"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "f"), []byte("calm"), 0o600))
	sub, ro := filepath.Join(dir, "sub"), filepath.Join(dir, "ro")
	parent := start(t, k, agentos.Spec{Env: []string{"A=1"}, Listen: []string{"127.0.0.1:0"}, Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir}, {Host: ro}, {Kind: agentos.GrantDeny, Host: filepath.Join(dir, "no")}}}, "sleep", "1h")
	write := agentos.GrantWrite
	for _, c := range []struct {
		spec    agentos.Spec
		exceeds string // "" if it may be
	}{
		{agentos.Spec{Grants: []agentos.Grant{{Kind: write, Host: sub, Guest: "/x"}}, Env: []string{"A=2"}, Listen: []string{"127.0.0.1:0"}}, ""},
		{agentos.Spec{Grants: []agentos.Grant{{Host: ro}}}, ""},
		{agentos.Spec{Grants: []agentos.Grant{{Kind: write, Host: ro}}}, "--write " + ro},
		{agentos.Spec{Grants: []agentos.Grant{{Host: other}}}, "--read " + other},
		{agentos.Spec{Grants: []agentos.Grant{{Host: dir}}}, "--read " + filepath.Join(dir, "no")},
		{agentos.Spec{Grants: []agentos.Grant{{Host: filepath.Dir(dir)}}}, "--read " + filepath.Dir(dir)},
		{agentos.Spec{Env: []string{"B=1"}}, "--env B"},
		{agentos.Spec{Listen: []string{"0.0.0.0:0"}}, "--listen 0.0.0.0/0:*"},
		{agentos.Spec{Listen: []string{"localhost:0"}}, "--listen localhost:0"},
		{agentos.Spec{Allow: []abi.Capability{abi.CapInfo}}, "--allow info"},
		{agentos.Spec{Unprotect: []string{filepath.Join(sub, ".git")}}, "--unprotect " + filepath.Join(sub, ".git")},
	} {
		c.spec.Within = parent
		c.spec.Program, c.spec.Image, c.spec.Args = "guests.wasm", guests, []string{"args"}
		r, err := k.Run(t.Context(), c.spec)
		var se *agentos.StartError
		switch {
		case c.exceeds == "" && (err != nil || r.ExitCode != 0):
			t.Errorf("%v: %v", c.spec.Grants, err)
		case c.exceeds != "" && (!errors.As(err, &se) || se.Code != "AGENTOS-EXCEEDS" || se.Where != c.exceeds || se.Status != 125):
			t.Errorf("%v: %v, want %s", c.spec.Grants, err, c.exceeds)
		}
	}

	// What is taken from the parent is taken from its children, and from theirs.
	o := &output{}
	child := start(t, k, agentos.Spec{Within: parent, Grants: []agentos.Grant{{Host: sub, Guest: "/x"}}}, "sleep", "1h")
	grandchild := start(t, k, agentos.Spec{Within: child, Stdout: o, Stderr: o, Grants: []agentos.Grant{{Host: sub, Guest: "/y"}}}, "gaze", "/y/f", "/y/none")
	o.await(t, "ready")
	if _, err := child.Grant(t.Context(), agentos.Grant{Host: other}); code(err) != "AGENTOS-EXCEEDS" {
		t.Errorf("a child was given more than its parent has: %v", err)
	}
	c, err := parent.Revoke(t.Context(), agentos.RevokeOptions{}, agentos.Grant{Host: sub})
	must(t, err)
	if len(c.Children) != 2 || c.Children[0].PID != child.PID() || c.Children[0].Changes[0].Path != "/x" || c.Children[1].PID != grandchild.PID() || c.Children[1].Changes[0].Is != "deny" {
		t.Errorf("revoked %+v, of the children %+v %+v", c, c.Children[0], c.Children[1])
	}
	if _, err := grandchild.Grant(t.Context(), agentos.Grant{Host: sub, Guest: "/y"}); code(err) != "AGENTOS-EXCEEDS" {
		t.Errorf("a child was given back what its parent lost: %v", err)
	}
	for _, p := range []*agentos.Process{grandchild, child, parent} {
		must(t, p.Kill())
		_, err := p.Wait(t.Context())
		must(t, err)
	}
	_, err = k.Run(t.Context(), agentos.Spec{Within: parent, Program: "guests.wasm", Image: guests, Args: []string{"args"}})
	if err == nil {
		t.Error("something was started within a process that has ended")
	}
}

// TestLiveRefusals: what cannot be given or taken changes nothing.
func TestLiveRefusals(t *testing.T) {
	k := open(t, nil)
	dir, over, other := real(t), real(t), real(t)
	no := filepath.Join(dir, "no")
	must(t, os.MkdirAll(no, 0o700))
	p := start(t, k, agentos.Spec{Grants: []agentos.Grant{{Host: dir, Guest: "/d"}, {Kind: agentos.GrantDeny, Host: no}, {Kind: agentos.GrantOverlay, Host: over, Guest: "/o"}}}, "sleep", "1h")
	defer func() { must(t, p.Kill()) }()
	allow := agentos.Grant{Kind: agentos.GrantAllow, Capability: abi.CapInfo}
	for _, c := range []struct {
		revoke bool
		grant  agentos.Grant
		code   string
	}{
		{false, agentos.Grant{Host: no, Guest: "/d/no"}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: other, Guest: "/d"}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: other, Guest: "/d/new"}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: other, Guest: "/"}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: other, Guest: "/tmp"}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: filepath.Join(other, "none")}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: cache}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Host: "/proc/self"}, "AGENTOS-GRANT"},
		{false, agentos.Grant{Kind: agentos.GrantDeny, Host: dir}, "AGENTOS-USAGE"},
		{false, agentos.Grant{Kind: agentos.GrantOverlay, Host: dir}, "AGENTOS-USAGE"},
		{false, agentos.Grant{}, "AGENTOS-USAGE"},
		{false, agentos.Grant{Kind: agentos.GrantAllow}, "AGENTOS-USAGE"},
		{true, agentos.Grant{Host: other}, "AGENTOS-NOT-GRANTED"},
		{true, allow, "AGENTOS-NOT-GRANTED"},
		{true, agentos.Grant{Kind: agentos.GrantDeny, Host: dir}, "AGENTOS-USAGE"},
	} {
		// All or nothing: what could be done beside it is not.
		grants := []agentos.Grant{{Host: other, Guest: "/fine"}, c.grant}
		var err error
		if c.revoke {
			grants[0] = agentos.Grant{Host: dir}
			_, err = p.Revoke(t.Context(), agentos.RevokeOptions{}, grants...)
		} else {
			_, err = p.Grant(t.Context(), grants...)
		}
		if code(err) != c.code {
			t.Errorf("revoke %t, %s: %v, want %s", c.revoke, c.grant, err, c.code)
		}
	}
	change, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, agentos.Grant{Kind: agentos.GrantWrite, Host: "/o"})
	must(t, err)
	if change.Epoch != 2 {
		t.Errorf("something was changed by what was refused: %+v", change)
	}
	if _, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, agentos.Grant{Host: dir}); err != nil {
		t.Error(err)
	}
	if _, err := p.Grant(t.Context(), agentos.Grant{Host: filepath.Join(dir, "no"), Guest: "/d/no"}); err == nil {
		t.Error("a part of what was revoked came back")
	}
	if c, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, agentos.Grant{Host: dir}); err != nil || len(c.Changes) != 0 {
		t.Errorf("revoked again: %+v, %v", c, err)
	}
}
