// Package wasip1 is the guest ABI of WASI preview 1: it decodes the arguments of
// every function of the interface from a guest's linear memory into one reused
// [abi.Call], hands that to the kernel, and encodes what comes back. It decides
// nothing.
//
// Invariants: nothing in guest memory is read twice, and nothing outside the
// bounds that were checked is touched; a result's place is checked before the
// operation that produces it, so that an operation with an effect never loses
// its result; one call moves at most [abi.MaxTransfer] bytes; a length or count
// that a guest gives never sizes an allocation before it was bounded.
//
// Locks: none. A Process belongs to one instance and is used on its vCPU only.
//
// Imports: kernel/abi.
package wasip1
