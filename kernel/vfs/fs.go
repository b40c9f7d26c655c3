package vfs

import "github.com/agentos-kernel/agentos/kernel/abi"

// FileSystem is something that can be mounted. Each implementation passes the
// suite in vfs/fstest.
type FileSystem interface {
	// Root returns a new handle on the root, which need not be a directory: a
	// grant of a single file mounts a file.
	Root() (Node, abi.Errno)
	// Close returns everything. Handles still held stay safe to use and
	// close; they fail with EIO or work until closed, never crash.
	Close() error
}

// Node is a handle on an object of a file system, open or not. It names the
// object itself, not a path to it: renaming or replacing the name does not
// change what the handle is. A Node is immutable and safe for concurrent use.
type Node interface {
	// Stat describes the object; a symbolic link describes itself.
	Stat() (abi.Stat, abi.Errno)
	// Lookup returns a handle on one entry of a directory. name is one
	// component: not empty, not "." or "..", without "/" or NUL. It never
	// follows a symbolic link.
	Lookup(name string) (Node, abi.Errno)
	// Readlink returns the target of a symbolic link.
	Readlink() (string, abi.Errno)
	// Open opens the object (regular file, directory, or device) for I/O. It
	// never blocks on a FIFO or device and never follows a link. Of flags only
	// access, OAppend, OTrunc (EINVAL without OWrite), and the sync flags matter
	// here.
	Open(flags abi.OpenFlags) (Handle, abi.Errno)
	// SetTimes sets the times whose pointer is not nil, in ns since 1970.
	SetTimes(atime, mtime *int64) abi.Errno
	// MayBlock reports whether operations may wait for the host, so that the
	// gate moves them to a worker.
	MayBlock() bool
	// Close lets go of the handle.
	Close()
}

// Dir is implemented by Nodes that are directories which can change. Names are
// single components as for Lookup, of at most 255 bytes (ENAMETOOLONG). Each method is atomic towards the file
// system and refuses what already exists as POSIX does.
type Dir interface {
	Node
	// Create makes a regular file that did not exist (EEXIST otherwise) and
	// opens it.
	Create(name string, mode uint32, flags abi.OpenFlags) (Node, Handle, abi.Errno)
	Mkdir(name string, mode uint32) abi.Errno
	// Remove removes a name: an empty directory if dir, else anything but a
	// directory.
	Remove(name string, dir bool) abi.Errno
	Symlink(name, target string) abi.Errno
	// Link gives node, an object of the same file system, another name.
	Link(name string, node Node) abi.Errno
	// Rename moves name to newname in newdir, a directory of the same file
	// system, replacing what POSIX says may be replaced.
	Rename(name string, newdir Node, newname string) abi.Errno
}

// Handle is an open object. Offsets are the caller's to keep. It is safe for
// concurrent use. Vectors are at most [abi.MaxTransfer] bytes in all.
type Handle interface {
	// ReadAt reads into the buffers; 0, OK is the end of the file. A stream
	// ignores off. For it and for WriteAt, an offset below 0, or one from which
	// the buffers pass 2^63, is EINVAL, and what the handle was not opened for
	// EBADF.
	ReadAt(bufs [][]byte, off int64) (int, abi.Errno)
	// WriteAt writes the buffers. A handle opened with OAppend ignores off and
	// returns the offset after the data.
	WriteAt(bufs [][]byte, off int64) (n int, end int64, errno abi.Errno)
	// Readdir returns entries after cookie (0 starts), "." and ".." not among
	// them, at most max, in an order in which every entry that stays is seen
	// exactly once. A directory that was removed is ENOENT, and a cookie that was
	// never given out no worse than EINVAL.
	Readdir(cookie uint64, max int) ([]abi.Dirent, abi.Errno)
	Truncate(size int64) abi.Errno
	Sync(dataOnly bool) abi.Errno
	Close() abi.Errno
}

// The interfaces below are optional.

// Typed is a Node that knows its type without asking; a walk then needs no Stat.
type Typed interface{ Type() abi.FileType }

// Pather is a directory Node that can take several components at once. rel holds
// two or more ordinary components separated by single slashes. A symbolic link
// anywhere in it, the last component included, is ELOOP, and then the walk goes
// one by one. It is used only where nothing is mounted or denied beneath.
type Pather interface {
	LookupPath(rel string) (Node, abi.Errno)
}

// Finder is a Node that was told the object's attributes when it was looked up.
// They are used only right after the walk that looked it up.
type Finder interface {
	// Found returns them; false says that they may be out of date.
	Found() (abi.Stat, bool)
}

// Prompter is a Node whose operations, though they may wait for the host, do so
// for local storage only, which answers or fails in its own time. The gate then
// calls it from the guest's vCPU, with the guest's own buffers, and the scheduler
// gives the vCPU to others if it takes long. What may never answer (a network, a
// FUSE server) must not be prompt: a process in such a call could not be released.
// Syncing is never prompt.
type Prompter interface{ Prompt() bool }

// Latency is how long operations may wait for the host.
type Latency uint8

// The latencies, in their order.
const (
	Instant   Latency = iota // never
	Prompt                   // for local storage
	Unbounded                // perhaps for ever
)

// latencyOf returns the latency of operations on n.
func latencyOf(n Node) Latency {
	if !n.MayBlock() {
		return Instant
	}
	if p, ok := n.(Prompter); ok && p.Prompt() {
		return Prompt
	}
	return Unbounded
}

// Allocator is a Handle that can reserve space. It makes the file at least
// off+length bytes long.
type Allocator interface {
	Allocate(off, length int64) abi.Errno
}
