package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Buffers begin small, since most programs say little, and grow to what a pipe
// holds once one read has filled them.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// outlet copies what the program writes to one of its descriptors to a writer of
// the caller's.
type outlet struct {
	name string
	from *os.File // does not block; closed when the copying is over
	to   io.Writer
	lost func() // called when the writer takes nothing more; may be nil

	mu       sync.Mutex
	draining bool          // guarded by mu
	owed     int           // guarded by mu; at least what the program's tree has left in the pipe
	grace    time.Duration // guarded by mu

	done chan struct{} // closed when the copying is over
	err  error         // valid once done is closed
}

func newOutlet(name string, from *os.File, to io.Writer) *outlet {
	if to == nil {
		to = io.Discard
	}
	return &outlet{name: name, from: from, to: to, done: make(chan struct{})}
}

// run copies until the end, until the writer fails, or until it is given up.
func (o *outlet) run() {
	defer close(o.done)
	o.err = o.copy()
	// With our end closed, the program's next write is a broken pipe.
	o.err = errors.Join(o.err, o.close())
}

func (o *outlet) copy() error {
	buf := make([]byte, smallBuffer)
	for {
		n, err := o.read(buf)
		if n > 0 {
			// Why a writer fails is known to whoever lent it; the program learns
			// that it did.
			if w, werr := o.to.Write(buf[:n]); werr != nil || w < n {
				if o.lost != nil {
					o.lost()
				}
				return nil
			}
			o.took(n)
			if n == len(buf) && n < largeBuffer {
				buf = make([]byte, largeBuffer)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed), errors.Is(err, unix.EIO): // EIO: the end of a terminal
			return nil
		default:
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
}

// read reads what there is, or waits. Once the program has ended, it waits no
// longer than the grace.
func (o *outlet) read(buf []byte) (n int, err error) {
	n, err = o.from.Read(buf)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	// The time may have passed while the writer took its own: what is there is
	// read without waiting.
	err = control(o.from, func(fd int) (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case errors.Is(err, unix.EAGAIN):
		return 0, ErrHeld
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, io.EOF
	case !o.owing():
		return 0, ErrHeld // not the program's any more
	}
	return n, nil
}

func (o *outlet) owing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.owed > 0
}

// took counts what was delivered, and gives the rest its time.
func (o *outlet) took(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.draining || o.owed <= 0 {
		return
	}
	o.owed -= n
	_ = o.from.SetReadDeadline(time.Now().Add(o.grace)) // a file that is closed needs none
}

// finish says that the program has ended: what is in the pipe now is the last
// that it wrote.
func (o *outlet) finish(grace time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := waiting(o.from)
	if err != nil {
		n = largeBuffer // closed, or unknown: what a pipe holds
	}
	// One read may have been taken out of the pipe and not been counted yet.
	o.draining, o.owed, o.grace = true, n+largeBuffer, grace
	_ = o.from.SetReadDeadline(time.Now().Add(grace)) // a file that is closed needs none
}

// wait waits for the end of the copying, or for ctx; then it is given up.
func (o *outlet) wait(ctx context.Context) error {
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
	}
	err := errors.Join(fmt.Errorf("%s: %w", o.name, ErrUnread), o.close())
	select {
	case <-o.done:
		return errors.Join(err, o.err)
	case <-time.After(lingering):
		return err
	}
}

// close gives up.
func (o *outlet) close() error {
	if err := o.from.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func (o *outlet) running() bool {
	select {
	case <-o.done:
		return false
	default:
		return true
	}
}
