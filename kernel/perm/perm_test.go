package perm

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

func subject(rules ...PathRule) *Subject {
	return NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: rules})
}

func r(guest string, right Right, host string) PathRule {
	return PathRule{Guest: guest, Right: right, Host: host, Source: "flag"}
}

func TestCapability(t *testing.T) {
	s := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapClock)})
	for _, row := range abi.Rows() {
		want := row.Capability == abi.CapNone || row.Capability == abi.CapClock
		d := s.Capability(&row)
		if d.Allow != want || s.Allows(row.Capability) != want {
			t.Errorf("%s: %+v", row.Name, d)
		}
		if !want && (d.Errno != abi.EPERM || d.Layer != abi.LayerCapability || d.Grant != "--allow "+row.Capability.String()) {
			t.Errorf("%s: %+v", row.Name, d)
		}
	}
}

func TestPath(t *testing.T) {
	s := subject(
		r("/w", Write, "/home/u/w"),
		r("/w/ro", Read, "/home/u/w/ro"),
		r("/w/ro/rw", Write, "/home/u/w/ro/rw"),
		r("/data", Read, "/data"),
		r("/data/secret", None, ""),
		r("/data/secret/but", Read, "/data/secret/but"),
		r("/tmp", Write, ""),
		PathRule{Host: "/home/u/w/hid", Right: None},
		r("/alias", Read, "/home/u/w/hid/deep"),
	)
	const A, C, D, L, R, W = abi.ActExecute, abi.ActCreate, abi.ActDelete, abi.ActList, abi.ActRead, abi.ActWrite
	tests := []struct {
		act   abi.Action
		path  string
		errno abi.Errno
		why   Reason
		grant string
	}{
		{R, "/w/f", abi.OK, 0, ""}, {W, "/w/f", abi.OK, 0, ""}, {C, "/w/f", abi.OK, 0, ""}, {D, "/w/f", abi.OK, 0, ""}, {A, "/w/f", abi.OK, 0, ""},
		{W, "/wx", abi.EACCES, Ungranted, "--write /wx"},
		{R, "/wx", abi.ENOENT, Ungranted, "--read /wx"},
		{C, "/x/y", abi.EACCES, Ungranted, "--write /x"},
		{R, "/w/ro/f", abi.OK, 0, ""},
		{W, "/w/ro/f", abi.EACCES, ReadOnly, "--write /home/u/w/ro/f:/w/ro/f"},
		{C, "/w/ro/f", abi.EACCES, ReadOnly, "--write /home/u/w/ro:/w/ro"},
		{D, "/w/ro/d/f", abi.EACCES, ReadOnly, "--write /home/u/w/ro/d:/w/ro/d"},
		{W, "/w/ro/rw/f", abi.OK, 0, ""},
		{W, "/data/f", abi.EACCES, ReadOnly, "--write /data/f"},
		{R, "/data/secret", abi.ENOENT, Denied, ""}, {L, "/data/secret/x", abi.ENOENT, Denied, ""},
		{W, "/data/secret/x", abi.EACCES, Denied, ""}, {C, "/data/secret", abi.EACCES, Denied, ""},
		{R, "/data/secret/but/f", abi.ENOENT, Denied, ""}, // a deny beats what is more specific
		{R, "/data/secretx", abi.OK, 0, ""},
		{R, "/w/hid", abi.ENOENT, Denied, ""}, {W, "/w/hid/f", abi.EACCES, Denied, ""},
		{R, "/alias/f", abi.ENOENT, Denied, ""}, // the same host file by another name
		{R, "/", abi.OK, 0, ""}, {L, "/", abi.OK, 0, ""}, {C, "/", abi.EACCES, Ungranted, "--write /"},
		{C, "/tmp/f", abi.OK, 0, ""}, {C, "/tmp/.git/config", abi.OK, 0, ""}, // private: nobody else runs it
		{abi.ActConnect, "/data/f", abi.EACCES, ReadOnly, "--write /data/f"},
	}
	for _, test := range tests {
		d := s.Path(test.act, test.path)
		if d.Errno != test.errno || d.Reason != test.why || d.Grant != test.grant || d.Allow != (test.errno == abi.OK) {
			t.Errorf("%s %s: %+v, want %s %s %q", test.act, test.path, d, test.errno, test.why, test.grant)
		}
		if !d.Allow && (d.Layer != abi.LayerPath || d.Rule == "") {
			t.Errorf("%s %s: %+v does not say what refused", test.act, test.path, d)
		}
	}
	for p, want := range map[string]bool{"/w": true, "/w/hid": false, "/w/hid/f": false, "/w/hidden": true, "/data/secret": false, "/data": true, "/nowhere": true, "/": true} {
		if got := s.Visible(p); got != want {
			t.Errorf("visible %s: %v", p, got)
		}
	}
	for p, want := range map[string]bool{"/": true, "/w": true, "/data": true, "/w/hid": false, "/tmp": false, "/w/ro": false} {
		if got := s.HidesBeneath(p); got != want {
			t.Errorf("hides beneath %s: %v", p, got)
		}
	}
}

