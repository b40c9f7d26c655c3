package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/cgroup"
	"github.com/agentos-kernel/agentos/guest/native/landlock"
	"github.com/agentos-kernel/agentos/guest/native/seccomp"
	"github.com/agentos-kernel/agentos/guest/native/stub"
)

// Options configure a launcher.
type Options struct {
	// Name begins the names of its control groups, and says whose they are.
	Name string
	// Ready is how many cells are kept ready once a first one was used.
	Ready int
	// UserNamespace says that this process is alone in a user namespace.
	UserNamespace bool
	// NoNamespaces makes do without them, as on a host that refuses them. The process
	// must serve one tree only, Alone.
	NoNamespaces bool
	// Alone says that every child of this process will be of one tree. It becomes the
	// parent of the tree's orphans.
	Alone bool
	// Scratch is the directory for the private files of trees without namespaces.
	Scratch string
}

// Launcher starts trees.
type Launcher struct {
	o            Options
	namespaces   bool
	facts        Facts
	groups       *cgroup.Host
	filter       []unix.SockFilter
	listenFlags  uint64
	bindings     *stub.Script // see bind
	landlock     int          // ABI
	mostFiles    uint64       // that a process may be allowed to have open
	initImage    *os.File
	starterImage *os.File
	ready        chan *cell
	made         atomic.Uint64 // cells, for their names
	plans        plans

	ended   chan struct{} // holds one if a tree has ended lately
	closing chan struct{} // closed by Close

	mu      sync.Mutex
	filling chan struct{} // guarded by mu; closed when the goroutine that makes cells stops; nil without one
	waiting bool          // guarded by mu; somebody waits for the cell that is being made
	next    stage         // guarded by mu; what the cells that are made ahead are made of
	closed  bool          // guarded by mu
	fillers sync.WaitGroup
	leftErr error // guarded by mu; of what was cleared away behind trees
	clears  sync.WaitGroup
}

// New probes the host and makes a launcher, which must be closed.
func New(o Options) (_ *Launcher, err error) {
	l := &Launcher{o: o, ready: make(chan *cell, max(o.Ready, 0)), ended: make(chan struct{}, 1), closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := l.openImages(); err != nil {
		return nil, err
	}
	l.landlock = landlock.ABI()
	if l.mostFiles, err = mostFiles(); err != nil {
		return nil, err
	}
	l.groups = cgroup.Probe(o.Name)
	if err := l.probe(); err != nil {
		return nil, err
	}
	l.facts = l.describe()
	if err := l.sweep(); err != nil {
		l.facts.Weak = append(l.facts.Weak, "What a kernel that is gone has left could not be removed: "+err.Error()+".")
	}
	return l, nil
}

// assemble makes what every starter does to itself, which depends on what was probed.
func (l *Launcher) assemble() (err error) {
	rules := seccomp.Options{Gate: l.listenFlags != 0, NoNamespaces: !l.namespaces}
	if !l.groups.Has("memory") {
		// Segments of System V are nobody's memory, and nothing else counts them.
		rules.Deny = []uint32{unix.SYS_SHMGET}
	}
	if l.filter, err = seccomp.Assemble(rules); err != nil {
		return err
	}
	l.bindings, err = l.bind()
	return err
}

func stubFile(name string) (*os.File, error) {
	if name == "init" {
		return stub.File(name, stub.InitImage())
	}
	return stub.File(name, stub.StarterImage())
}

// Facts says what the floor is made of here.
func (l *Launcher) Facts() Facts { return l.facts }

// take returns a cell, a ready one if there is one, and has the stock filled up.
func (l *Launcher) take(ctx context.Context, s stage) (*cell, error) {
	if !l.refill(s) {
		return nil, os.ErrClosed
	}
	p := l.plans.take(l, s)
	defer l.plans.give(p)
	for {
		var c *cell
		select {
		case c = <-l.ready:
		default:
			c = l.await(ctx)
		}
		switch {
		case ctx.Err() != nil && c == nil:
			return nil, context.Cause(ctx)
		case c == nil:
			return l.newCell(s, p)
		case c.stage.key == s.key && c.plan == p && c.fits(&s):
			return c, nil
		}
		if err := c.close(); err != nil { // made for another view, or another kind of job
			return nil, err
		}
	}
}

// await returns the cell that is being made, nil if none is or somebody else waits for
// it: to make two at once takes each twice as long.
func (l *Launcher) await(ctx context.Context) *cell {
	l.mu.Lock()
	stopped := l.filling
	if stopped == nil || l.waiting {
		l.mu.Unlock()
		return nil
	}
	l.waiting = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waiting = false
	}()
	l.over() // it need not be polite any more
	select {
	case c := <-l.ready:
		return c
	case <-stopped:
	case <-ctx.Done():
	}
	return nil
}

// refill starts making cells, unless that goes on already. It reports false once the
// launcher is closed.
func (l *Launcher) refill(s stage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.next = s
	if l.filling == nil && cap(l.ready) > 0 {
		l.filling = make(chan struct{})
		l.fillers.Go(l.fill)
	}
	return true
}

