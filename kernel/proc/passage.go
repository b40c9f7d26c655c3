package proc

import (
	"context"
	"path"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// question is one that the call being served was allowed.
type question struct {
	act       abi.Action
	canonical string
}

// Loss is what a descriptor can be used for no more.
type Loss uint8

// The losses.
const (
	LostRead  Loss = 1 << iota // reading, listing, and describing
	LostWrite                  // changing
	LostPlace                  // walking from it: it was moved, perhaps to where something was revoked
)

// takes is what an operation on a descriptor takes. To close one, to move it, and to
// ask for its flags and rights takes nothing: that tells nothing of the file.
func takes(nr abi.Sysno) Loss {
	switch nr {
	case abi.SysRead, abi.SysPread, abi.SysReaddir, abi.SysFstat, abi.SysSeek, abi.SysPoll:
		return LostRead
	case abi.SysWrite, abi.SysPwrite, abi.SysTruncate, abi.SysAllocate, abi.SysFutimes, abi.SysSync, abi.SysDatasync:
		return LostWrite
	}
	return 0
}

// Enter begins to serve a call and returns the epoch that it is decided under. One
// call of a process is served at a time, on its vCPU or on a worker. It must be
// followed by Leave, when nothing that was decided can take effect any more.
func (p *Process) Enter() uint64 {
	for {
		// The epoch is looked at again once it is known that we are here: whoever
		// changes it afterwards sees us, and whoever did before is seen.
		epoch := p.authority.Epoch()
		p.serving.Store(epoch)
		if p.authority.Epoch() == epoch {
			return epoch
		}
	}
}

// Leave ends what Enter began.
func (p *Process) Leave() { p.serving.Store(0) }

// Pauses between the looks of Quiesce: a call is over in microseconds, or waits for
// the host. The call itself pays nothing for being looked at.
const (
	firstPause = 5 * time.Microsecond
	maxPause   = time.Millisecond
)

// Quiesce waits until no call is served that was decided before epoch, and reports
// whether that came to be before ctx was done. A process that is dead serves none.
func (p *Process) Quiesce(ctx context.Context, epoch uint64) bool {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if e := p.serving.Load(); e == 0 || e >= epoch {
			return true
		}
		select {
		case <-p.dead:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// Recheck decides again on a descriptor that c uses, if what the process may do has
// changed since that was decided last, and refuses c what is lost.
func (p *Process) Recheck(c *abi.Call, fd abi.FD, epoch uint64) abi.Errno {
	f, again, lost, kept := p.fds.stale(fd, epoch)
	if f == nil || f.Stream() {
		return abi.OK
	}
	act := abi.ActRead
	if f.Type() == abi.TypeDirectory {
		act = abi.ActList
	}
	if again {
		lost = 0
		if !p.Subject().Allows(abi.CapFileRead) || !p.authority.File(act, f.Path()).Allow {
			lost |= LostRead
		}
		if f.Flags()&abi.OWrite != 0 && (!p.Subject().Allows(abi.CapFileWrite) || !p.authority.File(abi.ActWrite, f.Path()).Allow) {
			lost |= LostWrite
		}
		if kept == 0 && p.Subject().Revoked() && f.Moved() {
			// The path that it was opened under says nothing of where it is now, and
			// what was revoked may be there.
			lost = LostRead | LostWrite | LostPlace
		}
		lost &^= kept
		p.fds.decided(fd, epoch, lost)
	}
	gone := lost & takes(c.Nr)
	if c.Nr.Row().Touches == abi.ObjPath {
		gone = lost & LostPlace // what it leads to is decided on by its path
	}
	if gone == 0 {
		return abi.OK
	}
	if lost&LostPlace != 0 {
		p.SetCall(c)
		return p.Deny(perm.Decision{Layer: abi.LayerPath, Reason: perm.Revoked, Errno: abi.EACCES,
			Rule: "moved since it was opened, and something was revoked meanwhile"}, f.Path(), f.Path())
	}
	if gone == LostWrite {
		act = abi.ActWrite
	}
	p.SetCall(c)
	return p.refuseLost(act, f.Path())
}

// refuseLost records that a descriptor has lost what act takes. The guest knows that
// the file is there, and is told so.
func (p *Process) refuseLost(act abi.Action, canonical string) abi.Errno {
	d := p.authority.File(act, canonical)
	if d.Allow {
		c := abi.CapFileRead
		if act == abi.ActWrite {
			c = abi.CapFileWrite
		}
		if d = p.Subject().Capability(&abi.Row{Capability: c}); d.Allow {
			return abi.EACCES // it came back meanwhile: the next call finds it
		}
	}
	d.Errno = abi.EACCES
	return p.Deny(d, canonical, canonical)
}

// Reconsider decides again what the call that was served last was allowed by, for one
// whose answer was ready only after a change. It says whether that may still be told.
func (p *Process) Reconsider(c *abi.Call) abi.Errno {
	for _, q := range p.asked {
		if d := p.authority.File(q.act, q.canonical); !d.Allow {
			return p.Deny(d, p.requested(), q.canonical)
		}
	}
	if len(p.asked) == 0 {
		// It ended before a decision: what is there is not to be told either.
		if d := p.authority.File(c.Nr.Row().Action, path.Clean(p.requested())); !d.Allow && d.Reason != perm.Ungranted {
			return d.Errno
		}
	}
	return abi.OK
}
