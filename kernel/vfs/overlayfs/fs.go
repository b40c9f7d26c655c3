package overlayfs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

// Options of an overlay.
type Options struct {
	// Account is charged for what the store holds (disk) and for what is
	// remembered of it (memory); nobody is if it is nil.
	Account *limit.Account
	// Labels are kept with the store, for who loads it: where the lower layer is
	// on the host, its identity, where the guest saw it.
	Labels map[string]string
}

// What an object costs beyond its data, in bytes.
const (
	inodeCost  = 512 // remembered of an object
	entryCost  = 256 // remembered of a name, and its length
	wordCost   = 64  // remembered of 64 blocks
	objectCost = 512 // an object's inode on the host
	undoCost   = 64  // journal for the removal of a name, paid with the name, and its length
	blockSize  = 4096
	// reserveCost is kept in the journal for renames on a full disk.
	reserveCost = 4096
)

// FS is an overlay. It implements [vfs.FileSystem].
type FS struct {
	ledger ledger
	dev    uint64
	lower  vfs.FileSystem
	host   *hostfs.FS // the objects

	mu sync.Mutex
	// mu guards the tree: names, parents, link counts, which handle belongs to
	// which object; and the journal.
	objects vfs.Dir
	journal journal
	root    *inode
	next    uint64 // the last number of an inode
	object  uint64 // the last number of an object
	spare   uint64 // charged, and not in the journal yet; at most reserveCost
	scratch []byte // for frames
}

// ledger is what an overlay has been charged.
type ledger struct {
	account *limit.Account
	closed  atomic.Bool // written under mu

	mu         sync.Mutex
	disk, heap uint64 // guarded by mu
}

// charge takes disk and heap, or nothing.
func (l *ledger) charge(disk, heap uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return false
	}
	if l.account != nil {
		if !l.account.Charge(abi.LimitDisk, disk) {
			return false
		}
		if !l.account.Charge(abi.LimitMemory, heap) {
			l.account.Uncharge(abi.LimitDisk, disk)
			return false
		}
	}
	l.disk += disk
	l.heap += heap
	return true
}

// uncharge returns disk and heap. After close there is nothing left to return.
func (l *ledger) uncharge(disk, heap uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed.Load() {
		l.give(disk, heap)
	}
}

// give needs mu.
func (l *ledger) give(disk, heap uint64) {
	invariants.Check(disk <= l.disk && heap <= l.heap, "overlayfs: more uncharged than charged")
	l.disk -= disk
	l.heap -= heap
	if l.account != nil {
		l.account.Uncharge(abi.LimitDisk, disk)
		l.account.Uncharge(abi.LimitMemory, heap)
	}
}

func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed.Load() {
		l.give(l.disk, l.heap)
		l.closed.Store(true)
	}
}

// New makes an overlay over lower that captures changes in dir, a directory of
// the host which is made if it is not there and must not hold a store. It takes
// over lower, which Close closes, unless it fails.
func New(lower vfs.FileSystem, dir string, o Options) (_ *FS, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	fs := &FS{dev: rand.Uint64(), lower: lower, next: rootNum}
	fs.ledger.account = o.Account
	defer func() {
		if err != nil {
			err = errors.Join(err, fs.release())
		}
	}()
	top, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = top.Close() }() // a directory handle
	if fs.journal.f, err = top.OpenFile(journalName, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	if err := top.Mkdir(objectsName, 0o700); err != nil {
		return nil, err
	}
	if fs.host, err = hostfs.Open(filepath.Join(dir, objectsName), hostfs.Options{Write: true}); err != nil {
		return nil, err
	}
	n, errno := fs.host.Root()
	if errno != abi.OK {
		return nil, fmt.Errorf("the store: %w", errno)
	}
	objects, ok := n.(vfs.Dir)
	if !ok {
		n.Close()
		return nil, errors.New("the store cannot change")
	}
	fs.objects = objects
	if err := fs.begin(o.Labels); err != nil {
		return nil, err
	}
	return fs, nil
}

// begin makes the root and writes the first frame.
func (fs *FS) begin(labels map[string]string) error {
	n, errno := fs.lower.Root()
	if errno != abi.OK {
		return fmt.Errorf("the lower layer: %w", errno)
	}
	st, errno := n.Stat()
	if errno != abi.OK {
		n.Close()
		return fmt.Errorf("the lower layer: %w", errno)
	}
	fs.root = fs.wrap(n, st.Type)
	fs.root.num, fs.root.entered, fs.root.mode = rootNum, true, st.Mode&0o777
	fs.root.refs = 1 // ours
	b := putHeader(make([]byte, headSize), labels, slices.Sorted(maps.Keys(labels)))
	b = putNode(b, &record{num: rootNum, typ: st.Type, mode: fs.root.mode, merged: true})
	if !fs.ledger.charge(uint64(len(b))+reserveCost, inodeCost) {
		return fmt.Errorf("the overlay: %w", abi.ENOSPC)
	}
	fs.spare = reserveCost
	return fs.journal.append(frame(b))
}

// release closes what New has opened, apart from lower.
func (fs *FS) release() error {
	var errs []error
	if fs.root != nil && fs.root.lower != nil {
		fs.root.lower.Close()
		fs.root.lower = nil
		fs.root.data.rest()
	}
	if fs.objects != nil {
		fs.objects.Close()
	}
	if fs.host != nil {
		errs = append(errs, fs.host.Close())
	}
	if fs.journal.f != nil {
		errs = append(errs, fs.journal.f.Close())
	}
	fs.ledger.close()
	return errors.Join(errs...)
}

// Used returns how many bytes of disk and of memory are charged.
func (fs *FS) Used() (disk, memory uint64) {
	fs.ledger.mu.Lock()
	defer fs.ledger.mu.Unlock()
	return fs.ledger.disk, fs.ledger.heap
}

// Root returns a handle on the root.
func (fs *FS) Root() (vfs.Node, abi.Errno) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.ledger.closed.Load() {
		return nil, abi.EIO
	}
	fs.root.refs++
	return fs.root, abi.OK
}

// Close returns everything and closes the lower layer; the store stays for
// [Load]. A copy that is going on is broken off. Operations on handles that are
// still held fail with EIO or read on. Closing again does nothing.
func (fs *FS) Close() error {
	if fs.ledger.closed.Load() {
		return nil
	}
	fs.ledger.close()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	invariants.Point("overlayfs.fs")
	if fs.lower == nil {
		return nil
	}
	err := errors.Join(fs.release(), fs.lower.Close())
	fs.lower = nil
	return err
}
