package commit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// Source is the captured side: the store of one overlay.
type Source interface {
	// Changes are the paths that differ and were not done yet.
	Changes() []overlayfs.Change
	// Open opens the content of a regular file. The caller closes it.
	Open(*overlayfs.Change) (*os.File, error)
	// Done says, lastingly, that paths were dealt with.
	Done(paths ...string) error
}

// Options say what to commit, and how.
type Options struct {
	// Run names the temporary files, so that a later commit of the same run
	// recognises them. It must be a file name.
	Run string
	// Root is the absolute host path of the directory, for judging which paths
	// are protected. Nothing is looked up by it.
	Root string
	// Named are the paths to commit, relative to the overlay's root, each with
	// everything beneath it; none means all. What is named itself may be
	// protected or executable.
	Named []string
	// Umask is taken from the modes of new files.
	Umask uint32
	// Force writes although the host has changed. It lifts nothing else.
	Force bool
}

// Outcome is what became of a change, or would.
type Outcome uint8

// The outcomes.
const (
	Committed Outcome = iota // written, or would be
	Already                  // the host has it already
	Conflict                 // the host changed since the run began
	Unnamed                  // protected or executable, and not named itself
	Refused                  // of a kind that is never committed
	Blocked                  // something that it needs was not committed
	Failed                   // the host refused it
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"committed", "already", "conflict", "unnamed", "refused", "blocked", "failed"}

// String returns the stable name of o.
func (o Outcome) String() string {
	if o < numOutcomes {
		return outcomeNames[o]
	}
	return "?"
}

// Done reports whether nothing is left to do for the path.
func (o Outcome) Done() bool { return o <= Already }

// Result is what became of one change.
type Result struct {
	Change  overlayfs.Change
	Outcome Outcome
	Why     string // completes "PATH …"; empty if there is nothing to say
}

// moder is a node whose permission bits can be set. Those of hostfs can.
type moder interface{ SetMode(mode uint32) abi.Errno }

// owner is a node that can be given the owner of another. Those of hostfs can.
type owner interface{ SetOwner(like vfs.Node) abi.Errno }

// ErrNoChange is returned for a named path at and beneath which there is none.
var ErrNoChange = errors.New("no captured change at or beneath it")

// committer is one commit.
type committer struct {
	ctx  context.Context
	src  Source
	o    Options
	dry  bool
	fs   vfs.FileSystem
	all  map[string]*item // every change by path
	todo []*item          // those selected, in the order of Changes
	buf  []byte

	// touched are objects whose change time this commit has moved, by taking
	// one of their names away.
	touched map[identity]bool

	// Dealt with and not journaled yet, and the directories that must be on the
	// disk before they are.
	queue []*item
	dirty map[string]bool
}

// maxQueue bounds how many changes a commit that is killed has to compare again.
const maxQueue = 128

type identity struct{ dev, ino uint64 }

// item is one selected change and what is known of it.
type item struct {
	c       *overlayfs.Change
	parts   []string // components of the path; none for the root
	index   int      // in Changes
	settled bool     // outcome is final
	outcome Outcome
	why     string
	pending bool // a directory that is there and will be finished
}

// Apply commits to fs, which must be writable. The results are those of the
// selected changes, in the order of Changes. The error says what kept the whole from
// going on: ctx, the journal, or a name without a change (ErrNoChange); a path
// that could not be written is a result.
func Apply(ctx context.Context, fs vfs.FileSystem, src Source, o Options) ([]Result, error) {
	return run(ctx, fs, src, o, false)
}

// Inspect says what Apply would do and changes nothing. fs may be read-only.
func Inspect(ctx context.Context, fs vfs.FileSystem, src Source, o Options) ([]Result, error) {
	return run(ctx, fs, src, o, true)
}

