package deps

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed is the list of modules that may be in the build, with the licence
// that their own LICENSE file must show, and what each is for.
var allowed = []struct{ module, spdx, purpose string }{
	{wazero, "Apache-2.0", "compiles and runs WebAssembly in pure Go"},
	{cobra, "Apache-2.0", "the commands of the command line"},
	{pflag, "BSD-3-Clause", "cobra's flags"},
	{toml, "MIT", "manifests, with positions in errors"},
	{cedar, "Apache-2.0", "policies in the Cedar language"},
	{"github.com/go-json-experiment/json", "BSD-3-Clause", "cedar's"},
	{"golang.org/x/exp", "BSD-3-Clause", "cedar's"},
	{xsys, "BSD-3-Clause", "system calls that the standard library lacks"},
	{xterm, "BSD-3-Clause", "whether a descriptor is a terminal, and its width"},
	{"github.com/inconshreveable/mousetrap", "Apache-2.0", "cobra's, on Windows only"},
	{goleak, "MIT", "tests: goroutines that outlive their owner"},
	{testscript, "BSD-3-Clause", "tests: scripts of the command line"},
	{otter, "Apache-2.0", "benchmarks: what the decision cache is compared with"},
	{ristretto, "Apache-2.0", "benchmarks: what the decision cache is compared with"},
	{"github.com/cespare/xxhash/v2", "MIT", "benchmarks: ristretto's"},
	{"github.com/dustin/go-humanize", "MIT", "benchmarks: ristretto's"},
	{"golang.org/x/tools", "BSD-3-Clause", "tests: testscript's archives"},
	{"golang.org/x/mod", "BSD-3-Clause", "tests: testscript's archives"},
}

// acceptable are the licences that may come into an Apache-2.0 program.
var acceptable = []string{"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC"}

// spdx recognizes a licence text, or returns "".
func spdx(text []byte) string {
	text = bytes.Join(bytes.Fields(text), []byte(" "))
	has := func(s string) bool { return bytes.Contains(text, []byte(s)) }
	switch {
	case has("GNU ") && has("GENERAL PUBLIC LICENSE"), has("Mozilla Public License"):
		return ""
	case has("Apache License Version 2.0"):
		return "Apache-2.0"
	case has("Redistribution and use in source and binary forms"):
		// The third clause names the copyright holder or "the contributors".
		if has("Neither the name") || has("may be used to endorse or promote products") {
			return "BSD-3-Clause"
		}
		return "BSD-2-Clause"
	case has("Permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT"
	case has("Permission to use, copy, modify, and/or distribute this software"):
		return "ISC"
	}
	return ""
}

// module is what the go command tells of one.
type module struct {
	Path, Version, Dir string
	Main               bool
	Replace            *module
}

func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// TestLicences holds go.mod, and every module that any build or test of ours
// uses on any platform, to the list above, and each LICENSE file to its row.
func TestLicences(t *testing.T) {
	var mod struct {
		Require []struct{ Path string }
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(goCommand(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Replace {
		t.Errorf("go.mod replaces %s: others who build us would get something else", r.Old.Path)
	}
	row := func(path string) int {
		return slices.IndexFunc(allowed, func(a struct{ module, spdx, purpose string }) bool { return a.module == path })
	}
	for _, r := range mod.Require {
		if row(r.Path) < 0 {
			t.Errorf("go.mod requires %s: give it a row with its licence and purpose, and a line in docs/RATIONALE.md", r.Path)
		}
	}
	for _, a := range allowed {
		if !slices.Contains(acceptable, a.spdx) {
			t.Errorf("%s: licence %q is not one of %q", a.module, a.spdx, acceptable)
		}
		if a.purpose == "" {
			t.Errorf("%s: no purpose", a.module)
		}
	}

	seen := make(map[string]bool)
	for _, platform := range []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"} {
		goos, goarch, _ := strings.Cut(platform, "/")
		t.Setenv("GOOS", goos)
		t.Setenv("GOARCH", goarch)
		t.Setenv("CGO_ENABLED", "0")
		dec := json.NewDecoder(bytes.NewReader(goCommand(t, "list", "-e", "-deps", "-test", "-json=Module", "./...")))
		for dec.More() {
			var p struct{ Module *module }
			if err := dec.Decode(&p); err != nil {
				t.Fatal(err)
			}
			m := p.Module
			if m == nil || m.Main || seen[m.Path] {
				continue
			}
			seen[m.Path] = true
			i := row(m.Path)
			if i < 0 {
				t.Errorf("%s: %s is in the build and not in the list", platform, m.Path)
				continue
			}
			if got := licenceOf(t, m.Dir); got != allowed[i].spdx {
				t.Errorf("%s %s: its licence file reads as %q, the list says %s", m.Path, m.Version, got, allowed[i].spdx)
			}
		}
	}
	if !seen[wazero] {
		t.Error("wazero is in no build: the listing is broken")
	}
}

func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			return spdx(text)
		}
	}
	t.Errorf("%s: no licence file", dir)
	return ""
}

func TestOwnLicence(t *testing.T) {
	if got := licenceOf(t, root); got != "Apache-2.0" {
		t.Errorf("LICENSE reads as %q", got)
	}
}

func TestLicencesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"                                 Apache License\n   Version 2.0, January 2004": "Apache-2.0",
		"GNU LESSER GENERAL PUBLIC LICENSE":                                             "",
		"Mozilla Public License, version 2.0":                                           "",
		"Permission is hereby granted, free of charge, to any person obtaining a\ncopy": "MIT",
		"Redistribution and use in source and binary forms, with":                       "BSD-2-Clause",
		"Redistribution and use in source and binary forms, with or\nwithout … Neither the name of Google LLC nor the names of its contributors": "BSD-3-Clause",
		"All rights reserved.": "",
	} {
		if got := spdx([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
