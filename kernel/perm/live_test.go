package perm

import (
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// gives is the right that s gives to a guest path, by what it decides.
func gives(s *Subject, p string) Right {
	switch {
	case s.Path(abi.ActWrite, p).Allow:
		return Write
	case s.cover(s.key(cleanKey(p))) != nil && s.Path(abi.ActRead, p).Allow:
		return Read
	}
	return None
}

// TestLiveAgainstModel narrows and widens random subjects and compares every path of a
// small world before and after.
func TestLiveAgainstModel(t *testing.T) {
	var world []string
	parts := []string{"", "/a", "/b", "/ab", "/z"}
	for _, top := range []string{"/g", "/m", "/tmp"} {
		for _, x := range parts {
			for _, y := range parts {
				if x != "" || y == "" {
					world = append(world, top+x+y)
				}
			}
		}
	}
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	var narrowed, widened, kept int
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 3))
		rel := func() string { return pick(r, "", "/a", "/b", "/a/b", "/ab", "/b/a") }
		// One host directory under two names, parts of it again, and denies.
		spec := SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []PathRule{
			{Guest: "/g", Right: pick(r, Read, Write), Host: "/h"},
			{Guest: "/m", Right: pick(r, Read, Write), Host: pick(r, "/h", "/h/a", "/other")},
			{Guest: "/tmp", Right: Write},
		}}
		for range r.IntN(3) {
			p := rel()
			spec.Paths = append(spec.Paths, PathRule{Guest: "/g" + p, Right: pick(r, Read, Write), Host: "/h" + p})
		}
		denied := ""
		if r.IntN(2) == 0 {
			denied = "/h" + pick(r, "/a", "/b/a")
			spec.Paths = append(spec.Paths, PathRule{Host: denied, Right: None})
		}
		s := NewSubject(spec)
		first := s
		for range 1 + r.IntN(4) {
			before := map[string]Right{}
			for _, p := range world {
				before[p] = gives(s, p)
			}
			if r.IntN(2) == 0 {
				to := pick(r, None, Read)
				e := Extent{Hosts: []string{"/h" + rel()}}
				meant := func(p string) bool {
					return before[p] != None && under(s.HostPath(p), e.Hosts[0]) && !strings.HasPrefix(p, "/tmp")
				}
				if r.IntN(3) == 0 {
					e = Extent{Guest: pick(r, "/g", "/m", "/tmp") + rel()}
					meant = func(p string) bool { return under(p, e.Guest) }
				}
				next, changed, err := s.Narrow(e, to)
				if err != nil && !errors.Is(err, ErrNotGranted) {
					t.Fatal(err)
				}
				for _, p := range world {
					want := before[p]
					if meant(p) {
						want = min(want, to)
					}
					if got := gives(next, p); got != want {
						t.Fatalf("seed %d: narrowed %+v to %s: %s gives %s, want %s, was %s\n%+v", seed, e, to, p, got, want, before[p], s.Rules())
					}
				}
				if len(changed) > 0 {
					narrowed++
				}
				s = next
				continue
			}
			p, to := rel(), pick(r, Read, Write)
			next, _, err := s.Widen("/g"+p, "/h"+p, to, "live")
			if err != nil {
				if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrRevokedAbove) {
					t.Fatal(err)
				}
				kept++
				continue
			}
			widened++
			if got := gives(next, "/g"+p); got < to {
				t.Fatalf("seed %d: %s was granted at /g%s, which gives %s", seed, to, p, got)
			}
			for _, q := range world {
				got := gives(next, q)
				if got < before[q] || got > max(before[q], to) || got != before[q] && !under(q, "/g"+p) {
					t.Fatalf("seed %d: widened /g%s to %s: %s gives %s, was %s", seed, p, to, q, got, before[q])
				}
				if denied != "" && under(q, "/g") && under("/h"+strings.TrimPrefix(q, "/g"), denied) && got != None {
					t.Fatalf("seed %d: %s was denied from the start and gives %s", seed, q, got)
				}
			}
			s = next
		}
		if !slices.Equal(first.Rules(), NewSubject(spec).Rules()) {
			t.Fatal("a subject was changed in place")
		}
	}
	if narrowed < rounds/4 || widened < rounds/4 || kept == 0 {
		t.Errorf("%d narrowed, %d widened, %d refused: the test tests little", narrowed, widened, kept)
	}
}

// TestRevokedIsSaid: a refusal after a revocation has its own reason, and no flag that
// would be of no use.
func TestRevokedIsSaid(t *testing.T) {
	s := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []PathRule{{Guest: "/g", Right: Write, Host: "/h"}}})
	s, changed, err := s.Narrow(Extent{Hosts: []string{"/h/sub"}}, None)
	if err != nil || len(changed) != 1 || changed[0] != (Changed{Guest: "/g/sub", Host: "/h/sub", Was: Write, Is: None}) {
		t.Fatalf("%+v, %v", changed, err)
	}
	for act, errno := range map[abi.Action]abi.Errno{abi.ActRead: abi.ENOENT, abi.ActWrite: abi.EACCES} {
		d := s.Path(act, "/g/sub/x")
		if d.Allow || d.Reason != Revoked || d.Errno != errno || d.Grant != "" || d.Rule != "revoked: /h/sub" || d.Reason.Code() != "AGENTOS-DENIED-REVOKED" {
			t.Errorf("%s: %+v", act, d)
		}
	}
	// Over what is private to the process comes what was granted, and no more of it.
	own := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []PathRule{{Guest: "/tmp", Right: Write}}})
	over, _, err := own.Widen("/tmp/x", "/h2", Read, "live")
	if err != nil || gives(over, "/tmp/x/f") != Read || over.HostPath("/tmp/x/f") != "/h2/f" || gives(over, "/tmp/y") != Write {
		t.Errorf("over /tmp: %v, %s of %s", err, gives(over, "/tmp/x/f"), over.HostPath("/tmp/x/f"))
	}
	if s.Visible("/g/sub") || !s.HidesBeneath("/g") {
		t.Error("it is still listed")
	}
	if p, ok := s.Pinned("/g"); !ok || p != "/g/sub" {
		t.Errorf("a directory above can be moved away: %s", p)
	}
	if _, _, err := s.Widen("/g/sub/x", path.Join("/h", "sub", "x"), Read, "live"); !errors.Is(err, ErrRevokedAbove) {
		t.Errorf("a part came back: %v", err)
	}
	s, changed, err = s.Widen("/g/sub", "/h/sub", Read, "live")
	if err != nil || gives(s, "/g/sub/x") != Read { // it was write before, and read is what was asked
		t.Errorf("given back: %+v, %v, %s", changed, err, gives(s, "/g/sub/x"))
	}
	a := NewAuthority(Principal{}, s, nil)
	if a.Epoch() != 1 {
		t.Errorf("the first epoch is %d", a.Epoch())
	}
	if err := a.Change(func(s *Subject) (*Subject, error) { return nil, ErrDenied }); err == nil || a.Epoch() != 1 || a.Subject() != s {
		t.Error("a change that failed changed something")
	}
	if err := a.Change(func(s *Subject) (*Subject, error) { s, _ = s.WithCaps(0, abi.Caps(abi.CapFileRead)); return s, nil }); err != nil || a.Epoch() != 2 || a.Subject().Allows(abi.CapFileRead) {
		t.Errorf("%v, epoch %d", err, a.Epoch())
	}
}
