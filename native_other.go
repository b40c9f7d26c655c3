//go:build !linux

package agentos

import (
	"errors"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// hasNative reports whether native programs can run on this system at all.
const hasNative = false

// errNoNative is why they cannot.
var errNoNative = errors.New("native programs run on Linux")

func openNative(*Kernel) (nativeDomain, error) { return nil, errNoNative }

func nativeHelper() {}

func callerUser() guest.User { return guest.User{} }

func defaultMounts(guest.User, bool, bool) []guest.Mount { return nil }

func (v *view) nativeMounts() []guest.Mount { return nil }

func (v *view) protectNative([]string) {}

func (p *Process) setting(*proc.Process) (*guest.Setting, error) { return nil, errNoNative }

func (v *view) buildNative(*proc.Process) (*vfs.Namespace, error) { return nil, errNoNative }

func defaultEnvironment(guest.User) []string { return nil }

// fingerprint is not used where there are no native programs.
func fingerprint([]guest.Mount) string { return "" }

func (q *question) identify() bool {
	q.file = identity{}
	return false
}

// identity is not used where there are no native programs.
type identity struct{}
