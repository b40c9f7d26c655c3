package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/landlock"
)

// scratchPrefix begins the name of the directory of a tree's private files.
const scratchPrefix = "agentos-"

// ground is what stands for the private parts of a view where there are no mounts: a
// directory of the host that only the user can open, removed with the tree.
type ground struct {
	dir   string
	spots map[string]string // guest path of a private directory → its place
}

// settle makes the ground of a job, and has the job's home, temporary, and working
// directory be there.
func (c *cell) settle(job *Job) (err error) {
	g := &ground{spots: map[string]string{}}
	g.dir, err = os.MkdirTemp(c.l.scratch(), scratchPrefix+c.l.o.Name+"-")
	if err != nil {
		return fmt.Errorf("a directory for private files: %w", err)
	}
	c.ground = g
	for i, m := range job.Mounts {
		if m.Kind != guest.Private {
			continue
		}
		spot := filepath.Join(g.dir, strconv.Itoa(i)+strings.ReplaceAll(m.Guest, "/", "-"))
		if err := os.Mkdir(spot, 0o700); err != nil {
			return fmt.Errorf("a directory for private files: %w", err)
		}
		g.spots[m.Guest] = spot
	}
	job.Dir = g.place(job.Mounts, job.Dir)
	job.Env = slices.Clone(job.Env)
	for i, kv := range job.Env {
		for _, key := range []string{"HOME=", "TMPDIR="} {
			if v, ok := strings.CutPrefix(kv, key); ok && path.IsAbs(v) {
				job.Env[i] = key + g.place(job.Mounts, path.Clean(v))
			}
		}
	}
	return nil
}

// place returns where a path of the view is on the host: elsewhere if the last part of
// the view that covers it is private.
func (g *ground) place(mounts []guest.Mount, name string) string {
	at := name
	for _, m := range mounts {
		rel, ok := beneath(name, m.Guest)
		switch {
		case !ok:
		case m.Kind == guest.Private:
			at = filepath.Join(g.spots[m.Guest], rel)
		case m.Kind == guest.Bind:
			at = name
		}
	}
	return at
}

// beneath returns the path of name from top, if it is top or beneath it.
func beneath(name, top string) (rel string, ok bool) {
	if name == top {
		return "", true
	}
	return strings.CutPrefix(name, strings.TrimSuffix(top, "/")+"/")
}

// close removes the ground. What the program made unreadable to itself is made readable
// first.
func (g *ground) close() error {
	if g == nil || g.dir == "" {
		return nil
	}
	return removeTree(g.dir)
}

func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	root, rerr := os.OpenRoot(dir)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	werr := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			return root.Chmod(name, 0o700)
		}
		return err
	})
	return errors.Join(werr, root.Close(), os.RemoveAll(dir))
}

// size returns how many bytes of the disk the private files take.
func (g *ground) size() (uint64, error) {
	root, err := os.OpenRoot(g.dir)
	if err != nil {
		return 0, err
	}
	var n uint64
	err = fs.WalkDir(root.FS(), ".", func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile, or made unreadable, which its own entry still counts for
		}
		if i, err := e.Info(); err == nil {
			if st, ok := i.Sys().(*syscall.Stat_t); ok {
				n += uint64(st.Blocks) * 512
			}
		}
		return nil
	})
	return n, errors.Join(err, root.Close())
}

// scratch is where the directories of private files are made.
func (l *Launcher) scratch() string {
	if l.o.Scratch != "" {
		return l.o.Scratch
	}
	return os.TempDir()
}

// furnishGround opens what a job needs where there are no mounts.
func (c *cell) furnishGround(job *Job) (ptmx, handle *os.File, err error) {
	var rules []landlock.Rule
	defer func() {
		if err = errors.Join(err, closeRules(rules)); err != nil {
			err = errors.Join(err, closeFile(ptmx), closeFile(handle))
			ptmx, handle = nil, nil
		}
	}()
	pts := ""
	if job.Terminal {
		if ptmx, pts, err = openTerminal(); err != nil {
			return ptmx, nil, fmt.Errorf("a terminal: %w", err)
		}
	}
	var left []string
	if rules, left, err = grants(job.Mounts, c.ground.spots, pts); err != nil {
		return ptmx, nil, err
	}
	c.left = append(c.left, left...)
	handle, err = ruleset(landlock.Options{}, rules)
	return ptmx, handle, err
}

// openTerminal makes a terminal among the host's and names its other end.
func openTerminal() (ptmx *os.File, pts string, err error) {
	if ptmx, err = openFile("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK); err != nil {
		return nil, "", err
	}
	c, err := ptmx.SyscallConn()
	if err != nil {
		return ptmx, "", err
	}
	n := 0
	cerr := c.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN) })
	if err == nil && cerr == nil { // the host's master has its other end locked at first
		cerr = c.Control(func(fd uintptr) { err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0) })
	}
	return ptmx, "/dev/pts/" + strconv.Itoa(n), errors.Join(cerr, err)
}
