package vfs

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
)

// StreamOptions describe a stream.
type StreamOptions struct {
	// Type is what the guest is told: TypeCharDevice for a terminal, TypeFIFO
	// for a pipe, TypeUnknown if it is not known.
	Type abi.FileType
	// Ino tells streams of one kernel apart.
	Ino uint64
	// Account is charged LimitOutput for what is written; nil counts nothing.
	Account *limit.Account
	// Exceeded is called once a write is refused by the limit, after as much as
	// the limit allows was written.
	Exceeded func()
}

// stream is a [Channel] over a reader and a writer of the host. Where they are
// files of the operating system it asks that whether they would wait; of any other
// reader only a read can tell, so one that is polled is read ahead of the guest,
// one buffer at most.
type stream struct {
	o  StreamOptions
	in *hostEnd // of r, nil unless it is a file of the operating system
	ou *hostEnd // of w, likewise

	rmu sync.Mutex // held while reading, which may last
	r   io.Reader  // guarded by rmu
	wmu sync.Mutex // held while writing, which may last
	w   io.Writer  // guarded by wmu

	mu    sync.Mutex
	ahead *ahead // guarded by mu; nil unless something was read ahead, or is being
}

// ahead is what was read ahead of the guest. done is closed when it is there.
type ahead struct {
	done chan struct{}
	data []byte // valid once done is closed; then guarded by stream.mu
	err  error  // valid once done is closed
}

var _ Channel = (*stream)(nil)

// NewStream makes a file of a reader, a writer, or both; a nil one makes the
// file write-only or read-only. Its operations may wait for ever. Closing it
// closes neither r nor w: they are the caller's, who keeps them open until then.
func NewStream(r io.Reader, w io.Writer, o StreamOptions) *File {
	s := &stream{o: o, r: r, w: w, in: endOf(r), ou: endOf(w)}
	var access abi.OpenFlags
	if r != nil {
		access |= abi.ORead
	}
	if w != nil {
		access |= abi.OWrite
	}
	return NewChannel(s, access)
}

func (s *stream) Type() abi.FileType { return s.o.Type }

// emptyReads bounds how often a reader may return nothing without an error.
const emptyReads = 100

// firstBuffer returns the first buffer that is not empty: a stream gives what it has.
func firstBuffer(bufs [][]byte) []byte {
	for _, b := range bufs {
		if len(b) > 0 {
			return b
		}
	}
	return nil
}

// Read fills the first buffer that is not empty.
func (s *stream) Read(bufs [][]byte) (int, abi.Errno) {
	b := firstBuffer(bufs)
	if b == nil {
		return 0, abi.OK
	}
	s.rmu.Lock()
	defer s.rmu.Unlock()
	invariants.Point("vfs.stream.read")
	if a := s.fetched(); a != nil {
		<-a.done
		return s.take(a, b)
	}
	if s.in != nil && !s.in.await(abi.PollRead) {
		return 0, abi.EINTR
	}
	return result(readOnce(s.r, b))
}

