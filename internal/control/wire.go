package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Version is the version of the protocol. Operations and response fields may be
// added to it; what a request means may not change.
const Version = 1

// Sizes in bytes, the newline included.
const (
	MaxRequest  = 64 << 10 // what a change names are paths, which may be long
	MaxResponse = 65 << 20 // a report and its envelope
)

// Op is what is asked for.
type Op string

// The operations.
const (
	OpStatus Op = "status" // → one response with Status
	OpKill   Op = "kill"   // Signal or Force → one empty response
	OpDenied Op = "denied" // → one response with Denied
	OpWait   Op = "wait"   // → one response with Waiting, later one with Report
	OpGrant  Op = "grant"  // Grants → one response with Change
	OpRevoke Op = "revoke" // Grants, Hard → one response with Change, and Error beside it if nothing was done
)

// Request is one line from a client.
type Request struct {
	Version int     `json:"version"`
	Op      Op      `json:"op"`
	PID     abi.PID `json:"pid,omitempty"`    // of OpKill; 0 is the run's first process
	Signal  string  `json:"signal,omitempty"` // of OpKill: a name without SIG
	Force   bool    `json:"force,omitempty"`  // of OpKill: end it, whatever it does
	Grants  []Grant `json:"grants,omitempty"` // of OpGrant and OpRevoke
	Hard    bool    `json:"hard,omitempty"`   // of OpRevoke: end it where it cannot be taken otherwise
	Keep    bool    `json:"keep,omitempty"`   // of OpRevoke: open descriptors keep what they have
}

// Grant is one path or capability of a change.
type Grant struct {
	Kind       string `json:"kind"`            // read, write, allow
	Host       string `json:"host,omitempty"`  // absolute
	Guest      string `json:"guest,omitempty"` // absolute
	Capability string `json:"capability,omitempty"`
}

// The kinds of a [Grant].
const (
	KindRead  = "read"
	KindWrite = "write"
	KindAllow = "allow"
)

// maxGrants bounds the grants of one change.
const maxGrants = 64

// check says what is wrong with g, "" if nothing is.
func (g *Grant) check() string {
	switch g.Kind {
	case KindRead, KindWrite:
		switch {
		case g.Capability != "":
			return "a path has no capability"
		case g.Host == "" && g.Guest == "":
			return "a grant names no path"
		}
		for _, p := range [...]string{g.Host, g.Guest} {
			if p != "" && !path.IsAbs(p) || strings.IndexByte(p, 0) >= 0 {
				return fmt.Sprintf("the path %.40q is not absolute", p)
			}
		}
		return ""
	case KindAllow:
		if _, ok := abi.ParseCapability(g.Capability); !ok || g.Host != "" || g.Guest != "" {
			return fmt.Sprintf("%.40q is no capability", g.Capability)
		}
		return ""
	}
	return fmt.Sprintf("there is no grant of kind %.20q", g.Kind)
}

// Response is one line from a server. Exactly one of its parts is set besides
// Version, or none for an operation that is merely done; only a Change that was
// refused may have both an Error and what it would have been.
type Response struct {
	Version int             `json:"version"`
	Error   *Error          `json:"error,omitempty"`
	Status  *Status         `json:"status,omitempty"`
	Waiting bool            `json:"waiting,omitempty"`
	Report  json.RawMessage `json:"report,omitempty"`
	Change  json.RawMessage `json:"change,omitempty"` // what became of it
	Denied  json.RawMessage `json:"denied,omitempty"` // what was refused so far, and what failed
}

// Status is what a live kernel says of a run.
type Status struct {
	Run       string    `json:"run"`
	Name      string    `json:"name"`
	Program   string    `json:"program"`
	Domain    string    `json:"domain"`
	KernelPID int       `json:"kernel_pid"`
	Started   time.Time `json:"started"`
	Processes []Process `json:"processes"`
}

