package rewrite

import "fmt"

// Error says why a module was refused.
type Error struct {
	Offset  int    // byte offset in the original module
	Section string // e.g. "code"; "" when the fault is in no section
	Reason  string // e.g. "unknown function index 12"
	Limit   bool   // well-formed as far as read, but beyond a limit of this package
}

// Error gives the reason, the section, and the offset.
func (e *Error) Error() string {
	if e.Section == "" {
		return fmt.Sprintf("%s (at byte %#x)", e.Reason, e.Offset)
	}
	return fmt.Sprintf("%s (in the %s section, at byte %#x)", e.Reason, e.Section, e.Offset)
}
