package native

import (
	"maps"
	"os"
	"strconv"
	"strings"
)

// Enforcement says what stands behind each protection here, and in sentences what is
// weaker than it could be.
func (d *Domain) Enforcement() (map[string]string, []string) {
	f := d.launcher.Facts()
	return maps.Clone(f.Enforced), f.Weak
}

// Shared says why programs share the namespaces of the host, "" if they have their own.
func (d *Domain) Shared() string { return d.launcher.Facts().Why }

// Started returns when a process began, in ticks since the host booted; 0 if there is
// no such process.
func Started(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0
	}
	n, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
