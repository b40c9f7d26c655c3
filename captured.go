package agentos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs/commit"
)

// Captured are the captured writes of a run that has ended. While it is open no
// other process commits or discards them. It must be closed, and is for one
// goroutine.
type Captured struct {
	run    string
	hold   *statedir.Overlay
	hidden []hostfs.ID
	layers []*capturedLayer
	// removed says that there is nothing on the disk any more.
	removed bool
}

// capturedLayer is what one overlay captured, over the directory as it is now.
type capturedLayer struct {
	dir         string // the store
	host, guest string
	store       *overlayfs.Layer
	view        *hostfs.FS // for reading, opened when it is needed
	broken      error      // why the store cannot be read: then there is no store, and it can be discarded only
}

// Change is one path that a run changed in an overlay, as a document.
type Change struct {
	Path      string `json:"path"`  // relative to the granted directory
	Host      string `json:"host"`  // on the host
	Guest     string `json:"guest"` // as the program saw it
	Kind      string `json:"kind"`  // added, modified, deleted, mode
	Type      string `json:"type"`
	WasType   string `json:"was_type,omitempty"`
	Mode      string `json:"mode,omitempty"` // octal
	WasMode   string `json:"was_mode,omitempty"`
	Size      int64  `json:"size"`
	WasSize   int64  `json:"was_size"`
	Target    string `json:"target,omitempty"` // of a symbolic link
	WasTarget string `json:"was_target,omitempty"`
	Link      string `json:"link,omitempty"` // the path of another name of the same file
	// Outcome is what a commit did with it, or would: committed, already,
	// conflict, unnamed, refused, blocked, failed.
	Outcome string `json:"outcome"`
	Why     string `json:"why,omitempty"`

	layer  *capturedLayer
	change overlayfs.Change
}

// Done reports whether nothing is left to do for the change.
func (c *Change) Done() bool {
	return c.Outcome == commit.Committed.String() || c.Outcome == commit.Already.String()
}

// Directory returns the granted directory that the change belongs to, on the host
// and as the program saw it.
func (c *Change) Directory() (host, guest string) { return c.layer.host, c.layer.guest }

// OpenCaptured opens the captured writes of a run. Errors wrap those of
// [statedir.Dir.OpenOverlay].
func OpenCaptured(state *statedir.Dir, run string) (_ *Captured, err error) {
	hold, err := state.OpenOverlay(run)
	if err != nil {
		return nil, err
	}
	c := &Captured{run: run, hold: hold}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	id, err := hostfs.Identify(state.Path())
	if dev, ino := state.ID(); err != nil || !id.Is(dev, ino) {
		return nil, errors.Join(fmt.Errorf("the state directory %s cannot be kept out of a commit", state.Path()), err)
	}
	c.hidden = append(c.hidden, id)
	for n := 1; ; n++ {
		dir := filepath.Join(hold.Path(), strconv.Itoa(n))
		store, err := overlayfs.Load(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if _, serr := os.Lstat(dir); serr == nil {
				continue // killed before it had a journal: it captured nothing
			}
			break
		}
		l := &capturedLayer{dir: dir, store: store}
		c.layers = append(c.layers, l)
		if err != nil {
			l.broken = fmt.Errorf("the captured writes of run %s: %w", run, err)
			continue
		}
		if labels := store.Labels(); labels != nil {
			l.host, l.guest = labels[labelHost], labels[labelGuest]
			if !filepath.IsAbs(l.host) || !path.IsAbs(l.guest) {
				l.broken = fmt.Errorf("the captured writes of run %s do not say whose they are", run)
			}
		}
	}
	return c, nil
}

// broken says why what was captured cannot be shown or committed.
func (c *Captured) broken() error {
	for _, l := range c.layers {
		if l.broken != nil {
			return l.broken
		}
	}
	return nil
}

// Run returns the run's id.
func (c *Captured) Run() string { return c.run }

// Close lets go of the captured writes.
func (c *Captured) Close() error {
	var errs []error
	for _, l := range c.layers {
		if l.store != nil {
			errs = append(errs, l.store.Close())
		}
		if l.view != nil {
			errs = append(errs, l.view.Close())
		}
	}
	return errors.Join(append(errs, c.hold.Close())...)
}

// open opens the directory of a layer.
func (c *Captured) open(l *capturedLayer, write bool) (*hostfs.FS, error) {
	f, err := hostfs.Open(l.host, hostfs.Options{Write: write, Hidden: c.hidden})
	if err != nil {
		return nil, err
	}
	// The path was free of links when the run began; if it is not now, somebody
	// put another directory in its place.
	if real, err := filepath.EvalSymlinks(l.host); err != nil || real != l.host {
		return nil, errors.Join(fmt.Errorf("%s leads to another directory than when the run began", l.host), err, f.Close())
	}
	return f, nil
}

