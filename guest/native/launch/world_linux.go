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
	// What follows is expected of the next job and does not count for the key: that it
	// adds nothing to the mounts, so that a cell can be sealed ahead, and its limits.
	plain      bool
	limits     guest.Bounds
	bestEffort bool
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
	base, rest := divide(job)
	s := stage{user: job.User, mounts: base, limits: job.Limits, bestEffort: job.BestEffort}
	s.plain = len(rest) == 0 && !job.Terminal && !s.whole()
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
	if c.sealed {
		ruleset, c.ruleset = c.ruleset, nil
		if err := c.resize(job.Limits.Disk); err != nil {
			return nil, nil, errors.Join(err, closeFile(ruleset))
		}
		return nil, ruleset, nil
	}
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
		ruleset, err = c.seal(job.Mounts)
		return err
	})
	if err = errors.Join(err, trees.Close()); err != nil {
		return nil, nil, errors.Join(err, closeFile(ptmx), closeFile(ruleset))
	}
	return ptmx, ruleset, nil
}

// seal makes the root what the program will find and returns the ruleset that knows its
// places, nil without Landlock. It is called on the cell's thread.
func (c *cell) seal(mounts []guest.Mount) (ruleset *os.File, err error) {
	// Closed with the rules.
	queues := c.queues
	c.queues = nil
	if ruleset, err = c.l.restrict(mounts, queues); err != nil {
		return nil, err
	}
	if err := c.root.Seal(); err != nil {
		return nil, errors.Join(err, closeFile(ruleset))
	}
	c.root = nil // closed by it
	return ruleset, nil
}

// sealAhead seals a cell that no job will add anything to. It is called on its thread.
func (c *cell) sealAhead() (err error) {
	if err := c.root.Resize(c.stage.limits.Disk); err != nil {
		return err
	}
	if c.space, err = c.root.Space(); err != nil {
		return err
	}
	c.ruleset, err = c.seal(c.stage.mounts)
	c.sealed = err == nil
	return err
}

// fits reports whether a cell can be used for a job of s, whose key is the cell's.
func (c *cell) fits(s *stage) bool {
	// What was limited once, or was tried to be, is not made unlimited.
	was, is := &c.stage.limits, &s.limits
	return replaces(is, was) && (!c.sealed || s.plain && (is.Disk > 0 || was.Disk == 0))
}

// resize gives a sealed cell the private space that its job has, where that is not what
// it was made with.
func (c *cell) resize(disk uint64) (err error) {
	if disk != c.stage.limits.Disk {
		err = view.Resize(c.space, disk)
	}
	err = errors.Join(err, closeFile(c.space))
	c.space = nil
	return err
}

func openFile(name string, flags int) (*os.File, error) {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// restrict makes the ruleset for a view, nil if the host has no Landlock. It is called on
// the cell's thread, where the paths of the view are. It closes queues.
func (l *Launcher) restrict(mounts []guest.Mount, queues *os.File) (_ *os.File, err error) {
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
	for i := range mounts {
		m := &mounts[i]
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
