package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// starterAttr is how the starter is forked. Where no control group counts processes, it
// gets a user namespace of its own if this is one already: RLIMIT_NPROC counts a user's
// processes in a namespace and beneath, which so are those of the tree and no others.
// For the host's root it does not count at all.
func (l *Launcher) starterAttr(base *syscall.SysProcAttr) (*syscall.SysProcAttr, error) {
	if !l.countsByUser() {
		return base, nil
	}
	caps, err := capabilities()
	if err != nil {
		return nil, err
	}
	a := *base
	a.Cloneflags = syscall.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	a.AmbientCaps = caps // its script needs some, and gives up all
	return &a, nil
}

func (l *Launcher) countsByUser() bool {
	return l.o.UserNamespace && !l.groups.Has("pids") && os.Geteuid() != 0
}

// capabilities returns all that this kernel knows.
func capabilities() ([]uintptr, error) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || last < 0 || last > 63 {
		return nil, fmt.Errorf("the last capability of this kernel is %q", b)
	}
	caps := make([]uintptr, last+1)
	for c := range caps {
		caps[c] = uintptr(c)
	}
	return caps, nil
}

// OwnUserNamespace has a process be born into a user namespace, in which the user and
// the group are themselves and nobody else exists, and into a mount namespace that is
// its own to change. Executing a program would take the capabilities there from anyone
// but root, so they are made ambient.
func OwnUserNamespace(a *syscall.SysProcAttr) (err error) {
	a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	if os.Geteuid() != 0 {
		a.AmbientCaps, err = capabilities()
	}
	return err
}
