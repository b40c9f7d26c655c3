package remote

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxMessage bounds a message: arguments and environment are 2 MiB at most, and
	// mounts a few hundred bytes each.
	maxMessage = 16 << 20
	// maxFiles is how many descriptors come with a message at most.
	maxFiles = 3
	// headerSize is that of the length, with which the descriptors are sent.
	headerSize = 8
)

// socket is one end of the connection. Messages are values of gob, each complete in
// itself, behind their length.
type socket struct {
	file *os.File
	raw  syscall.RawConn

	mu sync.Mutex // held while a message is written
}

// newSocket takes over a stream socket that does not block.
func newSocket(fd int, name string) (*socket, error) {
	s := &socket{file: os.NewFile(uintptr(fd), name)}
	var err error
	s.raw, err = s.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

// send sends v and duplicates of files, which stay the caller's.
func (s *socket) send(v any, files ...*os.File) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	if b.Len() > maxMessage || len(files) > maxFiles {
		return fmt.Errorf("a message of %d bytes and %d descriptors is too large", b.Len(), len(files))
	}
	rights, err := rightsOf(files)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(files)
	header := binary.NativeEndian.AppendUint64(make([]byte, 0, headerSize), uint64(b.Len()))
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if werr := s.raw.Write(func(fd uintptr) bool {
		n, err = unix.SendmsgN(int(fd), header, rights, nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN && err != unix.EINTR
	}); werr != nil {
		return werr
	}
	if err == nil && n != headerSize {
		err = io.ErrShortWrite
	}
	if err == nil {
		_, err = s.file.Write(b.Bytes())
	}
	return err
}

// rightsOf packs descriptors. [os.File.Fd] would have them block.
func rightsOf(files []*os.File) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var fds []int
	for _, f := range files {
		c, err := f.SyscallConn()
		if err == nil {
			err = c.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return nil, err
		}
	}
	return unix.UnixRights(fds...), nil
}

// receive waits for a message. Its descriptors are the caller's.
func (s *socket) receive(v any) (files []*os.File, err error) {
	header, rights := make([]byte, headerSize), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, got, flags := 0, 0, 0
	if rerr := s.raw.Read(func(fd uintptr) bool {
		n, got, flags, _, err = unix.Recvmsg(int(fd), header, rights, unix.MSG_CMSG_CLOEXEC)
		return err != unix.EAGAIN && err != unix.EINTR
	}); rerr != nil {
		return nil, rerr
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close() // the error says more
			}
			files = nil
		}
	}()
	if files, err = descriptors(rights[:got]); err != nil {
		return files, err
	}
	switch {
	case n == 0:
		return files, io.EOF
	case flags&unix.MSG_CTRUNC != 0:
		return files, errors.New("descriptors were lost")
	case n < headerSize:
		if _, err := io.ReadFull(s.file, header[n:]); err != nil {
			return files, err
		}
	}
	size := binary.NativeEndian.Uint64(header)
	if size > maxMessage {
		return files, fmt.Errorf("a message of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(s.file, b); err != nil {
		return files, err
	}
	return files, gob.NewDecoder(bytes.NewReader(b)).Decode(v)
}

// descriptors takes what came beside a message.
func descriptors(control []byte) (files []*os.File, err error) {
	if len(control) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func (s *socket) close() error { return s.file.Close() }
