package proc

import (
	"sync"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Descriptor is one open descriptor. The table owns a reference to File.
type Descriptor struct {
	File    *vfs.File
	Base    *vfs.Base // where a path walk may start; nil unless a directory
	Preopen string    // name that it was pre-opened under
	Rights  uint64    // of the guest's ABI; the kernel only narrows them
	Inherit uint64
	// Epoch is that of the authority before it was asked about the file. What it has
	// become since is asked again when the descriptor is used.
	Epoch uint64
}

// FDTable is a process's descriptors. A number is reserved and charged before
// anything is opened, and committing cannot fail, so that no open is undone.
type FDTable struct {
	account *limit.Account

	mu     sync.Mutex
	slots  []slot // guarded by mu
	free   int    // guarded by mu; no free slot lies below it
	closed bool   // guarded by mu
}

type slot struct {
	used, open bool // reserved; committed
	lost       Loss // by a change of what the process may do, as of d.Epoch
	kept       Loss // what a change does not take from it
	latency    vfs.Latency
	d          Descriptor
}

// NewFDTable makes an empty table that charges account for each descriptor.
func NewFDTable(account *limit.Account) *FDTable { return &FDTable{account: account} }

// Reserve takes and charges the lowest free number.
func (t *FDTable) Reserve() (abi.FD, abi.Errno) {
	if !t.account.Charge(abi.LimitFiles, 1) {
		return abi.NoFD, abi.EMFILE
	}
	taken := false
	defer func() {
		if !taken {
			t.account.Uncharge(abi.LimitFiles, 1)
		}
	}()
	var fd abi.FD
	if fd, taken = t.take(); !taken {
		return abi.NoFD, abi.EBADF
	}
	return fd, abi.OK
}

func (t *FDTable) take() (abi.FD, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return abi.NoFD, false
	}
	invariants.Point("proc.fdtable")
	for i := t.free; i < len(t.slots); i++ {
		if !t.slots[i].used {
			t.slots[i].used = true
			t.free = i + 1
			return abi.FD(i), true
		}
	}
	t.slots = append(t.slots, slot{used: true})
	t.free = len(t.slots)
	return abi.FD(len(t.slots) - 1), true
}

// Commit opens a reserved number. It cannot fail, but reports false if the table
// was released meanwhile; the caller then lets go of d.File.
func (t *FDTable) Commit(fd abi.FD, d Descriptor) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	invariants.Check(t.slots[fd].used && !t.slots[fd].open, "proc: commit of a descriptor that was not reserved")
	t.slots[fd] = slot{used: true, open: true, latency: d.File.Latency(), d: d}
	return true
}

// Cancel gives back a reserved number.
func (t *FDTable) Cancel(fd abi.FD) {
	if t.drop(fd) {
		t.account.Uncharge(abi.LimitFiles, 1)
	}
}

func (t *FDTable) drop(fd abi.FD) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || int(fd) >= len(t.slots) || !t.slots[fd].used || t.slots[fd].open {
		return false
	}
	t.clear(fd)
	return true
}

// clear frees a slot. It needs mu.
func (t *FDTable) clear(fd abi.FD) {
	t.slots[fd] = slot{}
	t.free = min(t.free, int(fd))
}

// Get returns a descriptor with a reference to its file, which the caller lets
// go of.
func (t *FDTable) Get(fd abi.FD) (Descriptor, abi.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
		return Descriptor{}, abi.EBADF
	}
	invariants.Point("proc.fdtable")
	d := t.slots[fd].d
	d.File.Ref()
	return d, abi.OK
}

// Borrow is Get without a reference, for the handlers of transfers. The file
// stays open for the length of the call: the process makes one call at a time, and
// for a call on a worker, which the process may not outlive, the gate holds a
// reference.
func (t *FDTable) Borrow(fd abi.FD) (*vfs.File, abi.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
		return nil, abi.EBADF
	}
	invariants.Point("proc.fdtable")
	return t.slots[fd].d.File, abi.OK
}

// Latency returns how long operations on fd may wait for the host. A number that
// is not open is answered at once. It and BaseLatency take no lock: they are for
// the gate, on the process's own vCPU, where nobody else changes the table.
func (t *FDTable) Latency(fd abi.FD) vfs.Latency {
	if fd < 0 || int(fd) >= len(t.slots) {
		return vfs.Instant
	}
	return t.slots[fd].latency
}

// Lacks reports whether fd is open and lacks any of the rights in need, which are
// the guest ABI's own. base says that it is to be a directory: what is not, is
// better answered so. Like Latency it takes no lock.
func (t *FDTable) Lacks(fd abi.FD, need uint64, base bool) bool {
	if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
		return false
	}
	d := &t.slots[fd].d
	return need&^d.Rights != 0 && !(base && d.Base == nil)
}

