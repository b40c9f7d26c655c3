package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// File is what a log is written to; an *os.File that appends fits.
type File interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Bounds of one log, whatever is refused to the guest.
const (
	maxFolds = 1024
	maxText  = 512 << 10
	// MaxBytes is how large a log becomes at most.
	MaxBytes = 32 << 20
)

// quietDelay is how long denials that nobody waits for stay in memory.
const quietDelay = 50 * time.Millisecond

// closePatience is how long Close waits for a host that does not take what it is given.
const closePatience = 5 * time.Second

// Errors of a log.
var (
	ErrFull   = errors.New("the audit log has reached its size limit")
	ErrStuck  = errors.New("the host does not take what is written to the audit log")
	ErrClosed = errors.New("the audit log is closed")
)

// Head is where a log ends.
type Head struct {
	Hash    Hash
	Records uint64
}

// Log is the audit log of one run. It is safe for concurrent use. It must be closed.
type Log struct {
	f   File
	run string

	mu sync.Mutex
	// mu guards all below.
	added   Head   // of what was added
	written Head   // of what the host has
	buf     []byte // encoded, and not given to the writer yet
	size    int64  // of what was added, bytes
	err     error  // the first failure; nothing is written after it
	lost    uint64 // records that were not written
	onError func(error)
	waiting []waiter
	timer   *time.Timer // set while quiet denials wait in memory
	closed  bool

	folds    map[key]*fold
	order    []*fold
	text     int
	unlisted fold

	work chan struct{}
	done chan struct{} // closed when the writer has ended
}

// waiter is called once record n was written, or never will be.
type waiter struct {
	n    uint64
	wake func()
}

// Open begins the log of a run in f, which is empty and from then on the log's.
func Open(f File, run string) *Log {
	l := &Log{f: f, run: run, folds: map[key]*fold{}, work: make(chan struct{}, 1), done: make(chan struct{})}
	l.added.Hash = genesis(run)
	l.written.Hash = l.added.Hash
	go l.write()
	return l
}

// OnFailure has f called when the log cannot be written, at once if that is so already.
// It is called on the log's own goroutine or on the caller's, and may be on both.
func (l *Log) OnFailure(f func(error)) {
	l.mu.Lock()
	err := l.err
	l.onError = f
	l.mu.Unlock()
	if err != nil {
		f(err)
	}
}

// Add appends a record and returns its number, for Wait. It does not wait for the host.
func (l *Log) Add(r Record) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.add(&r)
	l.signal()
	return n
}

// add appends a record. The caller holds mu.
func (l *Log) add(r *Record) uint64 {
	if l.err != nil || l.closed {
		l.lost++
		return 0
	}
	r.Version, r.N, r.Run = 1, l.added.Records+1, l.run
	if r.Time.IsZero() {
		r.Time = now()
	}
	if r.Severity == "" {
		r.Severity = "warning"
	}
	line, sum, err := seal(r, l.added.Hash)
	if err == nil && l.size+int64(len(line)) > MaxBytes {
		err = ErrFull
	}
	if err != nil {
		l.lost++
		l.err = err // the writer tells
		return 0
	}
	l.size += int64(len(line))
	l.buf = append(l.buf, line...)
	l.added = Head{sum, r.N}
	return r.N
}

func now() time.Time { return time.Now().UTC().Round(0) }

func (l *Log) signal() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// settled reports whether record n was written or never will be. The caller holds mu.
func (l *Log) settled(n uint64) bool { return n <= l.written.Records || l.err != nil }

// Pending reports whether record n is not written yet; wake is then called when it is,
// or when it never will be.
func (l *Log) Pending(n uint64, wake func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled(n) {
		return false
	}
	l.waiting = append(l.waiting, waiter{n, wake})
	return true
}

// Wait waits until everything that was added is written.
func (l *Log) Wait(ctx context.Context) error {
	l.mu.Lock()
	n := l.added.Records
	l.mu.Unlock()
	c := make(chan struct{})
	if l.Pending(n, func() { close(c) }) {
		select {
		case <-c:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrStuck, context.Cause(ctx))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// write is the goroutine.
func (l *Log) write() {
	defer close(l.done)
	var good int64 // bytes that are whole records
	var spare []byte
	told := false
	for range l.work {
		for more := true; more; {
			l.mu.Lock()
			out, to, broken := l.buf, l.added, l.err
			l.buf = spare[:0]
			if told {
				out = nil
			}
			l.mu.Unlock()
			spare = out

			var err error
			if len(out) > 0 {
				if _, err = l.f.Write(out); err != nil {
					// A record that is there in part would pass for one that was cut later.
					err = errors.Join(err, l.f.Truncate(good))
				} else {
					good += int64(len(out))
				}
			}
			l.mu.Lock()
			if err == nil && len(out) > 0 {
				l.written = to
			} else if err != nil {
				l.lost += to.Records - l.written.Records
				if l.err == nil {
					l.err = err
				}
				broken = l.err
			}
			var ready []waiter
			kept := l.waiting[:0]
			for _, w := range l.waiting {
				if l.settled(w.n) {
					ready = append(ready, w)
				} else {
					kept = append(kept, w)
				}
			}
			l.waiting = kept
			tell := l.onError
			more = len(l.buf) > 0 && l.err == nil
			closed := l.closed
			l.mu.Unlock()
			if broken != nil && !told {
				told = true
				if tell != nil {
					tell(broken)
				}
			}
			for _, w := range ready {
				w.wake()
			}
			if closed && !more {
				return
			}
		}
	}
}

// Close writes the counts of repeated denials and the last record, brings everything to
// storage, and returns where the log ends. The error says why it is not all there.
func (l *Log) Close(end Record) (Head, error) {
	l.mu.Lock()
	if l.closed {
		defer l.mu.Unlock()
		return l.written, ErrClosed
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.flush()
	l.add(&end)
	l.closed = true
	l.mu.Unlock()
	l.signal()

	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	synced := make(chan error, 1)
	go func() {
		<-l.done
		synced <- errors.Join(l.f.Sync(), l.f.Close())
	}()
	var err error
	select {
	case err = <-synced:
	case <-patience.C:
		err = ErrStuck // the file is closed when the host lets go
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		err = errors.Join(fmt.Errorf("%d records are lost: %w", l.lost, l.err), err)
	}
	return l.written, err
}
