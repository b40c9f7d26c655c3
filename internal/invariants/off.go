//go:build !invariants

package invariants

// Enabled reports whether assertions are compiled in.
const Enabled = false

// Check panics with msg if ok is false, in builds with the invariants tag.
func Check(ok bool, msg string) {}

// Point is a place at which a test may inject a panic. name says which lock is
// held there.
func Point(name string) {}
