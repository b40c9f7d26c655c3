package gobuild

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files; a name that ends in / is a directory, a content that begins with
// "-> " a symbolic link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, files)
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "-> "); {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case link:
			err = os.Symlink(target, p)
		default:
			err = os.WriteFile(p, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMinor(t *testing.T) {
	for _, c := range []struct {
		version string
		minor   int
		ok      bool
	}{
		{"go1.26.3", 26, true}, {"go1.21", 21, true}, {"go1.27rc1", 27, true}, {"go1.x", 0, false}, {"devel go1.27-abc", 0, false}, {"", 0, false},
	} {
		if m, ok := minorOf(c.version); m != c.minor || ok != c.ok {
			t.Errorf("%q: %d %t", c.version, m, ok)
		}
	}
}

func TestInspect(t *testing.T) {
	install := func(version string) map[string]string {
		return map[string]string{"go/bin/go": "binary", "go/src/runtime/": "", "go/VERSION": version, "go/pkg/tool/linux_amd64/compile": "c",
			"shown/go": "-> ../go/bin/go"}
	}
	for _, c := range []struct {
		name    string
		change  func(map[string]string)
		problem string
	}{
		{"whole", func(map[string]string) {}, ""},
		{"too old", func(f map[string]string) { f["go/VERSION"] = "go1.20.14\ntime 2024" }, "go1.20.14 at .* is too old"},
		{"no library", func(f map[string]string) { delete(f, "go/src/runtime/") }, "no standard library"},
		{"no version", func(f map[string]string) { delete(f, "go/VERSION") }, "does not say its version"},
		{"no compiler", func(f map[string]string) { delete(f, "go/pkg/tool/linux_amd64/compile") }, "no compiler"},
		{"a script elsewhere", func(f map[string]string) { delete(f, "shown/go"); f["shown/go"] = "#!/bin/sh\nexec something" }, "not the go command of an installation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := install("go1.26.0\ntime 2026")
			c.change(files)
			dir := tree(t, files)
			tc, err := Inspect(filepath.Join(dir, "shown", "go"))
			if c.problem != "" {
				matches(t, err, c.problem)
				return
			}
			if err != nil || tc.Version != "go1.26.0" || tc.Root != filepath.Join(dir, "go") || tc.Go != filepath.Join(dir, "go/bin/go") || tc.ID == "" {
				t.Fatalf("%+v, %v", tc, err)
			}
			write(t, dir, map[string]string{"go/pkg/tool/linux_amd64/compile": "another compiler"})
			if after, err := Inspect(filepath.Join(dir, "shown", "go")); err != nil || after.ID == tc.ID {
				t.Errorf("another compiler, and the installation has the same name: %v", err)
			}
		})
	}
}

func matches(t *testing.T, err error, pattern string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", pattern)
	}
	for part := range strings.SplitSeq(pattern, ".*") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q, want %s", err, pattern)
		}
	}
}

func TestFind(t *testing.T) {
	dir := tree(t, map[string]string{"a/go/": "", "b/go": "x", "c/go": "x"})
	if err := os.Chmod(filepath.Join(dir, "b/go"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "c"))
	list := strings.Join([]string{".", "", filepath.Join(dir, "a"), filepath.Join(dir, "b")}, string(filepath.ListSeparator))
	if got := Find(list); got != "" {
		t.Errorf("found %s: neither a relative entry, nor a directory, nor a file that is not executable counts", got)
	}
	if got := Find(list + string(filepath.ListSeparator) + filepath.Join(dir, "c")); got != filepath.Join(dir, "c/go") {
		t.Errorf("found %q", got)
	}
}

