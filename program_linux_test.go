package agentos

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/guest"
)

// anyNative is a native domain for tests of what comes before it.
type anyNative struct{}

func (anyNative) Name() string { return "native" }
func (anyNative) Close() error { return nil }
func (anyNative) Load(context.Context, guest.Source) (guest.Program, error) {
	return nil, &guest.LoadError{Reason: "nothing is loaded here"}
}
func (anyNative) Shared() string                             { return "" }
func (anyNative) Enforcement() (map[string]string, []string) { return nil, nil }

// kernelWith is a kernel whose native domain is d, or could not be opened.
func kernelWith(d nativeDomain, err error) *Kernel {
	k := &Kernel{}
	k.native.once.Do(func() { k.native.domain, k.native.err = d, err })
	return k
}

// TestLoadFindsTheDomain: a module is read, Go is compiled, anything else is the
// native domain's and stays in its file.
func TestLoadFindsTheDomain(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const wasm = "\x00asm\x01\x00\x00\x00"
	module, elf, script := file("m.wasm", wasm), file("elf", "\x7fELF\x02"), file("script", "#!/bin/sh\n")
	text, short, empty := file("text", "hello"), file("short", "\x00a"), file("empty", "")
	source := file("pkg/main.go", "package main\n")
	host, wasmOnly := kernelWith(anyNative{}, nil), kernelWith(nil, errors.New("no namespaces"))
	for _, c := range []struct {
		name   string
		k      *Kernel
		spec   Spec
		domain string
		code   string // of the refusal
	}{
		{"module", host, Spec{Program: module}, "wasm", ""},
		{"module, asked for", host, Spec{Program: module, Domain: "wasm"}, "wasm", ""},
		{"module as native", host, Spec{Program: module, Domain: "native"}, "", "NOT-RUNNABLE"},
		{"module with a toolchain", host, Spec{Program: module, Toolchain: true}, "", "USAGE"},
		{"module by content", host, Spec{Program: "x", Image: []byte(wasm)}, "wasm", ""},
		{"ELF", host, Spec{Program: elf}, "native", ""},
		{"ELF, auto", host, Spec{Program: elf, Domain: "auto"}, "native", ""},
		{"ELF, asked for", host, Spec{Program: elf, Domain: "native"}, "native", ""},
		{"ELF as wasm", host, Spec{Program: elf, Domain: "wasm"}, "", "NOT-RUNNABLE"},
		{"ELF by content", host, Spec{Program: "x", Image: []byte("\x7fELF")}, "", "NOT-RUNNABLE"},
		{"script", host, Spec{Program: script}, "native", ""},
		{"text", host, Spec{Program: text}, "native", ""}, // the domain says what it is
		{"part of a module", host, Spec{Program: short}, "", "NOT-RUNNABLE"},
		{"empty", host, Spec{Program: empty}, "", "NOT-RUNNABLE"},
		{"Go file", host, Spec{Program: source}, "wasm", ""}, // compiled when the run has begun
		{"Go package", host, Spec{Program: filepath.Dir(source)}, "wasm", ""},
		{"Go file without a native domain", wasmOnly, Spec{Program: source}, "", "NO-COMPILE"},
		{"Go file as native", host, Spec{Program: source, Domain: "native"}, "native", ""},
		{"directory", host, Spec{Program: dir}, "", "NOT-RUNNABLE"},
		{"missing", host, Spec{Program: filepath.Join(dir, "none")}, "", "NOT-FOUND"},
		{"no such domain", host, Spec{Program: module, Domain: "docker"}, "", "USAGE"},
		{"no native domain", wasmOnly, Spec{Program: script}, "", "NO-NATIVE"},
		{"no native domain, asked for", wasmOnly, Spec{Program: elf, Domain: "native"}, "", "NO-NATIVE"},
		{"module without a native domain", wasmOnly, Spec{Program: module}, "wasm", ""},
	} {
		src, domain, err := c.k.load(&c.spec)
		var se *StartError
		if c.code != "" {
			if !errors.As(err, &se) || se.Code != "AGENTOS-"+c.code {
				t.Errorf("%s: %v, want %s", c.name, err, c.code)
			}
			continue
		}
		if err != nil || domain != c.domain {
			t.Errorf("%s: %q, %v, want %q", c.name, domain, err, c.domain)
		}
		if (src.Image != nil) != (domain == "wasm" && c.spec.source == nil) {
			t.Errorf("%s: %d bytes were read for %s", c.name, len(src.Image), domain)
		}
	}
}

// TestToolchainGrants: --toolchain names the program behind a shim and grants its
// installation, and leaves the caller's own list alone.
func TestToolchainGrants(t *testing.T) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home = filepath.Join(home, "u")
	t.Setenv("HOME", home)
	t.Setenv("PYENV_VERSION", "3.9.1")
	prefix := filepath.Join(home, ".pyenv/versions/3.9.1")
	real, shim := filepath.Join(prefix, "bin/python3"), filepath.Join(home, ".pyenv/shims/python3")
	for p, text := range map[string]string{real: "#!/usr/bin/env true\n", shim: "#!/bin/sh\nexec pyenv exec\n", filepath.Join(prefix, "lib/python3.9/os.py"): ""} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	k := kernelWith(anyNative{}, nil)
	given := append(make([]Grant, 0, 4), Grant{Kind: GrantRead, Host: "/usr/share", Source: "flag"})
	spec := Spec{Program: shim, Toolchain: true, Grants: given}
	if _, domain, err := k.load(&spec); err != nil || domain != "native" {
		t.Fatalf("%q, %v", domain, err)
	}
	want := []Grant{given[0], {Kind: GrantRead, Host: prefix, Source: "toolchain"}}
	if spec.Program != real || !slices.Equal(spec.Grants, want) {
		t.Errorf("program %s with %+v, want %s with %+v", spec.Program, spec.Grants, real, want)
	}
	if got := given[:2][1]; got != (Grant{}) {
		t.Errorf("the caller's list was written to: %+v", got)
	}

	// Without it the shim is refused, with the code for what it is.
	plain := Spec{Program: shim}
	_, err = k.resolveNative(&plain, []guest.Mount{{Guest: "/usr", Kind: guest.Bind, Host: "/usr", Dir: true}})
	var se *StartError
	if !errors.As(err, &se) || se.Status != 126 || se.Code != "AGENTOS-NOT-VISIBLE" || !strings.Contains(se.Error(), real) || !strings.Contains(se.Fix, "--read "+prefix) {
		t.Errorf("%v", err)
	}
}

// TestProgramErrors: what the command answers for each kind.
func TestProgramErrors(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "x")
	if err := os.WriteFile(p, []byte("\x7fELF\x02\x01\x01"), 0o755); err != nil {
		t.Fatal(err)
	}
	k := &Kernel{}
	for name, want := range map[string]struct {
		status int
		code   string
	}{
		p:                          {126, "AGENTOS-NOT-RUNNABLE"},
		filepath.Join(dir, "none"): {127, "AGENTOS-NOT-FOUND"},
	} {
		_, err := k.resolveNative(&Spec{Program: name, Env: []string{"PATH=/x"}}, nil)
		var se *StartError
		if !errors.As(err, &se) || se.Status != want.status || se.Code != want.code || se.Where != name {
			t.Errorf("%s: %+v", name, err)
		}
	}
	if s := nativeSurroundings(&Spec{Env: []string{"A=1", "PATH=/x"}}); s.Path != "/x" || s.Dir == "" {
		t.Errorf("%+v", s)
	}
}
