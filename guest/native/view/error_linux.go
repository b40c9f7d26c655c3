package view

import "fmt"

// Error is a mount that cannot be made as asked.
type Error struct {
	Guest   string // the guest path
	Problem string
	Fix     string // what would help, or ""
	Err     error  // what the system said, or nil
}

func (e *Error) Error() string {
	s := e.Guest + ": " + e.Problem
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Fix != "" {
		s += " (" + e.Fix + ")"
	}
	return s
}

// Unwrap returns what the system said.
func (e *Error) Unwrap() error { return e.Err }

// failed wraps what the system said about one step towards the place p.
func failed(p, step string, err error) error {
	return &Error{Guest: p, Problem: step, Err: err}
}

// hint names the kernel that a missing system call asks for.
func hint(call string, err error) error {
	return fmt.Errorf("%s: %w", call, err)
}
