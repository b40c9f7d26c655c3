package cedar

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/perm/permtest"
)

func TestEngineSuite(t *testing.T) {
	permtest.Engine(t, func(t *testing.T, rules []permtest.Rule) perm.Engine {
		var b strings.Builder
		for _, r := range rules {
			fmt.Fprintf(&b, "@id(%q) forbid(principal, action == AgentOS::Action::%q, resource == AgentOS::File::%q)", r.Name, r.Action, r.Path)
			if r.Program != "" {
				fmt.Fprintf(&b, " when { principal.program == %q }", r.Program)
			}
			b.WriteString(";\n")
		}
		return load(t, Options{}, b.String())
	})
}

// FuzzLoad holds that no text makes the loader fail in another way than by an error, and
// that what it loads decides the same with slices and without.
func FuzzLoad(f *testing.F) {
	f.Add("forbid(principal, action, resource is AgentOS::File) when { resource.path like \"/a/*\" };", "/a/b")
	f.Add("@id(\"x\") permit(principal, action == AgentOS::Action::\"read\", resource) unless { resource has path && resource.path == \"/x\" };", "/x")
	f.Add("forbid(principal, action, resource in AgentOS::File::\"/a\");", "/a")
	f.Fuzz(func(t *testing.T, text, path string) {
		for _, deny := range []bool{false, true} {
			e, err := Load([]Source{{"f.cedar", []byte(text)}}, Options{DefaultDeny: deny})
			if err != nil {
				return
			}
			for a, ts := range targets {
				if len(ts) == 0 || ts[len(ts)-1] != perm.TargetFile {
					continue
				}
				q := file(abi.Action(a), path)
				if got, want := e.Decide(someone, q), e.decideWhole(someone, q); got != want {
					t.Fatalf("%s of %q: %+v with slices, %+v without", q.Action, path, got, want)
				}
			}
		}
	})
}
