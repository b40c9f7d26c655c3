package agentos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/guest/gobuild"
	"github.com/agentos-kernel/agentos/guest/native/program"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

// The limits of a compilation. They are not those of the run: what fits a program
// need not fit its compiler.
const (
	compileTime   = 10 * time.Minute
	compileDisk   = 2 << 30
	maxDiagnostic = 64 << 10
	maxListing    = 1 << 20
)

// goSource is a program that is to be compiled.
type goSource struct {
	pkg       *gobuild.Package
	toolchain *gobuild.Toolchain
	modules   string // the cache of modules, "" if it is not needed
}

// String says what compiles the program.
func (s *goSource) String() string {
	what := s.pkg.Root
	if s.modules != "" {
		what += " and " + s.modules
	}
	return fmt.Sprintf("by %s at %s as a native program that reads %s", s.toolchain.Version, s.toolchain.Root, what)
}

// inner is what a run of the kernel's own is lent besides what it is granted.
type inner struct {
	host, guest string // a directory of the state directory, "" for none
	write       bool
}

// lend adds to a view what no grant can give. It comes after all that looks at
// grants.
func (v *view) lend(in *inner) error {
	if in == nil || in.host == "" {
		return nil
	}
	id, err := hostfs.Identify(in.host)
	if err != nil {
		return refuse("SETUP", in.host, "cannot be lent to the compiler: "+err.Error(), "", err)
	}
	v.mounts = append(v.mounts, mount{guest: in.guest, host: in.host, id: id, dir: true, write: in.write, source: "kernel"})
	return nil
}

// locateGo finds out what it takes to compile the program that a spec names, and
// whether there is all of it.
func (k *Kernel) locateGo(spec *Spec) error {
	no := func(problem, fix string, err error) error {
		return notRunnable("NO-COMPILE", spec.Program, problem, fix, err)
	}
	const byHand = "compile it yourself: GOOS=wasip1 GOARCH=wasm go build -o program.wasm"
	if spec.Toolchain {
		return refuse("USAGE", "--toolchain", spec.Program+" is Go source, and becomes a WebAssembly module, which needs no installation", "leave it out", nil)
	}
	if !hasNative {
		return no("is Go source, and compiling it takes the native domain, which this system does not have", byHand, nil)
	}
	d, err := k.nativeDomain()
	if err != nil {
		return no("is Go source, and this host has nothing to confine the compiler with: "+err.Error(), "agentos doctor says what to change", err)
	}
	if why := d.Shared(); why != "" {
		return no("is Go source, and without Linux namespaces the compiler has no place of its own to work in: "+why, byHand, nil)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // then nothing is known to be in it
	}
	src := new(goSource)
	var ge *gobuild.Error
	if src.pkg, err = gobuild.Locate(spec.Program, home); errors.As(err, &ge) {
		return no(ge.Problem, ge.Fix, err)
	}
	name := gobuild.Find(os.Getenv("PATH"))
	if name == "" {
		return no("is Go source, and there is no go command on your PATH to compile it with", "install Go from https://go.dev/dl, or put its bin directory on PATH", nil)
	}
	in, err := program.Toolchain(name, nativeSurroundings(&Spec{}))
	if err != nil {
		return no("is Go source, and it cannot be told which Go compiles it: "+err.Error(), "put the bin directory of a Go installation on your PATH", err)
	}
	if src.toolchain, err = gobuild.Inspect(in.Program); errors.As(err, &ge) {
		return no("is Go source, and "+ge.Problem, ge.Fix, err)
	}
	if src.pkg.Modules {
		src.modules = gobuild.ModuleCache(os.Getenv, home)
	}
	spec.source = src
	return nil
}

// compilation is one program on its way to be a module.
type compilation struct {
	*goSource
	k       *Kernel
	p       *Process
	program string
	std     *gobuild.Std // nil without a state directory
}

// goStores opens the store of compiled Go when it is needed first.
type goStores struct {
	once  sync.Once
	store *gobuild.Store // nil if nothing is kept
	err   error
}

