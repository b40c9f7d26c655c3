package launch

import (
	"fmt"
	"time"

	"github.com/agentos-kernel/agentos/guest"
)

// diskEvery is how often private files are measured, which takes a walk through them.
const diskEvery = 250 * time.Millisecond

// Watched reports whether a limit of the tree is held by supervision: whoever runs it
// must ask for its usage often.
func (t *Tree) Watched() bool { return t.cell.watch != supervision{} }

// over looks whether the tree is over a limit that only supervision holds.
func (t *Tree) over(u *guest.Usage) (*Excess, error) {
	w, b := &t.cell.watch, &t.job.Limits
	if err := t.cell.reapAll(); err != nil {
		return nil, err
	}
	switch {
	case w.memory && u.Memory > b.Memory:
		return &Excess{"memory", fmt.Sprintf("its processes together used %d bytes of memory, of %d", u.Memory, b.Memory)}, nil
	case w.pids && u.Processes > b.Pids:
		return &Excess{"pids", fmt.Sprintf("it had %d processes and threads at once, of %d", u.Processes, b.Pids)}, nil
	case w.disk && t.measure():
		n, err := t.cell.ground.size()
		if err == nil && n > b.Disk {
			return &Excess{"disk", fmt.Sprintf("its private files took %d bytes, of %d", n, b.Disk)}, nil
		}
		return nil, err
	}
	return nil, nil
}

// measure reports whether it is time to look at the disk.
func (t *Tree) measure() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.looked) < diskEvery {
		return false
	}
	t.looked = time.Now()
	return true
}
