// Package program answers what it takes to start a native program inside the view
// that it is given: under which path the guest finds the file, which interpreters
// and loaders must be there too, and, where it cannot start, which real file is
// concerned and what would help. It looks and compares; it never runs anything, a
// shim least of all.
//
// Invariants: a program is never silently replaced: the path to execute leads,
// inside the view, to the very file (device and inode) that the caller named; a
// version manager's shim, or an interpreter of a virtual environment, that leads
// out of the view is an error; whatever the files hold, the answer is bounded in
// time and memory. What is decided here is a courtesy to people, not a protection:
// the view itself and the kernel of the host have the last word.
//
// Locks: none; nothing is shared.
//
// Imports: guest, x/sys.
package program
