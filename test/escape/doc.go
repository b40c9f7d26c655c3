// Package escape tries to get out of the native domain: several hundred attempts
// in C, Python and shell, each run by itself through the command line, as a child
// of root's kernel and of an ordinary user's. It holds no product code. The
// attempts are in testdata, by theme; ATTEMPTS.md lists them.
//
//	go test ./test/escape                                   # every attempt, both users
//	go test ./test/escape -run 'Escape/root/mounts'         # a theme
//	go test ./test/escape -run TestEscape -runner plain     # what the corpus detects
//	go test ./test/escape -run TestEscape -runner bwrap     # a neighbour, for comparison
//	go test ./test/escape -run List -update                 # ATTEMPTS.md
//
// An attempt sees the effect or reports none: a file of the host read, a process
// outside signalled. What can only be seen from outside (a signal that arrived, a
// terminal that changed, a process that is still there, the host's user left
// without resources) is looked at by the test after every attempt. The targets
// are canaries that the test makes.
//
// Invariants: an attempt that says nothing has failed the test, and never counts
// as held; an attempt that does not escape without any confinement is worth
// nothing, so that a plain run must report an escape for each, or the table of
// known_test.go says why it cannot here.
//
// Locks: none.
//
// Imports: the standard library, and x/sys in tests.
package escape
