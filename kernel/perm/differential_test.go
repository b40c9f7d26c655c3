package perm

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

var decisions = flag.Int("decisions", 100_000, "how many decisions TestDifferential compares")

// law is the policy of a differential test: plain data, so that the engine and the
// plain evaluator can each walk it in their own way.
type law struct {
	action abi.Action
	every  bool   // any action
	host   string // forbids this path and what is beneath it, or this endpoint's name
}

// court is an engine that goes by laws.
type court []law

func (c court) Decide(_ *Principal, q *Query) Verdict {
	for i, l := range c {
		if !l.every && l.action != q.Action {
			continue
		}
		if q.Target == TargetFile && (q.Path == l.host || strings.HasPrefix(q.Path, strings.TrimSuffix(l.host, "/")+"/")) || q.Target == TargetEndpoint && q.Host == l.host {
			return Verdict{Rule: fmt.Sprint("law ", i)}
		}
	}
	return Verdict{Allow: true}
}

func (c court) Describe() []string { return nil }

// plain is the evaluator that the rest is compared with. It shares the lists of
// protected names with what it checks and no code: paths are lists of names, every
// rule is looked at for every question, nothing is prepared, sorted, or remembered.
type plain struct {
	spec SubjectSpec
	laws court
}

func names(p string) (out []string) {
	for _, n := range strings.Split(p, "/") {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

func (p *plain) folded(n string, always bool) string {
	if !p.spec.FoldCase && !always {
		return n
	}
	for _, ignored := range []string{"\u200b", "\u200c", "\u200d", "\ufeff"} {
		n = strings.ReplaceAll(n, ignored, "")
	}
	n = strings.ToLower(strings.ToUpper(n))
	bare := n
	for strings.HasSuffix(bare, ".") || strings.HasSuffix(bare, " ") {
		bare = bare[:len(bare)-1]
	}
	if bare == "" {
		return n
	}
	return bare
}

// inside reports whether what is at or beneath top.
func (p *plain) inside(what, top []string, always bool) bool {
	if len(what) < len(top) {
		return false
	}
	for i := range top {
		if p.folded(what[i], always) != p.folded(top[i], always) {
			return false
		}
	}
	return true
}

// verdict is what must be equal, beyond which everything is words.
type verdict struct {
	layer  abi.Layer
	reason Reason
	errno  abi.Errno
	rule   string // of denies and laws
}

func (p *plain) file(act abi.Action, asked string) verdict {
	path := names(asked)
	asDir := strings.HasSuffix(asked, "/") && len(path) > 0
	change := act != abi.ActRead && act != abi.ActList && act != abi.ActExecute && act != abi.ActInfo
	absent := abi.ENOENT
	if change {
		absent = abi.EACCES
	}

	var grant *PathRule // the deepest that covers path, the first of equals
	for i := range p.spec.Paths {
		g := &p.spec.Paths[i]
		if g.Right != None && p.inside(path, names(g.Guest), false) && (grant == nil || len(names(g.Guest)) > len(names(grant.Guest))) {
			grant = g
		}
	}
	var host []string
	if grant != nil && grant.Host != "" {
		host = append(names(grant.Host), path[len(names(grant.Guest)):]...)
	}

	for _, d := range p.spec.Paths {
		if d.Right == None && d.Guest != "" && p.inside(path, names(d.Guest), false) {
			text := d.Guest
			if d.Host != "" {
				text = d.Host
			}
			return denial(&d, absent, text)
		}
	}
	for _, d := range p.spec.Paths {
		if d.Right == None && d.Host != "" && grant != nil && grant.Host != "" && p.inside(host, names(d.Host), false) {
			return denial(&d, absent, d.Host)
		}
	}
	if grant == nil {
		leads := false
		for _, g := range p.spec.Paths {
			top := names(g.Guest)
			leads = leads || g.Right != None && len(top) > len(path) && p.inside(top, path, false)
		}
		if change || !leads {
			return verdict{abi.LayerPath, Ungranted, absent, ""}
		}
		return p.judge(act, path)
	}
	if change {
		switch {
		case !p.spec.Caps.Has(abi.CapFileWrite):
			return verdict{abi.LayerCapability, Lacking, abi.EPERM, ""}
		case grant.Right != Write:
			return verdict{abi.LayerPath, ReadOnly, abi.EACCES, ""}
		case grant.Host != "" && p.protected(host, len(names(grant.Host)), asDir):
			return verdict{abi.LayerPath, Protected, abi.EACCES, ""}
		}
	}
	if grant.Host == "" {
		return p.judge(act, path)
	}
	return p.judge(act, host)
}

// denial is what a deny says, which names the path text.
func denial(d *PathRule, errno abi.Errno, text string) verdict {
	if d.Source == SourceRevoked {
		return verdict{abi.LayerPath, Revoked, errno, "revoked: " + text}
	}
	return verdict{abi.LayerPath, Denied, errno, "--deny " + text}
}

// judge asks the laws about a file.
func (p *plain) judge(act abi.Action, host []string) verdict {
	for i, l := range p.laws {
		if (l.every || l.action == act) && len(host) >= len(names(l.host)) && strings.Join(host[:len(names(l.host))], "/") == strings.Join(names(l.host), "/") {
			errno := abi.ENOENT
			if act != abi.ActRead && act != abi.ActList && act != abi.ActExecute && act != abi.ActInfo {
				errno = abi.EACCES
			}
			return verdict{abi.LayerPolicy, Forbidden, errno, fmt.Sprint("law ", i)}
		}
	}
	return verdict{}
}

func (p *plain) protected(host []string, consent int, asDir bool) bool {
	for _, u := range p.spec.Unprotect {
		if p.inside(host, names(u), true) {
			return false
		}
	}
	fits := func(name, pattern string) bool {
		name = p.folded(name, true)
		if strings.Contains(name, "~") && slices.ContainsFunc(shortOf[pattern], func(form *regexp.Regexp) bool { return form.MatchString(name) }) {
			return true
		}
		before, after, wild := strings.Cut(pattern, "*")
		if wild {
			return len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
		}
		return name == pattern
	}
	// part is how many names of pattern stand in host from i on, if all that can do.
	part := func(i int, pattern []string) int {
		n := min(len(pattern), len(host)-i)
		for k := range n {
			if !fits(host[i+k], pattern[k]) {
				return 0
			}
		}
		return n
	}
	leads := false
	for i := range host {
		for _, pattern := range protectedNames {
			full := names(pattern)
			if n := part(i, full); n > 0 && i+n > consent {
				if n == len(full) {
					return true
				}
				leads = true
			}
		}
		for _, z := range zones {
			if part(i, names(z)) != len(names(z)) {
				continue
			}
			end := i + len(names(z))
			leads = leads || end == len(host) && end > consent
			for k := end + 1; k < len(host); k++ {
				for _, n := range zoneNames {
					if p.folded(host[k], true) == n && k+1 > consent {
						return true
					}
				}
			}
		}
	}
	return leads && !asDir
}

func (p *plain) endpoint(q *Query) verdict {
	for i, l := range p.laws {
		if (l.every || l.action == q.Action) && q.Host == l.host {
			return verdict{abi.LayerPolicy, Forbidden, abi.EPERM, fmt.Sprint("law ", i)}
		}
	}
	return verdict{}
}

// shortOf has the short forms of each component of a protected name.
var shortOf = func() map[string][]*regexp.Regexp {
	all := map[string][]*regexp.Regexp{}
	for _, p := range protectedNames {
		for part := range strings.SplitSeq(p, "/") {
			all[part] = shortForms(part)
		}
	}
	return all
}()

// shortForms are the names of eight and three characters that FAT may give to a file
// called pattern, for every length of the number.
func shortForms(pattern string) (forms []*regexp.Regexp) {
	name, ext := strings.TrimLeft(pattern, "."), ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name, ext = name[:i], name[i+1:]
		ext = `\.` + regexp.QuoteMeta(ext[:min(len(ext), 3)])
	}
	name = strings.ReplaceAll(name, ".", "")
	name, _, _ = strings.Cut(name, "*")
	for digits := 1; digits <= 6; digits++ {
		begin := regexp.QuoteMeta(name[:min(len(name), 7-digits)])
		forms = append(forms, regexp.MustCompile(fmt.Sprintf(`^%s~[0-9]{%d}%s$`, begin, digits, ext)))
		if len(name) >= 2 {
			forms = append(forms, regexp.MustCompile(fmt.Sprintf(`^%s[0-9a-f]{4}~[0-9]{%d}%s$`, regexp.QuoteMeta(name[:2]), digits, ext)))
		}
	}
	return forms
}

// vocabulary is what paths are made of: few enough names to meet each other often.
var vocabulary = []string{"a", "b", "A", "w", "ro", "secret", "Secret", "x.y", ".git", ".GIT", "git~1", "bashrc~1", ".git.", ".g\u200bit", "hooks", "hoo\u212as", "config", "Config ",
	"config.worktree", "modules", "worktrees", ".claude", "settings.local.json", "settings", "commands", ".config", "fish", "systemd", "user", ".ssh", ".bashrc", "ü"}

type dice struct{ *rand.Rand }

func (d dice) path(most int) string {
	var b strings.Builder
	for range d.IntN(most + 1) {
		b.WriteString("/" + vocabulary[min(d.IntN(len(vocabulary)), d.IntN(len(vocabulary)))])
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func (d dice) spec() SubjectSpec {
	s := SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), FoldCase: d.IntN(4) == 0}
	if d.IntN(8) == 0 {
		s.Caps = abi.Caps(abi.CapFileRead)
	}
	for range d.IntN(7) {
		p := PathRule{Guest: d.path(3), Right: Right(d.IntN(3)), Source: "flag"}
		if d.IntN(4) != 0 {
			p.Host = "/h" + strings.TrimSuffix(d.path(3), "/")
		}
		if p.Right == None && p.Host != "" && d.IntN(2) == 0 {
			p.Guest = ""
		}
		s.Paths = append(s.Paths, p)
	}
	for range d.IntN(3) {
		s.Unprotect = append(s.Unprotect, "/h"+d.path(4))
	}
	return s
}

func (d dice) laws() court {
	var c court
	for range d.IntN(4) {
		c = append(c, law{action: abi.Action(d.IntN(int(abi.NumActions))), every: d.IntN(3) == 0, host: "/h" + strings.TrimSuffix(d.path(3), "/")})
	}
	return c
}

// scenario asks n questions of one process whose rights change meanwhile, through
// caches of every size, and compares each answer. It counts them by reason in seen.
func scenario(d dice, n int, seen *[NumReasons]int, extra ...string) error {
	p := &plain{spec: d.spec(), laws: d.laws()}
	paths := extra
	for range 24 {
		q := d.path(5)
		if d.IntN(6) == 0 && q != "/" {
			q += "/"
		}
		paths = append(paths, q)
		for _, r := range p.spec.Paths { // most random paths are nobody's
			if r.Guest != "" && d.IntN(3) == 0 {
				paths = append(paths, strings.TrimSuffix(r.Guest, "/")+q)
			}
		}
	}
	engine := func() Engine {
		if len(p.laws) == 0 {
			return nil
		}
		return p.laws
	}
	subject := NewSubject(p.spec)
	all := []*Authority{
		NewAuthority(Principal{}, subject, engine()),
		NewAuthority(Principal{}, subject, engine()).Remember(CacheOptions{}),
		NewAuthority(Principal{}, subject, engine()).Remember(CacheOptions{Entries: 1}),
		NewAuthority(Principal{}, subject, engine()).Remember(CacheOptions{Entries: 16}),
	}
	all[3].cache.hash = func(s string) uint64 { return uint64(len(s)) } // much collides
	for range n {
		switch d.IntN(200) {
		case 0:
			p.spec = d.spec()
			for _, a := range all {
				if err := a.Change(func(*Subject) (*Subject, error) { return NewSubject(p.spec), nil }); err != nil {
					return err
				}
			}
		case 1:
			t, to := Extent{Guest: d.path(3)}, Right(d.IntN(2))
			if d.IntN(2) == 0 {
				t = Extent{Hosts: []string{"/h" + strings.TrimSuffix(d.path(3), "/")}}
			}
			for _, a := range all {
				err := a.Change(func(s *Subject) (*Subject, error) {
					next, _, err := s.Narrow(t, to)
					return next, err
				})
				if err == nil {
					p.spec = a.Subject().Spec()
				} else if !errors.Is(err, ErrNotGranted) {
					return err
				}
			}
		case 2:
			p.laws = d.laws()
			for _, a := range all {
				a.Rebind(engine())
			}
		}
		act := abi.Action(d.IntN(int(abi.NumActions)))
		path := paths[min(d.IntN(len(paths)), d.IntN(len(paths)))]
		q := Query{Action: act, Target: TargetEndpoint, Host: path, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(d.IntN(2))}), Port: uint16(d.IntN(2))}
		network := d.IntN(8) == 0
		var want verdict
		if network {
			want = p.endpoint(&q)
		} else {
			want = p.file(act, path)
		}
		seen[want.reason]++
		var first Decision
		for i, a := range all {
			var got Decision
			if network {
				got = a.Ask(&q)
			} else {
				got = a.File(act, path)
			}
			got.Cached = false
			v := verdict{got.Layer, got.Reason, got.Errno, ""}
			if got.Reason == Denied || got.Reason == Revoked || got.Reason == Forbidden {
				v.rule = got.Rule
			}
			if v != want || got.Allow != (want == verdict{}) {
				return fmt.Errorf("%s %q (endpoint: %v), authority %d: %+v\nthe plain evaluator: %+v\nspec %+v\nlaws %+v", act, path, network, i, got, want, p.spec, p.laws)
			}
			if i == 0 {
				first = got
			} else if got != first {
				return fmt.Errorf("%s %q, authority %d: %+v\nwithout a cache: %+v", act, path, i, got, first)
			}
		}
	}
	if c := all[1].Remembered(); n >= 500 && c.Hits == 0 {
		return fmt.Errorf("the cache was never hit: %+v", c)
	}
	return nil
}

