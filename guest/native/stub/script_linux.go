//go:build amd64 || arm64

package stub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

const (
	scriptLimit = 4 << 20 // bytes; an execve takes 2 MiB of arguments at most, by default
	maxCalls    = 128
	shortCalls  = 24
	recordSize  = 7 * 8
)

// Script is a list of system calls with the data they point to. Calls and data have
// their places from the beginning, so that the number of calls is bounded.
type Script struct {
	calls [][7]uint64
	names []string // of the calls, for errors
	data  []byte
	room  int // for calls; 0 is maxCalls
}

// Short returns a script for at most 24 calls, which touches less memory.
func Short() *Script { return &Script{room: shortCalls} }

// most returns how many calls the script has room for, and where its data begins.
func (s *Script) most() (calls, data int) {
	calls = s.room
	if calls == 0 {
		calls = maxCalls
	}
	return calls, 16 + calls*recordSize
}

// Call adds a system call. If it fails, nothing after it is done.
func (s *Script) Call(name string, nr uintptr, args ...uint64) { s.add(name, uint64(nr), args) }

// Try adds a system call that may fail.
func (s *Script) Try(name string, nr uintptr, args ...uint64) { s.add(name, uint64(nr)|1<<32, args) }

func (s *Script) add(name string, nr uint64, args []uint64) {
	r := [7]uint64{nr}
	copy(r[1:], args)
	s.calls = append(s.calls, r)
	s.names = append(s.names, name)
}

// Bytes keeps b, aligned for any word, and returns its address in the starter.
func (s *Script) Bytes(b []byte) uint64 {
	for len(s.data)%8 != 0 {
		s.data = append(s.data, 0)
	}
	_, begin := s.most()
	at := bufferBase + uint64(begin) + uint64(len(s.data))
	s.data = append(s.data, b...)
	return at
}

// String keeps a string, which holds no zero byte, and returns its address.
func (s *Script) String(v string) uint64 { return s.Bytes(append([]byte(v), 0)) }

// Words keeps 64-bit numbers and returns their address.
func (s *Script) Words(w ...uint64) uint64 {
	b := make([]byte, 0, 8*len(w))
	for _, v := range w {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return s.Bytes(b)
}

// Strings keeps a list of strings as execve takes it and returns its address.
func (s *Script) Strings(list []string) uint64 {
	p := make([]uint64, 0, len(list)+1)
	for _, v := range list {
		p = append(p, s.String(v))
	}
	return s.Words(append(p, 0)...)
}

// ErrTooLong is returned for a script whose data, mostly arguments and environment,
// exceed what a program can be started with.
var ErrTooLong = errors.New("arguments and environment are too long")

// Len returns how many bytes are sent.
func (s *Script) Len() int {
	_, begin := s.most()
	return begin + len(s.data)
}

// Send hands the script to the starter at the other end of w, which begins at once.
func (s *Script) Send(w io.Writer) error {
	most, begin := s.most()
	total := s.Len()
	if len(s.calls) > most || total > scriptLimit {
		return ErrTooLong
	}
	b := make([]byte, 0, total)
	b = binary.LittleEndian.AppendUint64(b, uint64(total))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.calls)))
	for _, r := range s.calls {
		for _, v := range r {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	b = append(b, make([]byte, begin-len(b))...)
	_, err := w.Write(append(b, s.data...))
	return err
}

// Failure is a system call of a script that failed. Nothing after it was done.
type Failure struct {
	Call  string
	Index int
	Errno unix.Errno
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.Call, f.Errno) }

// Unwrap returns the error number.
func (f *Failure) Unwrap() error { return f.Errno }

// Wait returns nil once the program has been executed, a *[Failure] if a call
// failed, and another error if the starter died before.
func (s *Script) Wait(r io.Reader) error {
	var b [16]byte
	n, err := io.ReadFull(r, b[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return nil // closed by exec, or by death: who waits for the process knows
	}
	if err != nil {
		return err
	}
	i := int(binary.LittleEndian.Uint64(b[:]))
	errno := unix.Errno(-int64(binary.LittleEndian.Uint64(b[8:])))
	if i < 0 || i >= len(s.names) {
		return fmt.Errorf("the starter answered nonsense: call %d, %v", i, errno)
	}
	return &Failure{Call: s.names[i], Index: i, Errno: errno}
}
