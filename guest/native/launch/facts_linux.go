package launch

import (
	"fmt"
	"strings"

	"github.com/agentos-kernel/agentos/guest/native/landlock"
)

// describe says what stands behind each protection here.
func (l *Launcher) describe() Facts {
	f := Facts{Floor: FloorRoot, Landlock: l.landlock, Weak: landlock.Describe(l.landlock)}
	lock := fmt.Sprintf("Landlock (ABI %d)", l.landlock)
	if l.landlock == 0 {
		lock = "no Landlock"
	}
	e := map[string]string{
		"isolation":  "namespaces, " + lock + ", seccomp",
		"namespaces": "mount, pid, network, ipc, uts, cgroup",
		"files":      "a root of its own, in which everything was mounted by handle; " + lock,
		"network":    "a network namespace with nothing but a loopback of its own",
		"processes":  "a pid namespace; seccomp",
		"privileges": "no capabilities and no way to gain any (no_new_privs, nosuid)",
		"syscalls":   "a seccomp filter",
		"disk":       "size of the private file system",
		"files_open": "RLIMIT_NOFILE of each process",
		"output":     "charged before every write",
		"wall_time":  "kernel timer",
		"kill":       "end of the pid namespace, with all that is in it",
		"cleanup":    "everything private is in namespaces and ends with them",
	}
	l.describeLimits(&f, e)
	switch {
	case !l.namespaces:
		f.Floor = FloorBare
		l.describeBare(&f, e, lock)
	case l.o.UserNamespace:
		f.Floor = FloorUser
		e["isolation"] = "namespaces inside a user namespace of the caller, " + lock + ", seccomp"
		e["namespaces"] = "user, mount, pid, network, ipc, uts, cgroup"
	}
	f.Enforced = e
	return f
}

const (
	looked      = "by looking at it 20 times a second"
	noGroup     = "There is no control group for %s (%s): it is held %s, so that a tree can be over its limit for a moment before it is ended."
	groupPrefix = "not available: "
)

// describeLimits fills in what control groups do here, or what else.
func (l *Launcher) describeLimits(f *Facts, e map[string]string) {
	facts := l.groups.Facts()
	lacks := func(controller string) (string, bool) {
		return strings.CutPrefix(facts[controller], groupPrefix)
	}
	e["memory"], e["pids"], e["cpu"] = facts["memory"], facts["pids"], facts["cpu"]
	e["cpu_time"] = "counted by " + facts["cpuacct"] + "; RLIMIT_CPU of each process"
	if why, ok := lacks("memory"); ok {
		e["memory"] = looked + ", and RLIMIT_DATA of each process"
		f.Weak = append(f.Weak, fmt.Sprintf(noGroup, "memory", why, looked)+" Private files are not counted as memory; they have a limit of their own. One allocation of more than twice the limit is refused, and what the program makes of that is its own end.")
	}
	if why, ok := lacks("pids"); ok {
		e["pids"] = looked
		if l.countsByUser() {
			e["pids"] = "RLIMIT_NPROC, in a user namespace of the tree's own"
		} else {
			f.Weak = append(f.Weak, fmt.Sprintf(noGroup, "processes", why, looked))
		}
	}
	if why, ok := lacks("cpu"); ok {
		e["cpu"] = "affinity to as many processors"
		f.Weak = append(f.Weak, fmt.Sprintf("There is no control group for processors (%s): --cpus pins the tree to as many of them, a fraction is refused, and --priority has no effect.", why))
	}
	if why, ok := lacks("cpuacct"); ok {
		e["cpu_time"] = looked + "; RLIMIT_CPU of each process"
		f.Weak = append(f.Weak, fmt.Sprintf("There is no control group that counts processor time (%s): while a tree runs, what was orphaned and has ended may be missing; at its end the count is complete.", why))
	}
}

// describeBare changes what is different without namespaces.
func (l *Launcher) describeBare(f *Facts, e map[string]string, lock string) {
	e["isolation"] = lock + " and seccomp, without namespaces"
	e["namespaces"] = "none"
	e["files"] = lock + ", on the host's own paths"
	e["network"] = "seccomp: no sockets but pairs"
	e["processes"] = "seccomp"
	if l.landlock >= 6 {
		e["processes"] = "Landlock (signals), seccomp"
	}
	e["privileges"] = "no capabilities and no way to gain any (no_new_privs)"
	e["disk"] = "by measuring its private files four times a second"
	e["kill"] = "every descendant is stopped and then killed, orphans included, by a process that is the parent of orphans"
	if l.groups.Has("kill") {
		e["kill"] = l.groups.Facts()["kill"] + "; then every descendant"
	}
	e["cleanup"] = "private files are in a directory of the host, removed at the end, or by the next kernel"
	f.Weak = append(f.Weak,
		"Without namespaces a program sees which processes the host has and with which arguments (/proc), and where files are that it may not open.",
		"Without namespaces private files are on the host's disk, and their limit is held by measuring them: files that were removed while they are open are not seen.",
		"Without namespaces there are no files of its own in /etc, and no shared memory (/dev/shm, System V); what is not granted is there and refused (EACCES), where otherwise it would not be there.",
		"Without namespaces a tree that forks faster than it can be stopped outlives its run for as long as it does; that is reported.",
		"Without namespaces what a program started outlives its run if the process that launches for it is killed; the program itself is ended then, unless the kernel is killed as well.",
	)
}
