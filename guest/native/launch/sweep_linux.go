package launch

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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

// PIDNamespace names the pid namespace of this process.
func PIDNamespace() string {
	ns, err := os.Readlink("/proc/self/ns/pid") // "pid:[4026531836]"
	if err != nil {
		return "0" // without /proc there are no native programs either
	}
	return strings.Trim(strings.TrimPrefix(ns, "pid:"), "[]")
}

// dead reports whether the kernel that began a name is gone: NAMESPACE-PID-START and
// perhaps more, as [Options.Name]. Of a kernel in another pid namespace, or with another
// kind of name, nobody here can tell.
func dead(name string) bool {
	f := strings.SplitN(name, "-", 4)
	if len(f) < 3 || f[0] != PIDNamespace() {
		return false
	}
	pid, err := strconv.Atoi(f[1])
	start, serr := strconv.ParseUint(f[2], 10, 64)
	if err != nil || serr != nil || pid <= 0 || start == 0 {
		return false
	}
	return Started(pid) != start
}

// sweep removes what kernels that are gone have left: control groups with all that is
// in them, and private files.
func (l *Launcher) sweep() error {
	_, err := l.groups.Sweep(dead)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		err = nil // another user's
	}
	return errors.Join(err, l.sweepScratch())
}

func (l *Launcher) sweepScratch() error {
	entries, err := os.ReadDir(l.scratch())
	if err != nil {
		return nil // nor could anything be left there
	}
	var errs []error
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), scratchPrefix)
		if !ok || !e.IsDir() || !dead(name) {
			continue
		}
		i, err := e.Info()
		if err != nil {
			continue // gone
		}
		if st, ok := i.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() {
			errs = append(errs, removeTree(filepath.Join(l.scratch(), e.Name())))
		}
	}
	return errors.Join(errs...)
}
