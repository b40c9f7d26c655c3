//go:build unix

package net

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// listener is a socket that listens.
type listener struct {
	*socket
	addr string
}

var _ Listener = (*listener)(nil)

// Listen binds a TCP address of the host, HOST:PORT, and listens on it. Port 0 is
// any that is free.
func Listen(ctx context.Context, address string) (_ Listener, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the address is said by who asked
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	conn, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, err
	}
	// A descriptor of our own: it is polled and accepted from without the library.
	fd := -1
	var dup error
	if err := conn.Control(func(from uintptr) { fd, dup = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dup != nil {
		return nil, dup
	}
	return &listener{socket: newSocket(fd), addr: l.Addr().String()}, nil
}

func (l *listener) Addr() string { return l.addr }

// TryAccept takes the next connection. One that went away before it was taken is
// passed over.
func (l *listener) TryAccept() (Conn, abi.Errno) {
	for {
		fd, err := acceptNow(l.fd)
		switch err {
		case nil:
			return conn{newSocket(fd)}, abi.OK
		case unix.ECONNABORTED, unix.EINTR:
		default:
			return nil, errnoOf(err)
		}
	}
}

func (l *listener) TryRead([][]byte) (int, abi.Errno)  { return 0, abi.ENOTCONN }
func (l *listener) TryWrite([][]byte) (int, abi.Errno) { return 0, abi.ENOTCONN }
func (l *listener) Read([][]byte) (int, abi.Errno)     { return 0, abi.ENOTCONN }
func (l *listener) Write([][]byte) (int, abi.Errno)    { return 0, abi.ENOTCONN }
