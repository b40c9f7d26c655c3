package native

import (
	"maps"

	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// Enforcement says what stands behind each protection here, and in sentences what is
// weaker than it could be.
func (d *Domain) Enforcement() (map[string]string, []string) {
	f := d.launcher.Facts()
	return maps.Clone(f.Enforced), f.Weak
}

// Shared says why programs share the namespaces of the host, "" if they have their own.
func (d *Domain) Shared() string {
	f := d.launcher.Facts()
	if f.Floor != launch.FloorBare {
		return ""
	}
	return f.Why
}

// Started returns when a process began, in ticks since the host booted; 0 if there is
// no such process.
func Started(pid int) uint64 { return launch.Started(pid) }

// PIDNamespace names the pid namespace of this process.
func PIDNamespace() string { return launch.PIDNamespace() }
