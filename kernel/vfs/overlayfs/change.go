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

// String returns the stable name of k.
func (k Kind) String() string {
	switch k {
	case Added:
		return "added"
	case Modified:
		return "modified"
	case Deleted:
		return "deleted"
	case Mode:
		return "mode"
	}
	return "?"
}

// Change is one path at which the merged view differs from the lower layer.
// Each stands for itself: what it needs is in it or in the store.
//
// Changes come in an order in which they can be applied one by one: a directory
// before what is added in it, what is deleted from a directory before the
// directory itself or what replaces it. The times of a directory change when
// something in it does; who wants to keep them sets them last.
type Change struct {
	Path   string       // relative to the overlay's root, slash-separated; "." is the root
	Kind   Kind         //
	Type   abi.FileType // of what is there now; of what was there for Deleted
	Mode   uint32       // permission bits
	Mtime  int64        // ns since 1970
	Size   int64        // of a regular file
	Target string       // of a symbolic link
	// Link is the path of an earlier change, or of something that did not
	// change, that is the same file under another name. Object is set as well,
	// so that the change can be applied without the other.
	Link string
	// Object is the name of the content in the store: of each regular file but
	// one with Kind Mode whose content was never copied.
	Object string
	// From is the path in the lower layer that the content was copied from and
	// still is the same as: the file was renamed or linked, not written.
	From string
	Was  *Base // what the lower layer had at Path; nil for nothing
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
