package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// TerminalOptions describe a program's terminal.
type TerminalOptions struct {
	In  io.Reader // what is typed; nil is an end at once
	Out io.Writer // what the terminal shows
	// Err is standard error where that is not the terminal: it is, if Err is nil
	// or Out itself.
	Err        io.Writer
	Rows, Cols uint16

	// Suspend is called when the terminal's stop character is typed and the
	// program would be stopped by it on a terminal of the caller's. Nothing more
	// is read until it returns. nil leaves the character to the line discipline.
	Suspend func()
	// Stoppable reports whether the process group in the foreground is the
	// program's own and would stop; nil asks the host ([Stoppable]).
	Stoppable func(group int) bool
}

// screen is the terminal of a program, by its master.
type screen struct {
	master *os.File // does not block; the outlet closes it at its end
	o      TerminalOptions
	pid    int  // set before anything is copied
	last   byte // the last that was typed; the inlet's

	mu sync.Mutex
	// A slave of ours keeps the terminal alive while the program has closed all
	// its own for a moment. guarded by mu; nil once the program has ended.
	peer *os.File
}

// Terminal makes the streams of a program with a terminal. ptmx is its master,
// opened in the file system that the program will see, so that the terminal has
// a name there; Streams takes it over, also if it fails.
func Terminal(ptmx *os.File, o TerminalOptions) (_ *Streams, err error) {
	s := &Streams{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	master, err := unblocked(ptmx)
	if err != nil {
		return nil, fmt.Errorf("a terminal: %w", err)
	}
	s.screen = &screen{master: master, o: o}
	if err := s.openSlave(); err != nil {
		return nil, fmt.Errorf("a terminal: %w", err)
	}
	shown := newOutlet("the terminal", master, o.Out)
	s.outs = append(s.outs, shown)
	if o.Err == nil || same(o.Out, o.Err) {
		s.child[2] = s.child[1]
	} else if err := s.pipeOut(2, "standard error", o.Err); err != nil {
		return nil, err
	}
	if o.In == nil {
		o.In = bytes.NewReader(nil)
	}
	if s.in, err = newInlet(o.In, master, s.screen); err != nil {
		return nil, err
	}
	// Nobody looks any more: as when a terminal's window is closed.
	shown.lost = func() { _ = s.in.stop() } // the program has lost more than its input
	return s, nil
}

// unblocked returns f as a file that does not block, and closes f. The master is
// nobody else's, so its flags are ours.
func unblocked(f *os.File) (*os.File, error) {
	fd := -1
	err := control(f, func(from int) (err error) {
		if fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 3); err == nil {
			err = unix.SetNonblock(fd, true)
		}
		return err
	})
	err = errors.Join(err, f.Close())
	if err != nil {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), "ptmx"), nil
}

// openSlave sets the terminal up and opens the program's end and ours.
func (s *Streams) openSlave() error {
	sc := s.screen
	return control(sc.master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return fmt.Errorf("unlocking it: %w", err)
		}
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		t.Iflag |= unix.IUTF8 // so that erasing takes whole characters
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
			return err
		}
		if err := sc.resize(fd, sc.o.Rows, sc.o.Cols); err != nil {
			return err
		}
		// By the master and not by name, which could be another's here.
		for _, to := range []**os.File{&s.child[0], &sc.peer} {
			peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
			if errno != 0 {
				return fmt.Errorf("opening its other end: %w", errno)
			}
			*to = os.NewFile(peer, "pts")
		}
		s.child[1] = s.child[0]
		return nil
	})
}

func (sc *screen) resize(fd int, rows, cols uint16) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

// begin says who the program is.
func (sc *screen) begin(pid int) {
	sc.pid = pid
	if sc.o.Stoppable == nil {
		sc.o.Stoppable = func(group int) bool { return Stoppable(pid, group) }
	}
}

// Resize tells the program, by SIGWINCH, that its terminal has another size. It
// may be called at any time; without a terminal, or after its end, it does
// nothing.
func (s *Streams) Resize(rows, cols uint16) error {
	if s.screen == nil {
		return nil
	}
	err := control(s.screen.master, func(fd int) error { return s.screen.resize(fd, rows, cols) })
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// typeEnd types the character that means the end of input, twice where a line
// has begun: the first then only ends that.
func (sc *screen) typeEnd() error {
	t, err := sc.termios()
	if err != nil {
		return nil // hung up: nobody reads
	}
	end := []byte{t.Cc[unix.VEOF]}
	if t.Cc[unix.VEOF] == disabled {
		return nil
	}
	if sc.last != 0 && sc.last != '\n' && t.Lflag&unix.ICANON != 0 {
		end = append(end, end...)
	}
	_, _ = sc.master.Write(end) // likewise
	return nil
}

func (sc *screen) termios() (t *unix.Termios, err error) {
	err = control(sc.master, func(fd int) (err error) {
		t, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return t, err
}

// hangUp gives up our own hold on the program's end: when the program and all
// its children are gone, the output is at its end.
func (sc *screen) hangUp() error {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.peer == nil {
		return nil
	}
	err := sc.peer.Close()
	sc.peer = nil
	return err
}

func (sc *screen) close() error {
	if err := sc.master.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
