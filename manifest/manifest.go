package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Version is the only value of the version key that this package knows.
const Version = 1

// MaxSize bounds a manifest, in bytes.
const MaxSize = 1 << 20

// Pos is a place in a manifest: line and column, from 1, in bytes. The zero Pos
// belongs to a value that the document does not have.
type Pos struct{ Line, Column int }

// Set reports whether the document has the value at all.
func (p Pos) Set() bool { return p.Line > 0 }

// Source names the place as reports do: "manifest:12".
func (p Pos) Source() string { return "manifest:" + strconv.Itoa(p.Line) }

// Value is a value and where it stands.
type Value[T any] struct {
	V T
	Pos
}

// GrantKind is which list a grant stands in.
type GrantKind uint8

// The lists of grants.
const (
	Read GrantKind = iota
	Write
	Deny
	Overlay
)

// Grant is one entry of read, write, overlay, or deny. Host is absolute; Guest is empty
// where the entry did not give one.
type Grant struct {
	Kind        GrantKind
	Host, Guest string
	Pos
}

// Variable is one granted environment variable. With Inherit the caller's value
// is meant, and Value is empty.
type Variable struct {
	Key, Value string
	Inherit    bool
	Pos
}

// Limits are the limits that the document names; those it leaves out have no
// position.
type Limits struct {
	Timeout, CPUTime     Value[time.Duration]
	Memory, Disk, Output Value[uint64] // bytes
	Files, Pids          Value[int]
	CPUs                 Value[float64]
	Priority             Value[int]
}

// Manifest is one parsed document.
type Manifest struct {
	File string // as named by the caller, for messages
	Dir  string // absolute directory against which its host paths were made absolute

	// Program is absolute if it was written with a slash, else a bare name
	// to be looked up like one on the command line.
	Program    Value[string]
	Args       Value[[]string]
	Name       Value[string]
	Domain     Value[string] // auto, wasm, or native
	Cwd        Value[string] // guest path
	Bare       Value[bool]
	Toolchain  Value[bool]
	BestEffort Value[bool]
	KillAfter  Value[time.Duration]

	Grants    []Grant
	Env       []Variable // in the order of the document
	Allow     []Value[abi.Capability]
	Unprotect []Value[string] // absolute host paths
	Policies  []Value[string] // absolute host paths, or builtin:NAME

	RequireAudit Value[bool]

	PolicyDeny Value[bool]     // what no policy permits is refused
	Listen     []Value[string] // ADDR:PORT
	Limits     Limits
}

// Error says what is wrong with a manifest, and where.
type Error struct {
	File string
	Pos
	Key     string // the key concerned, dotted; may be empty
	Problem string
	Fix     string // may be empty
	Err     error  // underlying error of the host, if any
}

// Error returns "file:line:column: key: problem; fix".
func (e *Error) Error() string {
	s := e.Where() + ": " + e.Problem
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Where returns the place alone: file, line, column, and key as far as known.
func (e *Error) Where() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	return s
}

// Unwrap returns the host's error, if there was one.
func (e *Error) Unwrap() error { return e.Err }

// Load reads and parses the file at path. Relative host paths in it are made
// absolute against its directory. Every error is an [*Error].
func Load(path string) (*Manifest, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	dir, aerr := filepath.Abs(filepath.Dir(path))
	if aerr != nil {
		return nil, &Error{File: path, Problem: "its directory cannot be made absolute: " + aerr.Error(), Err: aerr}
	}
	return Parse(data, path, dir)
}

// readBounded reads a regular file of at most MaxSize bytes.
func readBounded(path string) ([]byte, error) {
	refuse := func(problem, fix string, err error) ([]byte, error) {
		return nil, &Error{File: path, Problem: problem, Fix: fix, Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return refuse("cannot be read: "+cause(err), "name an existing TOML file", err)
	}
	if !info.Mode().IsRegular() {
		return refuse("is not a regular file", "name a TOML file", nil)
	}
	if info.Size() > MaxSize {
		return refuse(fmt.Sprintf("is %d bytes long; a manifest is at most %d", info.Size(), MaxSize), "", nil)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return refuse("cannot be read: "+cause(err), "", err)
	}
	return data, nil
}

// cause strips the operation and path that the message already names.
func cause(err error) string {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // os.Stat and os.ReadFile return it bare
		return pe.Err.Error()
	}
	return err.Error()
}