// Process is one process of a run.
type Process struct {
	PID         abi.PID `json:"pid"`
	Parent      abi.PID `json:"parent"`
	Program     string  `json:"program"`
	State       string  `json:"state"`
	WallNS      int64   `json:"wall_ns"`
	CPUNS       int64   `json:"cpu_ns"`
	MemoryBytes uint64  `json:"memory_bytes"`
	Syscalls    uint64  `json:"syscalls"`
	Denials     uint64  `json:"denials"`
}

// The codes of an [Error]. A code that starts with E is the abi.Errno that the
// kernel answered with.
const (
	CodeBadRequest  = "bad_request" // not a request, or a field that the server does not know
	CodeVersion     = "version"     // of the protocol
	CodeUnsupported = "unsupported" // operation
	CodeBusy        = "busy"        // too many connections or waits
	CodeClosing     = "closing"     // the run is over
	CodeFailed      = "failed"
)

// Error is a refusal by the server.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Where   string `json:"where,omitempty"` // what the message is about
	Fix     string `json:"fix,omitempty"`   // what to do
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the kernel's error number, so that errors.Is(err, abi.ESRCH) works
// across the socket; nil if the code is not one.
func (e *Error) Unwrap() error {
	if n, ok := abi.ParseErrno(e.Code); ok && n != abi.OK {
		return n
	}
	return nil
}

// errorFor makes the refusal that tells a client of err.
func errorFor(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	e := &Error{Code: CodeFailed, Message: err.Error()}
	var n abi.Errno
	if errors.As(err, &n) && n != abi.OK {
		e.Code = n.String()
	}
	return e
}

// DecodeRequest parses one line and checks it completely. Every error is an *Error.
func DecodeRequest(line []byte) (Request, error) {
	bad := func(format string, args ...any) (Request, error) {
		return Request{}, &Error{Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)}
	}
	if len(line) > MaxRequest {
		return bad("the request is larger than %d bytes", MaxRequest)
	}
	// The version and the operation come first: a request of a later version may
	// have fields that this one cannot judge.
	var head struct {
		Version int `json:"version"`
		Op      Op  `json:"op"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return bad("the request is not a JSON object: %v", err)
	}
	if head.Version != Version {
		return Request{}, &Error{Code: CodeVersion, Message: fmt.Sprintf("the request has version %d, the kernel of this run speaks %d", head.Version, Version)}
	}
	switch head.Op {
	case OpStatus, OpKill, OpDenied, OpWait, OpGrant, OpRevoke:
	default:
		return Request{}, &Error{Code: CodeUnsupported, Message: fmt.Sprintf("the kernel of this run does not know the operation %.40q", head.Op)}
	}
	var r Request
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return bad("%v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows the request")
	}
	if change := r.Op == OpGrant || r.Op == OpRevoke; change || len(r.Grants) > 0 || r.Hard || r.Keep {
		switch {
		case !change:
			return bad("grants, hard, and keep belong to %q and %q only", OpGrant, OpRevoke)
		case (r.Hard || r.Keep) && r.Op != OpRevoke:
			return bad("hard and keep belong to %q only", OpRevoke)
		case len(r.Grants) == 0 || len(r.Grants) > maxGrants:
			return bad("%q takes from 1 to %d grants", r.Op, maxGrants)
		}
		for i := range r.Grants {
			if problem := r.Grants[i].check(); problem != "" {
				return bad("%s", problem)
			}
		}
	}
	if r.Op != OpKill {
		if r.PID != 0 || r.Signal != "" || r.Force {
			return bad("pid, signal, and force belong to %q only", OpKill)
		}
		return r, nil
	}
	if r.Force == (r.Signal != "") {
		return bad("%q takes either a signal or force", OpKill)
	}
	if _, ok := abi.ParseSignal(r.Signal); !ok && !r.Force {
		return bad("no such signal: %.20q", r.Signal)
	}
	return r, nil
}

// encodeLine is the one form of a message on the wire: compact JSON, a newline.
func encodeLine(v any) ([]byte, error) {
	b, err := json.Marshal(v) // compacts a RawMessage, so no newline is left inside
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// readLine returns the next line without its newline. A line longer than limit is
// an error, and so is an end of file inside one.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > limit {
			return nil, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("the line is larger than %d bytes", limit)}
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