// readOnce reads something, the end, or an error.
func readOnce(r io.Reader, b []byte) (n int, err error) {
	for range emptyReads {
		if n, err = r.Read(b); n > 0 {
			return min(n, len(b)), nil // an error comes again
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

func result(n int, err error) (int, abi.Errno) {
	if err == nil || errors.Is(err, io.EOF) {
		return n, abi.OK
	}
	return 0, streamErrno(err)
}

// TryRead takes what was read ahead, or asks the operating system.
func (s *stream) TryRead(bufs [][]byte) (int, abi.Errno) {
	b := firstBuffer(bufs)
	if b == nil {
		return 0, abi.OK
	}
	if !s.rmu.TryLock() {
		return 0, abi.ENOTSUP // an earlier read has been left behind
	}
	defer s.rmu.Unlock()
	if a := s.fetched(); a != nil {
		select {
		case <-a.done:
			return s.take(a, b)
		default:
			return 0, abi.EAGAIN
		}
	}
	if s.in == nil {
		return 0, abi.ENOTSUP
	}
	return s.in.tryRead(b)
}

// fetched returns what was, or is being, read ahead.
func (s *stream) fetched() *ahead {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ahead
}

// take moves what was read ahead to b. It needs rmu, and a to be there.
func (s *stream) take(a *ahead, b []byte) (int, abi.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(b, a.data)
	a.data = a.data[n:]
	if len(a.data) == 0 && !errors.Is(a.err, io.EOF) {
		s.ahead = nil // an end stays; anything else is asked for again
	}
	if n > 0 {
		return n, abi.OK
	}
	return result(0, a.err)
}

// readAhead is how much of a reader is read before the guest asks for it, once it
// has asked whether there is something.
const readAhead = 32 << 10

// fetch has the reader read ahead, if it is not doing so already.
func (s *stream) fetch() *ahead {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ahead != nil {
		return s.ahead
	}
	a := &ahead{done: make(chan struct{})}
	s.ahead = a
	// It ends when the reader has something, or is closed by its owner.
	go func() {
		defer close(a.done)
		b := make([]byte, readAhead)
		n, err := readOnce(s.r, b)
		a.data, a.err = b[:n], err
	}()
	return a
}

// Write writes all buffers, as one write where they are small.
func (s *stream) Write(bufs [][]byte) (int, abi.Errno) {
	b := flatten(bufs)
	s.wmu.Lock()
	defer s.wmu.Unlock()
	invariants.Point("vfs.stream.write")
	if s.ou != nil && !s.ou.await(abi.PollWrite) {
		return 0, abi.EINTR
	}
	return s.pay(len(b), func(allowed int) (int, abi.Errno) {
		if n, err := s.w.Write(b[:allowed]); err != nil && n <= 0 {
			return 0, streamErrno(err)
		} else {
			return max(0, min(n, allowed)), abi.OK // an error comes again
		}
	})
}

// TryWrite writes what the operating system takes without waiting.
func (s *stream) TryWrite(bufs [][]byte) (int, abi.Errno) {
	if s.ou == nil || !s.wmu.TryLock() {
		return 0, abi.ENOTSUP
	}
	defer s.wmu.Unlock()
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	if total == 0 {
		return 0, abi.OK
	}
	return s.pay(total, func(allowed int) (int, abi.Errno) { return s.ou.tryWrite(cut(bufs, allowed)) })
}

// cut returns the first n bytes of a vector.
func cut(bufs [][]byte, n int) [][]byte {
	out := make([][]byte, 0, len(bufs))
	for _, b := range bufs {
		if b = b[:min(len(b), n)]; len(b) > 0 {
			out = append(out, b)
			n -= len(b)
		}
	}
	return out
}

// pay charges for n bytes of output, or for as many as the limit leaves, has them
// written, and takes back the charge for what was not.
func (s *stream) pay(n int, write func(allowed int) (int, abi.Errno)) (int, abi.Errno) {
	allowed := s.charge(n)
	moved := 0
	if allowed > 0 || n == 0 {
		var errno abi.Errno
		moved, errno = write(allowed)
		if a := s.o.Account; a != nil && moved < allowed {
			a.Uncharge(abi.LimitOutput, uint64(allowed-moved))
		}
		if errno != abi.OK {
			return moved, errno
		}
	}
	if allowed < n && moved == allowed {
		if s.o.Exceeded != nil {
			s.o.Exceeded()
		}
		return moved, abi.EDQUOT
	}
	return moved, abi.OK
}

// charge pays for n bytes of output, or for as many as the limit leaves.
func (s *stream) charge(n int) int {
	a := s.o.Account
	if a == nil || a.Charge(abi.LimitOutput, uint64(n)) {
		return n
	}
	for {
		left := min(a.Limit(abi.LimitOutput)-a.Used(abi.LimitOutput), uint64(n))
		if left == 0 || a.Charge(abi.LimitOutput, left) {
			return int(left)
		}
	}
}

// flatten makes one slice of bufs, so that a line written in pieces arrives in
// one.
func flatten(bufs [][]byte) []byte {
	var one []byte
	filled := 0
	for _, b := range bufs {
		if len(b) > 0 {
			one = b
			filled++
		}
	}
	if filled <= 1 {
		return one
	}
	one = nil
	for _, b := range bufs {
		one = append(one, b...)
	}
	return one
}

// Ready asks the operating system; of another reader, whether it has been read
// ahead. Another writer always takes something.
func (s *stream) Ready(kind abi.PollKind) Readiness {
	if kind == abi.PollRead {
		if a := s.fetched(); a != nil {
			return s.readiness(a)
		}
		if s.in != nil {
			return s.in.ready(kind)
		}
		return Readiness{}
	}
	if s.ou != nil {
		return s.ou.ready(kind)
	}
	return Readiness{Ready: true}
}

func (s *stream) readiness(a *ahead) Readiness {
	select {
	case <-a.done:
	default:
		return Readiness{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Readiness{Ready: true, Bytes: uint64(len(a.data)), Hangup: len(a.data) == 0}
}

// Watch waits for the operating system, or reads ahead.
func (s *stream) Watch(kind abi.PollKind, wake func()) (cancel func()) {
	switch {
	case kind == abi.PollRead && s.in != nil && s.fetched() == nil:
		return s.in.watch(kind, wake)
	case kind == abi.PollWrite && s.ou != nil:
		return s.ou.watch(kind, wake)
	case kind == abi.PollWrite:
		go wake()
		return func() {}
	}
	a := s.fetch()
	quit := make(chan struct{})
	go func() {
		select {
		case <-a.done:
			wake()
		case <-quit:
		}
	}()
	return sync.OnceFunc(func() { close(quit) })
}

// Stop ends every wait for a file of the operating system. What another reader or
// writer is in stays there, and is left behind.
func (s *stream) Stop() {
	for _, e := range [...]*hostEnd{s.in, s.ou} {
		if e != nil {
			e.stop()
		}
	}
}

// Close gives back what the stream holds of the host's; the reader and the writer
// are their owner's to close.
func (s *stream) Close() abi.Errno {
	s.Stop()
	for _, e := range [...]*hostEnd{s.in, s.ou} {
		if e != nil {
			e.close()
		}
	}
	return abi.OK
}

func (s *stream) Stat() abi.Stat {
	mode := uint32(0)
	if s.r != nil {
		mode |= 0o400
	}
	if s.w != nil {
		mode |= 0o200
	}
	return abi.Stat{Ino: s.o.Ino, Type: s.o.Type, Mode: mode, Nlink: 1}
}

// streamErrno maps the error of a host stream.
func streamErrno(err error) abi.Errno {
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe), errors.Is(err, os.ErrClosed):
		return abi.EPIPE
	case errors.Is(err, syscall.ENOSPC):
		return abi.ENOSPC
	case errors.Is(err, syscall.EAGAIN):
		return abi.EAGAIN
	}
	return abi.EIO
}
