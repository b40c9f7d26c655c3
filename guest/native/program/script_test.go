package program

import (
	"slices"
	"strings"
	"testing"
)

func TestShebang(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, c := range []struct {
		head, interp, arg, problem string
	}{
		{"#!/bin/sh\necho", "/bin/sh", "", ""},
		{"#! \t/bin/sh \t\n", "/bin/sh", "", ""},
		{"#!/bin/sh -e -x  \n", "/bin/sh", "-e -x", ""},
		{"#!/bin/sh\t-e\n", "/bin/sh", "-e", ""},
		{"#!/bin/sh\r\n", "/bin/sh\r", "", ""},
		{"#!/bin/sh -e\r\n", "/bin/sh", "-e\r", ""},
		{"#!/bin/sh", "/bin/sh", "", ""}, // the file ends with it
		{"#!/bin/sh\x00 -e\n", "/bin/sh", "", ""},
		{"#!\n/bin/sh\n", "", "", "names no interpreter"},
		{"#!   \n", "", "", "names no interpreter"},
		{"#!/" + long, "", "", "longer than the kernel reads"},
		{"#!/" + long + "\n", "", "", "longer than the kernel reads"},
		{"#!/bin/sh " + long + "\n", "/bin/sh", long[:256-1-len("#!/bin/sh ")], ""}, // an argument is cut
		{"#!" + strings.Repeat(" ", 300) + "/bin/sh\n", "", "", "longer than the kernel reads"},
		{"#!/" + long[:251] + " x\n", "/" + long[:251], "", ""},
		{"#!/" + long[:252] + "\n", "/" + long[:252], "", ""},
		{"#!/" + long[:253] + "\n", "", "", "longer than the kernel reads"},
	} {
		s, problem, _ := parseShebang([]byte(c.head))
		if c.problem != "" {
			if !strings.Contains(problem, c.problem) {
				t.Errorf("%q: %q, want %q", c.head, problem, c.problem)
			}
			continue
		}
		if problem != "" || s.interp != c.interp || s.arg != c.arg {
			t.Errorf("%q: %+v %q, want %q %q", c.head, s, problem, c.interp, c.arg)
		}
	}
}

func TestEnvCommand(t *testing.T) {
	for _, c := range []struct{ arg, command, path, problem string }{
		{"python3", "python3", "", ""},
		{"python3\r", "python3\r", "", ""},
		{"", "", "", "no command"},
		{"-i", "", "", "no command"},
		{"python3 -u", "", "", "single argument"},
		{"-S python3 -u", "python3", "", ""},
		{"-Spython3 -u", "python3", "", ""},
		{"--split-string=python3 -u", "python3", "", ""},
		{"-S -i PATH=/opt/bin A=1 node --x", "node", "/opt/bin", ""},
		{"-S -u HOME bash", "bash", "", ""},
		{`-S "my python" x`, "", "", "single argument"},
		{"-S 'open", "", "", "not closed"},
		{`-S py\_x`, "py", "", ""},
		{"-S # none", "", "", "no command"},
	} {
		command, path, problem := envCommand(c.arg)
		if command != c.command || path != c.path || c.problem == "" && problem != "" || !strings.Contains(problem, c.problem) {
			t.Errorf("%q: %q %q %q, want %q %q %q", c.arg, command, path, problem, c.command, c.path, c.problem)
		}
	}
}

func FuzzShebang(f *testing.F) {
	for _, s := range []string{"#!/bin/sh\n", "#! /usr/bin/env -S a 'b c'\n", "#!/x\r\n", "#!\x00\n", "#!" + strings.Repeat("x", 400)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || b[0] != '#' || b[1] != '!' {
			b = slices.Concat([]byte("#!"), b)
		}
		s, problem, _ := parseShebang(b)
		if problem != "" {
			return
		}
		if s.interp == "" || len(s.interp)+len(s.arg) > scriptHead || strings.ContainsAny(s.interp, " \t\n\x00") || strings.ContainsAny(s.arg, "\n\x00") {
			t.Errorf("%q: %+v", b, s)
		}
		command, _, problem := envCommand(s.arg)
		if problem == "" && command == "" {
			t.Errorf("%q: env runs nothing", s.arg)
		}
	})
}
