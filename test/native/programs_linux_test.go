package native

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// row is a program at work. In files, flags, steps, and env, %DIR% is the directory
// that it works in, which is granted with --write.
type row struct {
	name, does string
	needs      []string // programs
	full       bool     // only with -native: slow, or seldom installed
	files      map[string]string
	env        []string
	flags      []string // beyond --write %DIR%
	steps      [][]string
	says       []string // parts of the output, so that it is known to have done its work
	// alone has no twin outside: what it says is not the same twice.
	alone bool
}

// sh is a step that is a script.
func sh(lines ...string) []string { return []string{"/bin/sh", "-ec", strings.Join(lines, "\n")} }

func TestPrograms(t *testing.T) {
	h := newHouse(t)
	h.users(t, func(t *testing.T, u *user) {
		u.contained(t)
		for i := range rows {
			t.Run(rows[i].name, func(t *testing.T) { u.check(t, &rows[i]) })
		}
	})
}

func (u *user) check(t *testing.T, r *row) {
	if r.full && !*everything {
		t.Skip("with -native only")
	}
	need(t, r.needs...)
	dir := u.work(t, r.files)
	in := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], "%DIR%", dir)
		}
		return list
	}
	env, flags := in(r.env), in(r.flags)
	steps := make([][]string, len(r.steps))
	for i, s := range r.steps {
		steps[i] = in(s)
		if s[0] == "go" { // it is seldom where every user has it on the PATH
			path, err := exec.LookPath(s[0])
			if err != nil {
				t.Skip("NOT CHECKED: ", err)
			}
			steps[i][0] = path
		}
	}

	var want, got outcome
	if !r.alone {
		for _, s := range steps {
			o := u.outside(t, dir, s, env...)
			want.stdout += o.stdout
			if o.status != 0 {
				t.Fatalf("without AgentOS: %q: %s", s, o)
			}
		}
		u.work(t, r.files)
	}
	for _, s := range steps {
		o := u.inside(t, dir, append([]string{"--write", dir}, flags...), s, env...)
		got.stdout += o.stdout
		if o.status != 0 {
			t.Fatalf("%q: %s", s, o)
		}
	}
	if !r.alone && got.stdout != want.stdout {
		t.Errorf("it says\n%s\nand without AgentOS\n%s", got.stdout, want.stdout)
	}
	for _, s := range r.says {
		if !strings.Contains(got.stdout, s) {
			t.Errorf("it does not say %q:\n%s", s, got.stdout)
		}
	}

	u.work(t, r.files)
	before := listing(t, dir)
	if o := u.inside(t, dir, append([]string{"--read", dir}, flags...), steps[0], env...); o.status == 0 {
		t.Errorf("with --read in place of --write: %s", o)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("with --read in place of --write there was\n%s\nand then\n%s", before, after)
	}
}