func run(ctx context.Context, fs vfs.FileSystem, src Source, o Options, dry bool) ([]Result, error) {
	if !dry && !validRun(o.Run) {
		return nil, fmt.Errorf("%q cannot name temporary files", o.Run)
	}
	c := &committer{ctx: ctx, src: src, o: o, dry: dry, fs: fs, buf: make([]byte, 256<<10), touched: map[identity]bool{}, dirty: map[string]bool{}}
	if err := c.selectChanges(); err != nil {
		return nil, err
	}
	if !dry {
		if err := Clean(ctx, fs, src, o.Run); err != nil {
			return nil, err
		}
	}
	err := errors.Join(c.work(), c.flush())
	results := make([]Result, 0, len(c.todo))
	for _, it := range c.todo {
		if it.settled {
			results = append(results, Result{Change: *it.c, Outcome: it.outcome, Why: it.why})
		}
	}
	return results, err
}

// validRun accepts a single component that leaves room for the rest of a name.
func validRun(run string) bool {
	return run != "" && len(run) <= 64 && !strings.ContainsAny(run, "/\x00")
}

// work deals with the selected changes in the order of phases.
func (c *committer) work() error {
	for _, phase := range c.phases() {
		for _, it := range phase.items {
			if err := c.ctx.Err(); err != nil {
				return context.Cause(c.ctx)
			}
			if err := phase.do(it); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle records the outcome of an item. If nothing is left to do for it, that is
// going to be journaled.
func (c *committer) settle(it *item, o Outcome, why string) error {
	it.settled, it.outcome, it.why = true, o, why
	if c.dry || !o.Done() {
		return nil
	}
	if c.queue = append(c.queue, it); len(c.queue) < maxQueue {
		return nil
	}
	return c.flush()
}

// flush brings the names that changed to the disk and then journals what was dealt
// with.
func (c *committer) flush() error {
	failed := map[string]error{}
	for dir := range c.dirty {
		if err := syncDirectory(c.fs, components(dir)); err != nil {
			failed[dir] = err
		}
	}
	clear(c.dirty)
	var paths []string
	for _, it := range c.queue {
		if err := failed[path.Dir(it.c.Path)]; err != nil && it.outcome == Committed {
			it.outcome, it.why = Failed, "is done, but that cannot be brought to the disk: "+err.Error()
			continue
		}
		paths = append(paths, it.c.Path)
	}
	c.queue = nil
	if len(paths) == 0 {
		return nil
	}
	if err := c.src.Done(paths...); err != nil {
		return fmt.Errorf("the overlay's journal: %w", err)
	}
	return nil
}

// soil says that the directory of an item has other names than on the disk.
func (c *committer) soil(it *item) { c.dirty[path.Dir(it.c.Path)] = true }

// sameContent reports whether a host file holds the captured content.
func (c *committer) sameContent(n vfs.Node, it *item) (same bool, err error) {
	f, err := c.src.Open(it.c)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h, errno := n.Open(abi.ORead)
	if errno != abi.OK {
		return false, errno
	}
	defer func() { _ = h.Close() }() // nothing was written through it
	theirs := make([]byte, len(c.buf))
	for off := int64(0); ; {
		k, rerr := io.ReadFull(f, c.buf)
		if rerr != nil && rerr != io.EOF && rerr != io.ErrUnexpectedEOF {
			return false, rerr
		}
		got, errno := readFull(h, theirs[:max(k, 1)], off)
		if errno != abi.OK {
			return false, errno
		}
		if got != k || string(theirs[:got]) != string(c.buf[:k]) {
			return false, nil
		}
		if rerr != nil {
			// The captured file ends here; theirs must too.
			if k == 0 {
				return true, nil
			}
			got, errno := readFull(h, theirs[:1], off+int64(k))
			if errno != abi.OK {
				return false, errno
			}
			return got == 0, nil
		}
		off += int64(k)
		if err := c.ctx.Err(); err != nil {
			return false, err
		}
	}
}

// readFull reads until b is full or the file ends.
func readFull(h vfs.Handle, b []byte, off int64) (int, abi.Errno) {
	n := 0
	for n < len(b) {
		k, errno := h.ReadAt([][]byte{b[n:]}, off+int64(n))
		if errno != abi.OK {
			return n, errno
		}
		if k == 0 {
			break
		}
		n += k
	}
	return n, abi.OK
}
