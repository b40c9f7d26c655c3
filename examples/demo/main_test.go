package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHonest runs the honest program natively on the sample and compares its
// report with the recorded one.
func TestHonest(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if err := honest("../sample/notes", dir, &out); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "index.md"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/index.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.HasPrefix(out.String(), "read 4 documents with ") {
		t.Errorf("printed %q", out.String())
	}
}

func TestHonestRefusesABadTable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.csv"), []byte("a,b\n1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := honest(dir, dir, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "bad.csv") {
		t.Errorf("got %v, want an error that names bad.csv", err)
	}
}

// TestSecretBites shows that the program takes what nobody keeps from it: its
// coming away with nothing under the kernel then means something.
func TestSecretBites(t *testing.T) {
	dir := t.TempDir()
	project := filepath.Join(dir, "project")
	vault := filepath.Join(dir, "vault")
	for _, d := range []string{project, vault, filepath.Join(project, "notes")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(vault, "deploy.key")
	for name, text := range map[string]string{
		key:                                   "a key",
		filepath.Join(project, "deploy.conf"): "KEY=" + key + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if status := secret(project, &out); status != 1 {
		t.Errorf("status %d with everything in reach", status)
	}
	for _, what := range []string{"read " + key, "/../vault/deploy.key", "write " + project + "/backdoor", "delete "} {
		line := lineWith(out.String(), what)
		if !strings.Contains(line, "OBTAINED") {
			t.Errorf("%q: got %q", what, line)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"other"}, {"honest"}, {"secret"}, {"honest", "a", "b", "c"}} {
		if status := run(args); status != 2 {
			t.Errorf("%q: status %d, want 2", args, status)
		}
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}
