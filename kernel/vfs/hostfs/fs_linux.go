//go:build linux && !hostfs_portable

package hostfs

import (
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/internal/pseudofs"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// features are what the host offers. Old kernels and old seccomp filters lack
// some; each has a way without it.
type features struct {
	openat2 bool // else openat of single components with O_NOFOLLOW
	statx   bool // else fstat, and fstatfs at every lookup
	proc    bool // /proc/self/fd; else re-opening by name and comparing identity
}

// FS is one granted directory or file. It is safe for concurrent use.
type FS struct {
	root     *desc
	rootInfo info
	path     string // absolute; for re-opening a file grant without /proc
	write    atomic.Bool
	has      features
	proc     *desc // the directory /proc/self/fd, nil without it
	hidden   []hidden
	direct   bool // nothing hidden lies beneath the root, so paths may be looked up whole
	prompt   bool // the root and all mounts beneath it are local storage
	mounts   mounts
	bufs     sync.Pool // *[direntBuf]byte
	closed   atomic.Bool
}

// AllowWrite adds [Options.Write] to what is granted, for good. Handles that are open
// for reading stay so.
func (fs *FS) AllowWrite() { fs.write.Store(true) }

// Open grants path, a directory or a regular file, following symbolic links in
// path itself, which the caller has chosen. Errors are *[OpenError].
func Open(path string, opts Options) (*FS, error) {
	return open(path, opts, features{openat2: true, statx: true, proc: true})
}

// open is Open with at most the given features, so that tests can take them
// away.
func open(path string, opts Options, has features) (_ *FS, err error) {
	refuse := func(r Reason, e error) error { return &OpenError{Path: path, Reason: r, Err: e} }
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, refuse(Failed, err)
	}
	fd, err := openPath(abs)
	if err != nil {
		return nil, refuse(reasonOf(err), err)
	}
	fs := &FS{root: newDesc(fd), path: abs, has: has}
	fs.write.Store(opts.Write)
	fs.bufs.New = func() any { return new([direntBuf]byte) }
	defer func() {
		if err != nil {
			err = errors.Join(err, fs.Close())
			if one := (*OpenError)(nil); errors.As(err, &one) {
				err = one // Close has nothing to say about handles that only named things
			}
		}
	}()
	if err := fs.probe(fd); err != nil {
		return nil, refuse(Failed, err)
	}
	if fs.rootInfo, err = fs.describe(fd, true); err != nil {
		return nil, refuse(Failed, err)
	}
	switch fs.rootInfo.typ() {
	case abi.TypeDirectory, abi.TypeRegular:
	case abi.TypeFIFO:
		return nil, refuse(IsFIFO, nil)
	case abi.TypeSocket:
		return nil, refuse(IsSocket, nil)
	case abi.TypeCharDevice, abi.TypeBlockDevice:
		return nil, refuse(IsDevice, nil)
	default:
		return nil, refuse(Failed, unix.ENOTSUP)
	}
	var sfs unix.Statfs_t
	if err := againErr(func() error { return unix.Fstatfs(fd, &sfs) }); err != nil {
		return nil, refuse(Failed, err)
	}
	if name := pseudofs.Name(uint32(sfs.Type)); name != "" {
		return nil, &OpenError{Path: path, Reason: ForbiddenFS, FSType: name}
	}
	if err := fs.hide(opts.Hidden); err != nil {
		return nil, refuse(Failed, err)
	}
	inside, err := fs.insideHidden(fd)
	if err != nil {
		return nil, refuse(Failed, err)
	}
	if inside {
		return nil, refuse(IsHidden, nil)
	}
	shown, errno := fs.visible(fd, &fs.rootInfo)
	if errno != abi.OK {
		return nil, refuse(Failed, errno)
	}
	if !shown {
		return nil, refuse(IsHidden, nil)
	}
	// Reading is what every grant includes; find out now, not in the guest.
	n := fs.rootNode()
	rfd, err := n.reopen(fd, unix.O_RDONLY)
	if err != nil {
		return nil, refuse(reasonOf(err), err)
	}
	_ = unix.Close(rfd) // nothing was written through it
	fs.direct = fs.nothingHiddenBeneath()
	fs.prompt = fs.allLocal(fd)
	return fs, nil
}

