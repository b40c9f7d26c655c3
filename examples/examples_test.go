package examples

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestModule(t *testing.T) {
	m, err := Module()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(m, []byte("\x00asm\x01\x00\x00\x00")) || len(m) == maxModule {
		t.Fatalf("the embedded module has %d bytes and starts with %q", len(m), m[:min(8, len(m))])
	}
	m[0] = 'x'
	again, err := Module()
	if err != nil || again[0] != 0 {
		t.Fatalf("a caller's change reached the embedded module (%v)", err)
	}
}

func TestPrograms(t *testing.T) {
	var names []string
	for _, p := range Demo() {
		names = append(names, p.Name)
		t.Run(p.Name, func(t *testing.T) {
			if p.Title == "" || p.Story == "" || p.Wasm == nil || p.Cause == "" || p.Timeout <= 0 || p.Memory == 0 {
				t.Errorf("incomplete: %+v", p)
			}
			if len(p.Args) == 0 || p.Args[0] != p.Name {
				t.Errorf("arguments %q do not choose %s", p.Args, p.Name)
			}
			dir := t.TempDir()
			if p.Setup == nil {
				if len(p.Grants) > 0 {
					t.Error("grants without a setup")
				}
				return
			}
			if err := p.Setup(dir); err != nil {
				t.Fatal(err)
			}
			for _, g := range p.Grants {
				if fi, err := os.Stat(filepath.Join(dir, g.Path)); err != nil || !fi.IsDir() {
					t.Errorf("grant of %s: %v", g.Path, err)
				}
				if !filepath.IsAbs(g.Guest) {
					t.Errorf("guest path %q is not absolute", g.Guest)
				}
			}
			for _, r := range p.Results {
				if _, err := os.Stat(filepath.Join(dir, r)); err == nil {
					t.Errorf("result %s is there before the program ran", r)
				}
				if !slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.Write && strings.HasPrefix(r, g.Path+"/") }) {
					t.Errorf("result %s lies under no write grant", r)
				}
			}
		})
	}
	if want := []string{"honest", "secret", "endless", "hungry"}; !slices.Equal(names, want) {
		t.Errorf("programs %q, want %q", names, want)
	}
}

// TestTheBaitIsReal holds the secret program's story: without a kernel the key
// can be read by each of the ways that it tries.
func TestTheBaitIsReal(t *testing.T) {
	dir := t.TempDir()
	if err := setupSecret(dir); err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join(dir, "project", "deploy.conf"))
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(string(conf), "KEY=")
	for _, name := range []string{
		strings.TrimSpace(key),
		filepath.Join(dir, "project") + "/../vault/deploy.key",
		filepath.Join(dir, "project", "notes", "shortcut"),
	} {
		if data, err := os.ReadFile(name); err != nil || !strings.Contains(string(data), "no program was granted") {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// TestSampleIsWhole guards against a sample file that the embedding left out.
func TestSampleIsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := setupHonest(dir); err != nil {
		t.Fatal(err)
	}
	list := func(root string) (names []string) {
		err := fs.WalkDir(os.DirFS(root), ".", func(name string, _ fs.DirEntry, err error) error {
			names = append(names, name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	got, want := list(filepath.Join(dir, "notes")), list("sample/notes")
	if !slices.Equal(got, want) || len(want) < 5 {
		t.Errorf("setup wrote %q, the sample is %q", got, want)
	}
}