// lull is how long the making of cells waits for the run that took one to end. To make
// one takes as long as to run a small program, and would slow that down.
const lull = 20 * time.Millisecond

// polite is how long it waits then for those who wait for the run.
const polite = time.Millisecond

// pause waits, unless the launcher is closed or somebody is in a hurry.
func (l *Launcher) pause(d time.Duration) {
	select {
	case <-l.closing:
	case <-l.ended:
	case <-time.After(d):
	}
}

// fill makes cells until there are enough. One that cannot be made is not missed: the
// next run makes its own, and has the error.
func (l *Launcher) fill() {
	select {
	case <-l.ended:
		l.pause(polite)
	case <-l.closing:
	case <-time.After(lull):
	}
	for {
		s, ok := l.wanted()
		if !ok {
			return
		}
		p := l.plans.take(l, s)
		c, err := l.newCell(s, p)
		l.plans.give(p)
		if err != nil {
			l.stopFilling()
			return
		}
		l.ready <- c // has room: nobody else puts in
	}
}

// wanted reports whether another cell is needed; if not, filling is over.
func (l *Launcher) wanted() (stage, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.ready) == cap(l.ready) {
		l.stopped()
		return stage{}, false
	}
	return l.next, true
}

func (l *Launcher) stopFilling() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped()
}

// stopped notes that no cells are made any more; mu is held.
func (l *Launcher) stopped() {
	close(l.filling)
	l.filling = nil
}

// over notes that a tree has ended: it is a good time to make cells.
func (l *Launcher) over() {
	select {
	case l.ended <- struct{}{}:
	default:
	}
}

// clear clears away behind a cell whose tree has ended. Close waits for it.
func (l *Launcher) clear(c *cell) {
	l.clears.Go(func() {
		if err := c.close(); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.leftErr == nil {
				l.leftErr = err // one says enough
			}
		}
	})
}

// Close returns everything but the trees, which must have ended.
func (l *Launcher) Close() error {
	l.mu.Lock()
	if !l.closed {
		close(l.closing)
	}
	l.closed = true
	l.mu.Unlock()
	l.fillers.Wait()
	l.clears.Wait()
	l.mu.Lock()
	errs := []error{l.leftErr}
	l.mu.Unlock()
	for len(l.ready) > 0 {
		c := <-l.ready
		errs = append(errs, c.close())
	}
	l.plans.clear()
	errs = append(errs, closeFile(l.initImage), closeFile(l.starterImage))
	if l.groups != nil {
		errs = append(errs, l.groups.Close())
	}
	return errors.Join(errs...)
}

// ErrNoNamespaces is why a launcher cannot be made by who may not make namespaces.
var ErrNoNamespaces = errors.New("namespaces cannot be made")

// probe finds out what this host has, by trying it.
func (l *Launcher) probe() error {
	l.listenFlags = listenFlags()
	l.namespaces = !l.o.NoNamespaces
	switch {
	case !l.namespaces && l.landlock == 0:
		return fmt.Errorf("without namespaces programs are confined by Landlock, and %w", landlock.ErrMissing)
	case !l.namespaces && !l.o.Alone:
		return errors.New("without namespaces every tree needs a process of its own to be the parent of its orphans")
	}
	if l.o.Alone {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("PR_SET_CHILD_SUBREAPER: %w", err)
		}
	}
	if err := l.assemble(); err != nil {
		return err
	}
	if l.namespaces {
		if err := l.tryNamespaces(); err != nil {
			return err
		}
	}
	return nil
}

// listenFlags returns the flags of a filter with a listener, 0 if this kernel has none.
// It tells known flags from unknown ones by which is complained of first.
func listenFlags() uint64 {
	for _, flags := range []uintptr{unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER} {
		if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, 0); errno == unix.EFAULT {
			return uint64(flags)
		}
	}
	return 0
}

// tryNamespaces makes the namespaces of a cell and lets them go. In a user namespace it
// makes all of a cell: there what is mounted may be refused as well.
func (l *Launcher) tryNamespaces() error {
	if l.o.UserNamespace {
		c, err := l.newCell(stage{user: guest.User{UID: unix.Geteuid(), GID: unix.Getegid()}, mounts: []guest.Mount{
			{Guest: "/dev", Kind: guest.Devices, Dir: true}, {Guest: "/proc", Kind: guest.Procs, Dir: true},
		}}, nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
		}
		return c.close()
	}
	t := newThread()
	defer t.retire()
	return t.do(func() error {
		if err := unix.Unshare(namespaces); err != nil {
			return fmt.Errorf("%w: unshare: %w", ErrNoNamespaces, err)
		}
		return nil
	})
}

// mostFiles returns the highest limit of open files that this kernel takes.
func mostFiles() (uint64, error) {
	b, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/sys/fs/nr_open: %w", err)
	}
	return n, nil
}
