package proc

import (
	"path"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// looks finds out whether the host has what a process asked for and cannot see.
// The guest names the path, and the host may take its time over it (a dead
// network mount) or act on it; so the look is never taken in the guest's call, and
// neither is what follows from it: a call that records nothing takes less time than
// one that does, and would tell the guest what is there. One goroutine of the process
// does both, while there is anything to do.
type looks struct {
	mu    sync.Mutex
	known map[wanted]*look // guarded by mu; at most maxLooks
	queue []*look          // guarded by mu; those with asks
	idle  chan struct{}    // guarded by mu; closed when the goroutine has ended; nil if there is none
}

// Bounds of what one process can have looked for.
const (
	maxLooks = 1024
	maxAsks  = 64 // different calls that wait for one look
)

// wanted is a path, and whether it was to be changed or made.
type wanted struct {
	path  string
	write bool
	made  bool
}

// look is one question to the host.
type look struct {
	wanted
	asks              []ask // that wait for the answer; the look is in the queue while there are any
	settled           bool
	exists, grantable bool
	grant             string // the path that a grant must name
}

// ask is a call as the record of a denial names it.
type ask struct {
	nr        abi.Sysno
	via       string
	requested string
	known     bool // there was a call
	n         int
}

// Hidden records that the process asked for a path which it cannot see, if the
// host has it, or has the directory in which it was to be made: the guest is told
// the same either way, its owner is not. It does not wait for the host.
func (p *Process) Hidden(canonical string) {
	if p.host == nil {
		return
	}
	a := p.asking()
	w := wanted{path: canonical}
	if c := p.current; c != nil {
		w.write = c.Open&abi.OWrite != 0 || c.Nr.Row().Capability == abi.CapFileWrite
		w.made = c.Open&abi.OCreate != 0 || c.Nr == abi.SysMkdir || c.Nr == abi.SysSymlink
	}
	p.looks.ask(w, a, p.look)
}

// ask has the look taken for a. It does the same whether or not that was done before.
func (s *looks) ask(w wanted, a ask, take func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	invariants.Point("proc.looks")
	l := s.known[w]
	switch {
	case l == nil && len(s.known) == maxLooks:
		return
	case l == nil:
		if s.known == nil {
			s.known = map[wanted]*look{}
		}
		l = &look{wanted: w}
		s.known[w] = l
	}
	if len(l.asks) == 0 {
		s.queue = append(s.queue, l)
	}
	if i := len(l.asks) - 1; i >= 0 && (l.asks[i].nr == a.nr && l.asks[i].requested == a.requested || i+1 == maxAsks) {
		l.asks[i].n++
	} else {
		l.asks = append(l.asks, a)
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
		go take()
	}
}

// next returns the next look, or nil once there is none: the goroutine then ends.
func (s *looks) next() *look {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		close(s.idle)
		s.idle = nil
		return nil
	}
	l := s.queue[0]
	s.queue = s.queue[1:]
	return l
}

// answered returns who asked.
func (s *looks) answered(l *look) []ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	asks := l.asks
	l.asks = nil
	return asks
}

// look is the goroutine.
func (p *Process) look() {
	for l := p.looks.next(); l != nil; l = p.looks.next() {
		if !l.settled {
			p.take(l)
		}
		for _, a := range p.looks.answered(l) {
			p.settle(l, a)
		}
	}
}

// take asks the host. Only one goroutine at a time does, and reads what it said.
func (p *Process) take(l *look) {
	l.settled, l.grant = true, l.path
	l.exists, l.grantable = p.host(l.grant)
	if dir := path.Dir(l.grant); !l.exists && l.made && dir != "/" {
		// It could be made if its directory were granted. The root is more than
		// anybody should be told to grant.
		l.grant = dir
		l.exists, l.grantable = p.host(l.grant)
	}
}

const hiddenRule = "hidden: no grant shows "

// settle records what a settled look means for a call. What the host says after
// the process is gone is nobody's any more.
func (p *Process) settle(l *look, a ask) {
	if !l.exists || p.State() == Dead {
		return
	}
	d := perm.Decision{Layer: abi.LayerPath, Reason: perm.Hidden, Errno: abi.ENOENT}
	switch {
	case !l.grantable:
		d.Layer = abi.LayerIsolation
		d.Rule = "hidden: no grant reaches " + l.path
	case l.write:
		d.Rule, d.Grant = hiddenRule+l.path, "--write "+l.grant
	default:
		d.Rule, d.Grant = hiddenRule+l.path, "--read "+l.grant
	}
	for range a.n {
		p.deny(d, a, l.path)
	}
}

// Settle waits for looks under way, at most for patience, and reports whether
// all were taken. A goroutine that the host holds ends when the host lets go.
func (p *Process) Settle(patience time.Duration) bool {
	idle := p.looks.ended()
	if idle == nil {
		return true
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-idle:
		return true
	case <-t.C:
		return false
	}
}

func (s *looks) ended() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle
}
