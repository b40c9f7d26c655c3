package program

import (
	"os"
	"path/filepath"
	"strings"
)

// Executable is a program that can start in the view it was resolved against.
type Executable struct {
	// Guest is the path to execute, as the guest sees it. Symbolic links in it
	// are kept, since programs look at the name that they were started by.
	Guest string
	// Host is the real file behind it, and ID says which one.
	Host string
	ID   ID
	// Needs are the other files that must be there for the start: interpreters
	// of #! lines, outermost first, what env runs, and the dynamic loader.
	Needs []Need
	// Notes are sentences for the report, e.g. that set-user-id has no effect.
	Notes []string
}

// ID identifies a file of the host.
type ID struct{ Dev, Ino uint64 }

// Need is a file that a program needs in order to start.
type Need struct {
	Role  Role
	Guest string // as it is asked for
	Host  string // the real file
}

// Role is why a file is needed.
type Role uint8

// The roles.
const (
	Interpreter Role = iota // named by a #! line
	Command                 // run by env for a #! line
	Loader                  // the dynamic loader of an ELF program
)

// Kind classifies an Error, for its code and exit status.
type Kind uint8

// The kinds of errors.
const (
	NotFound      Kind = iota // no such file
	Unreadable                // the host refuses to show it
	NotExecutable             // the execute permission is lacking, or noexec
	NotRunnable               // the file is nothing that runs
	WrongArch                 // it is for another processor or system
	NoInterpreter             // an interpreter or loader that it needs is not there
	NotVisible                // it leads outside what the guest can see
)

// Error says why a program cannot start.
type Error struct {
	Kind    Kind
	Path    string   // the program as it was named
	Real    string   // the real file concerned, which may be an interpreter; may be empty
	Problem string   // completes "PATH: …"
	Fix     string   // what to do about it; may be empty
	Grants  []string // host paths whose reading would help, smallest first choice
	Err     error    // of the host, if there was one
}

// Error returns path, problem, and fix in one line.
func (e *Error) Error() string {
	s := e.Path + ": " + e.Problem
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Unwrap returns the host's error.
func (e *Error) Unwrap() error { return e.Err }

// Surroundings are what an answer depends on besides the files. The zero value is
// a caller without an environment and a guest with the system's PATH.
type Surroundings struct {
	Path   string              // PATH of the guest; SystemPath if empty
	Dir    string              // host directory of the caller, from where version files are looked for
	Home   string              // the caller's home on the host
	Getenv func(string) string // the caller's environment
}

// SystemPath is the PATH of a guest that was given none.
const SystemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (s *Surroundings) path() string {
	if s.Path == "" {
		return SystemPath
	}
	return s.Path
}

func (s *Surroundings) env(name string) string {
	if s.Getenv == nil {
		return ""
	}
	return s.Getenv(name)
}

// Resolve says how the program at the host path starts in the view. Errors are
// *[Error]s.
func Resolve(host string, v View, s Surroundings) (*Executable, error) {
	r := &resolver{view: v, s: s, named: host}
	x, e := r.resolve()
	if e != nil {
		return nil, e
	}
	return x, nil
}

// absolute makes a host path absolute without changing what it means: a cleaned
// path is another file where .. follows a symbolic link.
func absolute(p string) (string, error) {
	abs, err := filepath.Abs(p)
	if err != nil || !strings.Contains(p, "..") {
		return abs, err
	}
	a, aerr := os.Stat(p)
	b, berr := os.Stat(abs)
	if aerr == nil && (berr != nil || !os.SameFile(a, b)) {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			return "", err
		}
		return filepath.Abs(real)
	}
	return abs, nil
}
