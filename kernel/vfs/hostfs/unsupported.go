//go:build !unix

package hostfs

import (
	"errors"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// FS does not exist on this host: the rules of this package cannot be held here.
type FS struct{}

// Open always fails.
func Open(path string, _ Options) (*FS, error) {
	return nil, &OpenError{Path: path, Reason: Failed, Err: errors.ErrUnsupported}
}

// Root always fails.
func (*FS) Root() (vfs.Node, abi.Errno) { return nil, abi.ENOSYS }

// AllowWrite allows nothing.
func (*FS) AllowWrite() {}

// ID returns nothing.
func (*FS) ID() ID { return ID{} }

// Close does nothing.
func (*FS) Close() error { return nil }

func identify(string) (dev, ino uint64, err error) { return 0, 0, errors.ErrUnsupported }
