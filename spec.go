package agentos

import (
	"io"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Spec describes one run. The zero value of every field but Program is a
// default: nothing granted, the contract's limits, no input, output discarded.
type Spec struct {
	// Program is the host path of the program. Image, if not nil, is its
	// content, and Program is then only a name for messages.
	Program string
	Image   []byte
	// Domain is "auto" (or empty), "wasm", or "native".
	Domain string
	// Name is a label for people; it need not be unique.
	Name string
	// Args are the arguments after the program's own name.
	Args []string
	// Env are the granted variables, KEY=VALUE.
	Env []string
	// Dir is the working directory as the guest sees it. If empty it is
	// the caller's where a grant covers that, else the guest's home.
	Dir string

	Grants    []Grant
	Listen    []string         // TCP addresses to listen on, ADDR:PORT; see [Process.Listening]
	ListenBy  []string         // where each was asked for, as in Grant.Source; the rest by "flag"
	Allow     []abi.Capability // granted beyond the defaults
	Policies  []Policy         // layer 3: what they forbid is refused, whatever is granted
	Unprotect []string         // host paths whose protection inside write grants is lifted
	// PolicyDefaultDeny refuses what no policy permits.
	PolicyDefaultDeny bool
	Bare              bool // without what every program has unasked
	Toolchain         bool // grants reading of the installation that a native program belongs to

	// Within, if not nil, is a process of the same kernel that this one must have no
	// more than: of files, variables, listeners, and other capabilities. What is more is
	// refused, and what is revoked there is revoked here.
	Within *Process

	Limits    Limits
	KillAfter time.Duration // grace between TERM and KILL; 0 is 2 s

	// BestEffort runs although a limit or protection cannot be enforced here;
	// the report says which. Without it such a run is refused.
	BestEffort bool

	// RequireAudit refuses the run if its audit log cannot be written, and ends it when
	// that becomes so.
	RequireAudit bool

	// Terminal gives a native program a terminal of its own, whose other ends are
	// Stdin and Stdout, and Stderr if it is Stdout.
	Terminal *Terminal

	Stdin          io.Reader // nil reads as end of file
	Stdout, Stderr io.Writer // nil discards
	Events         io.Writer // JSON lines; nil for none

	source     *goSource // what is to be compiled first; set by load
	inner      *inner    // of a run that the kernel makes for itself
	unrecorded bool      // leaves no record: it is nobody's run but doctor's
}

// GrantKind is what a grant gives.
type GrantKind uint8

// The grants.
const (
	GrantRead GrantKind = iota
	GrantWrite
	GrantDeny
	GrantOverlay // reading passes through; writes are captured and reach the host only when they are committed
	GrantAllow   // a capability that is not of paths
)

var grantFlags = [...]string{"--read", "--write", "--deny", "--overlay", "--allow"}

// Flag returns the command-line flag that gives k.
func (k GrantKind) Flag() string {
	if int(k) < len(grantFlags) {
		return grantFlags[k]
	}
	return "?"
}

// Grant is one path grant. The most specific guest path wins, and a deny beats
// all. A grant of a missing host path is an error, except beneath a write grant.
// What an overlay grants is a directory, and it takes a state directory.
type Grant struct {
	Kind GrantKind
	Host string // host path; made absolute against the caller's directory
	// Guest is the guest path; Host made absolute if empty. A relative one is
	// taken from the guest's root, and the pre-opened directory has the name as
	// it is given here.
	Guest  string
	Source string // where it was asked for: "flag", "manifest:12"; for reports

	Capability abi.Capability // of GrantAllow, which has neither Host nor Guest
}

// Limits bound a run. Zero means the default that the field names.
type Limits struct {
	Timeout time.Duration // wall time since creation; none
	CPUTime time.Duration // none
	Memory  uint64        // bytes; half of the host's RAM
	Disk    uint64        // private writable space, bytes; 512 MiB
	Output  uint64        // stdout and stderr together, bytes; none
	Files   int           // open descriptors; 1024
	Pids    int           // processes; 1024
	CPUs    float64       // processors; all
	// Priority is 1 (least) to 10; 0 means the default of 5. PrioritySet makes
	// a 0 mean 0.
	Priority    int
	PrioritySet bool
}
