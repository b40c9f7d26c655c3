// Package net is what a process reaches of the network: listeners that it was
// granted and the connections that come in through them. Each is a [vfs.Channel],
// so that descriptors, polling, and cleanup are those of every open file.
//
// Invariants: no operation but Read and Write waits; a socket is closed by its last
// reference and by nothing else; sockets are never inherited by other programs.
//
// Locks: socket.mu is a leaf.
//
// Imports: kernel/abi, kernel/vfs.
package net

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Listener is a channel that connections come in through. Polling it for reading
// tells of them.
type Listener interface {
	vfs.Channel
	// TryAccept takes the next connection; EAGAIN says that there is none.
	TryAccept() (Conn, abi.Errno)
	// Addr is the address that it listens on, with its real port.
	Addr() string
}

// Conn is a connection.
type Conn interface {
	vfs.Channel
	// TryReceive is TryRead that, with peek, leaves the data where they are.
	TryReceive(bufs [][]byte, peek bool) (int, abi.Errno)
	// Shutdown ends one direction or both.
	Shutdown(read, write bool) abi.Errno
}
