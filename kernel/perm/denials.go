package perm

import (
	"sync"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Bounds of one process's record. What a guest asks for is its own choice, so
// both the number of entries and the text kept of them are limited.
const (
	maxDenials     = 1024
	maxDenialBytes = 1 << 20
)

// Denial is one refused operation, folded over its repetitions: Event and Nr are
// the first occurrence's.
type Denial struct {
	Event     abi.EventID
	Nr        abi.Sysno
	Via       string // the guest ABI's own name of the call
	Layer     abi.Layer
	Reason    Reason
	Rule      string
	Requested string // as the guest asked
	Canonical string // as it resolved, "" if it did not
	Grant     string // the smallest grant that would allow it, as a flag
	Errno     abi.Errno
	Cached    bool // the first time it was refused from memory
	Count     uint64
}

// Denials is the folded record of what one process was refused. The zero value
// is empty and ready. It is safe for concurrent use.
type Denials struct {
	mu sync.Mutex
	// mu guards all below.
	index    map[denialKey]int
	list     []Denial
	bytes    int
	total    uint64
	overflow uint64
}

type denialKey struct {
	nr        abi.Sysno
	layer     abi.Layer
	reason    Reason
	rule      string
	requested string
	canonical string
}

// Add counts one denial; x.Count is ignored. It returns the total so far.
func (d *Denials) Add(x Denial) uint64 {
	k := denialKey{x.Nr, x.Layer, x.Reason, x.Rule, x.Requested, x.Canonical}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total++
	if i, ok := d.index[k]; ok {
		d.list[i].Count++
		return d.total
	}
	size := len(x.Rule) + len(x.Requested) + len(x.Canonical) + len(x.Grant)
	if len(d.list) == maxDenials || d.bytes+size > maxDenialBytes {
		d.overflow++
		return d.total
	}
	if d.index == nil {
		d.index = make(map[denialKey]int)
	}
	x.Count = 1
	d.bytes += size
	d.index[k] = len(d.list)
	d.list = append(d.list, x)
	return d.total
}

// List returns the distinct denials in the order in which they first happened.
func (d *Denials) List() []Denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Denial(nil), d.list...)
}

// Total returns how many denials there were, and how many of them are in no
// entry of the list because the record was full.
func (d *Denials) Total() (total, overflow uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total, d.overflow
}
