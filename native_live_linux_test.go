package agentos_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// TestNativeRevoke: a native program keeps what it has, which is said; nothing is
// pretended, and --hard ends it.
func TestNativeRevoke(t *testing.T) {
	k := open(t, nil)
	dir := real(t)
	const cookie = "1234.5678" // found among the processes of the host
	o := &output{}
	spec := agentos.Spec{Program: "/bin/sh", Args: []string{"-c", "echo ready; sleep " + cookie}, Stdout: o, Stderr: o, Grants: []agentos.Grant{{Host: dir}}}
	p, err := k.Start(t.Context(), spec)
	must(t, err)
	o.await(t, "ready")
	if _, err := p.Grant(t.Context(), agentos.Grant{Host: filepath.Dir(dir)}); code(err) != "AGENTOS-UNENFORCED" {
		t.Errorf("granted: %v", err)
	}
	if c, err := p.Revoke(t.Context(), agentos.RevokeOptions{Hard: true}, agentos.Grant{Host: filepath.Dir(dir) + "/none"}); code(err) != "AGENTOS-NOT-GRANTED" || c != nil || p.Signal(0) == agentos.ErrEnded {
		t.Errorf("what it does not have was revoked: %+v, %v", c, err)
	}
	c, err := p.Revoke(t.Context(), agentos.RevokeOptions{}, agentos.Grant{Host: dir})
	if code(err) != "AGENTOS-CANNOT-RECALL" || c == nil || c.Applied || c.Killed || c.Epoch != 1 {
		t.Fatalf("without --hard: %+v, %v", c, err)
	}
	var what []string
	for _, r := range c.Remains {
		what = append(what, r.What)
		if !strings.Contains(r.Detail, dir) {
			t.Errorf("%s does not name %s: %s", r.What, dir, r.Detail)
		}
	}
	if got := strings.Join(what, " "); got != "descriptors mappings mounts rules" {
		t.Errorf("it keeps %s", got)
	}
	if len(running(t, cookie)) == 0 {
		t.Fatal("the program does not run, or cannot be found")
	}
	c, err = p.Revoke(t.Context(), agentos.RevokeOptions{Hard: true}, agentos.Grant{Host: dir})
	must(t, err)
	if !c.Killed || !c.Applied || len(c.Remains) != 0 {
		t.Errorf("with --hard: %+v", c)
	}
	if pids := running(t, cookie); len(pids) != 0 {
		t.Errorf("the revocation returned, and %v are running", pids)
	}
	r, err := p.Wait(t.Context())
	must(t, err)
	if r.Cause != "policy" || r.ExitCode != 159 || r.Detail != "revoked --read "+dir {
		t.Errorf("it ended by %s, %d, %s", r.Cause, r.ExitCode, r.Detail)
	}
}

// TestNativeWithin: what a native program has unasked is compared, too.
func TestNativeWithin(t *testing.T) {
	k := open(t, nil)
	dir := real(t)
	parent := start(t, k, agentos.Spec{Grants: []agentos.Grant{{Host: dir}}}, "sleep", "1h")
	if _, err := k.Run(t.Context(), agentos.Spec{Within: parent, Program: "/bin/true"}); code(err) != "AGENTOS-EXCEEDS" {
		t.Errorf("a native program within one that sees less: %v", err)
	}
	native, err := k.Start(t.Context(), agentos.Spec{Program: "/bin/sleep", Args: []string{"1000"}, Grants: []agentos.Grant{{Host: dir}}})
	must(t, err)
	r, err := k.Run(t.Context(), agentos.Spec{Within: native, Program: "/bin/true", Grants: []agentos.Grant{{Host: dir}}})
	if err != nil || r.ExitCode != 0 {
		t.Errorf("one within its like: %v, %+v", err, r)
	}
	child, err := k.Start(t.Context(), agentos.Spec{Within: native, Program: "/bin/sleep", Args: []string{"1000"}, Grants: []agentos.Grant{{Host: dir}}})
	must(t, err)
	c, err := native.Revoke(t.Context(), agentos.RevokeOptions{Hard: true}, agentos.Grant{Host: dir})
	must(t, err)
	if !c.Killed || len(c.Children) != 1 || !c.Children[0].Killed || c.Children[0].PID != child.PID() {
		t.Errorf("revoked with --hard: %+v", c)
	}
	for _, p := range []*agentos.Process{native, child} {
		r, err := p.Wait(t.Context())
		must(t, err)
		if r.Cause != "policy" {
			t.Errorf("it ended by %s", r.Cause)
		}
	}
	must(t, parent.Kill())
}
