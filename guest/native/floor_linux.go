package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/launch"
	"github.com/agentos-kernel/agentos/guest/native/remote"
)

// launcher starts trees, here or in another process.
type launcher interface {
	start(ctx context.Context, job *launch.Job) (tree, error)
	Facts() launch.Facts
	Close() error
}

// tree is what [launch.Tree] and [remote.Tree] are.
type tree interface {
	PID() int
	Missing() []string
	Watched() bool
	Go()
	Signal(sig unix.Signal) error
	Stop() error
	Continue() error
	Kill() error
	Usage() (guest.Usage, *launch.Excess, error)
	Done() <-chan struct{}
	End() launch.End
}

type here struct{ *launch.Launcher }

func (l here) start(ctx context.Context, job *launch.Job) (tree, error) {
	t, err := l.Start(ctx, job)
	if err != nil {
		return nil, err // and not a tree that is nil
	}
	return t, nil
}

type there struct {
	*remote.Launcher
	why, fix string // of the floor
}

func (l there) start(ctx context.Context, job *launch.Job) (tree, error) {
	t, err := l.Start(ctx, job)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Facts adds why there is no better floor.
func (l there) Facts() launch.Facts {
	f := l.Launcher.Facts()
	f.Why, f.Fix = l.why, l.fix
	if f.Floor == launch.FloorBare {
		f.Enforced = maps.Clone(f.Enforced) // it is the launcher's, and others ask too
		f.Enforced["namespaces"] += ": " + l.why
		if l.fix != "" {
			f.Weak = append([]string{"There are no namespaces: " + l.why + ". To have them: " + l.fix + "."}, f.Weak...)
		}
	}
	return f
}

// tries is how often a floor is tried that fails for no reason that lasts.
const tries = 4

// open makes the launcher with the best floor: namespaces made by this process, by one
// in a user namespace, or none.
func open(o *Options) (launcher, error) {
	lo := launch.Options{Name: o.ID, Ready: o.Ready, Scratch: os.TempDir()}
	why, fix := "they were left out", ""
	var tried error
	if !o.NoNamespaces {
		l, err := launch.New(lo)
		if err == nil {
			return here{l}, nil
		}
		if !errors.Is(err, launch.ErrNoNamespaces) {
			return nil, err
		}
		for try := 1; ; try++ {
			r, rerr := remote.New(remote.Options{Options: lo, Command: o.Helper})
			if rerr == nil {
				return there{r, err.Error(), "run as root"}, nil
			}
			tried = rerr
			if why, fix = remote.Obstacle(rerr); why != "" {
				break
			}
			// Nothing on this host forbids it. A lesser floor is not for a moment's want
			// of something.
			if why = rerr.Error(); try == tries {
				break
			}
			time.Sleep(time.Duration(try) * 100 * time.Millisecond)
		}
	}
	lo.NoNamespaces = true
	r, err := remote.New(remote.Options{Options: lo, Command: o.Helper})
	if err != nil {
		if tried == nil {
			return nil, err
		}
		if fix != "" {
			fix = " (" + fix + ")"
		}
		return nil, fmt.Errorf("%w; with namespaces: %s%s", err, why, fix)
	}
	return there{r, why, fix}, nil
}

// HelperMain turns this process into what launches for a kernel, if it was started as
// that, and then never returns. Otherwise it returns at once. It must be among the first
// things that main does.
func HelperMain() { remote.Main() }
