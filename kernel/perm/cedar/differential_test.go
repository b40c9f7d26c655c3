package cedar

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

var decisions = flag.Int("decisions", 30_000, "how many decisions TestDifferential compares")

// expr is a condition as plain data. Policies are written from it, and the plain
// evaluator walks it; what it means stands here once more, in Go.
type expr struct {
	op   string // like, is, program, port, and, or, not
	text string
	port uint16
	l, r *expr
}

// cedar writes the condition; on is the attribute that texts are about.
func (x *expr) cedar(on string) string {
	switch x.op {
	case "like":
		return fmt.Sprintf("resource.%s like %q", on, x.text)
	case "is":
		return fmt.Sprintf("resource.%s == %q", on, x.text)
	case "program":
		return fmt.Sprintf("principal.program == %q", x.text)
	case "port":
		return fmt.Sprintf("resource.port == %d", x.port)
	case "not":
		return "!(" + x.l.cedar(on) + ")"
	case "and":
		return "(" + x.l.cedar(on) + " && " + x.r.cedar(on) + ")"
	}
	return "(" + x.l.cedar(on) + " || " + x.r.cedar(on) + ")"
}

func (x *expr) holds(who, subject string, port uint16) bool {
	switch x.op {
	case "like":
		return like(x.text, subject)
	case "is":
		return x.text == subject
	case "program":
		return x.text == who
	case "port":
		return x.port == port
	case "not":
		return !x.l.holds(who, subject, port)
	case "and":
		l, r := x.l.holds(who, subject, port), x.r.holds(who, subject, port)
		return l && r
	}
	l, r := x.l.holds(who, subject, port), x.r.holds(who, subject, port)
	return l || r
}

// like tries every length for every wildcard.
func like(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	if pattern[0] != '*' {
		return s != "" && s[0] == pattern[0] && like(pattern[1:], s[1:])
	}
	for i := 0; i <= len(s); i++ {
		if like(pattern[1:], s[i:]) {
			return true
		}
	}
	return false
}

// law is a policy as plain data.
type law struct {
	permits, unless, network bool
	actions                  []abi.Action // none is any
	cond                     *expr
}

func (l *law) cedar() string {
	effect, when, scope, on, kind := "forbid", "when", "action", "path", "File"
	if l.permits {
		effect = "permit"
	}
	if l.unless {
		when = "unless"
	}
	if l.network {
		on, kind = "host", "Endpoint"
	}
	if len(l.actions) == 1 {
		scope = fmt.Sprintf("action == AgentOS::Action::%q", l.actions[0])
	} else if len(l.actions) > 1 {
		var all []string
		for _, a := range l.actions {
			all = append(all, fmt.Sprintf("AgentOS::Action::%q", a))
		}
		scope = "action in [" + strings.Join(all, ", ") + "]"
	}
	return fmt.Sprintf("%s (principal, %s, resource is AgentOS::%s) %s { %s };\n", effect, scope, kind, when, l.cond.cedar(on))
}

// code is all that binds a process.
type code struct {
	laws        []law
	defaultDeny bool
}

// judge looks at every law for every question.
func (c *code) judge(who string, act abi.Action, network bool, subject string, port uint16) (allow bool, rule string) {
	permitted := !c.defaultDeny
	for i, l := range c.laws {
		applies := l.network == network
		if len(l.actions) > 0 {
			found := false
			for _, a := range l.actions {
				found = found || a == act
			}
			applies = applies && found
		}
		if !applies || l.cond.holds(who, subject, port) == l.unless {
			continue
		}
		if l.permits {
			permitted = true
		} else if rule == "" {
			rule = fmt.Sprintf("forbid at laws.cedar:%d", i+1)
		}
	}
	if rule == "" && !permitted {
		rule = "no policy permits it"
	}
	return rule == "", rule
}

type dice struct{ *rand.Rand }

func (d dice) of(list ...string) string { return list[d.IntN(len(list))] }

func (d dice) path(tops ...string) string {
	p := d.of(tops...)
	for range d.IntN(4) {
		p += "/" + d.of("a", "b", "key", "src", "a.go", "aa")
	}
	return p
}

var tops = []string{"/home", "/etc", "/srv", "/h", "/homes"}

func (d dice) cond(network bool, depth int) *expr {
	switch n := d.IntN(10); {
	case n < 3 && depth < 3:
		return &expr{op: d.of("and", "or"), l: d.cond(network, depth+1), r: d.cond(network, depth+1)}
	case n == 3 && depth < 3:
		return &expr{op: "not", l: d.cond(network, depth+1)}
	case n == 4:
		return &expr{op: "program", text: d.of("/bin/p", "/bin/q")}
	case network && n == 5:
		return &expr{op: "port", port: uint16(d.IntN(3))}
	case network:
		return &expr{op: d.of("like", "is"), text: d.of("*.org", "a.org", "*", "b.*", "a.*g", "192.*", "")}
	case n == 5:
		return &expr{op: "is", text: d.path(tops...)}
	}
	text := d.path(append(tops, "*", "/*", "/h*", "/et*")...)
	return &expr{op: "like", text: text + d.of("", "/*", "*", "/*.go", "*/key")}
}

