package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

const full = `# everything that the schema has
version = 1
program = "./tool.wasm"
args = ["-x", "two words"]
name = "nightly"
domain = "wasm"
cwd = "/in"
read = [
  "data:/in",   # a comment
  "/usr/share/dict",
  'odd\:name',
]
write = ["../out:/out"]
deny = ["data/secret"]
allow = ["info"]
unprotect = ["../out/.vscode"]
inherit_env = ["LANG"]
bare = true
best_effort = true
kill_after = "5s"
overlay = ["work:/work"]
listen = ["8080", "[::1]:0"]
toolchain = true
policies = ["team.cedar", "builtin:no-secrets"]
policy_default = "deny"
require_audit = true

[env]
MODE = "fast"
"A.B" = ""

[limits]
timeout = "1m30s"
cpu_time = 10
cpus = 1.5
memory = "64M"
pids = 7
files = 1_000
disk = 1048576
output = "1GiB"
priority = 0
`

func TestParseFull(t *testing.T) {
	m, err := Parse([]byte(full), "m.toml", "/home/u/project")
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		File: "m.toml", Dir: "/home/u/project",
		Program:    Value[string]{"/home/u/project/tool.wasm", Pos{3, 11}},
		Args:       Value[[]string]{[]string{"-x", "two words"}, Pos{4, 1}},
		Name:       Value[string]{"nightly", Pos{5, 8}},
		Domain:     Value[string]{"wasm", Pos{6, 10}},
		Cwd:        Value[string]{"/in", Pos{7, 7}},
		Bare:       Value[bool]{true, Pos{18, 8}},
		Toolchain:  Value[bool]{true, Pos{23, 13}},
		BestEffort: Value[bool]{true, Pos{19, 15}},
		KillAfter:  Value[time.Duration]{5 * time.Second, Pos{20, 14}},
		Grants: []Grant{
			{Read, "/home/u/project/data", "/in", Pos{9, 3}},
			{Read, "/usr/share/dict", "", Pos{10, 3}},
			{Read, "/home/u/project/odd:name", "", Pos{11, 3}},
			{Write, "/home/u/out", "/out", Pos{13, 10}},
			{Deny, "/home/u/project/data/secret", "", Pos{14, 9}},
			{Overlay, "/home/u/project/work", "/work", Pos{21, 12}},
		},
		Env: []Variable{
			{Key: "LANG", Inherit: true, Pos: Pos{17, 16}},
			{Key: "MODE", Value: "fast", Pos: Pos{29, 8}},
			{Key: "A.B", Value: "", Pos: Pos{30, 9}},
		},
		Allow:        []Value[abi.Capability]{{abi.CapInfo, Pos{15, 10}}},
		Unprotect:    []Value[string]{{"/home/u/out/.vscode", Pos{16, 14}}},
		Policies:     []Value[string]{{"/home/u/project/team.cedar", Pos{24, 13}}, {"builtin:no-secrets", Pos{24, 27}}},
		RequireAudit: Value[bool]{true, Pos{26, 17}},
		PolicyDeny:   Value[bool]{true, Pos{25, 18}},
		Listen:       []Value[string]{{"127.0.0.1:8080", Pos{22, 11}}, {"[::1]:0", Pos{22, 19}}},
		Limits: Limits{
			Timeout:  Value[time.Duration]{90 * time.Second, Pos{33, 11}},
			CPUTime:  Value[time.Duration]{10 * time.Second, Pos{34, 12}},
			CPUs:     Value[float64]{1.5, Pos{35, 8}},
			Memory:   Value[uint64]{64 << 20, Pos{36, 10}},
			Pids:     Value[int]{7, Pos{37, 8}},
			Files:    Value[int]{1000, Pos{38, 9}},
			Disk:     Value[uint64]{1 << 20, Pos{39, 8}},
			Output:   Value[uint64]{1 << 30, Pos{40, 10}},
			Priority: Value[int]{0, Pos{41, 12}},
		},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if s := m.Grants[3].Source(); s != "manifest:13" {
		t.Errorf("source %q", s)
	}
}

// TestFullCoversSchema keeps the document above complete: every key of the
// schema stands in it, so that every decoder has run.
func TestFullCoversSchema(t *testing.T) {
	for _, k := range Schema() {
		short := k.Name[strings.LastIndexByte(k.Name, '.')+1:]
		if short != "*" && !strings.Contains(full, "\n"+short+" = ") {
			t.Errorf("%s is not in the test document", k.Name)
		}
		if k.Type == "" || k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s is not documented: %+v", k.Name, k)
		}
	}
}