// A capability that is missing refuses an open for writing, too.
func TestWriteNeedsCapability(t *testing.T) {
	s := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead), Paths: []PathRule{r("/w", Write, "/w")}})
	if d := s.Path(abi.ActRead, "/w/f"); !d.Allow {
		t.Errorf("read: %+v", d)
	}
	if d := s.Path(abi.ActWrite, "/w/f"); d.Allow || d.Layer != abi.LayerCapability {
		t.Errorf("write: %+v", d)
	}
}

func TestRootGrant(t *testing.T) {
	s := subject(r("/", Read, "/"), r("/etc/shadow", None, "/etc/shadow"))
	for p, want := range map[string]bool{"/": true, "/etc": true, "/etc/shadow": false, "/etc/shadow/x": false, "/etc/shadow2": true} {
		if got := s.Path(abi.ActRead, p).Allow; got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
	if d := s.Path(abi.ActWrite, "/etc/x"); d.Grant != "--write /etc/x" || d.Rule != "--read /" {
		t.Errorf("%+v", d)
	}
}

func TestFoldCase(t *testing.T) {
	s := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), FoldCase: true,
		Paths: []PathRule{r("/Users/U", Write, "/Users/U"), r("/Users/U/Ro", Read, "/Users/U/Ro"), r("/Users/U/Secret", None, "/Users/U/Secret")}})
	for _, p := range []string{"/Users/U/secret", "/users/u/SECRET/x", "/Users/U/\u017fecret"} {
		if d := s.Path(abi.ActRead, p); d.Reason != Denied {
			t.Errorf("%q: %+v", p, d)
		}
	}
	for _, p := range []string{"/Users/U/a", "/users/u/a", "/Users/U./a", "/Users/u. /a", "/Users/\u200bU/a"} {
		if got := s.HostPath(p); got != "/Users/U/a" {
			t.Errorf("host path of %q: %q", p, got)
		}
	}
	if d := NewSubject(SubjectSpec{FoldCase: true, Paths: []PathRule{r("/w", Read, "/h")}}).HostPath("/w./x"); d != "/h/x" {
		t.Errorf("host path: %q", d)
	}
	for p, want := range map[string]string{"/h": "", "/h/x": "/x", "/h./x": "/x", "/H/x": "/x", "/h\u200b/x/y": "/x/y"} {
		if got := beyond(p, "/h"); got != want {
			t.Errorf("what %q has beyond /h: %q", p, got)
		}
	}
	if d := s.Path(abi.ActWrite, "/users/U/RO/x"); d.Reason != ReadOnly {
		t.Errorf("%+v", d)
	}
	if subject(r("/w", Write, "/w"), r("/w/Secret", None, "")).Path(abi.ActRead, "/w/secret").Reason == Denied {
		t.Error("a host that tells case apart got another file denied")
	}
}

