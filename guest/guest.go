// Package guest is the contract between the kernel and what executes programs.
// A [Domain] turns files into [Program]s and programs into [Instance]s; the
// kernel lends each instance a [Host]. An instance reaches the outside through
// its [Gate] and nothing else.
//
// Invariants: an Instance is resumed by at most one vCPU at a time; it has at
// most one [abi.Call] in flight; after Exited or Close it is never resumed
// again. A domain decodes and bounds-checks its own ABI and decides nothing.
//
// Locks: none of its own.
//
// Imports: kernel/abi only.
package guest

import (
	"context"
	"io"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Domain executes one kind of program.
type Domain interface {
	// Name is "wasm" or "native".
	Name() string
	// Load validates and compiles a program. It honours ctx. A program that
	// cannot run is reported as a *[LoadError].
	Load(ctx context.Context, src Source) (Program, error)
	io.Closer
}

// Source is a program as found on the host, read once so that what was checked
// is what runs.
type Source struct {
	Name  string // as the user named it, for messages
	Image []byte // the whole file
}

// LoadError says why a program cannot run.
type LoadError struct {
	Kind   LoadKind
	Reason string // what is wrong and where, e.g. "unknown import env.foo (function)"
	Fix    string // what to do about it, "" if there is nothing
	Err    error
}

// LoadKind classifies a LoadError, for the exit status.
type LoadKind uint8

// The kinds of LoadError.
const (
	NotRunnable LoadKind = iota // malformed, unsupported, unknown imports
	TooCostly                   // compilation exceeded its time or memory
	HostFailed                  // the host refused something the load needs
)

// Error returns Reason and Fix.
func (e *LoadError) Error() string {
	s := e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Unwrap returns the underlying error.
func (e *LoadError) Unwrap() error { return e.Err }

// Program is a compiled program. It may be instantiated many times, also
// concurrently.
type Program interface {
	// Instantiate prepares a process that has not run an instruction yet. On
	// error nothing is left behind.
	Instantiate(ctx context.Context, host Host) (Instance, error)
	io.Closer
}

// Instance is one running copy of a program.
type Instance interface {
	// Resume runs until the fuel is spent, a call waits, or the program ends,
	// and says how much fuel it used. Fuel is counted in function entries and
	// loop iterations.
	Resume(fuel int64) (Outcome, int64)
	// Exit describes the end; valid after Resume returned Exited.
	Exit() Exit
	// Close unwinds a suspended instance and releases all it holds. It is
	// idempotent and must not be called while Resume runs.
	Close() error
}

// Outcome is how a Resume ended.
type Outcome uint8

// The outcomes.
const (
	Yielded Outcome = iota
	Waiting
	Exited
	Away // goes on by itself, outside the vCPU, and has itself resumed by [Outside.Wake]
)

// Exit is how an instance ended by itself.
type Exit struct {
	Cause     abi.Cause  // CauseExited, CauseSignaled, CauseFault, or CauseSetupFailed; CauseNone if it was killed
	Code      int        // exit status for CauseExited
	Signal    abi.Signal // for CauseSignaled
	Detail    string     // e.g. "unreachable executed"
	Backtrace []string   // innermost first, by function name
}

// Host is what the kernel lends one instance.
type Host interface {
	Gate() Gate
	Memory() Memory
	// Static says what is known about an operation before any call, so that a
	// domain can compile it.
	Static(abi.Sysno) Static
}

// Static is an answer that holds for the whole life of a process.
type Static uint8

// The static answers.
const (
	Ask Static = iota
	Always
	Never
)

// Gate is the only way out. Both methods must be called on the instance's own
// vCPU, inside Resume.
type Gate interface {
	// Call performs c. After abi.Blocked the instance yields Waiting and calls
	// Continue when it is resumed; after abi.Killed it unwinds.
	Call(c *abi.Call) abi.Status
	// Continue takes up a call that returned abi.Blocked.
	Continue(c *abi.Call) abi.Status
	// Killed reports whether the process has been marked to die. A domain asks
	// after every yield.
	Killed() bool
}

// Memory gives an instance its linear memory, charged to its process.
type Memory interface {
	// Reserve sets aside address space for max bytes without committing any.
	Reserve(max uint64) (Region, error)
	// Charge accounts for size bytes that the instance uses outside any region
	// (tables, stacks), replacing the earlier charge of the same instance. It
	// reports whether the limit allows it.
	Charge(size uint64) bool
}

// Region is one linear memory. Its base address never changes.
type Region interface {
	// Grow commits and charges up to size bytes in all. It reports false, and
	// changes nothing, where a limit or the host refuses.
	Grow(size uint64) ([]byte, bool)
	// Populate has the host back the bytes from..to, which Grow returned, with
	// memory now instead of page by page when they are touched, each time by a
	// fault that holds up the guest and whoever waits for it. It is a hint.
	Populate(from, to uint64)
	// Free returns everything. It is idempotent.
	Free()
}
