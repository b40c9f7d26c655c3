//go:build unix && (!linux || hostfs_portable)

package hostfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// This is hostfs for hosts without O_PATH. Directories are bound to an [os.Root]
// of their own; what is not a directory is bound to its directory, its name, and
// its identity, so that a file whose name is moved is lost (ESTALE) rather than
// mistaken for another. The build tag hostfs_portable selects it on Linux, to
// test it there.

// FS is one granted directory or file. It is safe for concurrent use.
type FS struct {
	root   *dirRef // the granted directory, or the one that the granted file is in
	info   fs.FileInfo
	name   string // of the granted file in root, "" for a directory
	path   string
	write  atomic.Bool
	hidden []hidden
	closed atomic.Bool
}

// hidden is an object that no guest may see, replace, or move.
type hidden struct {
	id    ID
	links []ID
}

// dirRef is an os.Root with a count of those who hold it.
type dirRef struct {
	r *os.Root
	n atomic.Int32
}

func newDirRef(r *os.Root) *dirRef {
	d := &dirRef{r: r}
	d.n.Store(1)
	return d
}

func (d *dirRef) hold() bool {
	for {
		n := d.n.Load()
		if n <= 0 {
			return false
		}
		if d.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *dirRef) drop() {
	if d.n.Add(-1) == 0 {
		_ = d.r.Close() // a directory handle: nothing was written through it
	}
}

// AllowWrite adds [Options.Write] to what is granted, for good. Handles that are open
// for reading stay so.
func (f *FS) AllowWrite() { f.write.Store(true) }

// Open grants path, a directory or a regular file, following symbolic links in
// path itself, which the caller has chosen. Errors are *[OpenError].
func Open(path string, opts Options) (*FS, error) {
	refuse := func(r Reason, e error) error { return &OpenError{Path: path, Reason: r, Err: e} }
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, refuse(Failed, err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, refuse(reasonOf(err), err)
	}
	fi, err := os.Lstat(real)
	if err != nil {
		return nil, refuse(reasonOf(err), err)
	}
	f := &FS{info: fi, path: real}
	f.write.Store(opts.Write)
	dir := real
	switch typeOf(fi) {
	case abi.TypeDirectory:
	case abi.TypeRegular:
		dir, f.name = filepath.Dir(real), filepath.Base(real)
	case abi.TypeFIFO:
		return nil, refuse(IsFIFO, nil)
	case abi.TypeSocket:
		return nil, refuse(IsSocket, nil)
	case abi.TypeCharDevice, abi.TypeBlockDevice:
		return nil, refuse(IsDevice, nil)
	default:
		return nil, refuse(Failed, errNotAGrant)
	}
	for _, id := range opts.Hidden {
		h := hidden{id: id}
		if id.path != "" {
			if h.links, err = linksOn(id.path); err != nil && Errno(err) != abi.ENOENT {
				return nil, refuse(Failed, err)
			}
		}
		f.hidden = append(f.hidden, h)
	}
	for p := real; ; p = filepath.Dir(p) {
		above, err := os.Lstat(p)
		if err != nil {
			return nil, refuse(reasonOf(err), err)
		}
		if f.isHidden(above) {
			return nil, refuse(IsHidden, nil)
		}
		if p == filepath.Dir(p) {
			break
		}
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, refuse(reasonOf(err), err)
	}
	f.root = newDirRef(r)
	if err := f.checkRoot(); err != nil {
		f.root.drop()
		if oe, ok := err.(*OpenError); ok {
			oe.Path = path
			return nil, oe
		}
		return nil, refuse(reasonOf(err), err)
	}
	return f, nil
}

const errNotAGrant = syscall.ENOTSUP

// checkRoot makes sure that what was opened is what was judged, that it can be
// read, and that its file system holds data.
func (f *FS) checkRoot() error {
	name, dir := ".", true
	if f.name != "" {
		name, dir = f.name, false
	}
	h, err := openSame(f.root.r, name, f.info, os.O_RDONLY, dir)
	if err != nil {
		return err
	}
	fsName, err := forbiddenHere(h)
	_ = h.Close() // nothing was written through it
	if err != nil {
		return err
	}
	if fsName != "" {
		return &OpenError{Reason: ForbiddenFS, FSType: fsName}
	}
	return nil
}

// openSame opens an entry and makes sure that it is the object want. It never
// waits for the other end of a FIFO.
func openSame(r *os.Root, name string, want fs.FileInfo, flags int, dir bool) (*os.File, error) {
	trunc := flags&os.O_TRUNC != 0
	flags = flags&^os.O_TRUNC | unix.O_NONBLOCK | unix.O_NOCTTY
	if dir {
		flags |= unix.O_DIRECTORY
	}
	h, err := r.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	have, err := h.Stat()
	switch {
	case err != nil:
	case !os.SameFile(have, want):
		err = unix.ESTALE
	case trunc:
		err = h.Truncate(0)
	}
	if err != nil {
		_ = h.Close() // nothing was written through it
		return nil, err
	}
	return h, nil
}

// Root returns a new handle on the root.
func (f *FS) Root() (vfs.Node, abi.Errno) {
	if f.closed.Load() || !f.root.hold() {
		return nil, abi.EIO
	}
	if f.name != "" {
		return &node{fs: f, typ: abi.TypeRegular, info: f.info, parent: f.root, name: f.name}, abi.OK
	}
	return &node{fs: f, typ: abi.TypeDirectory, info: f.info, dir: f.root}, abi.OK
}

// ID returns the host's identity of the root.
func (f *FS) ID() ID {
	dev, ino := devIno(f.info)
	return ID{Dev: dev, Ino: ino, path: f.path}
}

// Close gives up the root. Handles that are still held keep what they need.
// Closing again does nothing.
func (f *FS) Close() error {
	if !f.closed.Swap(true) {
		f.root.drop()
	}
	return nil
}

func (f *FS) isHidden(fi fs.FileInfo) bool {
	if len(f.hidden) == 0 {
		return false
	}
	dev, ino := devIno(fi)
	for i := range f.hidden {
		if f.hidden[i].id.Is(dev, ino) {
			return true
		}
	}
	return false
}

// movable refuses with EACCES to move, replace, or remove what a hidden object's
// path leads through.
func (f *FS) movable(fi fs.FileInfo) abi.Errno {
	dev, ino := devIno(fi)
	for i := range f.hidden {
		h := &f.hidden[i]
		for _, l := range h.links {
			if l.Is(dev, ino) {
				return abi.EACCES
			}
		}
		if h.id.path == "" || !fi.IsDir() {
			continue
		}
		p, err := filepath.EvalSymlinks(h.id.path)
		if err != nil {
			return Errno(err)
		}
		for ; ; p = filepath.Dir(p) {
			above, err := os.Lstat(p)
			if err != nil {
				return Errno(err)
			}
			if os.SameFile(above, fi) {
				return abi.EACCES
			}
			if p == filepath.Dir(p) {
				break
			}
		}
	}
	return abi.OK
}

func identify(abs string) (dev, ino uint64, err error) {
	fi, err := os.Stat(abs)
	if err != nil {
		return 0, 0, err
	}
	dev, ino = devIno(fi)
	return dev, ino, nil
}

func typeOf(fi fs.FileInfo) abi.FileType {
	switch m := fi.Mode(); {
	case m.IsRegular():
		return abi.TypeRegular
	case m.IsDir():
		return abi.TypeDirectory
	case m&fs.ModeSymlink != 0:
		return abi.TypeSymlink
	case m&fs.ModeNamedPipe != 0:
		return abi.TypeFIFO
	case m&fs.ModeSocket != 0:
		return abi.TypeSocket
	case m&fs.ModeCharDevice != 0:
		return abi.TypeCharDevice
	case m&fs.ModeDevice != 0:
		return abi.TypeBlockDevice
	}
	return abi.TypeUnknown
}
