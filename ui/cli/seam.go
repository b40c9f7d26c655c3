package cli

import (
	"context"

	agentos "github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// kernel is what the commands need of an open kernel. [agentos.Kernel] fits it
// through openKernel; tests lend their own.
type kernel interface {
	Start(context.Context, agentos.Spec) (process, error)
	Plan(agentos.Spec) (*agentos.Plan, error)
	Ask(agentos.Spec, abi.Action, string) (*agentos.Explanation, error)
	Degraded() []string
	Close() error
}

// process is one run.
type process interface {
	Run() string
	Wait(context.Context) (*agentos.Report, error)
	Signal(abi.Signal) error
	Kill() error
	Stop() error
	Continue() error
	Resize(rows, cols uint16)
	Listening() []string
}

// realKernel adapts the root package, whose Start returns its own type.
type realKernel struct{ *agentos.Kernel }

func (k realKernel) Start(ctx context.Context, s agentos.Spec) (process, error) {
	p, err := k.Kernel.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// openKernel opens the real kernel.
func openKernel(c agentos.Config) (kernel, error) {
	k, err := agentos.Open(c)
	if err != nil {
		return nil, err
	}
	return realKernel{k}, nil
}

// config is the kernel that every command opens, less some optional subsystems.
func (inv *invocation) config(without []string) agentos.Config {
	c := agentos.Config{NativeReady: -1} // one run needs one
	if p, err := statedir.Locate(inv.getenv); err == nil {
		c.State = p // else the kernel says itself that there is no place for it
	}
	for _, name := range without {
		_ = c.Without(name) // the flag has accepted the name
	}
	return c
}
