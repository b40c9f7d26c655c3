package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Owner initializes and releases one kind of resource for processes of type P.
// Both methods are called at most once per process, Release only after an Init
// that succeeded. An Init that fails leaves nothing behind.
type Owner[P any] interface {
	Kind() abi.ResourceKind
	Init(ctx context.Context, p P) error
	Release(p P) (Freed, error)
}

// Freed says what one release returned.
type Freed struct {
	Count uint64 // resources of the kind
	Bytes uint64 // memory or storage they held
}

// Summary is what the release of one process returned.
type Summary struct {
	Freed    Freed
	ByKind   [abi.NumResourceKinds]Freed
	Duration time.Duration
	Errors   []string // "kind: what went wrong", in order of occurrence
}

// DefaultPatience is how long a release may take before it is left behind. It is
// far more than any takes on a host that is merely busy.
const DefaultPatience = 10 * time.Second

// Orchestrator holds the owners in the order of their kinds.
type Orchestrator[P any] struct {
	owners   []Owner[P]
	patience time.Duration
	orphans  atomic.Int64
}

// ErrCoverage is wrapped by the errors of [New].
var ErrCoverage = errors.New("resource coverage")

// New checks that every kind declared in abi has exactly one owner and that
// the owners are given in the order of their kinds. Patience 0 is
// [DefaultPatience].
func New[P any](patience time.Duration, owners ...Owner[P]) (*Orchestrator[P], error) {
	if patience == 0 {
		patience = DefaultPatience
	}
	for k := range abi.NumResourceKinds {
		n := 0
		for _, o := range owners {
			if o.Kind() == k {
				n++
			}
		}
		if n != 1 {
			return nil, fmt.Errorf("%w: kind %q has %d owners, want one", ErrCoverage, k, n)
		}
	}
	if !slices.IsSortedFunc(owners, func(a, b Owner[P]) int { return int(a.Kind()) - int(b.Kind()) }) {
		return nil, fmt.Errorf("%w: owners are not in the order of their kinds", ErrCoverage)
	}
	if len(owners) != int(abi.NumResourceKinds) {
		return nil, fmt.Errorf("%w: %d owners for %d declared kinds", ErrCoverage, len(owners), abi.NumResourceKinds)
	}
	return &Orchestrator[P]{owners: slices.Clone(owners), patience: patience}, nil
}

// InitError says which kind could not be initialized.
type InitError struct {
	Kind abi.ResourceKind
	Err  error
}

// Error names the kind and the reason.
func (e *InitError) Error() string { return fmt.Sprintf("initialize %s: %v", e.Kind, e.Err) }

// Unwrap returns the reason.
func (e *InitError) Unwrap() error { return e.Err }

// Init initializes every kind for p, in order. If one fails or panics, those
// already done are released in reverse and the error is an *InitError; the
// Summary then says what the rollback returned.
func (o *Orchestrator[P]) Init(ctx context.Context, p P) (Summary, error) {
	for i, own := range o.owners {
		if err := initOne(ctx, own, p); err != nil {
			return o.release(p, i), &InitError{Kind: own.Kind(), Err: err}
		}
	}
	return Summary{}, nil
}

func initOne[P any](ctx context.Context, own Owner[P], p P) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return own.Init(ctx, p)
}

// Release returns everything that p holds, in reverse order.
func (o *Orchestrator[P]) Release(p P) Summary { return o.release(p, len(o.owners)) }

// release releases the first n kinds, last first. The releases run on a
// goroutine of their own, so that one that never returns can be left behind with
// it; the rest then go on with a new one.
func (o *Orchestrator[P]) release(p P, n int) Summary {
	start := time.Now()
	var sum Summary
	for next := n - 1; next >= 0; {
		next = o.releaseFrom(p, next, &sum)
	}
	sum.Duration = time.Since(start)
	return sum
}

// outcome is how one release went.
type outcome struct {
	kind  abi.ResourceKind
	freed Freed
	err   error
}

// releaseFrom releases the owners from index first down to 0 and adds them to
// sum. It returns the index to go on from: -1 unless one was left behind.
func (o *Orchestrator[P]) releaseFrom(p P, first int, sum *Summary) int {
	done := make(chan outcome, first+1) // room for all: the goroutine never waits for us
	// at is the index that is being released. The goroutine moves it on when it
	// is finished; whoever moves it first decides whether that was in time.
	var at atomic.Int64
	at.Store(int64(first))
	go func() {
		for i := first; i >= 0; i-- {
			done <- releaseOne(o.owners[i], p)
			if !at.CompareAndSwap(int64(i), int64(i)-1) {
				o.orphans.Add(-1)
				return // left behind: somebody else went on from here
			}
		}
	}()
	patience := time.NewTimer(o.patience)
	defer patience.Stop()
	for i := first; i >= 0; i-- {
		select {
		case r := <-done:
			sum.add(r)
		case <-patience.C:
			o.orphans.Add(1)
			if at.CompareAndSwap(int64(i), leftBehind) {
				sum.add(outcome{kind: o.owners[i].Kind(), err: fmt.Errorf("%w after %v", errHung, o.patience)})
				return i - 1
			}
			o.orphans.Add(-1) // it finished just now after all
			sum.add(<-done)
		}
		patience.Reset(o.patience)
	}
	return -1
}

// leftBehind, as the index being released, says that the rest went elsewhere.
const leftBehind = -2

func (s *Summary) add(r outcome) {
	if r.err != nil {
		s.Errors = append(s.Errors, fmt.Sprintf("%s: %v", r.kind, r.err))
	}
	s.ByKind[r.kind] = r.freed
	s.Freed.Count += r.freed.Count
	s.Freed.Bytes += r.freed.Bytes
}

// errHung reports a release that was left behind.
var errHung = errors.New("did not finish and was left behind")

func releaseOne[P any](own Owner[P], p P) (out outcome) {
	out.kind = own.Kind()
	defer func() {
		if r := recover(); r != nil {
			out.err = fmt.Errorf("panic: %v", r)
		}
	}()
	out.freed, out.err = own.Release(p)
	return out
}

// Orphans returns how many releases that hung are still running.
func (o *Orchestrator[P]) Orphans() int { return int(o.orphans.Load()) }
