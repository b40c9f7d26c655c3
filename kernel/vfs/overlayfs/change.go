package overlayfs

import "github.com/agentos-kernel/agentos/kernel/abi"

// Kind says how a path differs between the layers.
type Kind uint8

// The kinds of change.
const (
	Added    Kind = iota // the lower layer has nothing there
	Modified             // content, type, or target differ
	Deleted              // the lower layer has something there, the merged view nothing
	Mode                 // only mode or times differ
)

// Change is one path at which the merged view differs from the lower layer.
// Each stands for itself: what it needs is in it or in the store.
type Change struct {
	Path   string       // relative to the overlay's root, slash-separated; "." is the root
	Kind   Kind         //
	Type   abi.FileType // of what is there now; of what was there for Deleted
	Mode   uint32       // permission bits
	Mtime  int64        // ns since 1970
	Size   int64        // of a regular file
	Target string       // of a symbolic link
	Link   string       // path of an earlier change that is the same file under another name
	Object string       // name of the content in the store; "" where there is none of its own
	Was    *Base        // what the lower layer had at Path; nil for nothing
}

// Base is what the lower layer had at a path when the overlay departed from it.
// A commit that finds something else there is a conflict.
type Base struct {
	Type         abi.FileType
	Mode         uint32
	Nlink        uint64 // 0 where it is not known
	Size         int64
	Mtime, Ctime int64
	Target       string // of a symbolic link
}
