package gate_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/gate"
	gatefile "github.com/agentos-kernel/agentos/kernel/gate/file"
	gatenet "github.com/agentos-kernel/agentos/kernel/gate/net"
	gateproc "github.com/agentos-kernel/agentos/kernel/gate/proc"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// slowFS is a file system whose host answers when a test says so.
type slowFS struct {
	vfs.FileSystem
	host *host
}

// host holds up what is asked of it while it is asked to.
type host struct {
	asked chan struct{} // one for each operation that begins
	goOn  chan struct{}
	slow  bool
}

func (h *host) wait() {
	if h.slow {
		h.asked <- struct{}{}
		<-h.goOn
	}
}

func (s slowFS) Root() (vfs.Node, abi.Errno) {
	n, errno := s.FileSystem.Root()
	return slowNode{n, s.host}, errno
}

type slowNode struct {
	vfs.Node
	host *host
}

func (n slowNode) MayBlock() bool { return true }

func (n slowNode) Lookup(name string) (vfs.Node, abi.Errno) {
	kid, errno := n.Node.Lookup(name)
	if errno != abi.OK {
		return nil, errno
	}
	return slowNode{kid, n.host}, errno
}

func (n slowNode) Open(flags abi.OpenFlags) (vfs.Handle, abi.Errno) {
	h, errno := n.Node.Open(flags)
	n.host.wait()
	return slowHandle{h, n.host}, errno
}

type slowHandle struct {
	vfs.Handle
	host *host
}

func (h slowHandle) ReadAt(bufs [][]byte, off int64) (int, abi.Errno) {
	n, errno := h.Handle.ReadAt(bufs, off)
	h.host.wait()
	return n, errno
}

func (h slowHandle) WriteAt(bufs [][]byte, off int64) (int, int64, abi.Errno) {
	n, end, errno := h.Handle.WriteAt(bufs, off)
	h.host.wait()
	return n, end, errno
}

// TestRevokedInFlight revokes while the host has the call: the revocation is not over
// before the host lets go, and what was found out is not told.
func TestRevokedInFlight(t *testing.T) {
	defer goleak.VerifyNone(t)
	const content = "content"
	open := func(m *inFlight) *abi.Call {
		return &abi.Call{Nr: abi.SysOpen, FD: m.root, Path: "f", Open: abi.ORead, Arg: [2]uint64{3, 0}}
	}
	for _, c := range []struct {
		name  string
		call  func(m *inFlight) *abi.Call
		to    perm.Right // what is left
		errno abi.Errno
		told  uint64 // the result
	}{
		{"read", func(m *inFlight) *abi.Call {
			return &abi.Call{Nr: abi.SysRead, FD: m.fd, Buf: [][]byte{m.buf}}
		}, perm.None, abi.EACCES, 0},
		{"read that stays allowed", func(m *inFlight) *abi.Call {
			return &abi.Call{Nr: abi.SysRead, FD: m.fd, Buf: [][]byte{m.buf}}
		}, perm.Read, abi.OK, uint64(len(content))},
		{"pread", func(m *inFlight) *abi.Call {
			return &abi.Call{Nr: abi.SysPread, FD: m.fd, Buf: [][]byte{m.buf}}
		}, perm.None, abi.EACCES, 0},
		{"open", open, perm.None, abi.ENOENT, 0},
		{"open that stays allowed", open, perm.Read, abi.OK, 2},
		// It has happened: not to say so would be a lie.
		{"write", func(m *inFlight) *abi.Call {
			return &abi.Call{Nr: abi.SysWrite, FD: m.fd, Buf: [][]byte{[]byte("new")}}
		}, perm.Read, abi.OK, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newInFlight(t, content)
			before := m.p.FDs().Len()
			m.host.slow = true
			call := c.call(m)
			if s := m.g.Call(call); s != abi.Blocked {
				t.Fatalf("the call is %v, want blocked", s)
			}
			<-m.host.asked
			err := m.p.Authority().Change(func(s *perm.Subject) (*perm.Subject, error) {
				s, changed, err := s.Narrow(perm.Extent{Guest: "/d"}, c.to)
				if len(changed) != 1 {
					t.Errorf("changed %+v", changed)
				}
				return s, err
			})
			if err != nil {
				t.Fatal(err)
			}
			epoch := m.p.Authority().Epoch()
			short, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			if m.p.Quiesce(short, epoch) {
				t.Error("nothing is in flight, it is said, while the host has the call")
			}
			cancel()
			m.host.goOn <- struct{}{}
			if !m.p.Quiesce(t.Context(), epoch) {
				t.Error("the test was over first")
			}
			status := m.g.Continue(call)
			for ; status == abi.Blocked; status = m.g.Continue(call) {
				time.Sleep(time.Millisecond)
			}
			if call.Errno != c.errno || call.Ret != c.told {
				t.Errorf("told %s, %d, want %s, %d", call.Errno, call.Ret, c.errno, c.told)
			}
			if got := string(m.buf[:4]); c.errno == abi.EACCES && got != "\x00\x00\x00\x00" {
				t.Errorf("the guest has %q", got)
			}
			open := m.p.FDs().Len() - before
			if want := 0; c.name == "open that stays allowed" && open != 1 || c.name != "open that stays allowed" && open != want {
				t.Errorf("%d descriptors more are open", open)
			}
			if list := m.p.Denials().List(); (len(list) == 1) != (c.errno != abi.OK) || len(list) == 1 && list[0].Reason != perm.Revoked {
				t.Errorf("denials %+v", list)
			}
			// And the next call is decided anew from its start.
			m.host.slow = false
			for _, next := range []struct {
				nr   abi.Sysno
				want perm.Right
			}{{abi.SysPread, perm.Read}, {abi.SysFstat, perm.Read}, {abi.SysSeek, perm.Read}, {abi.SysPwrite, perm.Write}, {abi.SysTruncate, perm.Write}, {abi.SysFdinfo, perm.None}} {
				call := &abi.Call{Nr: next.nr, FD: m.fd, Buf: [][]byte{make([]byte, 1)}}
				for status := m.g.Call(call); status == abi.Blocked; status = m.g.Continue(call) {
					time.Sleep(time.Millisecond)
				}
				if got := call.Errno == abi.OK; got != (next.want <= c.to) {
					t.Errorf("then %s: %s", next.nr, call.Errno)
				}
			}
		})
	}
}

