// Package cgroup puts limits on a tree of host processes, accounts for it, stops
// it, and ends it, with the control groups that this host lets us make: version 2
// where it has the controllers, version 1 where they are there, both at once on
// hybrid hosts, and nothing, said in words, where nothing is writable.
//
// Invariants: groups are made beneath our own group or beside it, never elsewhere;
// a limit that was not put on, or does not read back, is an [Unenforced], never a
// success; this process is never killed, frozen, or counted as a member; a signal
// goes to a handle of a process that was a member after the handle was opened.
//
// Locks: Group.mu, a leaf, held for bookkeeping only. A [Host] does not change
// between Probe and Close.
//
// Imports: x/sys.
package cgroup
