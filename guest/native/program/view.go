package program

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
)

// View answers what of the host a guest sees.
type View interface {
	// Guest returns where the guest sees a host path. Symbolic links of the host
	// are not followed: a path with links in it is asked for by its real name.
	Guest(host string) (guest string, ok bool)
	// Look returns what stands at one guest path none of whose parents is a
	// symbolic link.
	Look(guest string) Entry
}

// Entry is what a view has at one path.
type Entry struct {
	Kind   EntryKind
	Host   string // of OnHost: the host path, which need not exist
	Target string // of Symlink
	Why    string // of Absent: completes "it is not there: …"; may be empty
}

// EntryKind is what an Entry is.
type EntryKind uint8

// The kinds of entries.
const (
	Absent  EntryKind = iota // nothing, as far as the guest can tell
	OnHost                   // what the host has at a path
	Symlink                  // a link of the view's own
	Folder                   // a directory of the view's own
	Other                    // a file of the view's own, which is no program
)

// Mounts is the view that a list of mounts makes.
type Mounts struct {
	mounts []guest.Mount
}

// NewView returns the view that mounts make, which are in the order in which they
// are mounted. Optional parts that the host does not have are not in it.
func NewView(mounts []guest.Mount) *Mounts {
	v := &Mounts{mounts: make([]guest.Mount, 0, len(mounts))}
	for _, m := range mounts {
		if m.Optional && m.Kind == guest.Bind {
			if _, err := os.Lstat(m.Host); err != nil {
				continue
			}
		}
		m.Guest = path.Clean("/" + m.Guest)
		v.mounts = append(v.mounts, m)
	}
	return v
}

// Look implements [View]. What is mounted last lies on top.
func (v *Mounts) Look(p string) Entry {
	p = path.Clean("/" + p)
	for _, m := range slices.Backward(v.mounts) {
		if beneath(m.Guest, p) && m.Guest != p {
			// A mount below p makes p a directory, unless p is one of the host's.
			if e := v.under(p); e.Kind == OnHost || e.Kind == Symlink {
				return e
			}
			return Entry{Kind: Folder}
		}
		if beneath(p, m.Guest) && m.Kind != guest.Frozen {
			return entry(&m, p)
		}
	}
	return v.bottom(p)
}

// under is Look without the directories that mount points make.
func (v *Mounts) under(p string) Entry {
	for _, m := range slices.Backward(v.mounts) {
		if beneath(p, m.Guest) && m.Kind != guest.Frozen {
			return entry(&m, p)
		}
	}
	return v.bottom(p)
}

func (v *Mounts) bottom(p string) Entry {
	if p == "/" {
		return Entry{Kind: Folder}
	}
	return Entry{Kind: Absent}
}

// entry is what the mount m has at the path p in it.
func entry(m *guest.Mount, p string) Entry {
	top := p == m.Guest
	switch m.Kind {
	case guest.Bind:
		return Entry{Kind: OnHost, Host: filepath.Join(m.Host, filepath.FromSlash(p[len(m.Guest):]))}
	case guest.Link:
		if top {
			return Entry{Kind: Symlink, Target: m.Data}
		}
	case guest.Text:
		if top {
			return Entry{Kind: Other}
		}
	case guest.Private:
		if top {
			return Entry{Kind: Folder}
		}
		return Entry{Why: "the program has a " + m.Guest + " of its own"}
	case guest.Devices, guest.Procs:
		if top {
			return Entry{Kind: Folder}
		}
		return Entry{Why: "the program has a " + m.Guest + " of its own"}
	case guest.Mask:
		return Entry{Why: m.Guest + " is hidden from it" + by(m.Source)}
	}
	return Entry{}
}

func by(source string) string {
	if source == "" || source == "default" {
		return ""
	}
	return " (" + source + ")"
}

// Guest implements [View]. Of several places it returns the one with the host's
// own name, else that of the most specific mount.
func (v *Mounts) Guest(host string) (string, bool) {
	host = filepath.Clean(host)
	same := filepath.ToSlash(host)
	best, found := -1, ""
	for _, m := range v.mounts {
		if m.Kind != guest.Bind || !beneath(host, m.Host) {
			continue
		}
		rest := filepath.ToSlash(host[len(m.Host):])
		g := path.Join(m.Guest, rest)
		if e := v.Look(g); e.Kind != OnHost || e.Host != host {
			continue // something is mounted over it
		}
		if g == same {
			return g, true
		}
		if len(m.Host) > best {
			best, found = len(m.Host), g
		}
	}
	return found, best >= 0
}

// Host returns the host path that the guest reaches by a guest path, symbolic
// links followed as the guest's kernel follows them.
func (v *Mounts) Host(p string) (string, bool) {
	at, blocked := walk(v, p)
	return at.host, blocked == nil && at.host != ""
}

// beneath reports whether p is top or under it; both are clean and absolute.
func beneath(p, top string) bool {
	return top == "/" || p == top || len(p) > len(top) && p[len(top)] == '/' && strings.HasPrefix(p, top)
}