// inFlight is a running process with one open file on a slow host.
type inFlight struct {
	p        *proc.Process
	g        *gate.Gate
	host     *host
	root, fd abi.FD
	buf      []byte
}

func newInFlight(t *testing.T, content string) *inFlight {
	t.Helper()
	account := limit.NewAccount(limit.Caps{abi.LimitFiles: 8, abi.LimitDisk: 1 << 20})
	subject := perm.NewSubject(perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite), Paths: []perm.PathRule{{Guest: "/d", Right: perm.Write, Host: "/h/d"}}})
	m := &inFlight{
		p:    proc.New(proc.Options{Account: account, Denials: new(perm.Denials), Authority: perm.NewAuthority(perm.Principal{}, subject, nil)}),
		host: &host{asked: make(chan struct{}), goOn: make(chan struct{})},
		buf:  make([]byte, 100),
	}
	table, err := gate.NewTable(merged(gateproc.Waiting(), gatenet.Waiting()), gateproc.Handlers(), gatefile.Handlers(), gatenet.Handlers())
	if err != nil {
		t.Fatal(err)
	}
	ns := vfs.NewNamespace(vfs.Options{})
	mem := memfs.New(account, memfs.Options{})
	seed(t, mem, content)
	if err := ns.Mount("/d", slowFS{mem, m.host}); err != nil {
		t.Fatal(err)
	}
	m.p.SetNS(ns)
	m.p.SetFDs(proc.NewFDTable(account))
	epoch := m.p.Authority().Epoch()
	dir, errno := ns.OpenDir("/d")
	install := func(f *vfs.File) abi.FD {
		fd, errno := m.p.FDs().Reserve()
		if errno != abi.OK || !m.p.FDs().Commit(fd, proc.Descriptor{File: f, Base: f.Base(), Rights: ^uint64(0), Inherit: ^uint64(0), Epoch: epoch}) {
			t.Fatal("no descriptor")
		}
		return fd
	}
	if errno != abi.OK {
		t.Fatal(errno)
	}
	m.root = install(dir)
	f, errno := ns.Open(m.p, dir.Base(), "f", abi.ORead|abi.OWrite, 0)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	m.fd = install(f)
	m.g = gate.New(m.p, &gate.Shared{Table: table, Workers: gate.NewWorkers(0)})
	for _, s := range []proc.State{proc.Initializing, proc.Ready, proc.Running} {
		m.p.To(s)
	}
	t.Cleanup(func() {
		for _, d := range m.p.FDs().Release() {
			_ = d.File.Unref() // files in memory
		}
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// merged joins the waiting handlers.
func merged(sets ...map[abi.Sysno]gate.WaitHandler) map[abi.Sysno]gate.WaitHandler {
	all := map[abi.Sysno]gate.WaitHandler{}
	for _, s := range sets {
		for nr, h := range s {
			all[nr] = h
		}
	}
	return all
}

// seed writes the file f.
func seed(t *testing.T, fs vfs.FileSystem, content string) {
	t.Helper()
	root, errno := fs.Root()
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer root.Close()
	n, h, errno := root.(vfs.Dir).Create("f", 0o600, abi.ORead|abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer n.Close()
	if _, _, errno := h.WriteAt([][]byte{[]byte(content)}, 0); errno != abi.OK {
		t.Fatal(errno)
	}
	if errno := h.Close(); errno != abi.OK {
		t.Fatal(errno)
	}
}

// TestRevokedCapability: layer 1 is asked anew at each call.
func TestRevokedCapability(t *testing.T) {
	m := newInFlight(t, "x")
	change := func(add, drop abi.CapSet) {
		if err := m.p.Authority().Change(func(s *perm.Subject) (*perm.Subject, error) {
			s, _ = s.WithCaps(add, drop)
			return s, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	call := func(c abi.Call) abi.Errno {
		for status := m.g.Call(&c); status == abi.Blocked; status = m.g.Continue(&c) {
			time.Sleep(time.Millisecond)
		}
		return c.Errno
	}
	random := abi.Call{Nr: abi.SysRandom, Buf: [][]byte{make([]byte, 1)}}
	stat := abi.Call{Nr: abi.SysFstat, FD: m.fd}
	for i, want := range []abi.Errno{abi.EPERM, abi.OK, abi.EPERM} {
		switch i {
		case 1:
			change(abi.Caps(abi.CapRandom), 0)
		case 2:
			change(0, abi.Caps(abi.CapRandom, abi.CapFileRead))
		}
		if got := call(random); got != want {
			t.Errorf("round %d: random: %s, want %s", i, got, want)
		}
		// Without the capability an open descriptor is of no use either.
		if want := map[bool]abi.Errno{true: abi.EACCES, false: abi.OK}[i == 2]; call(stat) != want {
			t.Errorf("round %d: fstat is not %s", i, want)
		}
	}
	change(abi.Caps(abi.CapFileRead), 0)
	if got := call(stat); got != abi.OK {
		t.Errorf("given back: %s", got)
	}
}
