// Package cedar decides by policies in the Cedar language: layer 3. It implements
// [perm.Engine] on the library of the language's authors.
//
// Policies only subtract. What the layers before allow is allowed unless a policy
// forbids it, by a permit for everything that is understood (DefaultDeny takes it away,
// and then only what a policy permits is allowed); a forbid beats every permit; a policy
// that cannot be evaluated forbids.
//
// Invariants: an Engine never changes; only policies that can have a say are evaluated,
// those of the action, the kind of resource, and the top directory, and a policy is left
// out of a slice only if it could neither match nor fail there; the types and attributes
// that policies may name stand in one schema, against which each is checked when it is
// loaded.
//
// Locks: none. The last principal is remembered in an atomic pointer.
//
// Imports: kernel/abi, kernel/perm, and the library. The library's validator is
// experimental and used in check.go only.
package cedar