func (k *Kernel) goStore() (*gobuild.Store, error) {
	s := &k.goKept
	s.once.Do(func() {
		if k.state == nil || k.config.NoCache {
			return // Degraded says so
		}
		var dir string
		if dir, s.err = k.state.Cache(); s.err == nil {
			s.store, s.err = gobuild.OpenStore(filepath.Join(dir, "go"))
		}
	})
	return s.store, s.err
}

// compileGo makes a module of the source of a run, or finds the one that was made of
// it before. ctx ends with the run.
func (k *Kernel) compileGo(ctx context.Context, p *Process) ([]byte, error) {
	c := &compilation{goSource: p.spec.source, k: k, p: p, program: p.spec.Program}
	store, err := k.goStore()
	if err != nil {
		p.degrade(fmt.Sprintf("cache: %v; the program is compiled anew", err))
	}
	if store == nil {
		return c.build(ctx)
	}
	key, why := c.key()
	if key == "" {
		p.degrade("cache: the compiled program is not kept: " + why)
	} else if image := store.Program(key, maxImage); image != nil {
		return image, nil
	}
	if c.std, err = store.Std(c.toolchain); err != nil {
		p.degrade(fmt.Sprintf("cache: %v; the standard library is compiled anew", err))
		c.std = nil
	}
	image, err := c.build(ctx)
	if err != nil || key == "" {
		return image, err
	}
	// What was changed meanwhile is not what the key says.
	if after, _ := c.key(); after == key {
		if err := store.Keep(key, image); err != nil {
			p.degrade(fmt.Sprintf("cache: the compiled program could not be kept: %v", err))
		}
	}
	return image, nil
}

func (c *compilation) key() (key, why string) {
	return c.pkg.Key(c.toolchain, c.k.state.Path())
}

// build compiles: it asks what the program needs of the standard library, adds to the
// library that is kept, and runs the compiler with it.
func (c *compilation) build(ctx context.Context) ([]byte, error) {
	listing := &bounded{most: maxListing}
	rep, diag, err := c.run(ctx, "list", c.pkg.List(c.toolchain, c.modules), c.grants(), &inner{}, listing)
	if err != nil {
		return nil, err
	}
	if rep.Cause != abi.CauseExited.String() {
		return nil, c.ended(rep, diag)
	}
	listed := gobuild.ParseList(c.toolchain, string(listing.kept))
	if listed.Name != "" && listed.Name != "main" {
		return nil, notRunnable("COMPILE", c.program, fmt.Sprintf("is package %s, which other programs import, and no program", listed.Name), "name the directory of a package main", nil)
	}
	if c.std == nil {
		return c.compile(ctx, &inner{})
	}
	err = c.std.Grow(ctx, listed.Std, func(missing []string) error { return c.grow(ctx, missing) })
	if err == nil {
		err = c.std.Read(ctx)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		c.p.degrade(fmt.Sprintf("cache: %v; the standard library is compiled anew", err))
		return c.compile(ctx, &inner{})
	}
	image, err := c.compile(ctx, &inner{host: c.std.Cache(), guest: gobuild.StdCache})
	return image, errors.Join(err, c.std.Close())
}

// grow compiles packages of the toolchain's own standard library into what is kept.
func (c *compilation) grow(ctx context.Context, missing []string) error {
	lent := &inner{host: c.std.Cache(), guest: gobuild.StdCache, write: true}
	rep, diag, err := c.run(ctx, "std", c.toolchain.Std(missing), c.toolchainGrant(), lent, io.Discard)
	if err == nil && (rep.Cause != abi.CauseExited.String() || rep.ExitCode != 0) {
		err = fmt.Errorf("the standard library could not be compiled (%s %s): %s", rep.Cause, rep.Detail, firstLine(diag))
	}
	return err
}

// compile runs the compiler and returns the module.
func (c *compilation) compile(ctx context.Context, lent *inner) ([]byte, error) {
	out := &bounded{most: maxImage}
	rep, diag, err := c.run(ctx, "build", c.pkg.Build(c.toolchain, c.modules, lent.host != ""), c.grants(), lent, out)
	if err != nil {
		return nil, err
	}
	if rep.ExitCode != 0 && lent.host != "" && !c.std.Sound() {
		c.p.degrade("cache: the compiled standard library was damaged, and is compiled anew")
		if err := c.std.Drop(); err != nil {
			return nil, err
		}
		return c.compile(ctx, &inner{})
	}
	switch {
	case rep.Cause != abi.CauseExited.String(), rep.ExitCode != 0:
		return nil, c.ended(rep, diag)
	case out.over:
		return nil, notRunnable("NOT-RUNNABLE", c.program, "makes a module larger than 256 MiB", "", nil)
	case !bytes.HasPrefix(out.kept, []byte(wasmMagic)):
		return nil, notRunnable("COMPILE", c.program, "compiles to something that is no program", "name the directory of a package main", nil)
	}
	return out.kept, nil
}

