package proc

import (
	"fmt"
	"strings"
)

// State is where a process is in its life.
type State uint32

// The states.
const (
	Creating State = iota
	Initializing
	Ready
	Running
	Blocked
	Stopped
	Zombie
	Dead
	NumStates
)

var stateNames = [NumStates]string{"creating", "initializing", "ready", "running", "blocked", "stopped", "zombie", "dead"}

// String returns the stable name of s.
func (s State) String() string {
	if s < NumStates {
		return stateNames[s]
	}
	return "?"
}

// Transition is one edge of the life of a process.
type Transition struct {
	From, To State
	On       string // what causes it
}

// transitions is the whole life of a process. Nothing else is possible:
// [Process.To] consults it, the diagram in the documentation is drawn from it.
var transitions = []Transition{
	{Creating, Initializing, "spawn"},
	{Creating, Dead, "refused"},
	{Initializing, Ready, "every resource initialized"},
	{Initializing, Dead, "a resource failed, the others were released"},
	{Ready, Running, "picked by a vCPU"},
	{Ready, Stopped, "stop"},
	{Ready, Zombie, "killed before it ran"},
	{Running, Ready, "slice spent"},
	{Running, Blocked, "a call waits"},
	{Running, Stopped, "stop"},
	{Running, Zombie, "exit, fault, or kill"},
	{Blocked, Running, "the wait ended, picked by a vCPU"},
	{Stopped, Ready, "continue"},
	{Stopped, Zombie, "kill"},
	{Zombie, Dead, "reaped, every resource released"},
}

// Transitions returns a copy of the transition table.
func Transitions() []Transition { return append([]Transition(nil), transitions...) }

// legal is the table as a bit set by source state.
var legal = func() (m [NumStates]uint32) {
	for _, t := range transitions {
		m[t.From] |= 1 << t.To
	}
	return m
}()

// Diagram renders the transition table as a Mermaid state diagram.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> creating\n")
	for _, t := range transitions {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", t.From, t.To, t.On)
	}
	b.WriteString("    dead --> [*]\n")
	return b.String()
}

// Schedulable reports whether a process in state s may be given a vCPU.
func (s State) Schedulable() bool { return s == Ready || s == Running || s == Blocked }

// AcceptsCalls reports whether the gate serves a process in state s.
func (s State) AcceptsCalls() bool { return s == Running }
