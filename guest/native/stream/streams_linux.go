package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The two ways in which output can end short, and the one for input.
var (
	// ErrHeld says that a process which is not of the run still has the output
	// open, or goes on writing to it.
	ErrHeld = errors.New("a process outside the run still holds it")
	// ErrUnread says that the caller gave up before its own writer had taken
	// everything.
	ErrUnread = errors.New("not everything that the program wrote was taken")
	// ErrInput says that the caller's input failed before its end, so that the
	// program saw an end that was none.
	ErrInput = errors.New("standard input failed before its end")
)

// lingering is how long a goroutine that was told to end is given before it
// counts as left behind.
const lingering = 100 * time.Millisecond

// Streams are the host's ends of one program's descriptors 0 to 2. Child gives
// the program's ends, Started begins the copying, Drain ends it. Close is for a
// program that did not start, and harmless otherwise.
type Streams struct {
	child   [3]*os.File // the program's ends; nil once it has them
	in      *inlet      // nil if the program's input is at its end
	outs    []*outlet
	screen  *screen // nil for pipes
	copying bool    // Started was called
	ended   bool
}

// Pipes makes a pipe for each of the three. A nil in is at its end; a nil out or
// errw discards. Where out and errw are one writer, the program gets one pipe
// for both, and the order of what it writes to the two is kept.
func Pipes(in io.Reader, out, errw io.Writer) (_ *Streams, err error) {
	s := &Streams{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.pipeIn(in); err != nil {
		return nil, err
	}
	if err := s.pipeOut(1, "standard output", out); err != nil {
		return nil, err
	}
	if out != nil && same(out, errw) {
		s.child[2] = s.child[1]
		return s, nil
	}
	if err := s.pipeOut(2, "standard error", errw); err != nil {
		return nil, err
	}
	return s, nil
}

// None is for a program whose input is at its end and whose output nobody wants: it has
// no descriptors from here, and finds /dev/null.
func None() *Streams { return &Streams{} }

// pipe returns our end of a new pipe, which does not block, and the program's,
// which does, as programs expect.
func pipe(reading bool) (ours, theirs *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("a pipe for a standard stream: %w", err)
	}
	own, other := p[1], p[0]
	if reading {
		own, other = p[0], p[1]
	}
	if err := unix.SetNonblock(own, true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(own), unix.Close(other))
	}
	return os.NewFile(uintptr(own), "pipe"), os.NewFile(uintptr(other), "pipe"), nil
}

func (s *Streams) pipeIn(in io.Reader) error {
	ours, theirs, err := pipe(false)
	if err != nil {
		return err
	}
	s.child[0] = theirs
	if in == nil {
		return ours.Close()
	}
	s.in, err = newInlet(in, ours, nil)
	return err
}

func (s *Streams) pipeOut(fd int, name string, to io.Writer) error {
	ours, theirs, err := pipe(true)
	if err != nil {
		return err
	}
	s.child[fd] = theirs
	s.outs = append(s.outs, newOutlet(name, ours, to))
	return nil
}

// same reports whether two writers are one. Values that cannot be compared are
// two.
func same(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// Child returns what the program gets as descriptors 0 to 2. They are Streams'
// to close; two of them may be one file.
func (s *Streams) Child() [3]*os.File { return s.child }

// Session gives the program a session of its own, so that the caller's terminal
// is not its controlling one, and makes its own terminal that, if it has one.
func (s *Streams) Session(a *syscall.SysProcAttr) {
	a.Setsid = true
	if s.screen != nil {
		a.Setctty, a.Ctty = true, 0
	}
}

// Started gives up the program's ends and begins to copy. pid is the program as
// the host numbers it, the leader of its session.
func (s *Streams) Started(pid int) error {
	if s.screen != nil {
		s.screen.begin(pid)
	}
	err := s.closeChild()
	s.copying = true
	if s.in != nil {
		go s.in.run()
	}
	for _, o := range s.outs {
		go o.run()
	}
	return err
}

func (s *Streams) closeChild() error {
	var errs []error
	for i, f := range s.child {
		if f != nil && (i == 0 || f != s.child[i-1]) {
			errs = append(errs, f.Close())
		}
	}
	s.child = [3]*os.File{}
	return errors.Join(errs...)
}

// Drain delivers what is left of the output once the program's whole tree has
// ended. It waits for the caller's writers until ctx ends, and for the end of the
// output, should a process that is not of the tree hold it open, for grace after
// the rest was delivered. The error says what is missing; all is closed either
// way.
func (s *Streams) Drain(ctx context.Context, grace time.Duration) error {
	if !s.copying {
		return s.Close()
	}
	if s.ended {
		return nil
	}
	s.ended = true
	var errs []error
	if s.in != nil {
		errs = append(errs, s.in.stop())
	}
	if s.screen != nil {
		errs = append(errs, s.screen.hangUp())
	}
	for _, o := range s.outs {
		o.finish(grace)
	}
	for _, o := range s.outs {
		errs = append(errs, o.wait(ctx))
	}
	if s.screen != nil {
		errs = append(errs, s.screen.close())
	}
	return errors.Join(errs...)
}

// Close ends the copying at once, delivered or not.
func (s *Streams) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	errs := []error{s.closeChild()}
	switch {
	case s.in == nil:
	case s.copying:
		errs = append(errs, s.in.stop())
	default:
		errs = append(errs, s.in.close())
	}
	for _, o := range s.outs {
		errs = append(errs, o.close())
	}
	if s.screen != nil {
		errs = append(errs, s.screen.hangUp(), s.screen.close())
	}
	return errors.Join(errs...)
}

// Orphans counts the goroutines that are in a reader or writer of the caller's
// and will end when that returns; after Drain, these are left behind.
func (s *Streams) Orphans() int {
	n := 0
	if !s.copying {
		return n
	}
	if s.in != nil && s.in.running() {
		n++
	}
	for _, o := range s.outs {
		if o.running() {
			n++
		}
	}
	return n
}

// control calls f with the descriptor of a file that may be closed meanwhile;
// then it is os.ErrClosed.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if conn.Control(func(fd uintptr) { ferr = f(int(fd)) }) != nil {
		return os.ErrClosed // it has no other error, and does not name this one
	}
	return ferr
}

// waiting returns how many bytes can be read of a pipe or terminal.
func waiting(file *os.File) (n int, err error) {
	err = control(file, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n, err
}
