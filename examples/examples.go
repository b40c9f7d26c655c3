// Package examples carries the programs that `agentos demo` runs: their compiled
// WebAssembly, their sample input, and what each shows. The sources stand beside
// it in the directory demo; `go run ./examples/build` compiles them again.
//
// Invariants: the embedded module is exactly what the recorded Go toolchain
// makes of the sources beside it; demo.lock records both, and a test compares.
// A setup writes beneath the directory it is given and nowhere else.
//
// Locks: none; the module is decompressed anew for each caller.
//
// Imports: the standard library only, so that any front end can present the
// programs in its own way.
package examples

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

//go:embed demo.wasm.gz
var compressed []byte

//go:embed all:sample
var sample embed.FS

// maxModule bounds the decompressed module.
const maxModule = 64 << 20

// Program is one process of the demonstration.
type Program struct {
	Name  string // one lower-case word
	Title string // a line that says what the program does
	Story string // a sentence or two: what to watch for
	// Wasm returns the module, the caller's own copy. The programs share one
	// module; Args choose among them.
	Wasm func() ([]byte, error)
	Args []string // arguments after the program's own name
	// Setup writes the sample input beneath dir, an existing empty directory
	// of the host that the caller owns and removes. It is nil if the program
	// needs none.
	Setup  func(dir string) error
	Grants []Grant
	// Timeout and Memory (bytes) are the limits to run it under.
	Timeout time.Duration
	Memory  uint64
	// Cause and ExitCode are how the run ends if the kernel does its work:
	// the cause's stable name and the exit status of `agentos run`.
	Cause    string
	ExitCode int
	// Results are files beneath dir that the program leaves, worth showing.
	Results []string
}

// Grant is one path grant of a program.
type Grant struct {
	Write bool   // read, create, change, and delete; otherwise read and list
	Path  string // beneath the directory given to Setup, slash-separated
	Guest string // where the program sees it
}

// Demo returns the programs in the order in which they are shown. The caller
// owns the result.
func Demo() []Program {
	return []Program{
		{
			Name:  "honest",
			Title: "does honest work on a directory it was granted",
			Story: "It reads notes and tables under one granted directory and writes an index into another. " +
				"Everything it asks for was granted, so there is nothing to deny.",
			Wasm:  Module,
			Args:  []string{"honest", "/notes", "/report"},
			Setup: setupHonest,
			Grants: []Grant{
				{Path: "notes", Guest: "/notes"},
				{Write: true, Path: "report", Guest: "/report"},
			},
			Timeout: 20 * time.Second,
			Memory:  256 << 20,
			Cause:   "exited",
			Results: []string{"report/index.md"},
		},
		{
			Name:  "secret",
			Title: "looks for keys, passwords, and a way out",
			Story: "It may read one project directory. It tries the usual places, the exact path of a key that lies " +
				"beside the project, dot-dot paths, a symbolic link that leads out, and changes to what it may only read.",
			Wasm:    Module,
			Args:    []string{"secret", "/project"},
			Setup:   setupSecret,
			Grants:  []Grant{{Path: "project", Guest: "/project"}},
			Timeout: 20 * time.Second,
			Memory:  256 << 20,
			Cause:   "exited",
		},
		{
			Name:  "endless",
			Title: "never ends",
			Story: "A loop without a single call. Nothing but the kernel can end it, " +
				"and the kernel must stay able to do everything else meanwhile.",
			Wasm:     Module,
			Args:     []string{"endless"},
			Timeout:  time.Second,
			Memory:   256 << 20,
			Cause:    "timeout",
			ExitCode: 124,
		},
		{
			Name:     "hungry",
			Title:    "takes memory until it is refused",
			Story:    "It keeps all it gets. Its limit is 96 MiB; the growth beyond that is refused before the host has given anything.",
			Wasm:     Module,
			Args:     []string{"hungry"},
			Timeout:  20 * time.Second,
			Memory:   96 << 20,
			Cause:    "memory_limit",
			ExitCode: 2, // Go's own status after "out of memory"
		},
	}
}

// Module returns the WebAssembly module that holds all four programs.
func Module() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("examples: the embedded module: %w", err)
	}
	module, err := io.ReadAll(io.LimitReader(z, maxModule))
	if err != nil {
		return nil, fmt.Errorf("examples: the embedded module: %w", err)
	}
	return module, nil
}

// setupHonest writes the notes and makes the directory for the report.
func setupHonest(dir string) error {
	if err := write(dir, "notes"); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(dir, "report"), 0o755)
}

// setupSecret writes a project, a key outside it, a configuration that says
// where the key is, and a symbolic link to it.
func setupSecret(dir string) error {
	if err := write(dir, "project"); err != nil {
		return err
	}
	vault := filepath.Join(dir, "vault")
	key := filepath.Join(vault, "deploy.key")
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(vault, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(key, []byte("a key that no program was granted\n"), 0o600); err != nil {
		return err
	}
	conf := "SERVER=deploy.example.org\nKEY=" + filepath.ToSlash(key) + "\n"
	if err := os.WriteFile(filepath.Join(project, "deploy.conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(project, "notes"), 0o755); err != nil {
		return err
	}
	return os.Symlink("../../vault/deploy.key", filepath.Join(project, "notes", "shortcut"))
}

// write copies one sample tree to dir/name.
func write(dir, name string) error {
	tree, err := fs.Sub(sample, "sample/"+name)
	if err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(dir, name), tree)
}
