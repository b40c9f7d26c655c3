package commit

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs/overlayfs"
)

// under reports whether p is top or beneath it; both are clean and relative.
func under(p, top string) bool {
	return top == "." || p == top || strings.HasPrefix(p, top) && p[len(top)] == '/'
}

// components splits a clean relative path; the root has none.
func components(p string) []string {
	if p == "." {
		return nil
	}
	return strings.Split(p, "/")
}

// valid refuses a path that is not clean and relative: the store is the user's
// own, but what a damaged one says must not leave the directory either.
func valid(p string) bool {
	return p == "." || p != "" && p == path.Clean(p) && p[0] != '/' && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsRune(p, 0)
}

// selectChanges finds what is to be committed: what is named, everything beneath
// that, and the new directories above it.
func (c *committer) selectChanges() error {
	changes := c.src.Changes()
	c.all = make(map[string]*item, len(changes))
	items := make([]*item, 0, len(changes))
	for i := range changes {
		ch := &changes[i]
		if !valid(ch.Path) {
			return fmt.Errorf("the overlay's journal names the path %q", ch.Path)
		}
		it := &item{c: ch, parts: components(ch.Path), index: i}
		c.all[ch.Path] = it
		items = append(items, it)
	}
	hit := make([]bool, len(c.o.Named))
	for _, it := range items {
		chosen := len(c.o.Named) == 0
		for i, n := range c.o.Named {
			if under(it.c.Path, n) {
				chosen, hit[i] = true, true
			} else if makesDirectory(it.c) && under(n, it.c.Path) {
				chosen = true
			}
		}
		if chosen {
			c.todo = append(c.todo, it)
		}
	}
	for i, h := range hit {
		if !h {
			return fmt.Errorf("%s: %w", c.o.Named[i], ErrNoChange)
		}
	}
	return nil
}

// makesDirectory reports whether a directory comes where none was.
func makesDirectory(c *overlayfs.Change) bool {
	return c.Type == abi.TypeDirectory && (c.Kind == overlayfs.Added || c.Kind == overlayfs.Modified && (c.Was == nil || c.Was.Type != abi.TypeDirectory))
}

// unmakesDirectory reports whether something else comes where a directory was.
func unmakesDirectory(c *overlayfs.Change) bool {
	return c.Kind == overlayfs.Modified && c.Type != abi.TypeDirectory && c.Was != nil && c.Was.Type == abi.TypeDirectory
}

// phase is a pass over some of the changes.
type phase struct {
	items []*item
	do    func(*item) error
}

// phases orders the selected changes. What a directory holds goes before
// something else takes its place; then everything is written, directories
// before what is in them; the other deletions come after that, so that a file that
// was moved is at its new place before it leaves the old one; and last the modes and
// times of directories, which the rest needs or changes.
func (c *committer) phases() []phase {
	var first, write, last, dirs []*item
	for _, it := range c.todo {
		switch {
		case it.c.Kind != overlayfs.Deleted:
			write = append(write, it)
			if it.c.Type == abi.TypeDirectory {
				dirs = append(dirs, it)
			}
		case c.inTheWay(it):
			first = append(first, it)
		default:
			last = append(last, it)
		}
	}
	down := func(a, b *item) int { return strings.Compare(a.c.Path, b.c.Path) }
	up := func(a, b *item) int { return strings.Compare(b.c.Path, a.c.Path) }
	slices.SortFunc(first, up)
	slices.SortFunc(last, up)
	slices.SortFunc(dirs, up)
	// A link comes after what it is a link of, whatever their names.
	slices.SortFunc(write, func(a, b *item) int {
		if (a.c.Link == "") != (b.c.Link == "") {
			if a.c.Link == "" {
				return -1
			}
			return 1
		}
		return down(a, b)
	})
	return []phase{{first, c.remove}, {write, c.write}, {last, c.remove}, {dirs, c.finishDirectory}}
}

// inTheWay reports whether a deletion is of something in a directory that a file
// or link replaces.
func (c *committer) inTheWay(it *item) bool {
	for i := 1; i < len(it.parts); i++ {
		if above := c.all[strings.Join(it.parts[:i], "/")]; above != nil && unmakesDirectory(above.c) {
			return true
		}
	}
	return false
}
