package perm

import (
	"net/netip"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Target is the kind of thing that an action is done to.
type Target uint8

// The targets.
const (
	TargetHost     Target = iota // the machine itself: its clocks, its random bytes
	TargetFile                   // Path, and Guest
	TargetEndpoint               // Host or Address, and Port
	TargetProgram                // Path, and Argv
	TargetVariable               // Name, of the environment
	TargetChannel                // Name, and Kind
	TargetProcess                // Name, its relation to the principal: self, child, other
	NumTargets
)

var targetNames = [NumTargets]string{"Host", "File", "Endpoint", "Program", "Variable", "Channel", "Process"}

// String returns the stable name of t, which policies use.
func (t Target) String() string {
	if t < NumTargets {
		return targetNames[t]
	}
	return "?"
}

// Principal is who asks. It never changes while a process lives.
type Principal struct {
	Program string // host path
	Name    string // of the run, given by its owner
	Domain  string // wasm or native
	Run     string
}

// Query is one question to a policy engine. Which fields are set depends on Target.
type Query struct {
	Action abi.Action
	Target Target

	Path    string // the real path: the host's where one stands behind it, else the guest's
	Guest   string // the path as the process sees it
	Argv    []string
	Host    string // a name, "" for a plain address
	Address netip.Addr
	Port    uint16
	Name    string
	Kind    string
}

// Verdict is what a policy engine answers.
type Verdict struct {
	Allow bool
	// Rule says in words what refused, with file and line: "forbid secrets at
	// secrets.cedar:3". An engine that could not decide refuses, and says why.
	Rule string
}

// Engine is layer 3. It can only refuse what the layers before it allow. Decide is a
// function of its arguments alone and keeps neither; it is safe for concurrent use.
// An engine whose policies change is another engine.
type Engine interface {
	Decide(who *Principal, q *Query) Verdict
	// Describe says for the report what was loaded: one line a file.
	Describe() []string
}
