// Package deps holds the architecture as tests. The import lattice, the naming
// rules, what third-party modules are for and under which licence they come:
// each is a table here, and the whole tree is compared with it, every file of
// every platform and build tag.
//
// Invariants: a package that is not in the lattice fails; a row without a
// package fails; so does a module without a licence row. Loosening an edge costs
// a line in docs/RATIONALE.md in the same change. Each check is itself tested
// on small trees that break it.
//
// Locks: none.
//
// Imports: the standard library only.
package deps
