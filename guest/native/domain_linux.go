package native

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// Options configure the domain.
type Options struct {
	// ID tells this kernel from others on the host, for the names of control groups.
	// It begins with [launch.PIDNamespace], the number of this process, and
	// [launch.Started] of it, divided by "-".
	ID string
	// Ready is how many sandboxes are kept ready after the first run; 0 keeps none.
	Ready int
	// NoNamespaces makes do without namespaces, as on a host that refuses them.
	NoNamespaces bool
	// Helper is the command line of a program that calls [HelperMain] first of all,
	// for what this process cannot do itself. Empty means this executable.
	Helper []string
}

// Domain runs Linux programs. It implements [guest.Domain].
type Domain struct {
	launcher launcher
}

var _ guest.Domain = (*Domain)(nil)

// New probes the host and opens the domain, with the best floor that there is.
func New(o Options) (*Domain, error) {
	l, err := open(&o)
	if err != nil {
		return nil, err
	}
	return &Domain{launcher: l}, nil
}

// Name returns "native".
func (d *Domain) Name() string { return "native" }

// Facts says what the floor is made of here.
func (d *Domain) Facts() launch.Facts { return d.launcher.Facts() }

// Close gives the prepared sandboxes back. Every instance must have been closed.
func (d *Domain) Close() error { return d.launcher.Close() }

// program is a native program. There is nothing to load: Linux does that, in the view
// of the process.
type program struct {
	d    *Domain
	name string
}

// Load returns the program. Whether it can be executed was found out by who resolved
// it; the rest the host says when it is.
func (d *Domain) Load(_ context.Context, src guest.Source) (guest.Program, error) {
	return program{d, src.Name}, nil
}

func (p program) Close() error { return nil }

// errInside is the lack of what this domain needs of its host.
var errInside = errors.New("native programs need a kernel that lends them their surroundings")

// Instantiate prepares a tree and its streams.
func (p program) Instantiate(ctx context.Context, host guest.Host) (guest.Instance, error) {
	out, ok := host.(guest.Outside)
	if !ok || out.Setting() == nil {
		return nil, errInside
	}
	in, err := newInstance(ctx, p.d.launcher, out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return in, nil
}
