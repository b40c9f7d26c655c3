// Package cli is the command line: it reads flags, a manifest, and the caller's
// surroundings into one [agentos.Spec], runs it, and says in few words how it
// ended. Everything it prints that a script may rely on is documented in
// docs/CLI.md; every error it can end with is a row of one table, from which
// docs/ERRORS.md is generated.
//
// Invariants: no flag and no manifest key is accepted and ignored; whatever is
// not understood ends with status 125 and a sentence that helps, before anything
// has run. While a program runs, nothing is written to standard output, which
// belongs to the program. Text that came from a program or a file is printed
// with its control characters escaped. Nothing decides here what a program may
// do; that is the kernel's.
//
// Locks: none. [Main] owns every goroutine it starts and outlives them all.
//
// Imports: the root package, manifest, examples, kernel/abi, internal/statedir,
// internal/control, cobra and pflag, and x/term.
package cli
