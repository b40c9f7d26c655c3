package launch

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// plan is a template that cells of one stage are made by. It is given up once nobody
// makes a cell by it and another has taken its place.
type plan struct {
	template *view.Template
	key      string    // of the stage
	looked   time.Time // guarded by plans.mu; when the host was found to be as it was
	uses     int       // guarded by plans.mu
}

// plans holds the plan that is in use.
type plans struct {
	mu  sync.Mutex
	now *plan // guarded by mu; it has one use by being here
}

// believed is how long a host is taken to be unchanged. To look takes as long as a
// tenth of a cell.
const believed = time.Second

// take returns the plan for cells of s, nil if they are made without one: the launcher
// has no namespaces, the program brings its root, or none can be made. give gives it
// back.
func (ps *plans) take(l *Launcher, s stage) *plan {
	// The map of a user namespace is written by way of the host's /proc, which a thread
	// in a template has under another name.
	if !l.namespaces || s.whole() || l.countsByUser() {
		return nil
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.now; p != nil && p.key == s.key {
		if time.Since(p.looked) > believed && p.template.Fresh() {
			p.looked = time.Now()
		}
		if time.Since(p.looked) <= believed {
			p.uses++
			return p
		}
	}
	t, err := draw(s)
	if err != nil {
		// What is wrong with the host or the view whoever does it step by step will
		// find as well, and say it better.
		return nil
	}
	p := &plan{template: t, key: s.key, looked: time.Now(), uses: 2}
	ps.drop(ps.now)
	ps.now = p
	return p
}

// clear gives up the plan in use.
func (ps *plans) clear() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.drop(ps.now)
	ps.now = nil
}

// give gives back what take returned.
func (ps *plans) give(p *plan) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.drop(p)
}

// drop ends one use of p; mu is held.
func (ps *plans) drop(p *plan) {
	if p == nil {
		return
	}
	if p.uses--; p.uses == 0 {
		_ = p.template.Close() // descriptors, of which nothing was written to
	}
}

// draw makes a template, on a thread of its own.
func draw(s stage) (*view.Template, error) {
	t, err := view.Draft(s.mounts, s.user)
	if err != nil {
		return nil, err
	}
	th := newThread()
	defer th.retire()
	err = th.do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		return t.Build()
	})
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// whole reports whether the stage is the whole view of a program that brings its root.
func (s *stage) whole() bool {
	for i := range s.mounts {
		if m := &s.mounts[i]; m.Guest == "/" && m.Kind == guest.Bind {
			return true
		}
	}
	return false
}
