package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

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
	// NoNamespaces makes do without them, as on a host that refuses them.
	NoNamespaces bool
}

// Launcher starts trees.
type Launcher struct {
	o            Options
	namespaces   bool
	facts        Facts
	groups       *cgroup.Host
	filter       []unix.SockFilter
	listenFlags  uint64
	landlock     int // ABI
	initImage    *os.File
	starterImage *os.File
	ready        chan *cell
	made         atomic.Uint64 // cells, for their names
	plans        plans

	mu      sync.Mutex
	filling bool  // guarded by mu; a goroutine makes cells
	next    stage // guarded by mu; what the cells that are made ahead are made of
	closed  bool  // guarded by mu
	fillers sync.WaitGroup
}

// New probes the host and makes a launcher, which must be closed.
func New(o Options) (_ *Launcher, err error) {
	l := &Launcher{o: o, ready: make(chan *cell, max(o.Ready, 0))}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := l.openImages(); err != nil {
		return nil, err
	}
	l.landlock = landlock.ABI()
	l.groups = cgroup.Probe(o.Name)
	if err := l.probe(); err != nil {
		return nil, err
	}
	l.filter, err = seccomp.Assemble(seccomp.Options{Gate: l.listenFlags != 0, NoNamespaces: !l.namespaces})
	return l, err
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
		select {
		case c := <-l.ready:
			if c.stage.key == s.key && c.plan == p {
				return c, nil
			}
			if err := c.close(); err != nil { // made for another view
				return nil, err
			}
			continue
		default:
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return l.newCell(s, p)
	}
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
	if !l.filling && cap(l.ready) > 0 {
		l.filling = true
		l.fillers.Go(l.fill)
	}
	return true
}

// fill makes cells until there are enough. One that cannot be made is not missed: the
// next run makes its own, and has the error.
func (l *Launcher) fill() {
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
		l.filling = false
		return stage{}, false
	}
	return l.next, true
}

func (l *Launcher) stopFilling() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.filling = false
}

// Close returns everything but the trees, which must have ended.
func (l *Launcher) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.fillers.Wait()
	var errs []error
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

// probe finds out what this host has, by trying it.
func (l *Launcher) probe() error {
	l.listenFlags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	l.facts = Facts{Landlock: l.landlock, Enforced: map[string]string{}}
	l.namespaces = !l.o.NoNamespaces
	if l.namespaces {
		if err := tryNamespaces(); err != nil {
			l.namespaces, l.facts.Why = false, err.Error()
		}
	} else {
		l.facts.Why = "they were left out"
	}
	if !l.namespaces && l.landlock == 0 {
		return fmt.Errorf("neither namespaces (%s) nor Landlock are available", l.facts.Why)
	}
	return nil
}

// tryNamespaces makes the namespaces of a cell and lets them go.
func tryNamespaces() error {
	t := newThread()
	defer t.retire()
	return t.do(func() error {
		if err := unix.Unshare(namespaces); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		return nil
	})
}