// Fresh reports whether fd was decided on under epoch and has lost nothing. Like
// Latency it takes no lock.
func (t *FDTable) Fresh(fd abi.FD, epoch uint64) bool {
	if fd < 0 || int(fd) >= len(t.slots) {
		return true // the handler says that it is not open
	}
	s := &t.slots[fd]
	return s.d.Epoch == epoch && s.lost == 0
}

// stale returns the file of fd to be decided on again, nil if fd is not open or was
// decided on under epoch; then it has lost what lost says. Who keeps the descriptor
// from being closed is as for Borrow.
func (t *FDTable) stale(fd abi.FD, epoch uint64) (f *vfs.File, again bool, lost, kept Loss) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
		return nil, false, 0, 0
	}
	s := &t.slots[fd]
	return s.d.File, s.d.Epoch != epoch, s.lost, s.kept
}

// Keep has the descriptors that are open keep what they have not lost, whatever
// changes, until they are closed or Keep(false) is called. It returns how many of them
// are of files.
func (t *FDTable) Keep(keep bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.slots {
		s := &t.slots[i]
		if !s.open || s.d.File.Stream() {
			continue
		}
		if !keep {
			s.kept = 0
			continue
		}
		s.kept = (LostRead | LostWrite) &^ s.lost
		n++
	}
	return n
}

// decided notes what fd has lost as of epoch.
func (t *FDTable) decided(fd abi.FD, epoch uint64, lost Loss) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd >= 0 && int(fd) < len(t.slots) && t.slots[fd].open {
		t.slots[fd].d.Epoch, t.slots[fd].lost = epoch, lost
	}
}

// BaseLatency returns how long a walk that starts at fd may wait for the host.
func (t *FDTable) BaseLatency(fd abi.FD) vfs.Latency {
	if fd < 0 || int(fd) >= len(t.slots) || t.slots[fd].d.Base == nil {
		return vfs.Instant
	}
	return t.slots[fd].d.Base.Latency()
}

// basePath returns the guest path of the directory that fd stands for.
func (t *FDTable) basePath(fd abi.FD) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || t.slots[fd].d.Base == nil {
		return "", false
	}
	return t.slots[fd].d.Base.Path(), true
}

// Remove takes a descriptor out of the table. The caller owns its reference.
func (t *FDTable) Remove(fd abi.FD) (Descriptor, abi.Errno) {
	d, errno := t.remove(fd)
	if errno == abi.OK {
		t.account.Uncharge(abi.LimitFiles, 1)
	}
	return d, errno
}

func (t *FDTable) remove(fd abi.FD) (Descriptor, abi.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
		return Descriptor{}, abi.EBADF
	}
	invariants.Point("proc.fdtable")
	d := t.slots[fd].d
	t.clear(fd)
	return d, abi.OK
}

// Renumber moves from onto to, which must be open as well, and returns what was
// open there for the caller to let go of.
func (t *FDTable) Renumber(from, to abi.FD) (Descriptor, abi.Errno) {
	old, errno := t.renumber(from, to)
	if errno == abi.OK && from != to {
		t.account.Uncharge(abi.LimitFiles, 1)
	}
	return old, errno
}

func (t *FDTable) renumber(from, to abi.FD) (Descriptor, abi.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, fd := range [...]abi.FD{from, to} {
		if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
			return Descriptor{}, abi.EBADF
		}
	}
	if from == to {
		return Descriptor{}, abi.OK
	}
	invariants.Point("proc.fdtable")
	old := t.slots[to].d
	t.slots[to] = t.slots[from]
	t.clear(from)
	return old, abi.OK
}

// Update changes a descriptor in place. f must not block; if it returns an
// error nothing is changed.
func (t *FDTable) Update(fd abi.FD, f func(*Descriptor) abi.Errno) abi.Errno {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || !t.slots[fd].open {
		return abi.EBADF
	}
	invariants.Point("proc.fdtable")
	d := t.slots[fd].d
	if errno := f(&d); errno != abi.OK {
		return errno
	}
	d.File = t.slots[fd].d.File // the reference is the table's
	t.slots[fd].d = d
	return abi.OK
}

// Len returns how many descriptors are open or reserved.
func (t *FDTable) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for i := range t.slots {
		if t.slots[i].used {
			n++
		}
	}
	return n
}

// Release closes the table for good and returns what was open, for the caller
// to let go of. Reservations in flight find the table closed.
func (t *FDTable) Release() []Descriptor {
	open, charged := t.release()
	t.account.Uncharge(abi.LimitFiles, uint64(charged))
	return open
}

func (t *FDTable) release() (open []Descriptor, charged int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for i := range t.slots {
		if t.slots[i].used {
			charged++
		}
		if t.slots[i].open {
			open = append(open, t.slots[i].d)
		}
	}
	t.slots = nil
	return open, charged
}
