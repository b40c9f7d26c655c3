package vfs_test

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/fstest"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// pipes returns a stream over two pipes of the host and the caller's ends: what is
// written to in is the stream's to read, and the reverse.
func pipes(t *testing.T, o vfs.StreamOptions) (s *vfs.File, in, out *os.File) {
	t.Helper()
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s = vfs.NewStream(r, w, o)
	t.Cleanup(func() {
		s.Unref()
		for _, f := range []*os.File{r, in, out, w} {
			f.Close()
		}
	})
	return s, in, out
}

// awaits waits until a file says that it may be ready.
func awaits(f *vfs.File, kind abi.PollKind) {
	woken := make(chan struct{}, 2)
	cancel := f.Watch(kind, func() { woken <- struct{}{} })
	defer cancel()
	<-woken
}

func ready(t *testing.T, f *vfs.File, kind abi.PollKind) vfs.Readiness {
	t.Helper()
	r, errno := f.Ready(kind)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	return r
}

func TestStreamReady(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, in, out := pipes(t, vfs.StreamOptions{})
	if r := ready(t, s, abi.PollRead); r.Ready {
		t.Errorf("nothing was written: %+v", r)
	}
	if r := ready(t, s, abi.PollWrite); !r.Ready || r.Hangup {
		t.Errorf("an empty pipe: %+v", r)
	}
	buf := make([]byte, 100)
	if n, errno := s.TryRead([][]byte{nil, buf}); errno != abi.EAGAIN && errno != abi.ENOTSUP {
		t.Errorf("read %d %s", n, errno)
	}
	for range 20 {
		cancel := s.Watch(abi.PollRead, func() {}) // may still be called
		cancel()
		cancel()
	}
	go func() { _, _ = in.WriteString("hello") }()
	awaits(s, abi.PollRead)
	if r := ready(t, s, abi.PollRead); !r.Ready || r.Hangup {
		t.Errorf("something was written: %+v", r)
	}
	if n, errno := s.Read([][]byte{nil, buf}); errno != abi.OK || string(buf[:n]) != "hello" {
		t.Errorf("read %q %s", buf[:n], errno)
	}
	in.Close()
	awaits(s, abi.PollRead)
	if r := ready(t, s, abi.PollRead); !r.Ready || !r.Hangup {
		t.Errorf("the writer is gone: %+v", r)
	}
	if n, errno := s.Read([][]byte{buf}); errno != abi.OK || n != 0 {
		t.Errorf("the end: %d %s", n, errno)
	}
	out.Close()
	if r := ready(t, s, abi.PollWrite); !r.Ready || !r.Hangup {
		t.Errorf("the reader is gone: %+v", r)
	}
	if _, errno := s.Write([][]byte{[]byte("x")}); errno != abi.EPIPE {
		t.Errorf("write to nobody: %s", errno)
	}
}

// TestStreamFull fills a pipe: what does not fit is not charged.
func TestStreamFull(t *testing.T) {
	defer goleak.VerifyNone(t)
	var caps limit.Caps
	caps[abi.LimitOutput] = 1 << 30
	account := limit.NewAccount(caps)
	s, _, out := pipes(t, vfs.StreamOptions{Account: account})
	total := uint64(0)
	for {
		n, errno := s.TryWrite([][]byte{make([]byte, 3000), make([]byte, 60_000)})
		total += uint64(n)
		if errno == abi.ENOTSUP {
			t.Skip("NOT CHECKED: this host cannot be asked not to wait for a pipe")
		}
		if errno == abi.EAGAIN {
			break
		}
		if errno != abi.OK {
			t.Fatal(errno)
		}
	}
	if got := account.Used(abi.LimitOutput); got != total || total == 0 {
		t.Errorf("charged %d for %d bytes", got, total)
	}
	go func() { _, _ = io.CopyN(io.Discard, out, int64(total)) }()
	awaits(s, abi.PollWrite)
}

// TestStreamStop: a wait for the host ends when the process does, and takes
// nothing with it.
func TestStreamStop(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, in, _ := pipes(t, vfs.StreamOptions{})
	done := make(chan abi.Errno)
	for range 4 {
		go func() {
			_, errno := s.Read([][]byte{make([]byte, 10)})
			done <- errno
		}()
	}
	cancel := s.Watch(abi.PollRead, func() {})
	defer cancel()
	s.Stop()
	for range 4 {
		if errno := <-done; errno != abi.EINTR {
			t.Errorf("a read that was stopped: %s", errno)
		}
	}
	if _, errno := s.Read([][]byte{make([]byte, 10)}); errno != abi.EINTR {
		t.Errorf("a read after that: %s", errno)
	}
	if _, err := in.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
}

