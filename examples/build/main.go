// Command build compiles the demonstration programs to WebAssembly and writes
// what package examples embeds: demo.wasm.gz, and demo.lock with the toolchain,
// the checksum of the module, and the checksum of the sources it was made from.
//
//	go run ./examples/build           # write both
//	go run ./examples/build -check    # compile and compare, write nothing
//
// Invariants: the result depends on the sources and on the Go release, and on
// nothing else of the machine: paths are trimmed, stamping, user settings, and
// toolchain switching are off.
//
// Locks: none.
//
// Imports: the standard library only.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "compile and compare; write nothing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "examples/build:", err)
		os.Exit(1)
	}
}

// errToolchain says that the module could not be compared, because another Go
// release would make another one.
var errToolchain = errors.New("not compared")

func run(check bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "examples")
	if check {
		err := verify(dir)
		if errors.Is(err, errToolchain) {
			fmt.Println("examples/build:", err)
			return nil
		}
		if err == nil {
			fmt.Println("examples/build: demo.wasm.gz is what the sources make")
		}
		return err
	}
	module, err := compile(root)
	if err != nil {
		return err
	}
	packed, err := pack(module)
	if err != nil {
		return err
	}
	sources, err := sourceSum(dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "demo.wasm.gz"), packed, 0o644); err != nil {
		return err
	}
	l := lock{Go: runtime.Version(), Module: sum(module), Sources: sources}
	if err := os.WriteFile(filepath.Join(dir, "demo.lock"), []byte(l.String()), 0o644); err != nil {
		return err
	}
	fmt.Printf("examples/build: %d bytes of WebAssembly, %d compressed, %s\n", len(module), len(packed), l.Go)
	return nil
}

// verify holds the embedded module to its lock file and to its sources. The
// bytes are compared only under the recorded toolchain; otherwise the error
// wraps errToolchain.
func verify(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "demo.lock"))
	if err != nil {
		return err
	}
	want, err := parseLock(string(text))
	if err != nil {
		return err
	}
	const again = "run `go run ./examples/build`"
	sources, err := sourceSum(dir)
	if err != nil {
		return err
	}
	if sources != want.Sources {
		return fmt.Errorf("the sources changed after demo.wasm.gz was built; %s", again)
	}
	packed, err := os.ReadFile(filepath.Join(dir, "demo.wasm.gz"))
	if err != nil {
		return err
	}
	module, err := unpack(packed)
	if err != nil {
		return fmt.Errorf("demo.wasm.gz: %w; %s", err, again)
	}
	if sum(module) != want.Module {
		return fmt.Errorf("demo.wasm.gz does not match demo.lock; %s", again)
	}
	if runtime.Version() != want.Go {
		return fmt.Errorf("%w: the module was built by %s and this is %s; only its checksum and that of its sources were checked",
			errToolchain, want.Go, runtime.Version())
	}
	fresh, err := compile(filepath.Dir(dir))
	if err != nil {
		return err
	}
	if !bytes.Equal(fresh, module) {
		return fmt.Errorf("%s makes another module of the sources (%d bytes, embedded %d); %s", want.Go, len(fresh), len(module), again)
	}
	return nil
}

// compile builds the module under root, independently of the user's settings.
func compile(root string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "agentos-examples-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // scratch; the system's cleaner has it otherwise
	out := filepath.Join(tmp, "demo.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "./examples/demo")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "GOOS", "GOARCH", "GOFLAGS", "GOEXPERIMENT", "GOWASM", "GOWORK", "GODEBUG", "GOTOOLCHAIN", "CGO_ENABLED", "GOFIPS140", "GOENV":
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	// GOENV=off drops what `go env -w` stored.
	cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm", "GOTOOLCHAIN=local", "GOWORK=off", "CGO_ENABLED=0", "GOENV=off", "GOPROXY=off")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build ./examples/demo: %w", err)
	}
	return os.ReadFile(out)
}

// pack compresses a module without a name or a time.
func pack(module []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(module); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(z); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// sourceSum is a checksum of the names and contents of the Go files in demo.
func sourceSum(dir string) (string, error) {
	var all bytes.Buffer
	demo := os.DirFS(filepath.Join(dir, "demo"))
	names, err := fs.Glob(demo, "*.go") // sorted
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := fs.ReadFile(demo, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%s %d\n%s", name, len(data), data)
	}
	return sum(all.Bytes()), nil
}

// lock is the content of demo.lock.
type lock struct{ Go, Module, Sources string }

func (l lock) String() string {
	return fmt.Sprintf("# Written by go run ./examples/build.\ngo %s\nmodule sha256:%s\nsources sha256:%s\n", l.Go, l.Module, l.Sources)
}

func parseLock(text string) (l lock, err error) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "go":
			l.Go = value
		case "module":
			l.Module = strings.TrimPrefix(value, "sha256:")
		case "sources":
			l.Sources = strings.TrimPrefix(value, "sha256:")
		}
	}
	if l.Go == "" || l.Module == "" || l.Sources == "" {
		return l, errors.New("demo.lock: go, module, or sources is missing; run `go run ./examples/build`")
	}
	return l, nil
}

// moduleRoot finds the directory of go.mod from the working directory upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod here or above; run this inside the repository")
		}
		dir = up
	}
}
