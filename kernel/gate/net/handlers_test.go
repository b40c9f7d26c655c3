package net

import (
	"bytes"
	"io"
	stdnet "net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/net"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// machine is a process with a stream, 0, and a listener that waits, 1.
type machine struct {
	*testing.T
	p    *proc.Process
	addr string
}

const fileLimit = 3

func newMachine(t *testing.T) *machine {
	t.Helper()
	account := limit.NewAccount(limit.Caps{abi.LimitFiles: fileLimit})
	p := proc.New(proc.Options{Account: account, Denials: new(perm.Denials), Authority: perm.NewAuthority(perm.Principal{}, perm.NewSubject(perm.SubjectSpec{}), nil)})
	p.SetFDs(proc.NewFDTable(account))
	l, err := net.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*vfs.File{vfs.NewStream(strings.NewReader(""), nil, vfs.StreamOptions{}), vfs.NewChannel(l, abi.ORead|abi.OWrite)} {
		fd, errno := p.FDs().Reserve()
		if errno != abi.OK || !p.FDs().Commit(fd, proc.Descriptor{File: f, Rights: ^uint64(0), Inherit: ^uint64(0)}) {
			t.Fatal(errno)
		}
	}
	t.Cleanup(func() {
		for _, d := range p.FDs().Release() {
			if errno := d.File.Unref(); errno != abi.OK {
				t.Errorf("close: %s", errno)
			}
		}
		if held := account.Held(); len(held) > 0 {
			t.Errorf("still charged: %v", held)
		}
		goleak.VerifyNone(t)
	})
	return &machine{t, p, l.Addr()}
}

// once performs nr without waiting; done is false if it would.
func (m *machine) once(nr abi.Sysno, c *abi.Call) (errno abi.Errno, done bool) {
	c.Nr = nr
	if h := Handlers()[nr]; h != nil {
		return h(m.p, c), true
	}
	errno, wait, done := Waiting()[nr](m.p, c, time.Now())
	for _, w := range wait.Files {
		release(w.File)
	}
	return errno, done
}

// call performs nr, waiting as the gate does, and checks its error.
func (m *machine) call(nr abi.Sysno, c abi.Call, want abi.Errno) *abi.Call {
	m.Helper()
	c.Nr = nr
	for {
		errno, wait, done := abi.OK, []*vfs.File(nil), true
		if h := Handlers()[nr]; h != nil {
			errno = h(m.p, &c)
		} else {
			e, w, d := Waiting()[nr](m.p, &c, time.Now())
			errno, done = e, d
			for _, f := range w.Files {
				woken := make(chan struct{}, 2)
				cancel := f.File.Watch(f.Kind, func() { woken <- struct{}{} })
				<-woken
				cancel()
				wait = append(wait, f.File)
			}
		}
		for _, f := range wait {
			release(f)
		}
		if done {
			if errno != want {
				m.Errorf("%s on %d: got %s, want %s", nr, c.FD, errno, want)
			}
			return &c
		}
	}
}

// connected returns a connection as the guest has it and as its peer does.
func (m *machine) connected() (abi.FD, *stdnet.TCPConn) {
	m.Helper()
	peer, err := stdnet.Dial("tcp", m.addr)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { peer.Close() })
	return abi.FD(m.call(abi.SysAccept, abi.Call{FD: 1}, abi.OK).Ret), peer.(*stdnet.TCPConn)
}

func (m *machine) close(fd abi.FD) {
	m.Helper()
	d, errno := m.p.FDs().Remove(fd)
	if errno == abi.OK {
		errno = d.File.Unref()
	}
	if errno != abi.OK {
		m.Error(errno)
	}
}

func vec(sizes ...int) (v [][]byte) {
	for _, n := range sizes {
		v = append(v, make([]byte, n))
	}
	return v
}

func TestWhatIsNoConnection(t *testing.T) {
	m := newMachine(t)
	preopen, errno := m.p.FDs().Reserve()
	d := proc.Descriptor{File: vfs.NewStream(strings.NewReader(""), nil, vfs.StreamOptions{}), Preopen: "/data", Rights: ^uint64(0)}
	if errno != abi.OK || !m.p.FDs().Commit(preopen, d) {
		t.Fatal(errno)
	}
	for _, nr := range []abi.Sysno{abi.SysAccept, abi.SysReceive, abi.SysSend, abi.SysShutdown} {
		c := abi.Call{Flags: abi.ShutdownRead, Buf: vec(1)}
		c.FD = 420
		m.call(nr, c, abi.EBADF)
		c.FD = abi.NoFD
		m.call(nr, c, abi.EBADF)
		c.FD = 0
		m.call(nr, c, abi.ENOTSOCK)
		c.FD = preopen
		m.call(nr, c, abi.EBADF)
	}
	m.close(preopen)
	for _, nr := range []abi.Sysno{abi.SysReceive, abi.SysSend, abi.SysShutdown} {
		m.call(nr, abi.Call{FD: 1, Flags: abi.ShutdownRead, Buf: vec(1)}, abi.ENOTCONN)
	}
	fd, _ := m.connected()
	m.call(abi.SysShutdown, abi.Call{FD: fd}, abi.EINVAL)
	m.close(fd)
	m.call(abi.SysReceive, abi.Call{FD: fd, Buf: vec(1)}, abi.EBADF)
}