// options are those of a commit of a layer.
func (c *Captured) options(l *capturedLayer) commit.Options {
	return commit.Options{Run: c.run, Root: filepath.ToSlash(l.host), Umask: umask()}
}

// Changes says what was captured and what a commit would do with each.
func (c *Captured) Changes(ctx context.Context) ([]*Change, error) {
	return c.each(ctx, nil, false, commit.Inspect)
}

// Commit writes captured changes to the host: those at and beneath the named paths,
// or all. A path is as the program saw it, of the host, or relative to the granted
// directory. What is protected or executable is committed only if it is named itself.
// force overrides conflicts. The changes that were dealt with say what became of them;
// a path that could not be written is no error. If nothing is left the captured writes
// are removed.
func (c *Captured) Commit(ctx context.Context, paths []string, force bool) ([]*Change, error) {
	named, err := c.resolve(paths)
	if err != nil {
		return nil, err
	}
	changes, err := c.each(ctx, named, force, commit.Apply)
	if err == nil && c.Left() == 0 {
		err = c.remove()
	}
	return changes, err
}

// Plan says what Commit would do and changes nothing.
func (c *Captured) Plan(ctx context.Context, paths []string, force bool) ([]*Change, error) {
	named, err := c.resolve(paths)
	if err != nil {
		return nil, err
	}
	return c.each(ctx, named, force, commit.Inspect)
}

// Left returns how many changes are neither committed nor discarded.
func (c *Captured) Left() (n int) {
	if c.removed {
		return 0
	}
	for _, l := range c.layers {
		if l.broken == nil {
			n += len(l.store.Changes())
		}
	}
	return n
}

// Discard removes the captured writes for good, also damaged ones, and what a killed
// commit left on the host. It returns how many changes there were, as far as that
// is known.
func (c *Captured) Discard(ctx context.Context) (int, error) {
	n := c.Left()
	for _, l := range c.layers {
		if l.broken != nil || len(l.store.Changes()) == 0 {
			continue
		}
		f, err := c.open(l, true)
		if err != nil {
			continue // the directory is gone, and with it whatever was left in it
		}
		if err := errors.Join(commit.Clean(ctx, f, l.store, c.run), f.Close()); err != nil {
			return 0, err
		}
	}
	return n, c.remove()
}

// remove removes the place of the captured writes.
func (c *Captured) remove() error {
	err := c.hold.Remove()
	c.removed = err == nil
	return err
}

type commitFunc func(context.Context, vfs.FileSystem, commit.Source, commit.Options) ([]commit.Result, error)

// each runs do over the layers; with named, over those for which it has paths.
func (c *Captured) each(ctx context.Context, named map[*capturedLayer][]string, force bool, do commitFunc) ([]*Change, error) {
	out := []*Change{}
	if err := c.broken(); err != nil {
		return out, err
	}
	for _, l := range c.layers {
		if len(l.store.Changes()) == 0 || named != nil && named[l] == nil {
			continue
		}
		f, err := c.open(l, true)
		if err != nil {
			return out, fmt.Errorf("the directory that run %s changed: %w", c.run, err)
		}
		o := c.options(l)
		o.Named, o.Force = named[l], force
		results, err := do(ctx, f, l.store, o)
		for i := range results {
			out = append(out, l.document(&results[i]))
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return out, err
		}
	}
	return out, nil
}

// document renders a result.
func (l *capturedLayer) document(r *commit.Result) *Change {
	ch := &r.Change
	d := &Change{
		Path: ch.Path, Host: filepath.Join(l.host, filepath.FromSlash(ch.Path)), Guest: path.Join(l.guest, ch.Path),
		Kind: ch.Kind.String(), Type: ch.Type.String(), Target: ch.Target, Link: ch.Link,
		Outcome: r.Outcome.String(), Why: r.Why, layer: l, change: *ch,
	}
	if ch.Kind == overlayfs.Deleted {
		d.Type, d.Target = "", ""
	} else {
		d.Mode = octal(ch.Mode)
		if ch.Type == abi.TypeRegular {
			d.Size = ch.Size
		}
	}
	if w := ch.Was; w != nil {
		d.WasType, d.WasMode, d.WasTarget = w.Type.String(), octal(w.Mode), w.Target
		if w.Type == abi.TypeRegular {
			d.WasSize = w.Size
		}
	}
	return d
}

