package hostfs

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Options says what of the host is granted. The zero value grants reading.
type Options struct {
	// Write grants creating, changing, and deleting. Without it every change
	// fails with EROFS, whatever the host would allow.
	Write bool
	// Hidden are objects that stay invisible and in place whatever is granted:
	// the kernel's state directory. Make them with [Identify].
	Hidden []ID
}

// ID is the identity of an object on the host. Compare Dev and Ino.
type ID struct {
	Dev, Ino uint64
	// path is where Identify found it. With it, the object's ancestors are
	// protected too; an ID made by hand protects the object alone.
	path string
}

// Is reports whether the ID is that of the object with the given numbers.
func (id ID) Is(dev, ino uint64) bool { return id.Dev == dev && id.Ino == ino }

// Identify returns the identity of what path leads to, following symbolic
// links.
func Identify(path string) (ID, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ID{}, err
	}
	dev, ino, err := identify(abs)
	if err != nil {
		return ID{}, &OpenError{Path: path, Reason: reasonOf(err), Err: err}
	}
	return ID{Dev: dev, Ino: ino, path: abs}, nil
}

// Reason is why a path cannot be granted.
type Reason uint8

// The reasons.
const (
	Failed       Reason = iota // anything else; see Err
	Missing                    // it does not exist
	NotDirectory               // something on the way to it is not a directory
	Unreadable                 // the caller may not read it
	ForbiddenFS                // it lies on a kernel file system; FSType names it
	IsDevice                   // a character or block device
	IsFIFO                     // a named pipe
	IsSocket                   // a socket
	IsHidden                   // the kernel's own state, or inside it
	numReasons
)

var reasonTexts = [numReasons]string{
	Failed:       "cannot be opened",
	Missing:      "does not exist",
	NotDirectory: "leads through something that is not a directory",
	Unreadable:   "cannot be read by you",
	ForbiddenFS:  "lies on a file system of the operating system's kernel",
	IsDevice:     "is a device",
	IsFIFO:       "is a named pipe",
	IsSocket:     "is a socket",
	IsHidden:     "is part of AgentOS's own state",
}

// String returns a predicate for a sentence whose subject is the path.
func (r Reason) String() string {
	if r < numReasons {
		return reasonTexts[r]
	}
	return "?"
}

// OpenError is why [Open] or [Identify] refused a path.
type OpenError struct {
	Path   string
	Reason Reason
	FSType string // name of the forbidden file system, with ForbiddenFS
	Err    error  // the host's error; nil when the refusal is ours
}

// Error returns one sentence.
func (e *OpenError) Error() string {
	s := fmt.Sprintf("%s %s", e.Path, e.Reason)
	if e.FSType != "" {
		s += " (" + e.FSType + ")"
	}
	if e.Err != nil && e.Reason == Failed {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the host's error.
func (e *OpenError) Unwrap() error { return e.Err }

// reasonOf classifies a host error met while opening a grant.
func reasonOf(err error) Reason {
	switch Errno(err) {
	case abi.ENOENT:
		return Missing
	case abi.ENOTDIR:
		return NotDirectory
	case abi.EACCES, abi.EPERM:
		return Unreadable
	}
	return Failed
}

// TryReader is implemented by handles that can read what the host already has
// in memory, without waiting.
type TryReader interface {
	// TryReadAt is ReadAt, but fails with EAGAIN when any part of the answer
	// would have to be waited for, or when the host cannot tell. The buffers
	// may then have been partly overwritten.
	TryReadAt(bufs [][]byte, off int64) (int, abi.Errno)
}

// checkName refuses what is not a single component. The namespace walk never
// passes such a name; if it did, a ".." would leave the grant.
func checkName(name string) abi.Errno {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return abi.EINVAL
	}
	return abi.OK
}

// guestDev turns a host's device number into the one that guests see. It is a
// bijection (the finalizer of SplitMix64), so that two grants of one file show
// as one file, and it stays clear of the small numbers that in-memory file
// systems use.
func guestDev(dev uint64) uint64 {
	z := dev + 0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
