// Package script tests the agentos binary from outside, as people and scripts
// use it: txtar scripts under testdata/cli, and Go tests for what needs signals,
// pipes, or mounts. It holds no product code.
//
// Invariants: the binary under test is built from this tree, once; every script
// has a state directory and home of its own; what a host cannot show (another
// owner, a full disk) is skipped with a sentence saying so.
//
// Locks: none.
//
// Imports: the standard library and testscript.
package script
