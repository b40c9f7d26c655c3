package agentos_test

import (
	"errors"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// TestWithinPolicies: what is started within a process is bound by the policies of that
// one, or not started.
func TestWithinPolicies(t *testing.T) {
	k := open(t, nil)
	bound := []agentos.Policy{{Name: "p.cedar", Text: []byte(`forbid(principal, action, resource is AgentOS::File) when { resource.path like "*.pem" };`)}}
	more := append([]agentos.Policy{{Name: "q.cedar", Text: []byte(`forbid(principal, action == AgentOS::Action::"delete", resource);`)}}, bound...)
	other := []agentos.Policy{{Name: "p.cedar", Text: []byte(`permit(principal, action, resource);`)}}
	parent := start(t, k, agentos.Spec{Policies: bound}, "sleep", "1h")
	for name, test := range map[string]struct {
		policies []agentos.Policy
		ok       bool
	}{
		"none":                {nil, false},
		"others":              {other, false},
		"the same":            {bound, true},
		"the same and others": {more, true},
	} {
		_, err := k.Run(t.Context(), agentos.Spec{Within: parent, Policies: test.policies, Program: "guests.wasm", Image: guests, Args: []string{"args"}})
		var se *agentos.StartError
		if test.ok != (err == nil) || err != nil && (!errors.As(err, &se) || se.Code != "AGENTOS-EXCEEDS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := parent.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := parent.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPoliciesInTheAuditLog: the log begins with what was in force, also where the first
// record is about a variable that the program did not get.
func TestPoliciesInTheAuditLog(t *testing.T) {
	k := open(t, nil)
	o := guest(t, k, agentos.Spec{Env: []string{"MY_TOKEN=1"}, Policies: []agentos.Policy{{Name: "builtin:no-secrets"}}}, "env")
	if o.Audit == nil || o.Audit.Records != 3 || len(o.Policies) != 1 {
		t.Errorf("%+v, %v", o.Audit, o.Policies)
	}
}