// TestDifferential compares what decides with the plain evaluator.
func TestDifferential(t *testing.T) {
	const questions = 500
	var left, counted atomic.Int64
	left.Store(int64(*decisions))
	var mu sync.Mutex
	var seen [NumReasons]int // guarded by mu
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var mine [NumReasons]int
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				for i, n := range mine {
					seen[i] += n
				}
			}()
			for !t.Failed() {
				n := left.Add(-questions)
				if n <= -questions {
					return
				}
				if err := scenario(dice{rand.New(rand.NewPCG(uint64(n), 5))}, questions, &mine); err != nil {
					t.Error(err)
				}
				counted.Add(questions)
			}
		})
	}
	wg.Wait()
	for _, r := range []Reason{Allowed, Lacking, Ungranted, ReadOnly, Denied, Protected, Forbidden, Revoked} {
		if seen[r] < *decisions/1000 {
			t.Errorf("%s: %d of %d answers: the questions miss it", r, seen[r], counted.Load())
		}
	}
	t.Logf("by reason: %v", seen)
	t.Logf("%d decisions, each by the plain evaluator and by four authorities", counted.Load())
}

// FuzzDecisions does the same for rights and paths that the fuzzer finds.
func FuzzDecisions(f *testing.F) {
	for i, p := range []string{"/w/.git/hooks", "/", "/a/b/", "/w/.GIT./x", "/w/\u212a"} {
		f.Add(uint64(i), uint64(7), p)
	}
	f.Fuzz(func(t *testing.T, a, b uint64, path string) {
		if len(path) > 256 || !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.ContainsFunc(path, odd) {
			return // not canonical, or a letter that the plain evaluator does not fold
		}
		if err := scenario(dice{rand.New(rand.NewPCG(a, b))}, 100, new([NumReasons]int), path, path, path); err != nil {
			t.Error(err)
		}
	})
}

// odd are characters beyond the plain evaluator: what is not text, and what has more
// than one case.
func odd(r rune) bool {
	return r == 0xfffd || r < ' ' || r > 0x17f && r != 0x212a && r != 0x200b
}
