package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/landlock"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// maxRules bounds what a view is taken apart into.
const maxRules = 20_000

// plainDevices are what a program has of /dev.
var plainDevices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// grants turns a view into rules on the host's own paths. What the view shows at another
// place than its own cannot be shown and is refused, but for what is only there for
// convenience. Landlock only adds: what lies over a grant and takes something of it away
// has the grant be divided into what is beside it.
func grants(mounts []guest.Mount, spots map[string]string, pts string) (rules []landlock.Rule, left []string, err error) {
	d := &divider{}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeRules(d.rules))
		}
	}()
	windows, err := view.Windows()
	if err != nil {
		return nil, nil, err
	}
	for i := range mounts {
		m := &mounts[i]
		switch m.Kind {
		case guest.Bind:
			err = d.bind(m, mounts[i+1:], windows)
			if n := d.holes(m); n != "" {
				left = append(left, n)
			}
		case guest.Private:
			err = d.add(spots[m.Guest], landlock.ReadWriteExec|landlock.Connect)
		case guest.Devices:
			for _, name := range plainDevices {
				err = errors.Join(err, d.addOptional(path.Join(m.Guest, name), landlock.Read|landlock.Write|landlock.Control))
			}
			if pts != "" {
				err = errors.Join(err, d.add(pts, landlock.Read|landlock.Write|landlock.Control))
			}
		case guest.Procs:
			err = d.addOptional(m.Guest, landlock.Read)
		case guest.Mask, guest.Frozen:
			if _, serr := os.Lstat(m.Guest); errors.Is(serr, fs.ErrNotExist) {
				left = append(left, m.Guest+" is not kept from the program: it does not exist yet")
			}
		case guest.Text, guest.Link: // the host's own, if it is granted
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return d.rules, left, nil
}

// divider makes rules.
type divider struct {
	rules  []landlock.Rule
	within []string // what the grant that was divided last is divided around
}

// holes says what a grant for writing cannot be used for because it was divided.
func (d *divider) holes(m *guest.Mount) string {
	if len(d.within) == 0 || m.Source == "default" {
		return ""
	}
	most := d.within
	more := ""
	if len(most) > 3 {
		most, more = most[:3], " and more"
	}
	return fmt.Sprintf("%s: without namespaces nothing can be made or removed directly in the directories that lead to what is denied or protected inside it (%s%s)",
		m.Guest, strings.Join(most, ", "), more)
}

func (d *divider) add(name string, access landlock.Access) error {
	f, err := openFile(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	return d.rule(f, access)
}

func (d *divider) addOptional(name string, access landlock.Access) error {
	err := d.add(name, access)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (d *divider) rule(f *os.File, access landlock.Access) error {
	d.rules = append(d.rules, landlock.Rule{File: f, Access: access})
	if len(d.rules) > maxRules {
		return fmt.Errorf("without namespaces a grant is divided around what is denied inside it, and this one has more than %d parts; grant less, or deny less", maxRules)
	}
	return nil
}

// bind grants what is lent of the host.
func (d *divider) bind(m *guest.Mount, over []guest.Mount, windows []string) error {
	f, err := openBind(m)
	if f == nil || err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // a handle without contents
	if err := view.Lendable(int(f.Fd()), m); err != nil {
		return err
	}
	if m.Source != "default" {
		real, err := filepath.EvalSymlinks(m.Guest)
		if err != nil || real != m.Host {
			return &view.Error{Guest: m.Guest, Problem: "without namespaces nothing of the host can be shown at another place, and this is " + m.Host,
				Fix: "grant it without a guest path"}
		}
	}
	hidden, held := cutsOf(m, over, windows)
	d.within = nil
	if err := d.divide(f, m.Host, landlock.ReadExec, hidden); err != nil || !m.Write {
		return err
	}
	return d.divide(f, m.Host, landlock.Write|landlock.Connect, append(hidden, held...))
}

// openBind opens what is bound; nil if it is optional and not there.
func openBind(m *guest.Mount) (*os.File, error) {
	if m.File != nil {
		return duplicate(m.File)
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, m.Host, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if m.Optional && (err == unix.ENOENT || err == unix.EACCES) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: m.Host, Err: err}
	}
	return os.NewFile(uintptr(fd), m.Host), nil
}

// cutsOf returns the paths of the host beneath a bind that it does not show, and those
// that it shows and does not let change, because of what is mounted over it.
func cutsOf(m *guest.Mount, over []guest.Mount, windows []string) (hidden, held []string) {
	for _, o := range over {
		rel, ok := beneath(o.Guest, m.Guest)
		if !ok {
			continue
		}
		at := filepath.Join(m.Host, rel)
		switch {
		case o.Kind == guest.Frozen || o.Kind == guest.Bind && !o.Write:
			held = append(held, at)
		case o.Kind != guest.Bind && o.Kind != guest.Link:
			hidden = append(hidden, at)
		}
	}
	for _, w := range windows {
		if _, ok := beneath(w, m.Host); ok && w != m.Host {
			hidden = append(hidden, w)
		}
	}
	return hidden, held
}

// divide grants a place but for what is cut out of it. A directory above a cut cannot be
// listed, nor can anything be made in it.
func (d *divider) divide(f *os.File, name string, access landlock.Access, cuts []string) error {
	inside := false
	for _, c := range cuts {
		if c == name {
			return nil
		}
		if _, ok := beneath(c, name); !ok {
			continue
		}
		if _, err := os.Lstat(c); err == nil {
			inside = true
		}
	}
	if !inside {
		c, err := duplicate(f)
		if err != nil {
			return err
		}
		return d.rule(c, access)
	}
	d.note(name, cuts)
	entries, err := list(f)
	if err != nil {
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOTDIR) {
			return nil // what we cannot list is not granted; a file has nothing inside
		}
		return fmt.Errorf("%s, around what is denied in it: %w", name, err)
	}
	for _, e := range entries {
		fd, err := unix.Openat(int(f.Fd()), e, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT || err == unix.EACCES {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path.Join(name, e), err)
		}
		child := os.NewFile(uintptr(fd), path.Join(name, e))
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK { // a link grants nothing
			err = d.divide(child, strings.TrimSuffix(name, "/")+"/"+e, access, cuts)
		}
		if err = errors.Join(err, child.Close()); err != nil {
			return err
		}
	}
	return nil
}

// note remembers the cuts for a sentence about them.
func (d *divider) note(name string, cuts []string) {
	if len(d.within) > 0 {
		return
	}
	for _, c := range cuts {
		if _, ok := beneath(c, name); ok {
			d.within = append(d.within, c)
		}
	}
}

// list returns the names in a directory that f is a handle on.
func list(f *os.File) ([]string, error) {
	fd, err := unix.Openat(int(f.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), f.Name())
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}
