package launch

import (
	"os"
	"time"

	"github.com/agentos-kernel/agentos/guest"
)

// Job is a program to be started. Its files stay the caller's.
type Job struct {
	ID      string // of the run, for the names of control groups
	Program string // guest path of the executable
	Args    []string
	Env     []string
	Dir     string
	User    guest.User
	Mounts  []guest.Mount
	Limits  guest.Bounds
	// BestEffort goes on without limits that this host cannot enforce.
	BestEffort bool
	// Stdio returns the program's descriptors 0 to 2, which stay the caller's; nil is
	// /dev/null of the program's view, which must have one. With
	// Terminal it is given the master of a new terminal in the program's own view,
	// which becomes the caller's; Session then says which of the three is its other
	// end, the controlling terminal of the program.
	Stdio    func(ptmx *os.File) (stdio [3]*os.File, err error)
	Terminal bool
	Session  int
	// Ran is told of every start of a program in the tree; it may be nil.
	Ran func(pid int, program string)
}

// End is how a tree ended.
type End struct {
	Exited   bool // by itself, with Status
	Status   int
	Signal   int // that ended the program, 0 if it exited
	Core     bool
	OOMKills uint64        // processes of the tree that were killed for want of memory
	MainOOM  bool          // the program itself seems to be among them
	PidsHit  uint64        // forks that were refused by the limit of processes
	Usage    guest.Usage   // final
	Err      error         // the program could not be executed, or could not be waited for
	Took     time.Duration // from the end of the program to the end of the last process
}

// Excess is a limit that a tree is over and that nothing but who looks at it holds.
type Excess struct {
	Limit  string // "memory", "pids", or "disk"
	Detail string
}

// Facts say what the floor is made of on this host, for reports and doctor.
type Facts struct {
	Floor    string            // one of the Floor constants
	Why      string            // why it is not a better one
	Fix      string            // what would change that
	Landlock int               // ABI, 0 for none
	Enforced map[string]string // protection → what enforces it
	Weak     []string          // sentences: what is weaker here than it could be, and what to do
}

// The floors, best first.
const (
	FloorRoot = "namespaces"
	FloorUser = "namespaces in a user namespace"
	FloorBare = "no namespaces"
)
