// Package control lets one process ask another's kernel about a run: its status, a
// signal, the wait for its report. Each run has one socket in its record; a request
// is one line of JSON, and so is a response. [Serve] answers, [Client] asks.
//
// Invariants: only the user who runs the kernel is answered, by the credentials that
// the system attests for the peer. Requests are bounded in size and time,
// connections and waits in number, so that a stuck or hostile client costs a bounded
// amount and cannot keep another from sending a kill. What a server does not know (an
// operation, a field, a newer version) it refuses; it never does half of what was
// asked. [Server.Close] ends every goroutine.
//
// Locks: Server.mu guards the set of connections; no call to the Handler and no
// input or output happens under it.
//
// Imports: kernel/abi, the standard library, and golang.org/x/sys.
package control
