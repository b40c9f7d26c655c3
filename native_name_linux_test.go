package agentos_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// TestNativeName: a program is started under the name that it has in its own view,
// links kept, however the caller wrote it.
func TestNativeName(t *testing.T) {
	k := open(t, nil)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", filepath.Join(dir, "shell")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, c := range []struct{ program, guest, want string }{
		{"./shell", "", dir + "/shell"},
		{dir + "/shell", "", dir + "/shell"},
		{"./shell", "/work", "/work/shell"},
		{dir + "/shell", "/work", "/work/shell"},
	} {
		var out bytes.Buffer
		r, err := k.Run(t.Context(), agentos.Spec{
			Program: c.program, Args: []string{"-c", `echo "$0"`}, Stdout: &out, Stderr: &out, Dir: "/",
			Grants: []agentos.Grant{{Kind: agentos.GrantRead, Host: dir, Guest: c.guest}},
		})
		if err != nil {
			t.Fatalf("%s at %q: %v", c.program, c.guest, err)
		}
		if got := out.String(); got != c.want+"\n" || r.ExitCode != 0 {
			t.Errorf("%s at %q is called %q, want %q", c.program, c.guest, got, c.want)
		}
	}
}
