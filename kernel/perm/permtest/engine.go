// Package permtest is the suite that every policy engine must pass.
//
// Invariants: what it asks of an engine stands in the documentation of [perm.Engine];
// an engine that decides by another language joins by translating [Rule].
//
// Locks: none.
//
// Imports: kernel/abi, kernel/perm.
package permtest

import (
	"strings"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Rule forbids an action on one file to one program, "" for any.
type Rule struct {
	Name    string // what a refusal must name
	Action  abi.Action
	Path    string
	Program string
}

// Engine runs the suite. make returns an engine that forbids what the rules say and
// allows the rest.
func Engine(t *testing.T, make func(t *testing.T, rules []Rule) perm.Engine) {
	rules := []Rule{
		{"one", abi.ActRead, "/secret", ""},
		{"two", abi.ActWrite, "/w/a", "/bin/curl"},
	}
	git, curl := &perm.Principal{Program: "/bin/git", Domain: "wasm", Run: "1"}, &perm.Principal{Program: "/bin/curl", Domain: "wasm", Run: "2"}
	type question struct {
		who  *perm.Principal
		q    perm.Query
		rule string // "" is allowed
	}
	file := func(a abi.Action, path string) perm.Query {
		return perm.Query{Action: a, Target: perm.TargetFile, Path: path, Guest: "/guest" + path}
	}
	questions := []question{
		{git, file(abi.ActRead, "/secret"), "one"},
		{curl, file(abi.ActRead, "/secret"), "one"},
		{git, file(abi.ActList, "/secret"), ""},
		{git, file(abi.ActRead, "/secrets"), ""},
		{git, file(abi.ActRead, "/secret/x"), ""},
		{git, file(abi.ActRead, ""), ""},
		{git, file(abi.ActWrite, "/w/a"), ""},
		{curl, file(abi.ActWrite, "/w/a"), "two"},
		{curl, perm.Query{Action: abi.ActClock, Target: perm.TargetHost}, ""},
		{curl, perm.Query{Action: abi.ActEnv, Target: perm.TargetVariable, Name: "/secret"}, ""},
		{curl, perm.Query{Action: abi.ActExecute, Target: perm.TargetProgram, Path: "/secret", Argv: []string{"a"}}, ""},
	}
	check := func(t *testing.T, e perm.Engine, x question) {
		q := x.q
		v := e.Decide(x.who, &q)
		switch {
		case v.Allow != (x.rule == ""):
			t.Errorf("%s: %s of %+v: %+v", x.who.Program, q.Action, q, v)
		case !v.Allow && !strings.Contains(v.Rule, x.rule):
			t.Errorf("%s of %+v is refused by %q, which does not name %q", q.Action, q, v.Rule, x.rule)
		}
		// What was asked is the asker's again.
		q.Path, q.Name = "/changed", "changed"
	}
	t.Run("decides", func(t *testing.T) {
		e := make(t, rules)
		for range 2 { // the same question has the same answer
			for _, x := range questions {
				check(t, e, x)
			}
		}
	})
	t.Run("no rules", func(t *testing.T) {
		e := make(t, nil)
		for _, x := range questions {
			x.rule = ""
			check(t, e, x)
		}
	})
	t.Run("at once", func(t *testing.T) {
		e := make(t, rules)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					for _, x := range questions {
						check(t, e, x)
					}
				}
			})
		}
		all.Wait()
	})
	t.Run("describes itself", func(t *testing.T) {
		if d := make(t, rules).Describe(); len(d) == 0 || d[0] == "" {
			t.Errorf("%q", d)
		}
	})
}
