//go:build invariants

package invariants

import "sync"

// Enabled reports whether assertions are compiled in.
const Enabled = true

// Check panics with msg if ok is false.
func Check(ok bool, msg string) {
	if !ok {
		panic("invariant broken: " + msg)
	}
}

var points struct {
	sync.Mutex
	armed map[string]int // passes still to let by
	seen  map[string]int
}

// Point panics if name is armed, once.
func Point(name string) {
	if hit(name) {
		panic("injected at " + name)
	}
}

func hit(name string) bool {
	points.Lock()
	defer points.Unlock()
	if points.seen == nil {
		points.seen = map[string]int{}
	}
	points.seen[name]++
	skip, armed := points.armed[name]
	if !armed {
		return false
	}
	if skip > 0 {
		points.armed[name] = skip - 1
		return false
	}
	delete(points.armed, name)
	return true
}

// Arm makes a Point of that name panic after it was passed skip times more.
func Arm(name string, skip int) {
	points.Lock()
	defer points.Unlock()
	if points.armed == nil {
		points.armed = map[string]int{}
	}
	points.armed[name] = skip
}

// Disarm takes back an Arm that has not been hit and reports whether there was
// one.
func Disarm(name string) bool {
	points.Lock()
	defer points.Unlock()
	_, was := points.armed[name]
	delete(points.armed, name)
	return was
}

// Seen returns how often each point was passed, and starts counting anew.
func Seen() map[string]int {
	points.Lock()
	defer points.Unlock()
	seen := points.seen
	points.seen = nil
	return seen
}