func (fs *FS) rootNode() *node {
	return &node{
		ref: ref{d: fs.root}, fs: fs, typ: fs.rootInfo.typ(), home: fs.atHome(&fs.rootInfo),
		dev: fs.rootInfo.dev, ino: fs.rootInfo.ino,
	}
}

// atHome reports whether an object is on the root's mount.
func (fs *FS) atHome(in *info) bool {
	return in.mountKind == mountUnique && keyOf(in) == keyOf(&fs.rootInfo)
}

func openPath(abs string) (int, error) {
	return again(func() (int, error) { return unix.Open(abs, unix.O_PATH|unix.O_CLOEXEC, 0) })
}

// probe narrows fs.has to what works here.
func (fs *FS) probe(fd int) error {
	if fs.has.openat2 {
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve}
		// The root may be a file, below which nothing can be opened: any answer
		// other than the two that mean "not here" is the system call at work.
		pfd, err := again(func() (int, error) { return unix.Openat2(fd, ".", &how) })
		switch err {
		case nil:
			_ = unix.Close(pfd)
		case unix.ENOSYS, unix.EPERM, unix.E2BIG, unix.EINVAL:
			fs.has.openat2 = false
		}
	}
	if fs.has.statx {
		_, err := statx(fd, "", statxFlags|unix.AT_EMPTY_PATH)
		switch err {
		case nil:
		case unix.ENOSYS, unix.EPERM:
			fs.has.statx = false
		default:
			return err
		}
	}
	if fs.has.proc {
		fs.has.proc = fs.probeProc(fd)
	}
	return nil
}

// probeProc opens /proc/self/fd and makes sure that it is the real one and that
// its links lead where they must.
func (fs *FS) probeProc(fd int) bool {
	pfd, err := again(func() (int, error) {
		return unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return false
	}
	ok := func() bool {
		var sfs unix.Statfs_t
		if unix.Fstatfs(pfd, &sfs) != nil || uint32(sfs.Type) != unix.PROC_SUPER_MAGIC {
			return false
		}
		lfd, err := again(func() (int, error) {
			return unix.Openat(pfd, strconv.Itoa(fd), unix.O_PATH|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return false
		}
		defer func() { _ = unix.Close(lfd) }() // an O_PATH handle
		want, err1 := fstat(fd)
		have, err2 := fstat(lfd)
		return err1 == nil && err2 == nil && want.dev == have.dev && want.ino == have.ino
	}()
	if !ok {
		_ = unix.Close(pfd) // an O_PATH handle
		return false
	}
	fs.proc = newDesc(pfd)
	return true
}

// Root returns a new handle on the root.
func (fs *FS) Root() (vfs.Node, abi.Errno) {
	if fs.closed.Load() || !fs.root.hold() {
		return nil, abi.EIO
	}
	return fs.rootNode(), abi.OK
}

// ID returns the host's identity of the root.
func (fs *FS) ID() ID { return ID{Dev: fs.rootInfo.dev, Ino: fs.rootInfo.ino, path: fs.path} }

// Close gives up the root. Handles that are still held keep what they need and
// work on or fail with EIO until they are closed. Closing again does nothing.
func (fs *FS) Close() error {
	if fs.closed.Swap(true) {
		return nil
	}
	errs := []abi.Errno{fs.root.drop()}
	if fs.proc != nil {
		errs = append(errs, fs.proc.drop())
	}
	for i := range fs.hidden {
		if d := fs.hidden[i].d; d != nil {
			errs = append(errs, d.drop())
		}
	}
	for _, e := range errs {
		if e != abi.OK {
			return e
		}
	}
	return nil
}

func identify(abs string) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := againErr(func() error { return unix.Stat(abs, &st) }); err != nil {
		return 0, 0, err
	}
	return st.Dev, st.Ino, nil
}
