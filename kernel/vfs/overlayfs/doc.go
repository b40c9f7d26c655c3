// Package overlayfs is a file system of two layers: a lower one that is only
// read, and a store of the host that captures every change, so that the merged
// view can be looked at, committed to the lower layer, or thrown away later.
// [New] makes the file system of a run; [Load] reads what it left behind.
//
// The store is a private directory: objects/N is the content of one regular
// file, and the journal says what the tree of departures from the lower layer
// is. Nothing of the guest's becomes a path of the host.
//
// Invariants: the lower layer is never changed; what is in the store, and what
// is remembered of it, is charged before it is used; an object is written before
// the journal names it, and removed after the journal no longer does; a frame of
// the journal is one change of the tree, so that each prefix of it is a state
// that there was; what the lower layer has at a path is recorded in the frame
// that departs from it.
//
// Lock order: FS.mu → the lock of one file's content → ledger.mu. FS.mu is held
// while the lower layer is asked and while content is copied up; reading and
// writing what is open does not need it.
//
// Imports: kernel/{abi,limit,vfs,vfs/hostfs}, internal/invariants, the standard
// library.
package overlayfs