// TestAcceptIsCharged: the limit of files refuses before a connection is taken, so
// that the connection is there once a descriptor is free.
func TestAcceptIsCharged(t *testing.T) {
	m := newMachine(t)
	if errno, done := m.once(abi.SysAccept, &abi.Call{FD: 1}); done {
		t.Errorf("an accept without anybody to come in does not wait: %s", errno)
	}
	if used := m.p.Account().Used(abi.LimitFiles); used != 2 {
		t.Errorf("%d files are charged while it waits", used)
	}
	fd, _ := m.connected()
	second, err := stdnet.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	m.call(abi.SysAccept, abi.Call{FD: 1}, abi.EMFILE)
	m.close(fd)
	in := m.call(abi.SysAccept, abi.Call{FD: 1, Open: abi.ONonblock}, abi.OK)
	c := m.call(abi.SysReceive, abi.Call{FD: abi.FD(in.Ret), Buf: vec(1)}, abi.EAGAIN)
	if c.Ret != 0 {
		t.Errorf("nothing was sent, got %d", c.Ret)
	}
}

func TestReceive(t *testing.T) {
	m := newMachine(t)
	fd, peer := m.connected()
	if _, done := m.once(abi.SysReceive, &abi.Call{FD: fd, Buf: vec(1)}); done {
		t.Error("a receive of nothing does not wait")
	}
	send := func(s string) {
		if _, err := io.WriteString(peer, s); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(flags uint32, want string, sizes ...int) {
		t.Helper()
		c := m.call(abi.SysReceive, abi.Call{FD: fd, Flags: flags, Buf: vec(sizes...)}, abi.OK)
		if got := string(bytes.Join(c.Buf, nil)[:c.Ret]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	send("hello")
	receive(abi.ReceivePeek, "hel", 3)
	receive(0, "hel", 1, 0, 2)
	receive(0, "lo", 9)
	receive(0, "", 0)
	go func() {
		for _, s := range []string{"a", "bc", "d"} {
			_, _ = io.WriteString(peer, s) // the receiver misses what is not sent
		}
	}()
	receive(abi.ReceiveAll, "abcd", 2, 2)
	send("end")
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	receive(abi.ReceiveAll, "end", 100)
	receive(0, "", 100)
	m.close(fd)
}

func TestSendToNobody(t *testing.T) {
	m := newMachine(t)
	fd, peer := m.connected()
	if err := peer.SetLinger(0); err != nil { // to vanish is to reset
		t.Fatal(err)
	}
	go func() { _ = peer.Close() }()
	c := m.call(abi.SysReceive, abi.Call{FD: fd, Buf: vec(1)}, abi.ECONNRESET)
	if c.Ret != 0 {
		t.Errorf("%d bytes of nobody", c.Ret)
	}
	m.call(abi.SysSend, abi.Call{FD: fd, Buf: vec(1)}, abi.EPIPE)
	m.close(fd)
}

func TestShutdownAndBackPressure(t *testing.T) {
	m := newMachine(t)
	fd, peer := m.connected()
	big := bytes.Repeat([]byte("0123456789abcdef"), abi.MaxTransfer/16)
	sum := make(chan int, 1)
	// A peer that reads only once the guest is seen to wait.
	c := abi.Call{FD: fd, Buf: [][]byte{big}}
	errno, done := m.once(abi.SysSend, &c)
	sent := int(c.Ret)
	for done && errno == abi.OK && sent < 64<<20 {
		c = abi.Call{FD: fd, Buf: [][]byte{big}}
		errno, done = m.once(abi.SysSend, &c)
		sent += int(c.Ret)
	}
	if done {
		t.Fatalf("%d bytes went to a peer that reads nothing: %s", sent, errno)
	}
	go func() {
		n, _ := io.Copy(io.Discard, peer) // what is missing shows in the sum
		sum <- int(n)
	}()
	m.call(abi.SysShutdown, abi.Call{FD: fd, Flags: abi.ShutdownWrite}, abi.OK)
	if got := <-sum; got != sent {
		t.Errorf("sent %d bytes, %d came", sent, got)
	}
	m.call(abi.SysSend, abi.Call{FD: fd, Buf: vec(1)}, abi.EPIPE)
	m.call(abi.SysShutdown, abi.Call{FD: fd, Flags: abi.ShutdownRead}, abi.OK)
	if c := m.call(abi.SysReceive, abi.Call{FD: fd, Buf: vec(1)}, abi.OK); c.Ret != 0 {
		t.Errorf("%d bytes after the end", c.Ret)
	}
	m.close(fd)
}

// TestRights: a descriptor that lost the rights of sockets cannot be used as one.
func TestRights(t *testing.T) {
	m := newMachine(t)
	if errno := m.p.FDs().Update(1, func(d *proc.Descriptor) abi.Errno { d.Rights = 0; return abi.OK }); errno != abi.OK {
		t.Fatal(errno)
	}
	m.call(abi.SysAccept, abi.Call{FD: 1, Arg: [2]uint64{1}}, abi.ENOTCAPABLE)
	m.call(abi.SysAccept, abi.Call{FD: 0, Arg: [2]uint64{1}}, abi.ENOTSOCK)
}