func TestInlineAndDotted(t *testing.T) {
	m, err := Parse([]byte("version = 1\nlimits = { timeout = \"1s\", files = 3 }\nenv.A = \"1\"\nenv.B = \"2\"\n"), "m", "/d")
	if err != nil {
		t.Fatal(err)
	}
	if m.Limits.Timeout.V != time.Second || m.Limits.Files.V != 3 || len(m.Env) != 2 || m.Env[1].Line != 4 {
		t.Errorf("got %+v", m)
	}
	if m.Program.Set() || m.Limits.Memory.Set() {
		t.Error("a value that is not in the document has a position")
	}
}

func TestBareNamesStayNames(t *testing.T) {
	m, err := Parse([]byte("version = 1\nprogram = \"tool\"\n"), "m", "/d")
	if err != nil || m.Program.V != "tool" {
		t.Errorf("program %q, %v", m.Program.V, err)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		pos       Pos
		want      []string // in the message
	}{
		{"empty", "", Pos{1, 1}, []string{"version", "is missing", "version = 1"}},
		{"no version", "program = \"/p\"\n", Pos{1, 1}, []string{"version: is missing"}},
		{"later version", "version = 2\n", Pos{1, 11}, []string{"version 2", "reads version 1"}},
		{"zero version", "version = 0\n", Pos{1, 11}, []string{"version"}},
		{"text version", "version = \"1\"\n", Pos{1, 11}, []string{"is a string", "write an integer"}},
		{"syntax", "version = 1\nread = [\n", Pos{2, 9}, []string{"TOML"}},
		{"twice", "version = 1\nname = \"a\"\nname = \"b\"\n", Pos{3, 1}, []string{"name"}},
		{"unknown", "version = 1\nraed = []\n", Pos{2, 1}, []string{"raed: is not a key", "did you mean read?"}},
		{"dash", "version = 1\nbest-effort = true\n", Pos{2, 1}, []string{"did you mean best_effort?"}},
		{"far", "version = 1\nzzzzzzzz = 1\n", Pos{2, 1}, []string{"is not a key", "docs/MANIFEST.md"}},
		{"wrong table", "version = 1\ntimeout = \"1s\"\n", Pos{2, 1}, []string{"did you mean limits.timeout?"}},
		{"unknown limit", "version = 1\n[limits]\ntimeuot = \"1s\"\n", Pos{3, 1}, []string{"limits.timeuot", "did you mean limits.timeout?"}},
		{"unknown table", "version = 1\n[limit]\n", Pos{2, 2}, []string{"did you mean limits?"}},
		{"deep table", "version = 1\n[limits.timeout]\n", Pos{2, 9}, []string{"limits.timeout"}},
		{"table for value", "version = 1\nname = { a = 1 }\n", Pos{2, 1}, []string{"name: is not a table", "write a string"}},
		{"value for table", "version = 1\nenv = \"A=1\"\n", Pos{2, 1}, []string{"env: is a table", "[env]"}},
		{"array of tables", "version = 1\n[[read]]\npath = \"x\"\n", Pos{2, 3}, []string{"array of tables"}},
		{"string for list", "version = 1\nread = \"data\"\n", Pos{2, 8}, []string{"read: is a string", "array of strings"}},
		{"number in list", "version = 1\nread = [\"a\",\n 3]\n", Pos{3, 2}, []string{"is an integer", "write a string"}},
		{"climbing guest", "version = 1\nread = [\"data:../in\"]\n", Pos{2, 9}, []string{"\"../in\" has a component .."}},
		{"three fields", "version = 1\nread = [\"a:/b:ro\"]\n", Pos{2, 9}, []string{"more than one colon"}},
		{"deny with guest", "version = 1\ndeny = [\"a:/b\"]\n", Pos{2, 9}, []string{"guest path"}},
		{"empty grant", "version = 1\nread = [\"\"]\n", Pos{2, 9}, []string{"no host path"}},
		{"duration", "version = 1\n[limits]\ntimeout = \"soon\"\n", Pos{3, 11}, []string{"not a duration", "1m30s"}},
		{"negative", "version = 1\n[limits]\ntimeout = \"-1s\"\n", Pos{3, 11}, []string{"not more than zero"}},
		{"size", "version = 1\n[limits]\nmemory = \"64Q\"\n", Pos{3, 10}, []string{"not a size"}},
		{"zero size", "version = 1\n[limits]\nmemory = 0\n", Pos{3, 10}, []string{"is zero"}},
		{"bool size", "version = 1\n[limits]\nmemory = true\n", Pos{3, 10}, []string{"is a boolean"}},
		{"priority", "version = 1\n[limits]\npriority = 11\n", Pos{3, 12}, []string{"not a priority"}},
		{"capability", "version = 1\nallow = [\"inof\"]\n", Pos{2, 10}, []string{"did you mean \"info\"?"}},
		{"no capability", "version = 1\nallow = [\"none\"]\n", Pos{2, 10}, []string{"is not a capability"}},
		{"domain", "version = 1\ndomain = \"docker\"\n", Pos{2, 10}, []string{"not a domain"}},
		{"cwd", "version = 1\ncwd = \"here\"\n", Pos{2, 7}, []string{"not absolute"}},
		{"variable", "version = 1\n[env]\n\"A=B\" = \"1\"\n", Pos{3, 1}, []string{"in its name"}},
		{"variable value", "version = 1\n[env]\nA = 1\n", Pos{3, 5}, []string{"env.A: is an integer"}},
		{"NUL", "version = 1\nname = \"a\\u0000b\"\n", Pos{2, 8}, []string{"zero byte"}},
		{"bool", "version = 1\nbare = \"yes\"\n", Pos{2, 8}, []string{"is a string", "write a boolean"}},
		{"empty program", "version = 1\nprogram = \"\"\n", Pos{2, 11}, []string{"is empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.doc), "m.toml", "/d")
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want *Error", err)
			}
			if e.Pos != c.pos {
				t.Errorf("at %d:%d, want %d:%d: %v", e.Line, e.Column, c.pos.Line, c.pos.Column, err)
			}
			for _, w := range append(c.want, "m.toml:") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "run.toml")
	if err := os.WriteFile(file, []byte("version = 1\nread = [\"data\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Load(file)
	if err != nil || m.Grants[0].Host != filepath.Join(dir, "data") {
		t.Errorf("got %+v, %v; paths are relative to the manifest", m, err)
	}
	big := filepath.Join(dir, "big.toml")
	if err := os.WriteFile(big, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.toml"): "cannot be read",
		dir:                             "not a regular file",
		"/dev/null":                     "not a regular file",
		big:                             "at most",
	} {
		var e *Error
		if _, err := Load(path); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%s): %v, want %q", path, err, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(full))
	for _, s := range []string{"", "version = 1", "version=1\n[env]\nA='b'", "version=1\nlimits={timeout=1,cpus=0.5}", "version=1\n[[read]]", "a.b.c = 1979-05-27", "version = 1\nread=[[\"x\"]]", "\xff", "version = 1\n\"\" = 1", "version=1\nargs=['''\nx''']"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, "m", "/dir")
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			if m != nil {
				t.Fatal("a manifest besides an error")
			}
			lines := strings.Count(string(data), "\n") + 1
			if e.Problem == "" || e.Line > lines+1 {
				t.Fatalf("an error that does not help: %+v of %d lines", e, lines)
			}
			return
		}
		for _, g := range m.Grants {
			if !filepath.IsAbs(g.Host) || g.Guest != "" && g.Guest[0] != '/' || !g.Set() || strings.ContainsRune(g.Host, 0) {
				t.Errorf("grant %+v", g)
			}
		}
		for _, v := range m.Env {
			if CheckKey(v.Key) != "" || strings.ContainsRune(v.Value, 0) || !v.Set() {
				t.Errorf("variable %+v", v)
			}
		}
		for _, d := range []Value[time.Duration]{m.Limits.Timeout, m.Limits.CPUTime, m.KillAfter} {
			if d.Set() != (d.V > 0) {
				t.Errorf("duration %+v", d)
			}
		}
		for _, s := range []Value[uint64]{m.Limits.Memory, m.Limits.Disk, m.Limits.Output} {
			if s.Set() != (s.V > 0) || s.V > 1<<63 {
				t.Errorf("size %+v", s)
			}
		}
	})
}
