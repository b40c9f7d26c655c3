package launch

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/stub"
)

// Descriptors of the starter: 0 to 2 are /dev/null, 3 its socket. What is sent to it
// takes the numbers after that, in order.
const (
	starterSocket = 3
	firstSent     = 4
)

// keyctlJoinSession is KEYCTL_JOIN_SESSION_KEYRING.
const keyctlJoinSession = 1

// Bits of prctl(PR_SET_SECUREBITS): user 0 means nothing, and none of it can be undone.
const securebits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// confinement is what the starter does to itself before it executes the program.
type confinement struct {
	job        *Job
	filter     []unix.SockFilter
	listen     uint64 // flags for a filter that has a listener; 0 for none
	sent       int    // how many descriptors are sent: stdio, then perhaps a Landlock ruleset
	ruleset    bool
	namespaces bool
	limits     []rlimit
	cpus       int // processors that it may use; 0 is all
	terminal   int // which of stdio becomes the controlling terminal; -1 for none
}

// script puts it in order: what needs privileges first, then what takes them away,
// then what binds even the last steps.
func (c *confinement) script() (*stub.Script, error) {
	s := new(stub.Script)
	// What the supervisor itself inherited without close-on-exec is here too: it
	// would take the numbers of what is sent, and it is the host's.
	s.Call("close_range", unix.SYS_CLOSE_RANGE, firstSent, 1<<32-1, 0)
	c.receive(s)
	if c.namespaces {
		// Whose root is the group that it is in.
		s.Call("cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	}
	s.Call("setsid", unix.SYS_SETSID)
	if c.terminal >= 0 {
		s.Call("TIOCSCTTY", unix.SYS_IOCTL, uint64(firstSent+c.terminal), unix.TIOCSCTTY, 0)
	}
	for i := range uint64(3) {
		s.Call("dup3", unix.SYS_DUP3, firstSent+i, i, 0)
	}
	s.Call("umask", unix.SYS_UMASK, 0o022)
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
	s.Try("session keyring", unix.SYS_KEYCTL, keyctlJoinSession, 0) // some kernels have no keys
	c.powerless(s)
	if c.ruleset {
		s.Call("landlock_restrict_self", unix.SYS_LANDLOCK_RESTRICT_SELF, firstSent+3, 0)
	}
	if err := c.filtered(s); err != nil {
		return nil, err
	}
	s.Call("close_range", unix.SYS_CLOSE_RANGE, starterSocket, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
	s.Call("execve", unix.SYS_EXECVE, s.String(c.job.Program), s.Strings(c.job.Args), s.Strings(c.job.Env))
	return s, nil
}

// receive takes the descriptors that are sent after the script.
func (c *confinement) receive(s *stub.Script) {
	control := s.Bytes(make([]byte, unix.CmsgSpace(4*c.sent)))
	iov := s.Words(s.Bytes([]byte{0}), 1)
	s.Call("recvmsg", unix.SYS_RECVMSG, starterSocket, message(s, iov, control, uint64(unix.CmsgSpace(4*c.sent))), 0)
}

// powerless drops every capability for good.
func (c *confinement) powerless(s *stub.Script) {
	s.Try("securebits", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, securebits) // not without CAP_SETPCAP, where there is nothing to bind
	for b := range uint64(64) {
		s.Try("PR_CAPBSET_DROP", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, b) // fails beyond the last one, and without privileges
	}
	s.Try("PR_CAP_AMBIENT_CLEAR_ALL", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	header := s.Words(unix.LINUX_CAPABILITY_VERSION_3)
	s.Call("capset", unix.SYS_CAPSET, header, s.Words(0, 0, 0))
	s.Call("no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
}

// filtered installs the seccomp filter and sends its listener back.
func (c *confinement) filtered(s *stub.Script) error {
	if len(c.filter) == 0 || len(c.filter) > unix.BPF_MAXINSNS {
		return fmt.Errorf("a filter of %d instructions", len(c.filter))
	}
	code := make([]byte, 0, 8*len(c.filter))
	for _, f := range c.filter {
		code = binary.NativeEndian.AppendUint16(code, f.Code)
		code = append(code, f.Jt, f.Jf)
		code = binary.NativeEndian.AppendUint32(code, f.K)
	}
	prog := s.Words(uint64(len(c.filter)), s.Bytes(code))
	if c.listen == 0 {
		s.Call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, prog)
		return nil
	}
	s.Call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, c.listen, prog)
	// Its number is the next free one.
	control := s.Bytes(unix.UnixRights(firstSent + c.sent))
	iov := s.Words(s.Bytes([]byte{'L'}), 1)
	s.Call("sendmsg", unix.SYS_SENDMSG, starterSocket, message(s, iov, control, uint64(unix.CmsgSpace(4))), 0)
	return nil
}

// send hands the descriptors to the starter, after its script.
func send(socket *os.File, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	c, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = c.Write(func(fd uintptr) bool {
		serr = unix.Sendmsg(int(fd), []byte{'F'}, unix.UnixRights(fds...), nil, 0)
		return serr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return serr
}

// listener receives the listener of the filter; it returns -1 if the starter failed
// before that, and then buf holds the beginning of what it said.
func listener(socket *os.File) (fd int, said []byte, err error) {
	c, err := socket.SyscallConn()
	if err != nil {
		return -1, nil, err
	}
	fd = -1
	var rerr error
	err = c.Read(func(s uintptr) bool {
		b, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(4))
		n, oobn, _, _, e := unix.Recvmsg(int(s), b, oob, unix.MSG_CMSG_CLOEXEC)
		if e == unix.EAGAIN || e == unix.EINTR {
			return false
		}
		if rerr = e; e != nil {
			return true
		}
		said = b[:n]
		msgs, e := unix.ParseSocketControlMessage(oob[:oobn])
		if e != nil || len(msgs) != 1 {
			return true
		}
		if fds, e := unix.ParseUnixRights(&msgs[0]); e == nil && len(fds) == 1 {
			fd = fds[0]
		}
		return true
	})
	if err == nil {
		err = rerr
	}
	return fd, said, err
}

// message builds a msghdr with one vector and a control buffer.
func message(s *stub.Script, iov, control, controlLen uint64) uint64 {
	return s.Words(0, 0, iov, 1, control, controlLen, 0)
}
