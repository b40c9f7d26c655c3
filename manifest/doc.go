// Package manifest reads a run's TOML manifest: the same grants and limits that
// the command line takes, written down once. It turns a document into a
// [Manifest] whose every value remembers the line it stood on, and decides
// nothing about what the values mean to a kernel.
//
// Invariants: a document either yields a complete Manifest or one [*Error] with
// a line and a column; an unknown key is an error, never ignored; no value is
// taken twice; no path in a Manifest has been looked up on the host. Parsing
// reads nothing but its input, and nothing ever loads a manifest that the caller
// did not name: a project's own files are written by those whom the grants are
// meant to bind.
//
// Locks: none. A Manifest is plain data, owned by whoever parsed it.
//
// Imports: kernel/abi and the TOML parser.
package manifest
