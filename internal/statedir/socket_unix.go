//go:build unix

package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Unix socket's address holds about a hundred bytes of path, fewer than a state
// directory may need, and one process cannot change directory for one call. So the
// socket is always named in a short way: on Linux through the handle of its
// directory, which also makes it immune to renames; elsewhere directly if the path
// is short, else through a temporary symbolic link in a fresh private directory.

// listenIn binds control.sock in the directory of root, whose path is dir.
func listenIn(root *os.Root, dir string) (net.Listener, error) {
	var l net.Listener
	err := withShortPath(root, dir, func(sock string) error {
		ul, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock, Net: "unix"})
		if err != nil {
			return err
		}
		ul.SetUnlinkOnClose(false) // the short path means nothing later
		l = ul
		return nil
	})
	if err != nil {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
		return nil, err
	}
	// A path could have been swapped meanwhile; a handle could not.
	if fi, err := root.Lstat(socketFile); err != nil || fi.Mode()&fs.ModeSocket == 0 {
		return nil, errors.Join(fmt.Errorf("the control socket did not appear in %s", dir), err, l.Close())
	}
	return l, nil
}

// dialIn connects to control.sock in the directory of root, whose path is dir.
func dialIn(ctx context.Context, root *os.Root, dir string) (net.Conn, error) {
	var c net.Conn
	err := withShortPath(root, dir, func(sock string) (err error) {
		c, err = new(net.Dialer).DialContext(ctx, "unix", sock)
		return err
	})
	return c, err
}

// maxSunPath is one less than the smallest sun_path of the supported systems.
const maxSunPath = 103

// withShortPath calls use with a path of control.sock that fits into an address.
func withShortPath(root *os.Root, dir string, use func(sock string) error) error {
	if runtime.GOOS == "linux" {
		f, err := root.Open(".")
		if err != nil {
			return err
		}
		handle := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
		if sameDirectory(root, handle) { // false without a usable /proc
			return errors.Join(use(handle+"/"+socketFile), f.Close())
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if sock := filepath.Join(dir, socketFile); len(sock) <= maxSunPath {
		return use(sock)
	}
	return withAlias(dir, use)
}

// withAlias lends dir a short name for the duration of use.
func withAlias(dir string, use func(sock string) error) (err error) {
	tmp, err := os.MkdirTemp(shortTemp(), "agentos-") // mode 0700
	if err != nil {
		return err
	}
	link := filepath.Join(tmp, "s")
	if err := os.Symlink(dir, link); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	defer func() { err = errors.Join(err, os.Remove(link), os.Remove(tmp)) }()
	return use(filepath.Join(link, socketFile))
}

// shortTemp returns a directory for temporary files whose path leaves room.
func shortTemp() string {
	if t := os.TempDir(); len(t) <= 64 {
		return t
	}
	return "/tmp"
}

// sameDirectory reports whether path leads to the directory of root.
func sameDirectory(root *os.Root, path string) bool {
	a, err := root.Stat(".")
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// isGone reports whether connecting failed because nobody listens any more.
func isGone(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}
