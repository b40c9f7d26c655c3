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

// stream is the state of a stream.
type stream struct {
	o StreamOptions

	rmu sync.Mutex // held while reading, which may last
	r   io.Reader  // guarded by rmu
	wmu sync.Mutex // held while writing, which may last
	w   io.Writer  // guarded by wmu
}

// NewStream makes a file of a reader, a writer, or both; a nil one makes the
// file write-only or read-only. Its operations may wait for ever. Closing it
// closes neither r nor w: they are the caller's.
func NewStream(r io.Reader, w io.Writer, o StreamOptions) *File {
	f := &File{stream: &stream{o: o, r: r, w: w}, typ: o.Type}
	if r != nil {
		f.flags.Store(f.flags.Load() | uint32(abi.ORead))
	}
	if w != nil {
		f.flags.Store(f.flags.Load() | uint32(abi.OWrite))
	}
	f.refs.Store(1)
	return f
}

// emptyReads bounds how often a reader may return nothing without an error.
const emptyReads = 100

// read fills the first buffer that is not empty: a stream gives what it has.
func (s *stream) read(bufs [][]byte) (int, abi.Errno) {
	for _, b := range bufs {
		if len(b) > 0 {
			return s.readOne(b)
		}
	}
	return 0, abi.OK
}

func (s *stream) readOne(b []byte) (int, abi.Errno) {
	s.rmu.Lock()
	defer s.rmu.Unlock()
	invariants.Point("vfs.stream.read")
	for range emptyReads {
		n, err := s.r.Read(b)
		if n > 0 {
			return min(n, len(b)), abi.OK // an error comes again
		}
		if errors.Is(err, io.EOF) {
			return 0, abi.OK
		}
		if err != nil {
			return 0, streamErrno(err)
		}
	}
	return 0, abi.EIO
}

// write writes all buffers, as one write where they are small.
func (s *stream) write(bufs [][]byte) (int, abi.Errno) {
	b := flatten(bufs)
	s.wmu.Lock()
	defer s.wmu.Unlock()
	invariants.Point("vfs.stream.write")
	allowed := s.charge(len(b))
	n := 0
	if allowed > 0 || len(b) == 0 {
		var err error
		if n, err = s.w.Write(b[:allowed]); err != nil {
			if n <= 0 {
				return 0, streamErrno(err)
			}
			return min(n, allowed), abi.OK // the error comes again
		}
	}
	if allowed < len(b) {
		if s.o.Exceeded != nil {
			s.o.Exceeded()
		}
		return n, abi.EDQUOT
	}
	return n, abi.OK
}

// charge pays for n bytes of output, or for as many as the limit leaves. What is
// written is used for good, so nothing is ever returned.
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

func (s *stream) stat() abi.Stat {
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
