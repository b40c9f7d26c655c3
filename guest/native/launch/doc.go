// Package launch starts trees of host processes under the floor: what holds even if
// every later decision said yes. A tree lives in namespaces of its own, sees the view
// it was given and nothing else, has no capabilities and can gain none, and is bound
// by Landlock, a seccomp filter, and limits before its first instruction.
//
// A thread is locked and changed by raw system calls: namespaces, mounts, root. It
// forks two stubs (package stub): pid 1 of the namespace, and the process that will
// execute the program once it is sent a script. All of that does not depend on the
// program, so some such cells are kept ready.
//
// Invariants: nothing of the program runs before [Tree.Go]; every process of a tree is
// dead and reaped before [Tree.Done] is closed; a kernel that is killed takes its trees
// with it, since pid 1 exits when its socket closes; a cell serves one tree.
//
// Locks: Launcher.mu guards the pool, plans.mu the template of cells, Tree.mu the state
// of a tree; all are leaves.
//
// Imports: guest, and the parts of the floor beside this package.
package launch
