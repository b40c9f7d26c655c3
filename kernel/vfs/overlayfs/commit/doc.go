// Package commit writes what an overlay captured beneath a directory of the
// host: all changes or those that are named, one path after the other, each
// whole or not at all. [Apply] does it, [Inspect] says what it would do, and
// [Clean] removes what a killed one left.
//
// Invariants: the host is reached through a file system's handles only, a
// component at a time, and no symbolic link is followed, so a path that somebody
// swaps meanwhile leads nowhere. What the host has at a path is compared with
// what it had when the overlay departed from it, and again right before it is
// replaced; where they differ nothing is written. A file appears by one rename of
// a complete, synced one. A path counts as done in the overlay's journal only
// after that, and a path at which the host already has what is to be written
// counts as done, so a commit that was killed can be run again. Protected paths
// and executables are written only if they are named themselves; symbolic links
// that leave the directory, and what is neither file, directory, nor link, never.
//
// Locks: none; the caller sees to it that one process at a time commits a run.
//
// Imports: kernel/abi, kernel/perm, kernel/vfs, kernel/vfs/overlayfs.
package commit
