package proc

import (
	"strings"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

var (
	_ vfs.Access = (*Process)(nil)
	_ vfs.Mover  = (*Process)(nil)
)

// Decide asks layers 2 to 4 about the file that a walk ended at and records a
// refusal. canonical is the path of the handle, not what the guest wrote.
func (p *Process) Decide(act abi.Action, canonical string) abi.Errno {
	d, remembered := p.authority.Refusal(act, canonical)
	if remembered {
		p.remembered.Add(1)
	}
	if d == nil {
		if p.observe != nil {
			p.observe(act, trimSlash(canonical), p.current)
		}
		p.asked = append(p.asked, question{act, canonical})
		return abi.OK
	}
	return p.Deny(*d, p.requested(), canonical)
}

// Policed reports whether policies have a say.
func (p *Process) Policed() bool { return p.authority.Policed() }

// Moved decides on giving what is at one canonical path another, and records a refusal.
func (p *Process) Moved(from, to string) abi.Errno {
	d := p.authority.Moved(from, to)
	if d.Allow {
		return abi.OK
	}
	return p.Deny(d, p.requested(), from)
}

// requested is the path that the guest gave in the call being served, from the
// root: a relative one is relative to its descriptor.
func (p *Process) requested() string {
	c := p.current
	if c == nil {
		return ""
	}
	if dir, ok := p.fds.basePath(c.FD); ok && !strings.HasPrefix(c.Path, "/") {
		return strings.TrimSuffix(dir, "/") + "/" + c.Path
	}
	return c.Path
}

// asking names the call being served.
func (p *Process) asking() ask {
	a := ask{requested: p.requested(), n: 1}
	if c := p.current; c != nil {
		a.nr, a.via, a.known = c.Nr, c.Via, true
	}
	return a
}

// Deny records a refusal of the call being served and emits it. It returns what
// the guest is told.
func (p *Process) Deny(d perm.Decision, requested, canonical string) abi.Errno {
	a := p.asking()
	a.requested = requested
	p.why, p.grantable = d.Reason, d.Grant != ""
	p.refused.Store(byRule)
	p.deny(d, a, canonical)
	return d.Errno
}

// Failed records that the call being served was allowed and failed, unless it was
// refused. A path that is missing in the view may still turn out to be hidden.
func (p *Process) Failed(c *abi.Call, event abi.EventID) {
	p.failed(c)
	if p.refused.Load() != byNothing {
		return
	}
	x := perm.Failure{Event: event, Nr: c.Nr, Via: c.Via, Errno: c.Errno}
	switch c.Nr.Row().Touches {
	case abi.ObjPath, abi.ObjTwoPaths:
		x.Path = p.requested()
	case abi.ObjDescriptor:
		// Of these only what the storage says is news.
		switch c.Errno {
		case abi.ENOSPC, abi.EIO, abi.EROFS, abi.EDQUOT:
		default:
			return
		}
	default:
		return
	}
	p.failures.Add(x)
}

// Failures returns the folded record of what failed without being refused.
func (p *Process) Failures() *perm.Failures { return &p.failures }

// deny records and emits a refusal.
func (p *Process) deny(d perm.Decision, a ask, canonical string) {
	canonical = trimSlash(canonical)
	x := perm.Denial{
		Nr: a.nr, Via: a.via, Layer: d.Layer, Reason: d.Reason, Rule: d.Rule,
		Requested: a.requested, Canonical: canonical, Grant: d.Grant, Errno: d.Errno, Cached: d.Cached,
	}
	nr, kind := event.Absent, event.KindDenial
	if a.known {
		nr = uint64(a.nr)
	}
	if d.Reason == perm.Hidden {
		kind = event.KindHidden
	}
	x.Event = p.Emit(&event.Event{
		Category: abi.CatSecurity, Severity: abi.Warning, Errno: d.Errno, Kind: kind,
		PID: p.PID, Chain: p.Chain, A: nr, B: uint64(d.Layer), Text: canonical, Text2: d.Rule, Via: a.via,
	})
	// For what is hidden nobody pays: the guest must not learn by waiting that it exists.
	if _, fresh := p.denials.Note(x); fresh && d.Reason != perm.Hidden {
		p.debt.charge(time.Since(p.created))
	}
}

// trimSlash drops the slash that asks about a directory as such.
func trimSlash(p string) string {
	for len(p) > 1 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	return p
}
