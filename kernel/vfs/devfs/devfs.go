// Package devfs is the few devices that every program may have: null, zero,
// full, random, and urandom. They are made here and are no host devices.
//
// Invariants: nothing in it can change; no operation waits; a device keeps no
// state between operations.
//
// Locks: none.
//
// Imports: kernel/{abi,vfs}.
package devfs

import (
	"crypto/rand"
	mrand "math/rand/v2"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// device is what distinguishes one device from another.
type device struct {
	name  string
	read  func(b []byte) (int, abi.Errno) // fills b
	write abi.Errno                       // what writing to it comes to
}

// devices returns the devices in the order in which they are listed. Inode
// numbers and cookies follow from it.
func devices() []device {
	zero := func(b []byte) (int, abi.Errno) { clear(b); return len(b), abi.OK }
	random := func(b []byte) (int, abi.Errno) {
		if _, err := rand.Read(b); err != nil {
			return 0, abi.EIO
		}
		return len(b), abi.OK
	}
	return []device{
		{"null", func([]byte) (int, abi.Errno) { return 0, abi.OK }, abi.OK},
		{"zero", zero, abi.OK},
		{"full", zero, abi.ENOSPC},
		{"random", random, abi.OK},
		{"urandom", random, abi.OK},
	}
}

// FS is a device file system. It implements [vfs.FileSystem].
type FS struct {
	dev  uint64
	born int64
	list []device
}

// New makes one.
func New() *FS {
	return &FS{dev: mrand.Uint64(), born: time.Now().UnixNano(), list: devices()}
}

// Root returns a handle on the root.
func (fs *FS) Root() (vfs.Node, abi.Errno) { return node{fs, nil, 1}, abi.OK }

// Close has nothing to return.
func (fs *FS) Close() error { return nil }

// node is the root (d is nil) or a device.
type node struct {
	fs  *FS
	d   *device
	ino uint64
}

var _ vfs.Typed = node{}

func (n node) Type() abi.FileType {
	if n.d == nil {
		return abi.TypeDirectory
	}
	return abi.TypeCharDevice
}

func (n node) Stat() (abi.Stat, abi.Errno) {
	st := abi.Stat{Dev: n.fs.dev, Ino: n.ino, Type: n.Type(), Mode: 0o666, Nlink: 1, Atime: n.fs.born, Mtime: n.fs.born, Ctime: n.fs.born}
	if n.d == nil {
		st.Mode, st.Nlink = 0o555, 2
	}
	return st, abi.OK
}

func (n node) Lookup(name string) (vfs.Node, abi.Errno) {
	if n.d != nil {
		return nil, abi.ENOTDIR
	}
	for i := range n.fs.list {
		if n.fs.list[i].name == name {
			return node{n.fs, &n.fs.list[i], uint64(i) + 2}, abi.OK
		}
	}
	return nil, abi.ENOENT
}

func (n node) Readlink() (string, abi.Errno)  { return "", abi.EINVAL }
func (n node) SetTimes(_, _ *int64) abi.Errno { return abi.EPERM }
func (n node) MayBlock() bool                 { return false }
func (n node) Close()                         {}

func (n node) Open(flags abi.OpenFlags) (vfs.Handle, abi.Errno) {
	if n.d == nil && flags&(abi.OWrite|abi.OTrunc) != 0 {
		return nil, abi.EISDIR
	}
	return handle{n}, abi.OK
}

// handle is an open device or the open root.
type handle struct{ n node }

func (h handle) ReadAt(bufs [][]byte, _ int64) (int, abi.Errno) {
	if h.n.d == nil {
		return 0, abi.EISDIR
	}
	total := 0
	for _, b := range bufs {
		n, errno := h.n.d.read(b)
		if total += n; errno != abi.OK || n < len(b) {
			return total, errno
		}
	}
	return total, abi.OK
}

func (h handle) WriteAt(bufs [][]byte, off int64) (n int, end int64, _ abi.Errno) {
	if h.n.d == nil {
		return 0, 0, abi.EISDIR
	}
	for _, b := range bufs {
		n += len(b)
	}
	if n > 0 && h.n.d.write != abi.OK {
		return 0, off, h.n.d.write
	}
	return n, off + int64(n), abi.OK
}

func (h handle) Readdir(cookie uint64, max int) ([]abi.Dirent, abi.Errno) {
	if h.n.d != nil {
		return nil, abi.ENOTDIR
	}
	var out []abi.Dirent
	for i := cookie; i < uint64(len(h.n.fs.list)) && len(out) < max; i++ {
		out = append(out, abi.Dirent{Next: i + 1, Ino: i + 2, Type: abi.TypeCharDevice, Name: h.n.fs.list[i].name})
	}
	return out, abi.OK
}

func (h handle) Truncate(int64) abi.Errno { return abi.EINVAL }
func (h handle) Sync(bool) abi.Errno      { return abi.EINVAL }
func (h handle) Close() abi.Errno         { return abi.OK }
