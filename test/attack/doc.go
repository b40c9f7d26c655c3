// Package attack tries to get round the permission path: from inside guests, call
// by call, and at the API. It holds no product code. ATTEMPTS.md lists the
// attempts, by class, with what each tries.
//
//	go test ./test/attack                                # every attempt
//	go test ./test/attack -run 'Attack/symlinks'         # a class
//	go test ./test/attack -run List -update              # ATTEMPTS.md
//
// An attempt is a list of calls of WASI preview 1, made by the program in guest as
// they are written, without a library between. It is judged by what comes out: the
// bytes of a secret, a changed file where nothing may change, a success that must
// be refused, or an answer that differs with the presence of what is hidden.
// The same calls are then made on the host itself, where nothing protects.
//
// Invariants: an attempt that does not leak, change, or tell anything without
// protection is worth nothing, so that each says what its unprotected run shows, or
// why there can be none; every attempt works on a tree of its own.
//
// Locks: none.
//
// Imports: the standard library; the module in tests.
package attack
