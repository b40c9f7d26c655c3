package proc

import (
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

var _ vfs.Access = (*Process)(nil)

// Decide asks layer 2 about the file that a walk ended at and records a
// refusal. canonical is the path of the handle, not what the guest wrote.
func (p *Process) Decide(act abi.Action, canonical string) abi.Errno {
	d := p.subject.Path(act, canonical)
	if d.Allow {
		return abi.OK
	}
	return p.Deny(d, p.requested(), canonical)
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

// Hidden records that the process asked for a path which it cannot see, if the
// host has it: the guest is told the same either way, its owner is not.
func (p *Process) Hidden(canonical string) {
	if p.host == nil {
		return
	}
	exists, grantable := p.host(canonical)
	if !exists {
		return
	}
	d := perm.Decision{Layer: abi.LayerPath, Reason: perm.Hidden, Errno: abi.ENOENT}
	switch c := p.current; {
	case !grantable:
		d.Layer = abi.LayerIsolation
		d.Rule = "hidden: no grant reaches " + canonical
	case c != nil && (c.Open&abi.OWrite != 0 || c.Nr.Row().Capability == abi.CapFileWrite):
		d.Rule, d.Grant = hiddenRule+canonical, "--write "+canonical
	default:
		d.Rule, d.Grant = hiddenRule+canonical, "--read "+canonical
	}
	_ = p.Deny(d, p.requested(), canonical) // the caller has its answer already
}

const hiddenRule = "hidden: no grant shows "

// Deny records a refusal and emits it. It returns what the guest is told.
func (p *Process) Deny(d perm.Decision, requested, canonical string) abi.Errno {
	canonical = trimSlash(canonical)
	x := perm.Denial{
		Layer: d.Layer, Reason: d.Reason, Rule: d.Rule, Requested: requested,
		Canonical: canonical, Grant: d.Grant, Errno: d.Errno,
	}
	nr := event.Absent
	if c := p.current; c != nil {
		x.Nr, x.Via, nr = c.Nr, c.Via, uint64(c.Nr)
	}
	kind := event.KindDenial
	if d.Reason == perm.Hidden {
		kind = event.KindHidden
	}
	x.Event = p.Emit(&event.Event{
		Category: abi.CatSecurity, Severity: abi.Warning, Errno: d.Errno, Kind: kind,
		PID: p.PID, Chain: p.Chain, A: nr, B: uint64(d.Layer), Text: canonical, Text2: d.Rule, Via: x.Via,
	})
	p.denials.Add(x)
	return d.Errno
}

// trimSlash drops the slash that asks about a directory as such.
func trimSlash(p string) string {
	for len(p) > 1 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	return p
}