// TestStreamReadAhead: of a reader that is no file, only a read can tell.
func TestStreamReadAhead(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := vfs.NewStream(io.MultiReader(strings.NewReader("one"), strings.NewReader("two")), nil, vfs.StreamOptions{})
	defer s.Unref()
	if r := ready(t, s, abi.PollRead); r.Ready {
		t.Errorf("before anything was read: %+v", r)
	}
	buf := make([]byte, 2)
	if _, errno := s.TryRead([][]byte{buf}); errno != abi.ENOTSUP {
		t.Errorf("without asking first: %s", errno)
	}
	got := ""
	for {
		awaits(s, abi.PollRead)
		if r := ready(t, s, abi.PollRead); !r.Ready {
			t.Fatalf("woken for nothing: %+v", r)
		}
		n, errno := s.TryRead([][]byte{buf})
		if errno != abi.OK {
			t.Fatal(errno)
		}
		if n == 0 {
			break
		}
		got += string(buf[:n])
	}
	if got != "onetwo" {
		t.Errorf("read %q", got)
	}
	if r := ready(t, s, abi.PollRead); !r.Ready || !r.Hangup {
		t.Errorf("at the end: %+v", r)
	}
	if n, errno := s.Read([][]byte{buf}); n != 0 || errno != abi.OK {
		t.Errorf("after the end: %d %s", n, errno)
	}
}

func TestFilesAreReady(t *testing.T) {
	w := newWorld(t, []string{"/w"}, "/w/f")
	w.rules(perm.PathRule{Guest: "/w", Right: perm.Write})
	f := w.file("w/f", abi.ORead)
	if r := ready(t, f, abi.PollRead); !r.Ready || r.Hangup {
		t.Errorf("%+v", r)
	}
	awaits(f, abi.PollRead)
	if _, errno := f.Ready(abi.PollWrite); errno != abi.EBADF {
		t.Errorf("writing to what is open for reading: %s", errno)
	}
}

// TestReadyNeverWaits: a poll does not ask a host that may never answer.
func TestReadyNeverWaits(t *testing.T) {
	mem := memfs.New(limit.NewAccount(limit.Caps{}), memfs.Options{})
	root, errno := mem.Root()
	if errno != abi.OK {
		t.Fatal(errno)
	}
	n, h, errno := root.(vfs.Dir).Create("f", 0o600, abi.OWrite)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	h.Close()
	n.Close()
	root.Close()
	ns := vfs.NewNamespace(vfs.Options{})
	asked := new(atomic.Int32)
	if err := ns.Mount("/w", remote{mem, asked}); err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	top, errno := ns.OpenDir("/")
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer top.Unref()
	f, errno := ns.Open(fstest.NewOpen(), top.Base(), "w/f", abi.ORead, 0)
	if errno != abi.OK {
		t.Fatal(errno)
	}
	defer f.Unref()
	if f.Latency() != vfs.Unbounded {
		t.Fatal("the file system is not remote")
	}
	before := asked.Load()
	if r := ready(t, f, abi.PollRead); !r.Ready {
		t.Errorf("%+v", r)
	}
	if n := asked.Load() - before; n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
}

// remote is a file system whose host may never answer; asked counts how often it is
// asked to describe something.
type remote struct {
	vfs.FileSystem
	asked *atomic.Int32
}

func (r remote) Root() (vfs.Node, abi.Errno) {
	n, errno := r.FileSystem.Root()
	return remoteNode{n, r.asked}, errno
}

type remoteNode struct {
	vfs.Node
	asked *atomic.Int32
}

func (n remoteNode) MayBlock() bool { return true }

func (n remoteNode) Stat() (abi.Stat, abi.Errno) {
	n.asked.Add(1)
	return n.Node.Stat()
}

func (n remoteNode) Lookup(name string) (vfs.Node, abi.Errno) {
	got, errno := n.Node.Lookup(name)
	if errno != abi.OK {
		return nil, errno
	}
	return remoteNode{got, n.asked}, abi.OK
}

// TestStreamOutlivesItsOwner: an owner who closes a file early does not hand the
// guest whatever the host opens next.
func TestStreamOutlivesItsOwner(t *testing.T) {
	defer goleak.VerifyNone(t)
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := vfs.NewStream(r, nil, vfs.StreamOptions{})
	defer s.Unref()
	r.Close()
	other, feed, err := os.Pipe() // takes the number that is free now
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	defer feed.Close()
	if _, err := feed.WriteString("not yours"); err != nil {
		t.Fatal(err)
	}
	if _, err := in.WriteString("yours"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	n, errno := s.TryRead([][]byte{b})
	if errno == abi.ENOTSUP { // where the host cannot be asked not to wait
		if n, errno = s.Read([][]byte{b}); errno != abi.OK {
			return // it says that the file is closed
		}
	}
	if errno != abi.OK || string(b[:n]) != "yours" {
		t.Errorf("read %q %v", b[:n], errno)
	}
}
