//go:build !unix

package statedir

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"time"
)

// Without owners, modes, and flock there is no state directory: Open always
// refuses, so that nothing else in this file is ever reached.
var errUnsupported = errors.ErrUnsupported

func openTop(path string, _ bool) (*os.File, error) {
	return nil, &Unavailable{Path: path, Reason: "cannot be kept on this operating system", Err: errUnsupported}
}

func deviceAndInode(fs.FileInfo) (dev, ino uint64) { return 0, 0 }

func isReadOnly(error) bool { return false }
func isFull(error) bool     { return false }

func lockExclusive(*os.File) (bool, error)            { return false, errUnsupported }
func processGone(int) bool                            { return false }
func lockShared(*os.File) (bool, error)               { return false, errUnsupported }
func lockWait(*os.File, time.Duration) error          { return errUnsupported }
func unlock(*os.File) error                           { return errUnsupported }
func (d *Dir) discard(string) error                   { return errUnsupported }
func isGone(error) bool                               { return false }
func listenIn(*os.Root, string) (net.Listener, error) { return nil, errUnsupported }

func (d *Dir) emptyTrash(context.Context) (left int, err error) { return 0, errUnsupported }
func (d *Dir) toTrash(string) (string, error)                   { return "", errUnsupported }

func dialIn(context.Context, *os.Root, string) (net.Conn, error) { return nil, errUnsupported }
