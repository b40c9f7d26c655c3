// Package statedir keeps what outlives a run: one directory a user, shared by
// every kernel of that user without a daemon. It holds a record for each run
// (description, denials, report), the lock that says whether the kernel of a run
// is alive, the run's control socket, its scratch space, and the cache of
// compiled programs. [Open] finds and checks the directory, [Dir.Create] begins a
// record, [Dir.List] reads them, and [Dir.Sweep] clears what dead kernels left.
//
// Invariants: everything is reached through handles of directories, never again
// through the path that was checked. A live run holds an exclusive flock; a
// shared one is the proof of death, and death is for ever, so readers and
// sweepers disturb neither each other nor a live run. A record appears in runs/
// complete or not at all, by one rename, and disappears by one rename; whatever a
// kill interrupts is named in live/, staging/, or trash/, where the next sweep
// looks, so a sweep costs what was left over and not how many records exist. No
// removal follows a symbolic link or goes deeper than a constant number of
// descriptors. A directory laid out by a newer version is refused.
//
// Locks: Dir.mu (handles and the last run id) and Run.mu (files of one run) are
// leaves; neither is held while the other is taken. File locks are taken without
// waiting, except a bounded wait when the directory is laid out for the first time.
//
// Imports: the standard library and golang.org/x/sys.
package statedir
