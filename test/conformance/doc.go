// Package conformance runs a guest that calls every function of WASI preview 1 by
// itself, without a library in between, and checks what each answers, error by
// error, on every file system that a grant can give. It holds no product code.
//
// Invariants: a case says what it expects, never what it got; every function of the
// interface has one.
//
// Locks: none.
//
// Imports: none.
package conformance