func octal(mode uint32) string { return fmt.Sprintf("%04o", mode&0o777) }

// ErrNoChange is returned for a path at and beneath which nothing was captured.
var ErrNoChange = commit.ErrNoChange

// resolve finds what paths mean: as the program saw them, of the host, or relative to
// a granted directory or the current one, in this order; the first under which
// there is a change.
func (c *Captured) resolve(paths []string) (map[*capturedLayer][]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	if err := c.broken(); err != nil {
		return nil, err
	}
	named := map[*capturedLayer][]string{}
	for _, p := range paths {
		l, rel, err := c.find(p)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(named[l], rel) {
			named[l] = append(named[l], rel)
		}
	}
	return named, nil
}

func (c *Captured) find(p string) (*capturedLayer, string, error) {
	type reading func(*capturedLayer) (rel string, ok bool)
	within := func(top func(*capturedLayer) string, p string) reading {
		return func(l *capturedLayer) (string, bool) {
			t := top(l)
			if !beneath(p, t) {
				return "", false
			}
			rel := strings.TrimPrefix(strings.TrimPrefix(p, t), "/")
			if rel == "" {
				rel = "."
			}
			return rel, true
		}
	}
	host := func(l *capturedLayer) string { return filepath.ToSlash(l.host) }
	guest := func(l *capturedLayer) string { return l.guest }
	var readings []reading
	clean := path.Clean(filepath.ToSlash(p))
	if path.IsAbs(clean) {
		readings = append(readings, within(guest, clean), within(host, clean))
	} else if clean != ".." && !strings.HasPrefix(clean, "../") {
		readings = append(readings, func(*capturedLayer) (string, bool) { return clean, true })
	}
	if abs, err := filepath.Abs(p); err == nil && p != "" {
		readings = append(readings, within(host, filepath.ToSlash(abs)))
		// Grants are kept with their symbolic links resolved.
		if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			readings = append(readings, within(host, filepath.ToSlash(filepath.Join(real, filepath.Base(abs)))))
		}
	}
	for _, r := range readings {
		var l *capturedLayer
		var rel string
		for _, cand := range c.layers {
			at, ok := r(cand)
			if !ok || !cand.changes(at) {
				continue
			}
			if l != nil {
				return nil, "", fmt.Errorf("%s was changed in %s and in %s: name one of them by its absolute path", p, l.host, cand.host)
			}
			l, rel = cand, at
		}
		if l != nil {
			return l, rel, nil
		}
	}
	return nil, "", fmt.Errorf("%s: %w", p, ErrNoChange)
}

// changes reports whether there is a change at or beneath a relative path.
func (l *capturedLayer) changes(rel string) bool {
	return slices.ContainsFunc(l.store.Changes(), func(c overlayfs.Change) bool {
		return rel == "." || c.Path == rel || strings.HasPrefix(c.Path, rel+"/")
	})
}

// Contents reads what a regular file holds after the run and what the host has there
// now, each up to max bytes; nil where there is no regular file. It is
// ErrTooLarge if either is larger.
func (c *Captured) Contents(ch *Change, max int64) (old, new []byte, err error) {
	if ch.change.Type == abi.TypeRegular && ch.change.Kind != overlayfs.Deleted {
		f, err := ch.layer.store.Open(&ch.change)
		if err != nil {
			return nil, nil, err
		}
		new, err = readAtMost(f, max)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, nil, err
		}
	}
	if ch.layer.view == nil {
		if ch.layer.view, err = c.open(ch.layer, false); err != nil {
			return nil, nil, err
		}
	}
	h, errno := commit.OpenFile(ch.layer.view, ch.change.Path)
	if errno == abi.ENOENT || errno == abi.ENOTDIR || errno == abi.EISDIR || errno == abi.ELOOP {
		return nil, new, nil
	}
	if errno != abi.OK {
		return nil, nil, errno
	}
	defer func() { _ = h.Close() }() // nothing was written through it
	old, err = readAtMost(&handleReader{h: h}, max)
	return old, new, err
}

// ErrTooLarge is returned for a file that is larger than what was asked for.
var ErrTooLarge = errors.New("the file is too large")

func readAtMost(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(b)) > max {
		return nil, ErrTooLarge
	}
	return b, err
}

// handleReader reads a file of the host from its beginning.
type handleReader struct {
	h   vfs.Handle
	off int64
}

func (r *handleReader) Read(b []byte) (int, error) {
	n, errno := r.h.ReadAt([][]byte{b[:min(len(b), abi.MaxTransfer)]}, r.off)
	if errno != abi.OK {
		return 0, errno
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	r.off += int64(n)
	return n, nil
}
