package guest

import (
	"io"
	"os"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Outside is what the kernel lends an instance that runs outside the kernel's own
// threads, as processes of the host: besides what every instance has, a
// description of its surroundings, since it cannot ask for them call by call, and
// the means to say what becomes of it.
type Outside interface {
	Host
	// Setting returns the surroundings. The instance must not change them; the
	// handles in them are the kernel's and stay open until Instantiate returns.
	Setting() *Setting
	// Wake has the instance resumed soon. It may be called from any goroutine.
	Wake()
	// Used replaces what is known of the consumption of the whole tree. Totals
	// never go down. The kernel ends the process over its limits.
	Used(Usage)
	// Broke ends the process because a limit or the floor ended it: the first
	// cause wins.
	Broke(cause abi.Cause, detail string)
	// Ran records that a process of the tree started to execute a program.
	Ran(pid int, program string)
	// Grace is how long a process that is marked to die has between TERM and
	// KILL; 0 is none.
	Grace() time.Duration
}

// Usage is what a tree of host processes has consumed since its start.
type Usage struct {
	CPU          time.Duration
	Memory       uint64 // bytes, now; 0 if unknown
	MemoryPeak   uint64 // bytes, the most at once
	Processes    uint64 // the most at once, 0 if unknown
	BytesRead    uint64
	BytesWritten uint64
}

// Stopper is an instance that goes on by itself between two Resumes and must be
// told to stop.
type Stopper interface {
	// Stop has nothing of the instance run until Continue. Both are idempotent.
	Stop() error
	Continue() error
}

// Signaler is an instance that can handle signals itself.
type Signaler interface {
	// Signal delivers sig to the program. It reports false if there is nothing
	// to deliver it to (not started yet, or ended).
	Signal(sig abi.Signal) bool
}

// Resizer is an instance that has a terminal.
type Resizer interface {
	Resize(rows, cols uint16)
}

// Setting is all that a program which runs outside the kernel is given. It is
// complete: what is not in it the program does not have.
type Setting struct {
	Program string   // guest path of the file to execute
	Args    []string // with the program's name first
	Env     []string // KEY=VALUE
	Dir     string   // working directory, a guest path
	User    User
	Mounts  []Mount // the whole view, parents before what is mounted over them
	Limits  Bounds

	Stdin          io.Reader // nil reads as end of file
	Stdout, Stderr io.Writer // counted and limited by the kernel; an error is EPIPE to the guest
	Terminal       *Terminal // nil for none; then Stdin and Stdout are its other end

	// BestEffort accepts that a limit or protection cannot be enforced here;
	// without it the instance refuses to start.
	BestEffort bool
	// Missing is told what is not enforced.
	Missing func(string)
	// Release gives the handles back.
	Release func() error
}

// User is who the program is to itself.
type User struct {
	UID, GID int
	Name     string
	Home     string // guest path
	Shell    string
}

// Terminal describes the terminal that a program is given.
type Terminal struct {
	Rows, Cols uint16
	// Suspend is called when the user asks to stop the run at the terminal and the
	// program would be stopped by that; nothing is read until it returns. May be nil.
	Suspend func()
}

// Bounds are the limits of a tree of host processes. Zero means none.
type Bounds struct {
	Memory  uint64 // bytes, private files in memory included
	Disk    uint64 // bytes of private writable space
	Pids    uint64
	Files   uint64 // descriptors of each process
	CPUs    float64
	CPUTime time.Duration // of the whole tree
	Weight  int           // priority 0 to 10
}

// MountKind is what a part of the view is made of.
type MountKind uint8

// The kinds of mounts.
const (
	Bind    MountKind = iota // a file or directory of the host, by its handle
	Private                  // an empty directory in the private writable space
	Text                     // a file with fixed content, read-only
	Link                     // a symbolic link
	Devices                  // a /dev of harmless devices
	Procs                    // a /proc of the program's own
	Mask                     // hides what the host has at this place
	Frozen                   // shows what the host has at this place and refuses changes
)

// Mount is one part of the view of a program.
type Mount struct {
	Guest string // absolute and clean
	Kind  MountKind
	Host  string   // of a Bind: the real host path, for messages
	File  *os.File // of a Bind: an O_PATH handle that was checked
	Write bool     // of a Bind: changes reach the host; of a Frozen: only its place is frozen
	Data  string   // content of a Text, target of a Link
	Dir   bool     // of a Bind, Mask, or Frozen: it is a directory
	// Source says who asked for it: default, flag, manifest:12, profile.
	Source string
	// Optional parts are left out in silence where the host has nothing there.
	Optional bool
}