func TestProtected(t *testing.T) {
	s := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite),
		Paths:     []PathRule{r("/w", Write, "/home/u/w"), r("/g", Write, "/repo/.git"), r("/h", Write, "/repo/.git/hooks"), r("/c", Write, "/home/u/.cursor/worktrees/x")},
		Unprotect: []string{"/home/u/w/open/.git/hooks", "/home/u/w/.vscode"}})
	protected := []string{
		"/w/.git/hooks", "/w/.git/hooks/pre-commit", "/w/a/b/.git/hooks/x", "/w/.git/config", "/w/.git/CONFIG", "/w/.GIT/hooks/x",
		"/w/.g\u200cit/hooks/x", "/w/.git./config", "/w/git~1/config", "/w/.git/hoo\u212as/x",
		"/w/.git/modules/m/config", "/w/.git/modules/a/b/hooks/x", "/w/.git/worktrees/x/config.worktree",
		"/w/.bashrc", "/w/home/.zshrc", "/w/.profile", "/w/.ssh/authorized_keys", "/w/.config/fish/config.fish", "/w/.config/systemd/user/x.service",
		"/w/.mcp.json", "/w/p/.mcp.json", "/w/.idea/workspace.xml", "/w/p/.vscode/tasks.json",
		"/w/.claude/commands/x.md", "/w/.claude/agents", "/w/.claude/settings.json", "/w/.claude/settings.local.json", "/w/.cursor/rules", "/w/.codex/config.toml",
		"/g/hooks/x", "/g/config", "/c/.git/hooks/x",
	}
	ordinary := []string{
		"/w/.github/workflows", "/w/git/hooks", "/w/hooks", "/w/config", "/w/.git/index", "/w/.git/objects/ab/cd", "/w/.git/HEAD", "/w/.git/config.lock",
		"/w/.git/modules/m/index", "/w/.claude/notes.md", "/w/.config/other/x", "/w/.vscode/x", "/w/open/.git/hooks/x", "/w/.gitignore", "/w/.vscodex",
		"/h/pre-commit", "/c/main.go", "/g/index",
	}
	for _, p := range protected {
		for _, act := range []abi.Action{abi.ActWrite, abi.ActCreate, abi.ActDelete} {
			for _, form := range []string{p, p + "/"} {
				d := s.Path(act, form)
				if d.Reason != Protected || d.Errno != abi.EACCES || !strings.HasPrefix(d.Grant, "--unprotect ") {
					t.Errorf("%s %q: %+v", act, form, d)
				}
			}
		}
		if d := s.Path(abi.ActRead, p); !d.Allow {
			t.Errorf("read %q: %+v", p, d)
		}
	}
	for _, p := range ordinary {
		if d := s.Path(abi.ActCreate, p); !d.Allow {
			t.Errorf("create %q: %+v", p, d)
		}
	}
	// What leads to a protected name can be made and removed as a directory, and
	// nothing else.
	for _, p := range []string{"/w/.git", "/w/x/.GIT", "/w/.claude", "/w/.config", "/w/.config/systemd", "/w/.git/modules", "/w/.git/worktrees", "/w/GIT~1/modules"} {
		if d := s.Path(abi.ActCreate, p+"/"); !d.Allow {
			t.Errorf("mkdir %s: %+v", p, d)
		}
		for _, act := range []abi.Action{abi.ActWrite, abi.ActCreate, abi.ActDelete} {
			if d := s.Path(act, p); d.Reason != Protected {
				t.Errorf("%s %s: %+v", act, p, d)
			}
		}
	}
	if d := s.Path(abi.ActWrite, "/g/hooks/pre-commit"); d.Rule != "protected: /repo/.git/hooks" || d.Grant != "--unprotect /repo/.git/hooks" {
		t.Errorf("%+v", d)
	}
	for p, want := range map[string]string{
		"/w": "/w/open/.git/hooks", "/w/open": "/w/open/.git/hooks", "/w/open/.git/hooks": "", "/w/x": "",
		"/w/.git/modules/m": "/w/.git/modules/m/config.worktree", "/w/.git/modules": "", "/w/.git/refs": "",
	} {
		if got, _ := s.Pinned(p); got != want {
			t.Errorf("pinned %s: %q, want %q", p, got, want)
		}
	}
}