var fileActions = []abi.Action{abi.ActRead, abi.ActList, abi.ActWrite, abi.ActCreate, abi.ActDelete}

func (d dice) code() *code {
	c := &code{defaultDeny: d.IntN(4) == 0}
	for range d.IntN(12) {
		l := law{permits: d.IntN(3) == 0, unless: d.IntN(6) == 0, network: d.IntN(4) == 0}
		switch {
		case l.network:
			l.actions = [][]abi.Action{nil, {abi.ActConnect}, {abi.ActConnect, abi.ActListen}}[d.IntN(3)]
		case d.IntN(3) != 0:
			for range 1 + d.IntN(2) {
				l.actions = append(l.actions, fileActions[d.IntN(len(fileActions))])
			}
		}
		l.cond = d.cond(l.network, 0)
		c.laws = append(c.laws, l)
	}
	return c
}

func (c *code) engine() (perm.Engine, string, error) {
	var text strings.Builder
	for i := range c.laws {
		text.WriteString(c.laws[i].cedar())
	}
	e, err := Load([]Source{{Name: "laws.cedar", Text: []byte(text.String())}}, Options{DefaultDeny: c.defaultDeny})
	return e, text.String(), err
}

// trial asks n questions of a process that policies bind, which change meanwhile,
// through caches of every size, and compares each answer. It returns how many were
// refused.
func trial(d dice, n int) (refused int, err error) {
	c := d.code()
	engine, text, err := c.engine()
	if err != nil {
		return 0, err
	}
	who := perm.Principal{Program: d.of("/bin/p", "/bin/q"), Run: "r", Domain: "wasm"}
	// What the process sees as / is /h on the host.
	subject := perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []perm.PathRule{
		{Guest: "/", Right: perm.Write, Host: "/"}, {Guest: "/mapped", Right: perm.Write, Host: "/srv/a"}}})
	all := []*perm.Authority{
		perm.NewAuthority(who, subject, engine),
		perm.NewAuthority(who, subject, engine).Remember(perm.CacheOptions{}),
		perm.NewAuthority(who, subject, engine).Remember(perm.CacheOptions{Entries: 1}),
	}
	paths := make([]string, 32)
	for i := range paths {
		paths[i] = d.path(append(tops, "/mapped")...)
	}
	for range n {
		if d.IntN(300) == 0 { // loaded anew in the middle of it
			c = d.code()
			if engine, text, err = c.engine(); err != nil {
				return 0, err
			}
			for _, a := range all {
				a.Rebind(engine)
			}
		}
		var allow bool
		var rule string
		act, path := fileActions[d.IntN(len(fileActions))], paths[d.IntN(len(paths))]
		network := d.IntN(5) == 0
		var q perm.Query
		if network {
			act = []abi.Action{abi.ActConnect, abi.ActListen}[d.IntN(2)]
			q = perm.Query{Action: act, Target: perm.TargetEndpoint, Host: d.of("a.org", "b.org", "", "org", "a.b"), Address: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Port: uint16(d.IntN(3))}
			name := q.Host
			if name == "" {
				name = "192.0.2.1" // a plain address is its own name
			}
			allow, rule = c.judge(who.Program, act, true, name, q.Port)
		} else {
			host := path
			if rest, ok := strings.CutPrefix(path, "/mapped"); ok {
				host = "/srv/a" + rest
			}
			allow, rule = c.judge(who.Program, act, false, host, 0)
		}
		if !allow {
			refused++
		}
		for i, a := range all {
			var got perm.Decision
			if network {
				got = a.Ask(&q)
			} else {
				got = a.File(act, path)
			}
			if got.Allow != allow || got.Rule != rule {
				return refused, fmt.Errorf("%s %s%s:%d by %s, authority %d: %+v, the plain evaluator: %v %q\ndefault deny: %v\n%s", act, path, q.Host, q.Port, who.Program, i, got, allow, rule, c.defaultDeny, text)
			}
		}
	}
	if got := all[1].Remembered(); n >= 500 && got.Hits == 0 && len(c.laws) > 0 {
		return refused, fmt.Errorf("the cache was never hit: %+v", got)
	}
	return refused, nil
}

// TestDifferential compares decisions by slices of policies and from memory with those of
// an evaluator that walks everything for every question.
func TestDifferential(t *testing.T) {
	const questions = 500
	var left, counted, refused atomic.Int64
	left.Store(int64(*decisions))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !t.Failed() {
				n := left.Add(-questions)
				if n <= -questions {
					return
				}
				no, err := trial(dice{rand.New(rand.NewPCG(uint64(n), 11))}, questions)
				if err != nil {
					t.Error(err)
				}
				counted.Add(questions)
				refused.Add(int64(no))
			}
		})
	}
	wg.Wait()
	if n, no := counted.Load(), refused.Load(); no < n/10 || no > n*9/10 {
		t.Errorf("%d of %d were refused: the questions miss one side", no, n)
	}
	t.Logf("%d decisions, %d of them refusals, each by the plain evaluator and by three authorities", counted.Load(), refused.Load())
}

// FuzzDecisions does the same for policies that the fuzzer finds.
func FuzzDecisions(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i, i*i)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		if _, err := trial(dice{rand.New(rand.NewPCG(a, b))}, 100); err != nil {
			t.Error(err)
		}
	})
}
