package proc

import (
	"encoding/json"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// verdict is how the last call that failed did.
type verdict struct {
	errno abi.Errno
	ours  bool // refused by a rule or a limit
	why   perm.Reason
	grant bool // some grant would allow it
}

// reason is what a program is told. Everything in it follows from what it was given and
// what it did: nothing depends on what it cannot see.
type reason struct {
	Version int    `json:"version"`
	Errno   string `json:"errno"`
	Code    string `json:"code"`
	Retry   string `json:"retry"` // never, or after_grant: it would be refused again until somebody grants it
}

// The codes of what no rule refused, or what nobody may know the rule of.
const (
	codeMissing = "AGENTOS-NOT-THERE" // it is not there, or may not be seen
	codeHost    = "AGENTOS-HOST"      // the host's own answer
)

// failed remembers how c failed. It is called on whoever serves the call, after what
// refused it.
func (p *Process) failed(c *abi.Call) {
	v := verdict{errno: c.Errno}
	switch p.refused.Load() {
	case byRule:
		v.ours, v.why, v.grant = true, p.why, p.grantable
	case byLimit:
		v.ours, v.why, v.grant = true, perm.Limited, true
	}
	p.last = v
}

// Reason says why the last call that failed did, as a JSON document; "" if none did. What
// is missing and what is hidden have the same answer.
func (p *Process) Reason() string {
	v := p.last
	if v.errno == abi.OK {
		return ""
	}
	r := reason{Version: 1, Errno: v.errno.String(), Code: codeHost, Retry: "never"}
	switch {
	case v.errno == abi.ENOENT:
		r.Code = codeMissing
	case v.ours:
		if r.Code = v.why.Code(); v.grant {
			r.Retry = "after_grant"
		}
	}
	b, err := json.Marshal(&r)
	if err != nil {
		return "" // strings and a number can be encoded
	}
	return string(b)
}