// ended says why a compilation that ran has made no module. What the compiler wrote
// goes where the program's messages would have gone.
func (c *compilation) ended(rep *Report, diag string) error {
	if rep.Cause != abi.CauseExited.String() {
		return notRunnable("TOO-COSTLY", c.program, fmt.Sprintf("could not be compiled: the compiler ended by %s: %s", rep.Cause, rep.Detail), "compile it yourself: GOOS=wasip1 GOARCH=wasm go build -o program.wasm", nil)
	}
	if w := c.p.spec.Stderr; w != nil {
		_, _ = io.WriteString(w, diag) // the error says the most important of it again
	}
	return notRunnable("COMPILE", c.program, "does not compile with "+c.toolchain.Version+": "+firstLine(diag), c.pkg.Advice(diag), nil)
}

// firstLine returns the first line of what a compiler wrote that is about the source.
func firstLine(diag string) string {
	for line := range strings.Lines(diag) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go: downloading") {
			return line
		}
	}
	return "it gives no reason"
}

// grants are what the compiler sees of the host: the source, and what it names.
func (c *compilation) grants() []Grant {
	g := append(c.toolchainGrant(), Grant{Kind: GrantRead, Host: c.pkg.Root, Source: "compile"})
	if c.modules != "" {
		g = append(g, Grant{Kind: GrantRead, Host: c.modules, Source: "compile"})
	}
	return g
}

func (c *compilation) toolchainGrant() []Grant {
	for _, shown := range [...]string{"/usr", "/nix/store"} {
		if beneath(c.toolchain.Root, shown) {
			return nil
		}
	}
	return []Grant{{Kind: GrantRead, Host: c.toolchain.Root, Source: "toolchain"}}
}

// run runs a command of the toolchain as a process of its own.
func (c *compilation) run(ctx context.Context, step string, cmd gobuild.Command, grants []Grant, lent *inner, out io.Writer) (*Report, string, error) {
	diag := &bounded{most: maxDiagnostic}
	rep, err := c.k.Run(ctx, Spec{
		Program: cmd.Program, Args: cmd.Args, Env: cmd.Env, Domain: "native", Name: "compile " + c.program + " (" + step + ")",
		Grants: grants, Dir: c.dir(lent), BestEffort: c.p.spec.BestEffort, KillAfter: time.Millisecond,
		Limits: Limits{Timeout: compileTime, Disk: compileDisk, Output: maxImage + maxListing, Pids: 4096},
		Stdout: out, Stderr: diag, inner: lent,
	})
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if se := (*StartError)(nil); errors.As(err, &se) {
		return nil, "", &StartError{Status: se.Status, Code: se.Code, Where: c.program, Problem: "its compiler cannot run: " + se.Where + ": " + se.Problem, Fix: se.Fix, Err: err}
	}
	if err != nil {
		return nil, "", fmt.Errorf("compiling %s: %w", c.program, err)
	}
	for _, d := range rep.Degraded {
		c.p.degrade("compiler: " + d)
	}
	return rep, string(diag.kept), nil
}

// dir is where the compiler works: the caller's directory if the compiler sees it, so
// that it names files as the caller does.
func (c *compilation) dir(lent *inner) string {
	if lent.write {
		return "/"
	}
	if wd, err := os.Getwd(); err == nil && !c.pkg.Lone {
		if real, err := filepath.EvalSymlinks(wd); err == nil && beneath(real, c.pkg.Root) {
			return real
		}
	}
	return c.pkg.Dir
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	kept []byte
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.most-len(b.kept))
	b.over = b.over || n < len(p)
	b.kept = append(b.kept, p[:n]...)
	return len(p), nil
}
