package perm

import (
	"sync"
	"time"

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
	First     time.Time
	Last      time.Time
}

// Denials is the folded record of what one process was refused. The zero value
// is empty and ready. It is safe for concurrent use.
type Denials struct {
	// Told is told of each kind of denial when it is new, and again when its count
	// reaches a power of ten; nil for nobody. It must not wait. Set it before the first
	// denial.
	Told func(Denial)

	mu sync.Mutex
	// mu guards all below.
	index    map[denialKey]int
	list     []Denial
	told     []uint64 // the count of each that Told knows
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

// Add counts one denial; x.Count and its times are ignored. It returns the total so far.
func (d *Denials) Add(x Denial) uint64 {
	total, _ := d.Note(x)
	return total
}

// Note is Add, and reports whether x is unlike all that have a place in the record.
func (d *Denials) Note(x Denial) (total uint64, fresh bool) {
	k := denialKey{x.Nr, x.Layer, x.Reason, x.Rule, x.Requested, x.Canonical}
	x.Count, x.First = 1, time.Now()
	x.Last = x.First
	total, news, fresh := d.add(k, &x)
	if news && d.Told != nil {
		d.Told(x)
	}
	return total, fresh
}

// add counts x, of which it leaves the folded record, and reports whether it is news
// to Told, and whether it is the first of its kind or has no place.
func (d *Denials) add(k denialKey, x *Denial) (total uint64, news, fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total++
	if i, ok := d.index[k]; ok {
		have := &d.list[i]
		have.Count++
		have.Last = x.Last
		*x = *have
		if news = powerOfTen(have.Count); news {
			d.told[i] = have.Count
		}
		return d.total, news, false
	}
	size := len(x.Rule) + len(x.Requested) + len(x.Canonical) + len(x.Grant)
	if len(d.list) == maxDenials || d.bytes+size > maxDenialBytes {
		d.overflow++
		return d.total, false, true
	}
	if d.index == nil {
		d.index = make(map[denialKey]int)
	}
	d.bytes += size
	d.index[k] = len(d.list)
	d.list, d.told = append(d.list, *x), append(d.told, 1)
	return d.total, true, true
}

// Untold returns what Told does not know the present count of.
func (d *Denials) Untold() []Denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Denial
	for i := range d.list {
		if d.told[i] != d.list[i].Count {
			out = append(out, d.list[i])
			d.told[i] = d.list[i].Count
		}
	}
	return out
}

func powerOfTen(n uint64) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
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
