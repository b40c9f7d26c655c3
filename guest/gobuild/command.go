package gobuild

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where things are in the view of a compilation.
const (
	StdCache  = "/run/go-std"      // the compiled standard library, if it is lent
	workCache = "/var/tmp/go-work" // what this compilation compiles
	noModules = "/var/tmp/go-none" // in place of the cache of modules; not there
)

// flags of every build: nothing of the directory's history or its place is put into
// the module, so that the same source makes the same one.
var flags = []string{"-trimpath", "-buildvcs=false"}

// Command is a program to be run in the native domain.
type Command struct {
	Program string // guest path
	Args    []string
	Env     []string
}

// environment is all that the go command is told. What is not here is off, or its
// default: GOENV=off has the user's own settings ignored.
func environment(cache, modules string) []string {
	if modules == "" {
		modules = noModules
	}
	return []string{
		"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0",
		"GOENV=off", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=", "GOTELEMETRY=off",
		"GOPROXY=off", "GOSUMDB=off", "GOVCS=*:off", "GOAUTH=off",
		"GOPATH=/var/tmp/go", "GOMODCACHE=" + modules, "GOCACHE=" + cache,
	}
}

// List returns the command that tells what a package is and which packages of the
// standard library it takes. Errors in the source are left for the build to say.
func (p *Package) List(t *Toolchain, modules string) Command {
	const format = `{{if .Standard}}std {{.ImportPath}}{{else if and .GoFiles (not .DepOnly)}}name {{.Name}}{{end}}`
	return Command{Program: t.Go, Args: append([]string{"list", "-e", "-deps", "-f", format}, p.Sources...), Env: environment(workCache, modules)}
}

// Listed is the answer of List.
type Listed struct {
	Name string   // of the package, "" if it has no files that count here
	Std  []string // what it imports, directly or not, of the standard library, sorted
}

// importPath is what a public package of the standard library can be called.
var importPath = regexp.MustCompile(`^[a-z][a-z0-9]*(/[a-z][a-z0-9]*)*$`)

// ParseList reads what the command of List wrote. It was written next to source that
// may want to deceive: only names of packages that the installation has are taken
// over.
func ParseList(t *Toolchain, out string) Listed {
	var l Listed
	for line := range strings.Lines(out) {
		kind, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case kind == "name":
			l.Name = value
		case kind == "std" && t.public(value):
			l.Std = append(l.Std, value)
		}
	}
	slices.Sort(l.Std)
	l.Std = slices.Compact(l.Std)
	return l
}

// public reports whether a package of the standard library can be imported by
// programs. What it imports itself is compiled along with it.
func (t *Toolchain) public(name string) bool {
	if len(name) > 100 || !importPath.MatchString(name) || name == "unsafe" {
		return false
	}
	parts := strings.Split(name, "/")
	if parts[0] == "vendor" || parts[0] == "cmd" || slices.Contains(parts, "internal") {
		return false
	}
	fi, err := os.Stat(filepath.Join(t.Root, "src", filepath.FromSlash(name)))
	return err == nil && fi.IsDir()
}

// Std returns the command that compiles packages of the standard library into
// [StdCache], which is lent to it for writing. It sees no source but the toolchain's.
func (t *Toolchain) Std(packages []string) Command {
	return Command{Program: t.Go, Args: append(append([]string{"build"}, flags...), packages...), Env: environment(StdCache, "")}
}

// Shell is what prepares the cache of a compilation and runs the compiler.
const Shell = "/bin/sh"

// prepare links what the standard library's cache has into a cache that can be added
// to. Without a cp that can do it everything is compiled: slower, and the same. The
// time keeps go from looking through it for what is old.
const prepare = `if mkdir "$GOCACHE" && cp -rs ` + StdCache + `/. "$GOCACHE"; then rm -f "$GOCACHE/trim.txt"; echo "$0" >"$GOCACHE/trim.txt"; fi 2>/dev/null; exec "$@"`

// Build returns the command that writes the module to its standard output. With std,
// the standard library's cache is lent to it for reading.
func (p *Package) Build(t *Toolchain, modules string, std bool) Command {
	args := append(append([]string{"build"}, flags...), "-o", "/dev/stdout")
	c := Command{Program: t.Go, Args: append(args, p.Sources...), Env: environment(workCache, modules)}
	if std {
		c.Program, c.Args = Shell, append([]string{"-c", prepare, strconv.FormatInt(time.Now().Unix(), 10), t.Go}, c.Args...)
	}
	return c
}

// Advice returns what to do about a failed build, "" if the source has to be mended.
func (p *Package) Advice(diagnostics string) string {
	switch {
	case strings.Contains(diagnostics, "GOPROXY=off"), strings.Contains(diagnostics, "/cache/download"), strings.Contains(diagnostics, "GOFLAGS=-mod=mod"), strings.Contains(diagnostics, "missing go.sum entry"),
		strings.Contains(diagnostics, "no required module provides package"):
		return "nothing is downloaded while it is compiled: run `go mod tidy` and `go mod download` in it first, if you trust what it names"
	case strings.Contains(diagnostics, "GOTOOLCHAIN=local"):
		return "put a newer Go on your PATH: none is downloaded"
	case strings.Contains(diagnostics, "build constraints exclude all Go files"):
		return "it is compiled for GOOS=wasip1 GOARCH=wasm, without cgo"
	case strings.Contains(diagnostics, "replacement directory") && strings.Contains(diagnostics, "does not exist"):
		return fmt.Sprintf("only %s is shown to the compiler: copy what it replaces with `go mod vendor`", p.Root)
	}
	return ""
}
