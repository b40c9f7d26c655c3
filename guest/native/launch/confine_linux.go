package launch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/stub"
)

// Descriptors of the starter: 0 to 2 are /dev/null, 3 its socket. What is sent to it
// takes the numbers after that, in order.
const (
	starterSocket = 3
	firstSent     = 4
)

// cwd is AT_FDCWD.
const cwd = 1<<64 - 100

// keyctlJoinSession is KEYCTL_JOIN_SESSION_KEYRING.
const keyctlJoinSession = 1

// Bits of prctl(PR_SET_SECUREBITS): user 0 means nothing, and none of it can be undone.
const securebits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// confinement is what the starter does to itself. It is in two scripts, since most of it
// does not depend on the program and can be done ahead: what it may never do, and then
// what the program finds.
type confinement struct {
	job      *Job
	stdio    [3]int // the place of each among the descriptors that are sent; -1 is /dev/null of its view
	sent     int    // how many those are
	ruleset  int    // the place of the Landlock ruleset among them; -1 for none
	limits   []rlimit
	cpus     int // processors that it may use; 0 is all
	terminal int // which of stdio becomes the controlling terminal; -1 for none
}

// bind makes the first script, the same for all: what needs privileges, then what takes them away, then
// the filter, under which the second script is run.
func (l *Launcher) bind() (*stub.Script, error) {
	s := new(stub.Script)
	// What the supervisor itself inherited without close-on-exec is here too: it
	// would take the numbers of what is sent, and it is the host's.
	s.Call("close_range", unix.SYS_CLOSE_RANGE, firstSent, 1<<32-1, 0)
	if l.namespaces {
		// Whose root is the group that it is in.
		s.Call("cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	}
	s.Call("setsid", unix.SYS_SETSID)
	s.Call("umask", unix.SYS_UMASK, 0o022)
	s.Try("session keyring", unix.SYS_KEYCTL, keyctlJoinSession, 0) // some kernels have no keys
	limits, err := l.everyLimits()
	if err != nil {
		return nil, err
	}
	for _, r := range limits {
		s.Call("prlimit64", unix.SYS_PRLIMIT64, 0, uint64(r.what), s.Words(r.soft, r.hard), 0)
	}
	for _, r := range l.raised() {
		// The second script has no privileges any more and can only lower them.
		s.Try("prlimit64", unix.SYS_PRLIMIT64, 0, uint64(r.what), s.Words(r.soft, r.hard), 0)
	}
	powerless(s)
	return s, l.filtered(s)
}

// script is the second script: what depends on the program.
func (c *confinement) script() *stub.Script {
	s := stub.Short()
	c.receive(s)
	if c.terminal >= 0 {
		s.Call("TIOCSCTTY", unix.SYS_IOCTL, uint64(firstSent+c.stdio[c.terminal]), unix.TIOCSCTTY, 0)
	}
	null := firstSent + c.sent // the next free number, opened when it is needed first
	opened := false
	for i, from := range c.stdio {
		if from < 0 && !opened {
			s.Call("open "+os.DevNull, unix.SYS_OPENAT, cwd, s.String(os.DevNull), unix.O_RDWR|unix.O_NOCTTY, 0)
			opened = true
		}
		at := null
		if from >= 0 {
			at = firstSent + from
		}
		s.Call("dup3", unix.SYS_DUP3, uint64(at), uint64(i), 0)
	}
	s.Call("working directory "+c.job.Dir, unix.SYS_CHDIR, s.String(c.job.Dir))
	for _, l := range c.limits {
		s.Call("prlimit64", unix.SYS_PRLIMIT64, 0, uint64(l.what), s.Words(l.soft, l.hard), 0)
	}
	if c.cpus > 0 {
		mask := make([]byte, 128)
		for i := range c.cpus {
			mask[i/8] |= 1 << (i % 8)
		}
		s.Call("sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, 0, uint64(len(mask)), s.Bytes(mask))
	}
	if c.ruleset >= 0 {
		s.Call("landlock_restrict_self", unix.SYS_LANDLOCK_RESTRICT_SELF, uint64(firstSent+c.ruleset), 0)
	}
	s.Call("close_range", unix.SYS_CLOSE_RANGE, starterSocket, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
	s.Call("execve", unix.SYS_EXECVE, s.String(c.job.Program), s.Strings(c.job.Args), s.Strings(c.job.Env))
	return s
}

// receive takes the descriptors that are sent after the script.
func (c *confinement) receive(s *stub.Script) {
	control := s.Bytes(make([]byte, unix.CmsgSpace(4*c.sent)))
	iov := s.Words(s.Bytes([]byte{0}), 1)
	s.Call("recvmsg", unix.SYS_RECVMSG, starterSocket, message(s, iov, control, uint64(unix.CmsgSpace(4*c.sent))), 0)
}

// powerless drops every capability for good.
func powerless(s *stub.Script) {
	s.Try("securebits", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, securebits) // not without CAP_SETPCAP, where there is nothing to bind
	for b := range uint64(64) {
		s.Try("PR_CAPBSET_DROP", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, b) // fails beyond the last one, and without privileges
	}
	s.Try("PR_CAP_AMBIENT_CLEAR_ALL", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	header := s.Words(unix.LINUX_CAPABILITY_VERSION_3)
	s.Call("capset", unix.SYS_CAPSET, header, s.Words(0, 0, 0))
	s.Call("no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
}

// filtered installs the seccomp filter and answers, with its listener if it has one.
func (l *Launcher) filtered(s *stub.Script) error {
	if len(l.filter) == 0 || len(l.filter) > unix.BPF_MAXINSNS {
		return fmt.Errorf("a filter of %d instructions", len(l.filter))
	}
	code := make([]byte, 0, 8*len(l.filter))
	for _, f := range l.filter {
		code = binary.NativeEndian.AppendUint16(code, f.Code)
		code = append(code, f.Jt, f.Jf)
		code = binary.NativeEndian.AppendUint32(code, f.K)
	}
	s.Call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, l.listenFlags, s.Words(uint64(len(l.filter)), s.Bytes(code)))
	var control, controlLen uint64
	if l.listenFlags != 0 { // its number is the next free one
		control, controlLen = s.Bytes(unix.UnixRights(firstSent)), uint64(unix.CmsgSpace(4))
	}
	s.Call("sendmsg", unix.SYS_SENDMSG, starterSocket, message(s, s.Words(s.Bytes([]byte{bound}), 1), control, controlLen), 0)
	if l.listenFlags != 0 {
		s.Call("close", unix.SYS_CLOSE, firstSent) // nobody in the tree may answer for us
	}
	return nil
}

// bound is what a starter says that has made the first script's calls.
const bound = 'L'

// send hands the descriptors to the starter, after its script.
func send(socket *os.File, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	return control(socket, func(fd int) error { return unix.Sendmsg(fd, []byte{'F'}, unix.UnixRights(fds...), nil, 0) })
}

// answer receives what a starter says when it has run a script that ends with filtered:
// the listener of the filter, -1 if it has none. If the starter failed before, said is
// the beginning of what it says of that.
func answer(socket *os.File) (listener int, said []byte, err error) {
	b, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(4))
	n, oobn := 0, 0
	err = control(socket, func(fd int) (err error) {
		if err = await(fd, patience); err == nil {
			n, oobn, _, _, err = unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		}
		return err
	})
	if err != nil {
		return -1, nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return -1, b[:n], err
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, b[:n], err
	}
	return fds[0], b[:n], nil
}

// patience is how long a starter may take for its first script, of a millisecond.
const patience = 10 * time.Second

// await waits until there is something to read, holding the thread.
func await(fd int, most time.Duration) error {
	until := time.Now().Add(most)
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int(max(time.Until(until), 0)/time.Millisecond))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n > 0:
			return nil
		case !time.Now().Before(until):
			return os.ErrDeadlineExceeded
		}
	}
}

// control calls f with the descriptor of a file.
func control(file *os.File, f func(fd int) error) error {
	c, err := file.SyscallConn()
	if err != nil {
		return err
	}
	cerr := c.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(cerr, err)
}

// bind has the starter run the first script, and takes the listener of its filter.
func (c *cell) bind() error {
	s, end := c.l.bindings, c.starter.end
	if err := s.Send(end); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	fd, said, err := answer(end)
	switch {
	case err != nil:
		return fmt.Errorf("starter: %w", err)
	case len(said) == 0:
		return errors.New("starter: it died before it was confined")
	case len(said) != 1 || said[0] != bound:
		if err = s.Wait(io.MultiReader(bytes.NewReader(said), end)); err == nil {
			err = errors.New("starter: it answered nonsense")
		}
		return err
	case fd < 0 && c.l.listenFlags != 0:
		return errors.New("starter: its filter has no listener")
	}
	if fd >= 0 {
		c.gate, err = newGate(fd)
	}
	return err
}

// message builds a msghdr with one vector and a control buffer.
func message(s *stub.Script, iov, control, controlLen uint64) uint64 {
	return s.Words(0, 0, iov, 1, control, controlLen, 0)
}
