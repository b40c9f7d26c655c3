package launch

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/landlock"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// stage is what a cell can be built of before its program is known: who it is for,
// and what every program of that user sees.
type stage struct {
	user   guest.User
	mounts []guest.Mount
	key    string // equal for equal stages
}

// divide divides a job's view into what is built ahead and what is added for it.
func divide(job *Job) (base, rest []guest.Mount) {
	if base, rest = view.Split(job.Mounts); base == nil {
		return job.Mounts, nil // a root of its own cannot be built ahead
	}
	return base, rest
}

// stageOf returns what the cell for a job is built of.
func stageOf(job *Job) stage {
	base, _ := divide(job)
	s := stage{user: job.User, mounts: base}
	s.key = fmt.Sprintf("%d:%d:%s:%s", s.user.UID, s.user.GID, s.user.Home, view.Fingerprint(base))
	return s
}

// hasProc reports whether the stage has a /proc.
func (s *stage) hasProc() bool {
	for _, m := range s.mounts {
		if m.Kind == guest.Procs {
			return true
		}
	}
	return false
}

// furnish adds the job's own mounts, seals the root, and opens in it what the job
// needs: the master of a terminal, and a Landlock ruleset that knows the places.
func (c *cell) furnish(job *Job) (ptmx, ruleset *os.File, err error) {
	if c.root == nil {
		return c.furnishGround(job)
	}
	_, rest := divide(job)
	trees, err := view.Prepare(rest)
	if err != nil {
		return nil, nil, err
	}
	err = c.thread.do(func() error {
		left, err := c.root.Attach(trees)
		if err != nil {
			return err
		}
		for _, l := range left {
			c.left = append(c.left, fmt.Sprintf("%s is not kept from the program: %s", l.Guest, l.Why))
		}
		if err := c.root.Resize(job.Limits.Disk); err != nil {
			return err
		}
		if job.Terminal {
			if ptmx, err = openFile("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK); err != nil {
				return fmt.Errorf("a terminal: %w", err)
			}
		}
		// Closed with the rules.
		queues := c.queues
		c.queues = nil
		if ruleset, err = c.l.restrict(job, queues); err != nil {
			return err
		}
		return c.root.Seal()
	})
	if err = errors.Join(err, trees.Close()); err != nil {
		return nil, nil, errors.Join(err, closeFile(ptmx), closeFile(ruleset))
	}
	c.root = nil // sealed, and closed by it
	return ptmx, ruleset, nil
}

func openFile(name string, flags int) (*os.File, error) {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// restrict makes the ruleset for a job, nil if the host has no Landlock. It is called on
// the cell's thread, where the paths of the job are. It closes queues.
func (l *Launcher) restrict(job *Job, queues *os.File) (_ *os.File, err error) {
	if l.landlock == 0 {
		return nil, closeFile(queues)
	}
	var rules []landlock.Rule
	defer func() { err = errors.Join(err, closeRules(rules)) }()
	add := func(name string, access landlock.Access) error {
		f, err := openFile(name, unix.O_PATH)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return nil // e.g. an optional part that this host does not have
		}
		if err == nil {
			rules = append(rules, landlock.Rule{File: f, Access: access})
		}
		return err
	}
	if queues != nil {
		rules = append(rules, landlock.Rule{File: queues, Access: landlock.ReadWrite})
	}
	if err := add("/", landlock.ReadExec|landlock.Connect); err != nil {
		return nil, err
	}
	for i := range job.Mounts {
		m := &job.Mounts[i]
		access := landlock.ReadExec
		switch {
		case m.Kind == guest.Devices || m.Kind == guest.Procs:
			access |= landlock.Write | landlock.Control
		case m.Kind == guest.Private || m.Kind == guest.Bind && m.Write:
			access |= landlock.Write | landlock.Connect
		default:
			continue // covered by the root
		}
		if err := add(path.Clean(m.Guest), access); err != nil {
			return nil, err
		}
	}
	return ruleset(landlock.Options{AnyTCP: true, AnySocket: true, AnySignal: true}, rules)
}

// ruleset makes a handle on a ruleset, to be handed to the starter.
func ruleset(o landlock.Options, rules []landlock.Rule) (*os.File, error) {
	set, err := landlock.New(o, rules...)
	if err != nil {
		return nil, err
	}
	f, err := set.File()
	return f, errors.Join(err, set.Close())
}

func closeRules(rules []landlock.Rule) error {
	var errs []error
	for _, r := range rules {
		errs = append(errs, r.File.Close())
	}
	return errors.Join(errs...)
}
