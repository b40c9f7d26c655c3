package agentos

import (
	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Terminal is a terminal of a native program's own. What is typed at it comes from
// Spec.Stdin and what it shows goes to Spec.Stdout, neither of which need be a
// terminal; the program's standard error is the terminal too where Spec.Stderr and
// Spec.Stdout are one writer.
type Terminal struct {
	Rows, Cols uint16
	// Suspend is called, at most once at a time, when the terminal's stop
	// character is typed at a program that it would stop; nothing more is read of
	// Stdin until it returns. Who has a terminal stops the run, gives the terminal
	// back to whoever it belongs to, and continues when it has it again. nil:
	// only the jobs of a shell inside can be stopped.
	Suspend func()
}

// Resize tells a native program that its terminal has another size. Other programs
// have none that could change.
func (p *Process) Resize(rows, cols uint16) {
	if r, ok := p.p.Instance().(guest.Resizer); ok {
		r.Resize(rows, cols)
	}
}

// Stop stops the run until Continue. When it returns, nothing of a native program
// is running; another stops when its slice is over.
func (p *Process) Stop() error {
	if err := p.Signal(abi.SIGSTOP); err != nil {
		return err
	}
	// A vCPU will do so as well; but whoever stops itself next takes the vCPUs
	// with it.
	if s, ok := p.p.Instance().(guest.Stopper); ok {
		return s.Stop()
	}
	return nil
}

// Continue lets a run that was stopped go on.
func (p *Process) Continue() error {
	if err := p.Signal(abi.SIGCONT); err != nil {
		return err
	}
	if s, ok := p.p.Instance().(guest.Stopper); ok {
		return s.Continue()
	}
	return nil
}
