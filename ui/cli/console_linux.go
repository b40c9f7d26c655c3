package cli

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen takes the signals that concern the terminal. One that the caller had set
// to be ignored stays ignored.
func (c *console) listen() {
	signal.Notify(c.ch, syscall.SIGWINCH)
	c.listenStop()
	if c.in != nil && !signal.Ignored(syscall.SIGQUIT) {
		signal.Notify(c.ch, syscall.SIGQUIT)
	}
}

func (c *console) listenStop() {
	if !signal.Ignored(syscall.SIGTSTP) {
		signal.Notify(c.ch, syscall.SIGTSTP)
	}
}

func (c *console) deaf() { signal.Stop(c.ch) }

// heed acts on one of the signals.
func (c *console) heed(sig os.Signal) {
	switch sig {
	case syscall.SIGWINCH:
		c.resize()
	case syscall.SIGTSTP:
		// From a terminal that is not raw, or from a person: the program has a
		// session of its own and does not get it.
		c.suspend(false)
	case syscall.SIGQUIT:
		// The runtime prints its goroutines and ends; the terminal comes first.
		c.giveBack()
		signal.Reset(syscall.SIGQUIT)
		if err := unix.Kill(unix.Getpid(), unix.SIGQUIT); err != nil {
			c.inv.screen.fail(err)
		}
	}
}

// stopSelf stops the tool as SIGTSTP does, and returns when it is continued; at
// once, if nobody could continue it, because its process group is orphaned, or if
// the caller has it ignore the signal.
func (c *console) stopSelf(whole bool) error {
	if signal.Ignored(syscall.SIGTSTP) {
		return nil
	}
	if whole {
		// To the others alone: our own has to be taken by this thread.
		signal.Ignore(syscall.SIGTSTP)
		if err := unix.Kill(0, unix.SIGTSTP); err != nil {
			signal.Reset(syscall.SIGTSTP)
			c.listenStop()
			return err
		}
	}
	signal.Reset(syscall.SIGTSTP)
	// Sent to this thread, it stops us before the call returns. Sent to the
	// process, any thread may take it, and this one would already be making the
	// terminal raw again.
	runtime.LockOSThread()
	err := unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP)
	runtime.UnlockOSThread()
	c.listenStop()
	return err
}
