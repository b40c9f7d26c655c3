//go:build unix

package wasm

import (
	"errors"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownGroup puts the child into a process group of its own and has a cancelled
// context kill all of it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}

// memoryStatus is the exit status of a child that found itself too large.
const memoryStatus = 86

// confine limits this process before it looks at the module.
func confine(l Limits) error {
	seconds := uint64(l.CompileTime/time.Second) + 1
	for _, r := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_CPU, seconds * (workers + 1)},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, 64},
	} {
		if err := lower(r.what, r.most); err != nil {
			return err
		}
	}
	if err := confineMemory(l.CompileMemory); err != nil {
		return err
	}
	// Niceness is a courtesy to guests that run meanwhile, not a protection.
	_ = syscall.Setpriority(syscall.PRIO_PGRP, 0, 5)
	debug.SetMemoryLimit(int64(l.CompileMemory / 10 * 9))
	go watchMemory(l.CompileMemory)
	return nil
}

// lower sets a resource limit, never above what it already is.
func lower(what int, most uint64) error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(what, &r); err != nil {
		return err
	}
	most = min(most, uint64(r.Max))
	r.Cur = most
	if what != unix.RLIMIT_CPU {
		r.Max = most // at the soft limit of time comes a signal that says so, at the hard one a kill
	}
	return syscall.Setrlimit(what, &r)
}

// watchMemory ends this process when the Go heap passes most bytes. It lives as
// long as the process.
func watchMemory(most uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	for range time.Tick(20 * time.Millisecond) {
		metrics.Read(sample)
		if sample[0].Value.Uint64()+sample[1].Value.Uint64() > most {
			os.Exit(memoryStatus)
		}
	}
}

// outOfMemory and outOfTime read the end of a child. One that was killed, and
// not by us, was killed by the host, which does that for memory.
func outOfMemory(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	ws, ok := exit.Sys().(syscall.WaitStatus)
	return exit.ExitCode() == memoryStatus || ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

func outOfTime(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	ws, ok := exit.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGXCPU
}

// errLocked is tryLock's answer when another holds the lock.
var errLocked = unix.EWOULDBLOCK

// tryLock takes an advisory lock that ends with f.
func tryLock(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// private refuses a directory that others could write code into.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return &os.PathError{Op: "use", Path: dir, Err: errors.New("not a directory that only this user can open")}
	}
	return nil
}
