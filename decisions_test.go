package agentos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos"
)

// decisionsEnv sets the decision cache of every kernel that these tests open, so that
// all of them can be run with it off, tiny, or short-lived: no answer depends on it.
const decisionsEnv = "AGENTOS_TEST_DECISIONS"

// caches are decision caches of very different behaviour.
var caches = []struct {
	name string
	agentos.DecisionCache
}{
	{"on", agentos.DecisionCache{}},
	{"off", agentos.DecisionCache{Entries: -1}},
	{"tiny", agentos.DecisionCache{Entries: 1}}, // one set
	{"brief", agentos.DecisionCache{TTL: 100 * time.Microsecond}},
}

func remember(t testing.TB, c *agentos.Config) {
	t.Helper()
	name := os.Getenv(decisionsEnv)
	if name == "" {
		return
	}
	for _, d := range caches {
		if d.name == name {
			c.DecisionCache = d.DecisionCache
			return
		}
	}
	t.Fatalf("%s=%s is none of the caches", decisionsEnv, name)
}

// TestDecisionCacheChangesNothing runs the same scenarios with each cache, and
// compares what the programs saw and what was recorded.
func TestDecisionCacheChangesNothing(t *testing.T) {
	scenarios := []struct {
		name   string
		grants func(dir string) []agentos.Grant
		args   []string
		policy string
	}{
		{"write", func(dir string) []agentos.Grant {
			return []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir, Guest: "/w"}, {Host: dir + "/ro", Guest: "/w/ro"}, {Kind: agentos.GrantDeny, Host: dir + "/secret"}}
		}, []string{"repeat", "/w", "/tmp", "/w/ro", "/nowhere"}, ""},
		{"read", func(dir string) []agentos.Grant {
			return []agentos.Grant{{Host: dir, Guest: "/w"}, {Kind: agentos.GrantDeny, Host: dir + "/secret"}}
		}, []string{"repeat", "/w", "/", "/w/.."}, ""},
		{"twice", func(dir string) []agentos.Grant {
			return []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir, Guest: "/w"}, {Host: dir, Guest: "/again"}, {Kind: agentos.GrantDeny, Host: dir + "/secret"}}
		}, []string{"repeat", "/w", "/again"}, ""},
		{"overlay", func(dir string) []agentos.Grant {
			return []agentos.Grant{{Kind: agentos.GrantOverlay, Host: dir, Guest: "/w"}, {Kind: agentos.GrantDeny, Host: dir + "/secret"}}
		}, []string{"repeat", "/w"}, ""},
		{"policies", func(dir string) []agentos.Grant {
			return []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir, Guest: "/w"}}
		}, []string{"repeat", "/w", "/tmp"}, `
			forbid(principal, action, resource is AgentOS::File) when { resource.path like "*/secret*" };
			forbid(principal, action == AgentOS::Action::"create", resource is AgentOS::File) when { resource.path like "*/new" };
		`},
		{"everything", func(dir string) []agentos.Grant {
			return []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir, Guest: "/w"}}
		}, []string{"everything", "/tmp", "/w"}, ""},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			var want string
			for _, c := range caches {
				k := open(t, func(config *agentos.Config) { config.DecisionCache = c.DecisionCache })
				dir, err := filepath.EvalSymlinks(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{"a": "alpha", "secret/key": "classified", "ro/a": "read only", ".git/config": "[core]"} {
					if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Symlink("secret/key", filepath.Join(dir, "link")); err != nil {
					t.Fatal(err)
				}
				spec := agentos.Spec{Grants: s.grants(dir)}
				if s.policy != "" {
					spec.Policies = []agentos.Policy{{Name: "test.cedar", Text: []byte(s.policy)}}
				}
				o := guest(t, k, spec, s.args...)
				for i := range o.Denials {
					o.Denials[i].Event, o.Denials[i].Cached = "", false // nothing else may tell the caches apart
				}
				// When the host answers about a hidden path is its own affair.
				slices.SortFunc(o.Denials, func(a, b agentos.Denial) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
				denials, err := json.MarshalIndent(o.Denials, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				got := strings.ReplaceAll(fmt.Sprintf("%s %d %d\n%s%s%s", o.Cause, o.ExitCode, o.Usage.Denials, o.out, o.err, denials), dir, "DIR")
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s: %s", c.name, firstDifference(got, want))
				}
				if strings.Contains(o.out, "classified") {
					t.Errorf("%s: a secret was read", c.name)
				}
				d := o.Decisions
				switch c.name {
				case "on":
					if d.Hits == 0 || d.Misses == 0 || d.Evictions != 0 {
						t.Errorf("on: %+v", d)
					}
				case "off":
					if d != (agentos.Decisions{}) {
						t.Errorf("off: %+v", d)
					}
				case "tiny":
					if d.Misses == 0 || s.name != "everything" && d.Evictions == 0 {
						t.Errorf("tiny: %+v", d)
					}
				}
			}
			if s.args[0] == "repeat" && (!strings.Contains(want, "<nil>") || strings.Count(want, `"event"`) < 5) {
				t.Errorf("the scenario tries too little: %s", want)
			}
		})
	}
}

// firstDifference is the first line in which two texts differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, with the first cache %q", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("ends after %d of %d lines", len(g), len(w))
}
