package cli

import (
	"bytes"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen takes the signals that concern the terminal. One that the caller had set
// to be ignored stays ignored.
func (c *console) listen() {
	signal.Notify(c.ch, syscall.SIGWINCH)
	if !signal.Ignored(syscall.SIGTSTP) {
		signal.Notify(c.ch, syscall.SIGTSTP)
	}
	if c.in != nil && !signal.Ignored(syscall.SIGQUIT) {
		signal.Notify(c.ch, syscall.SIGQUIT)
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

// stopSelf stops the tool as its terminal would, and returns when it is continued;
// at once if nobody could continue it, or if the caller has it ignore SIGTSTP.
func (c *console) stopSelf(whole bool) error {
	if signal.Ignored(syscall.SIGTSTP) || orphaned() {
		return nil
	}
	if whole {
		signal.Ignore(syscall.SIGTSTP) // it is for the others
		err := unix.Kill(0, unix.SIGTSTP)
		signal.Notify(c.ch, syscall.SIGTSTP)
		if err != nil {
			return err
		}
	}
	// SIGSTOP, because Go's runtime keeps its handler of SIGTSTP once it had one.
	// Sent to this thread, it stops us before the call returns. Sent to the
	// process, any thread may take it, and this one would already be making the
	// terminal raw again.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
}

// orphaned reports whether nobody in our session looks after our process group, so
// that it would stay stopped for ever; POSIX then has SIGTSTP do nothing. It is
// found by way of our own ancestors, and a group that is kept alive by the parents
// of other members counts as orphaned.
func orphaned() bool {
	group := unix.Getpgrp()
	session, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	for pid := unix.Getppid(); pid > 1; pid = parentOf(pid) {
		g, gerr := unix.Getpgid(pid)
		s, serr := unix.Getsid(pid)
		switch {
		case gerr != nil || serr != nil || s != session:
			return true
		case g != group:
			return false
		}
	}
	return true
}

// parentOf returns the parent of a process, 0 if it is not to be known.
func parentOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// After the name, which may be anything and ends with the last parenthesis:
	// the state, then the parent.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return parent
}
