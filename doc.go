// Package agentos is a userspace kernel for programs that nobody has reason to
// trust. [Open] boots one, [Kernel.Run] executes a program as a process of it,
// under the grants and limits of a [Spec], and returns a [Report].
//
// Invariants: nothing is granted that a Spec does not name; every run that was
// started ends in exactly one report; when a Kernel is closed, nothing of its
// processes is left.
//
// Lock order: Kernel.mu and Process.mu are leaves.
//
// Imports: everything but ui, api, client, and manifest. This is the only place
// where the parts are wired together.
package agentos
