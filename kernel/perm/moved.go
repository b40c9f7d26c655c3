package perm

import "github.com/agentos-kernel/agentos/kernel/abi"

// keeps are the actions on an object that a policy's refusal goes with it for, when it
// gets another name.
var keeps = [...]abi.Action{abi.ActRead, abi.ActWrite, abi.ActList, abi.ActDelete, abi.ActExecute}

// Moved decides on giving the object at one canonical path another. Policies go by
// paths: what one forbids at the old path and allows at the new would be had by moving
// it, and what may not be made or written at the new path may not come there either. The
// other layers need no such question, since what they stand on does not move.
func (a *Authority) Moved(from, to string) Decision {
	if !a.Policed() {
		return Decision{Allow: true}
	}
	for _, act := range []abi.Action{abi.ActCreate, abi.ActWrite} {
		if d := a.File(act, to); !d.Allow {
			return d
		}
	}
	for _, act := range keeps {
		d := a.File(act, from)
		if d.Allow || d.Layer != abi.LayerPolicy || !a.File(act, to).Allow {
			continue
		}
		d.Errno = abi.EACCES // it is the move that is refused
		return d
	}
	return Decision{Allow: true}
}
