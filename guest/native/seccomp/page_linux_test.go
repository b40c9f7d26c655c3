//go:build linux && (amd64 || arm64)

package seccomp

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write docs/SECCOMP.md instead of comparing it")

// page renders the table.
func page() string {
	var b strings.Builder
	b.WriteString(`# What the filter refuses

<!-- Written by "go test ./guest/native/seccomp -update" from its table. Do not edit. -->

The seccomp filter of the [native domain](NATIVE.md) lets through what is in its table as allowed; everything below is refused, wholly or by its
arguments. A number that is in no row, and every entry of another architecture (32-bit x86, x32), is ` + "`ENOSYS`" + `, so that programs fall back.

`)
	table := func(rules []Rule) {
		b.WriteString("| call | refused | with | why |\n|---|---|---|---|\n")
		for _, r := range rules {
			how := map[Verdict]string{Refuse: "always", Inspect: "by arguments"}[r.Verdict]
			if how == "" {
				continue
			}
			name := "`" + r.Name + "`"
			if r.Arch != "" {
				name += " (" + r.Arch + ")"
			}
			fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", name, how, unix.ErrnoName(r.Errno), r.Why)
		}
	}
	table(Rules())
	var allowed []string
	for _, r := range Rules() {
		if r.Verdict == Allow {
			allowed = append(allowed, "`"+r.Name+"`")
		}
	}
	fmt.Fprintf(&b, "\n## Allowed\n\n%d calls, whatever their arguments: %s.\n", len(allowed), strings.Join(allowed, ", "))
	b.WriteString("\n## Without namespaces\n\nWhere [no namespaces](NATIVE.md#where-namespaces-are-refused) stand behind the filter, these are refused as well:\n\n")
	table(WithoutNamespaces())
	return b.String()
}

// TestPage: what is written down for people is what the filter does.
func TestPage(t *testing.T) {
	const name = "../../../docs/SECCOMP.md"
	want := page()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("docs/SECCOMP.md is not what the table says (%v); run go test ./guest/native/seccomp -update", err)
	}
}

// TestDeny: what is denied on top of the table is refused, and nothing else changes.
func TestDeny(t *testing.T) {
	with, err := Assemble(Options{Deny: []uint32{unix.SYS_SHMGET}})
	if err != nil {
		t.Fatal(err)
	}
	without, err := Assemble(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for nr := uint32(0); nr < 600; nr++ {
		got, err := run(with, call{nr: nr, arch: native}, false)
		if err != nil {
			t.Fatal(err)
		}
		want, err := run(without, call{nr: nr, arch: native}, false)
		if err != nil {
			t.Fatal(err)
		}
		if nr == unix.SYS_SHMGET {
			want = refused(unix.ENOSYS)
		}
		if got != want {
			t.Errorf("call %d: %#x, want %#x", nr, got, want)
		}
	}
}