func TestPinned(t *testing.T) {
	s := subject(r("/w", Write, "/w"), r("/w/a/b/ro", Read, "/w/a/b/ro"), PathRule{Right: None, Host: "/w/c/d/secret"})
	for p, want := range map[string]string{"/w/a": "/w/a/b/ro", "/w/a/b": "/w/a/b/ro", "/w/a/b/ro": "", "/w/c": "/w/c/d/secret", "/w/c/d": "/w/c/d/secret", "/w/c/d/secret": "", "/w/e": "", "/w/ab": ""} {
		if got, ok := s.Pinned(p); got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

func TestDenials(t *testing.T) {
	var d Denials
	for i := range 3 {
		if n := d.Add(Denial{Event: abi.EventID(i + 1), Nr: abi.SysOpen, Requested: "x", Rule: "r"}); n != uint64(i+1) {
			t.Errorf("total %d", n)
		}
	}
	d.Add(Denial{Event: 9, Nr: abi.SysOpen, Requested: "y"})
	list := d.List()
	if len(list) != 2 || list[0].Count != 3 || list[0].Event != 1 || list[1].Count != 1 {
		t.Errorf("%+v", list)
	}
	for i := range 3000 {
		d.Add(Denial{Requested: fmt.Sprint(i)})
	}
	if n, lost := d.Total(); n != 3004 || len(d.List()) != maxDenials || lost != 3004-4-(maxDenials-2) {
		t.Errorf("total %d, lost %d, kept %d", n, lost, len(d.List()))
	}
	var big Denials
	for i := range 1000 {
		big.Add(Denial{Requested: fmt.Sprint(i) + strings.Repeat("x", 4000)})
	}
	if n := len(big.List()); n*4000 > maxDenialBytes {
		t.Errorf("kept %d entries of 4,000 bytes", n)
	}
	var wg sync.WaitGroup
	var c Denials
	for range 4 {
		wg.Go(func() {
			for range 100 {
				c.Add(Denial{Rule: "same"})
			}
		})
	}
	wg.Wait()
	if l := c.List(); len(l) != 1 || l[0].Count != 400 {
		t.Errorf("%+v", l)
	}
}

func TestNames(t *testing.T) {
	for _, n := range protectedNames {
		if n[0] != '.' || foldPath(n) != n {
			t.Errorf("%s: a protected name begins with a dot and is folded", n)
		}
	}
	seen := map[string]bool{}
	for x := Reason(0); x < NumReasons; x++ {
		if n := x.String(); n == "" || n == "?" || seen[n] {
			t.Errorf("reason %d is named %q", x, n)
		}
		seen[x.String()] = true
	}
	if got := ReadOnly.Code(); got != "AGENTOS-DENIED-READ-ONLY" {
		t.Error(got)
	}
	for in, want := range map[string]string{"/a/b": "/a/b", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "/a$b": "'/a$b'", "/a*": "'/a*'", "/ü": "'/ü'", "/a_b-c.d:e@f": "/a_b-c.d:e@f"} {
		if got := quote(in); got != want {
			t.Errorf("quote %q: %s, want %s", in, got, want)
		}
	}
}

// FuzzPath checks on any path that the answer is consistent: a denied path is
// refused for everything and does not tell by its error what is there; a write
// is never allowed where a read is not.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/w/f", "/w/.git/hooks", "/w/secret/x", "/", "", "//", "/w/.GIT./x", "/w/\xff\xfe", "/W/Secret"} {
		f.Add(p, uint8(1), false)
	}
	f.Fuzz(func(t *testing.T, p string, act uint8, fold bool) {
		if len(p) > 4096 {
			return // no walk gets so far
		}
		s := NewSubject(SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), FoldCase: fold, Unprotect: []string{"/h/w/u"},
			Paths: []PathRule{r("/w", Write, "/h/w"), r("/w/ro", Read, "/h/w/ro"), r("/w/secret", None, "/h/w/secret")}})
		a := abi.Action(act % uint8(abi.NumActions))
		d, read := s.Path(a, p), s.Path(abi.ActRead, p)
		if d.Allow != (d.Errno == abi.OK) || d.Allow != (d.Rule == "") {
			t.Errorf("%s %q: %+v", a, p, d)
		}
		if d.Allow && !read.Allow {
			t.Errorf("%s %q is allowed and reading it is not", a, p)
		}
		if !s.Visible(p) && (d.Allow || read.Errno != abi.ENOENT) {
			t.Errorf("%q is denied, and %s gives %+v, reading %+v", p, a, d, read)
		}
		if q, ok := s.Pinned(p); ok && !strings.HasPrefix(q, strings.TrimRight(p, "/")) {
			t.Errorf("%q is pinned by %q", p, q)
		}
		if b := s.Path(abi.ActWrite, p+"/.git/config"); b.Allow && strings.HasPrefix(p, "/w/") && !strings.Contains(strings.ToLower(p), "/w/u") {
			t.Errorf("%q does not protect .git/config", p)
		}
	})
}

func BenchmarkCapability(b *testing.B) {
	s := subject(r("/w", Write, "/w"))
	row := abi.SysOpen.Row()
	for b.Loop() {
		if !s.Allows(row.Capability) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkPath(b *testing.B) {
	s := subject(r("/w", Write, "/w"), r("/data", Read, "/data"), r("/tmp", Write, ""), r("/w/secret", None, "/w/secret"))
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !s.Path(abi.ActRead, "/data/some/where/file.txt").Allow {
				b.Fatal("refused")
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !s.Path(abi.ActWrite, "/w/some/where/file.txt").Allow {
				b.Fatal("refused")
			}
		}
	})
}

// The costliest paths that a program can ask about, for the record.
func BenchmarkPathWorst(b *testing.B) {
	s := subject(r("/w", Write, "/h/w"))
	for _, part := range []string{"/.git/modules", "/.GIT/Modules", "/.", "/.config"} {
		p := "/w" + strings.Repeat(part, 4000/len(part))
		b.Run(part, func(b *testing.B) {
			for b.Loop() {
				s.Path(abi.ActWrite, p)
			}
		})
	}
}
