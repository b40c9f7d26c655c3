package cedar

import (
	"net/netip"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// TestLibrary asks each ready policy about what it is for and about what it must leave
// alone.
func TestLibrary(t *testing.T) {
	to := func(host, addr string) *perm.Query {
		return &perm.Query{Action: abi.ActConnect, Target: perm.TargetEndpoint, Host: host, Address: netip.MustParseAddr(addr), Port: 443}
	}
	env := func(name string) *perm.Query {
		return &perm.Query{Action: abi.ActEnv, Target: perm.TargetVariable, Name: name}
	}
	run := func(path string) *perm.Query {
		return &perm.Query{Action: abi.ActExecute, Target: perm.TargetProgram, Path: path, Argv: []string{path}}
	}
	for name, test := range map[string]struct{ refused, allowed []*perm.Query }{
		"no-secrets": {
			[]*perm.Query{
				file(abi.ActRead, "/home/a/.ssh/id_ed25519"), file(abi.ActList, "/home/a/.ssh"), file(abi.ActWrite, "/root/.aws/credentials"),
				file(abi.ActRead, "/home/a/.netrc"), file(abi.ActRead, "/srv/app/.env"), file(abi.ActRead, "/srv/app/.env.local"), file(abi.ActRead, "/h/.cargo/credentials.toml"),
				env("GITHUB_TOKEN"), env("AWS_SECRET_ACCESS_KEY"),
			},
			[]*perm.Query{file(abi.ActRead, "/home/a/ssh/x"), file(abi.ActRead, "/home/a/.sshrc"), file(abi.ActRead, "/home/a/.environment"), file(abi.ActRead, "/w/.docker/x"), env("HOME"), run("/bin/sh")},
		},
		"no-private-addresses": {
			[]*perm.Query{to("meta", "169.254.169.254"), to("metadata.google.internal", "192.0.2.1"), to("x", "127.0.0.1"), to("x", "10.1.2.3"), to("x", "192.168.0.1"),
				to("x", "172.31.255.255"), to("x", "::1"), to("x", "fd00:ec2::254"), to("x", "fe80::1"), to("x", "::ffff:10.0.0.1"), to("x", "0.0.0.0"), to("x", "100.64.0.1")},
			[]*perm.Query{to("example.org", "192.0.2.1"), to("example.org", "2001:db8::1"), to("x", "172.32.0.1"), to("x", "11.0.0.1"), file(abi.ActRead, "/etc/hosts")},
		},
		"read-only-sources": {
			[]*perm.Query{file(abi.ActWrite, "/w/main.go"), file(abi.ActCreate, "/w/x.py"), file(abi.ActDelete, "/w/.git/index"), file(abi.ActWrite, "/w/a/package.json"), file(abi.ActDelete, "/w/Makefile")},
			[]*perm.Query{file(abi.ActRead, "/w/main.go"), file(abi.ActList, "/w/.git"), file(abi.ActWrite, "/w/notes.txt"), file(abi.ActCreate, "/w/out/data.csv"), file(abi.ActWrite, "/w/.gitignore")},
		},
		"no-new-executables": {
			[]*perm.Query{file(abi.ActCreate, "/w/run.sh"), file(abi.ActWrite, "/home/a/bin/tool"), file(abi.ActCreate, "/w/x.so.1"), file(abi.ActCreate, "/w/x.exe"), run("/tmp/a.out"), run("/dev/shm/x")},
			[]*perm.Query{file(abi.ActRead, "/w/run.sh"), file(abi.ActDelete, "/w/run.sh"), file(abi.ActCreate, "/w/show.txt"), file(abi.ActCreate, "/w/bins/x"), run("/usr/bin/git")},
		},
	} {
		s, err := Builtin(name)
		if err != nil {
			t.Error(err)
			continue
		}
		e, err := Load([]Source{s}, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, q := range test.refused {
			if v := e.Decide(someone, q); v.Allow || v.Rule == "" {
				t.Errorf("%s allows %s of %+v", name, q.Action, q)
			}
		}
		for _, q := range test.allowed {
			if v := e.Decide(someone, q); !v.Allow {
				t.Errorf("%s refuses %s of %+v: %s", name, q.Action, q, v.Rule)
			}
		}
	}
	all, err := Library()
	if err != nil || len(all) < 4 {
		t.Errorf("%d policies, %v", len(all), err)
	}
	for _, r := range all {
		if r.Doc == "" {
			t.Errorf("%s does not say what it is for", r.Name)
		}
	}
	if _, err := Builtin("no-secret"); err == nil {
		t.Error("a misspelt name")
	} else {
		t.Log(err)
	}
}
