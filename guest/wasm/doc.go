// Package wasm is the domain of WebAssembly programs: modules of WASI preview 1,
// rewritten so that they can be metered and preempted, compiled by wazero, each
// running as a coroutine with its linear memory lent by the kernel.
//
// Invariants: no module is compiled inside the kernel's own process (a killable,
// limited child does it and fills the cache; the kernel only ever loads native
// code whose digest it checked); every instruction a guest executes, its start
// function included, runs under Resume and spends fuel; an instance's memory is
// freed only after its coroutine is unwound and its module closed; a host
// function finds its instance in its context and nowhere else.
//
// Locks: Domain.mu, held for bookkeeping only, never while a module is loaded or
// a guest runs. An instance has none: it belongs to whoever resumes it. Between
// processes, one advisory file lock for each part of the cache.
//
// Imports: guest, kernel/abi, guest/wasm/rewrite, guest/wasm/wasip1, wazero.
package wasm