func TestLocate(t *testing.T) {
	dir := tree(t, map[string]string{
		"home/go.mod": "module home\n", "home/x/hello.go": "package main", "home/x/other.go": "package main",
		"home/m/go.mod": "module m\nrequire example.org/a v1.0.0\n", "home/m/cmd/tool/main.go": "package main", "home/m/main.go": "package main",
		"home/v/go.mod": "module v\nrequire (\n)\n", "home/v/vendor/": "", "home/v/main.go": "package main",
		"home/plain/go.mod": "module plain\n", "home/plain/main.go": "package main", "home/link.go": "-> m/cmd/tool/main.go",
		"open/go.mod": "module open\n", "open/main.go": "package main", "open/sub/main.go": "package main",
		"none/main.go": "package main", "none/a_test.go": "package main", "none/_x.go": "x", "none/b.go": "package main",
		"tests/a_test.go": "package main", "openone/main.go": "package main",
	})
	for _, open := range []string{"open", "openone"} {
		if err := os.Chmod(filepath.Join(dir, open), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(dir, "home")
	for _, c := range []struct {
		program, root string
		sources       []string
		module, lone  bool
		modules       bool
		problem       string
	}{
		{program: "home/m", root: "home/m", sources: []string{"home/m"}, module: true, modules: true},
		{program: "home/m/cmd/tool", root: "home/m", sources: []string{"home/m/cmd/tool"}, module: true, modules: true},
		{program: "home/m/cmd/tool/main.go", root: "home/m", sources: []string{"home/m/cmd/tool/main.go"}, module: true, modules: true},
		{program: "home/link.go", root: "home/m", sources: []string{"home/m/cmd/tool/main.go"}, module: true, modules: true},
		{program: "home/v", root: "home/v", sources: []string{"home/v"}, module: true},
		{program: "home/plain", root: "home/plain", sources: []string{"home/plain"}, module: true},
		{program: "home/x/hello.go", root: "home/x/hello.go", sources: []string{"home/x/hello.go"}, lone: true},
		{program: "home/x", problem: "your home directory"},
		{program: "open/main.go", root: "open/main.go", sources: []string{"open/main.go"}, lone: true},
		{program: "open", problem: "everybody may write"},
		{program: "open/sub", problem: "everybody may write"},
		{program: "none", root: "none", sources: []string{"none/b.go", "none/main.go"}},
		{program: "none/b.go", root: "none/b.go", sources: []string{"none/b.go"}, lone: true},
		{program: "tests", problem: "no Go files but tests"},
		{program: "openone", problem: "everybody may write"},
		{program: "missing.go", problem: "cannot be followed"},
	} {
		t.Run(c.program, func(t *testing.T) {
			p, err := Locate(filepath.Join(dir, c.program), home)
			if c.problem != "" {
				matches(t, err, c.problem)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var sources []string
			for _, s := range p.Sources {
				rel, err := filepath.Rel(dir, s)
				if err != nil {
					t.Fatal(err)
				}
				sources = append(sources, rel)
			}
			if p.Root != filepath.Join(dir, c.root) || !slices.Equal(sources, c.sources) || p.Module != c.module || p.Lone != c.lone || p.Modules != c.modules {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestKey: the key changes with whatever the compiler could see, and with nothing
// else.
func TestKey(t *testing.T) {
	files := map[string]string{
		"go.mod": "module m\n", "main.go": "package main", "data/a.txt": "a", ".git/HEAD": "x", "state/run": "1", "empty/": "", "in": "-> data/a.txt", "data/up": "-> ../main.go",
	}
	key := func(t *testing.T, dir string, tc *Toolchain, program string) (string, string) {
		t.Helper()
		p, err := Locate(filepath.Join(dir, program), "")
		if err != nil {
			t.Fatal(err)
		}
		return p.Key(tc, filepath.Join(dir, "state"))
	}
	tc := &Toolchain{ID: "one"}
	first, why := key(t, tree(t, files), tc, ".")
	if first == "" {
		t.Fatal(why)
	}
	for _, c := range []struct {
		name string
		edit map[string]string
		same bool
	}{
		{"nothing", nil, true},
		{"history", map[string]string{".git/HEAD": "y"}, true},
		{"what the compiler cannot see", map[string]string{"state/run": "2"}, true},
		{"source", map[string]string{"main.go": "package main "}, false},
		{"data", map[string]string{"data/a.txt": "b"}, false},
		{"a new file", map[string]string{"data/b.txt": ""}, false},
		{"a new directory", map[string]string{"more/": ""}, false},
		{"a link", map[string]string{"other": "-> data/a.txt"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tree(t, files)
			write(t, dir, c.edit)
			if k, why := key(t, dir, tc, "."); k == "" || (k == first) != c.same {
				t.Errorf("key %q (%s), at first %q", k, why, first)
			}
		})
	}
	dir := tree(t, files)
	if k, _ := key(t, dir, &Toolchain{ID: "two"}, "."); k == first {
		t.Error("another toolchain, and the same key")
	}
	if k, _ := key(t, dir, tc, "main.go"); k == first {
		t.Error("a file of the package, and the key of the package")
	}
	for _, target := range []string{"/etc/passwd", "../x", "data/../../x", "in/../.."} {
		dir := tree(t, files)
		write(t, dir, map[string]string{"out": "-> " + target})
		if k, why := key(t, dir, tc, "."); k != "" || !strings.Contains(why, "out is a symbolic link that leads out") {
			t.Errorf("%s: key %q, %q", target, k, why)
		}
	}
}

func TestKeyOfALoneFile(t *testing.T) {
	dir := tree(t, map[string]string{"a.go": "package main", "b.go": "package main"})
	key := func(name string) string {
		p, err := Locate(filepath.Join(dir, name), "")
		if err != nil {
			t.Fatal(err)
		}
		k, why := p.Key(&Toolchain{}, "")
		if k == "" {
			t.Fatal(why)
		}
		return k
	}
	first := key("a.go")
	write(t, dir, map[string]string{"b.go": "package other"})
	if key("a.go") != first {
		t.Error("a file beside it changed, which the compiler does not see")
	}
	write(t, dir, map[string]string{"a.go": "package main\n"})
	if key("a.go") == first {
		t.Error("the file changed, and its key did not")
	}
}

// TestParseList: what stands in the list was written beside hostile source.
func TestParseList(t *testing.T) {
	root := tree(t, map[string]string{"src/fmt/": "", "src/crypto/sha256/": "", "src/unsafe/": "", "src/internal/abi/": "", "src/crypto/internal/boring/": "",
		"src/vendor/golang.org/x/net/idna/": "", "src/cmd/go/": "", "src/nosuch": "a file"})
	l := ParseList(&Toolchain{Root: root}, strings.Join([]string{
		"std fmt", "std fmt", "std crypto/sha256", "std unsafe", "std internal/abi", "std crypto/internal/boring", "std vendor/golang.org/x/net/idna", "std cmd/go",
		"std -toolexec=/tmp/x", "std ../../tmp", "std /etc", "std fmt;id", "std no/such", "std nosuch", "name main", "other",
	}, "\n"))
	if l.Name != "main" || !slices.Equal(l.Std, []string{"crypto/sha256", "fmt"}) {
		t.Errorf("%+v", l)
	}
}

// TestEnvironment: whatever changes what a compilation does is set, so that nothing
// else can set it.
func TestEnvironment(t *testing.T) {
	p := &Package{Sources: []string{"/src"}}
	tc := &Toolchain{Go: "/go/bin/go"}
	for _, c := range []Command{p.List(tc, ""), p.Build(tc, "", true), p.Build(tc, "/mod", false), tc.Std([]string{"fmt"})} {
		for _, want := range []string{"CGO_ENABLED=0", "GOENV=off", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=", "GOPROXY=off", "GOOS=wasip1", "GOARCH=wasm"} {
			if !slices.Contains(c.Env, want) {
				t.Errorf("%v: no %s in %v", c.Args, want, c.Env)
			}
		}
	}
	if b := p.Build(tc, "/mod", false); b.Program != tc.Go || !slices.Contains(b.Env, "GOMODCACHE=/mod") || b.Args[len(b.Args)-1] != "/src" || !slices.Contains(b.Args, "-buildvcs=false") {
		t.Errorf("%+v", b)
	}
}

func TestModuleCache(t *testing.T) {
	dir := tree(t, map[string]string{"home/go/pkg/mod/": "", "set/": "", "path/pkg/mod/": "", "conf/go/env": "GOFLAGS=-x\nGOMODCACHE=SET\n", "file": "x"})
	write(t, dir, map[string]string{"conf/go/env": "GOMODCACHE=" + filepath.Join(dir, "set") + "\n"})
	at := func(p string) string { return filepath.Join(dir, p) }
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"default", nil, at("home/go/pkg/mod")},
		{"variable", map[string]string{"GOMODCACHE": at("set")}, at("set")},
		{"GOPATH", map[string]string{"GOPATH": at("path") + string(filepath.ListSeparator) + at("other")}, at("path/pkg/mod")},
		{"file", map[string]string{"XDG_CONFIG_HOME": at("conf")}, at("set")},
		{"variable before file", map[string]string{"XDG_CONFIG_HOME": at("conf"), "GOMODCACHE": at("path")}, at("path")},
		{"not there", map[string]string{"GOMODCACHE": at("nowhere")}, ""},
		{"no directory", map[string]string{"GOMODCACHE": at("file")}, ""},
		{"relative", map[string]string{"GOMODCACHE": "set"}, ""},
	} {
		if got := ModuleCache(func(k string) string { return c.env[k] }, at("home")); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
