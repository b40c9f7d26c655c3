package perm

import (
	"sync"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// maxFailures bounds the record of one process, in different failures.
const maxFailures = 256

// Failure is an operation that was allowed and that the host could not do, folded over
// its repetitions: Event is the first one's, 0 if it was not recorded.
type Failure struct {
	Event abi.EventID
	Nr    abi.Sysno
	Via   string
	Path  string // as the guest gave it, from the root
	Errno abi.Errno
	Count uint64
}

type failureKey struct {
	nr    abi.Sysno
	errno abi.Errno
	path  string
}

// Failures is the folded record of what failed for one process without being refused.
// The zero value is empty and ready. It is safe for concurrent use.
type Failures struct {
	mu sync.Mutex
	// mu guards all below.
	index map[failureKey]int
	list  []Failure
}

// Add counts one failure; x.Count is ignored. What is new when the record is full is not
// kept.
func (f *Failures) Add(x Failure) {
	k := failureKey{x.Nr, x.Errno, x.Path}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.index[k]; ok {
		f.list[i].Count++
		return
	}
	if len(f.list) == maxFailures {
		return
	}
	if f.index == nil {
		f.index = make(map[failureKey]int)
	}
	x.Count = 1
	f.index[k] = len(f.list)
	f.list = append(f.list, x)
}

// List returns the different failures in the order in which they first happened.
func (f *Failures) List() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Failure(nil), f.list...)
}
