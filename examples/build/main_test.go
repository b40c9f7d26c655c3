package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEmbeddedModuleIsWhatTheSourcesMake(t *testing.T) {
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	err = verify(dir)
	if errors.Is(err, errToolchain) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerifyNoticesDrift changes one thing at a time in a copy.
func TestVerifyNoticesDrift(t *testing.T) {
	for _, test := range []struct {
		name, file, want string
		change           func([]byte) []byte
	}{
		{"source", "demo/endless.go", "sources changed", func(b []byte) []byte { return append(b, "\n// drift\n"...) }},
		{"module", "demo.wasm.gz", "does not match", func([]byte) []byte {
			b, err := pack([]byte("\x00asm\x01\x00\x00\x00"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
		{"truncated", "demo.wasm.gz", "EOF", func(b []byte) []byte { return b[:len(b)/2] }},
		{"lock", "demo.lock", "missing", func([]byte) []byte { return []byte("go go1.26.0\n") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "examples")
			if err := os.CopyFS(dir, os.DirFS("..")); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, test.file)
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, test.change(data), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := verify(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
