package agentos

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Version is the version of this build.
const Version = "0.1.0-dev"

// Config is how a kernel is made. The zero value is the default of everything.
type Config struct {
	// State is the state directory. Empty means $AGENTOS_STATE, else
	// $XDG_STATE_HOME/agentos, else ~/.local/state/agentos.
	State string
	// Version names the binary in records; empty is [Version].
	Version string
	// VCPUs is how many guests run at once, by default one less than the
	// processors that Go may use and at least one. GOMAXPROCS is never changed;
	// it should exceed VCPUs, or timers and input wait for the guests.
	VCPUs int
	// Helper is the command line of the compile child, and of the process that starts
	// native programs for an ordinary user: a program that calls [Helper] first thing
	// in main. Empty means this executable.
	Helper []string
	// InProcess compiles in this process, without limits, instead of in a child.
	// It is for programs that are trusted, such as tests and benchmarks.
	InProcess bool
	// CompileMemory and CompileTime bound the compile child; 0 is a default.
	CompileMemory uint64
	CompileTime   time.Duration

	// Each of these leaves out an optional subsystem. What only informs is then
	// missing; [Kernel.Degraded] says so.
	NoEvents bool // no event stream
	NoState  bool // no run records, so that ps and kill do not see the runs
	NoCache  bool // compiled programs are not kept

	// DecisionCache bounds what is remembered, for each process, of what it was
	// allowed and refused. It changes no answer.
	DecisionCache DecisionCache

	// NativeReady is how many sandboxes for native programs are kept ready once a
	// first one was used: 0 is 2; less than 0 keeps none, and each run makes its own.
	NativeReady int
	// NoNamespaces runs native programs without Linux namespaces even where the host
	// has them, as on a host that refuses them. It is for trying that out.
	NoNamespaces bool
}

// DecisionCache bounds a process's memory of decisions. What is negative turns it off.
type DecisionCache struct {
	Entries int           // at most; 0 is 2,048
	TTL     time.Duration // of an entry; 0 is 5 s
}

// options are those of the kernel.
func (c DecisionCache) options() perm.CacheOptions {
	return perm.CacheOptions{Entries: c.Entries, TTL: c.TTL}
}

// Subsystems are the optional subsystems by name, for Config.Without.
func Subsystems() []string { return []string{"events", "state", "cache", "decisions"} }

// Without leaves out an optional subsystem by its name.
func (c *Config) Without(name string) error {
	switch name {
	case "events":
		c.NoEvents = true
	case "state":
		c.NoState = true
	case "cache":
		c.NoCache = true
	case "decisions":
		c.DecisionCache.Entries = -1
	default:
		return fmt.Errorf("no optional subsystem %q; there are %v", name, Subsystems())
	}
	return nil
}

// vcpus returns how many vCPUs to start.
func (c *Config) vcpus() int {
	if c.VCPUs > 0 {
		return c.VCPUs
	}
	return max(1, runtime.GOMAXPROCS(0)-1)
}

// StartError says why a run did not start. It prints as one sentence: where,
// what is wrong, what to do.
type StartError struct {
	Status  int    // the exit status for it: 125, 126, or 127
	Code    string // stable, AGENTOS-…
	Where   string // the flag, file, or program concerned
	Problem string
	Fix     string
	Err     error
}

// Error returns the sentence.
func (e *StartError) Error() string {
	s := e.Where
	if s != "" {
		s += ": "
	}
	s += e.Problem
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Unwrap returns the underlying error.
func (e *StartError) Unwrap() error { return e.Err }

// refuse makes a StartError of status 125: AgentOS refused or failed before
// anything ran.
func refuse(code, where, problem, fix string, err error) *StartError {
	return &StartError{Status: 125, Code: "AGENTOS-" + code, Where: where, Problem: problem, Fix: fix, Err: err}
}

// notRunnable makes a StartError of status 126: found, but it cannot be run.
func notRunnable(code, where, problem, fix string, err error) *StartError {
	return &StartError{Status: 126, Code: "AGENTOS-" + code, Where: where, Problem: problem, Fix: fix, Err: err}
}

// notFound makes a StartError of status 127.
func notFound(where string, err error) *StartError {
	return &StartError{Status: 127, Code: "AGENTOS-NOT-FOUND", Where: where, Problem: "no such file", Fix: "check the path of the program", Err: err}
}

// ErrUnsupportedOS is returned by Open where AgentOS cannot protect anything.
var ErrUnsupportedOS = errors.New("AgentOS runs on Linux and macOS; on Windows use it inside WSL 2")
