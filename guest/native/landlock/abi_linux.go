package landlock

import "golang.org/x/sys/unix"

// ruleNetPort is LANDLOCK_RULE_NET_PORT.
const ruleNetPort = 2

// version is what one version of the interface brought, and what a kernel that
// is older leaves open.
type version struct {
	fs, net, scope uint64
	missing        string // "" if nothing that the floor relies on
}

// versions are in order, the first being 1.
var versions = [newest]version{
	{
		fs:      unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1,
		missing: "Landlock is missing: only mounts protect files, and without namespaces nothing does.",
	}, {
		fs: unix.LANDLOCK_ACCESS_FS_REFER,
		missing: "Without Landlock 2 renames and links between directories cannot be granted: " +
			"where Landlock is, every one fails with EXDEV.",
	}, {
		fs: unix.LANDLOCK_ACCESS_FS_TRUNCATE,
		missing: "Without Landlock 3 truncation is not restricted: only a read-only mount stops it, " +
			"and without namespaces nothing does.",
	}, {
		net: unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP,
		missing: "Without Landlock 4 TCP is not restricted: only the network namespace does that, " +
			"and without namespaces the filter of system calls.",
	}, {
		fs: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV,
		missing: "Without Landlock 5 requests to devices are not restricted: only what /dev holds limits them, " +
			"and without namespaces the permissions of the user.",
	}, {
		scope: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL,
		missing: "Without Landlock 6 signals and abstract unix sockets are not restricted: only the pid and network " +
			"namespaces do that, and without namespaces a program can signal every process of its user.",
	},
	{}, // 7: what is logged
	{}, // 8: all threads at once
	{
		fs: unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX,
		missing: "Without Landlock 9 connections to unix sockets that have a name are not restricted: only the choice " +
			"of mounts does that, and without namespaces the filter of system calls refuses every unix socket.",
	},
}

// handled returns the rights that a ruleset refuses unless a rule grants them.
func handled(abi int, o Options) unix.LandlockRulesetAttr {
	var attr unix.LandlockRulesetAttr
	for _, v := range versions[:abi] {
		attr.Handled_access_fs |= v.fs
		attr.Handled_access_net |= v.net
		attr.Scoped |= v.scope
	}
	if o.AnyTCP {
		attr.Handled_access_net = 0
	}
	if o.AnySocket {
		attr.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
		attr.Scoped &^= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	if o.AnySignal {
		attr.Scoped &^= unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// sizeAt is how much of the attributes a kernel of that version knows. It turns
// down more unless the rest is zero, and to say less is to handle less.
func sizeAt(abi int) uintptr {
	switch {
	case abi < 4:
		return 8
	case abi < 6:
		return 16
	default:
		return 24
	}
}

// Describe returns what a kernel of that version leaves open, a sentence each,
// and nothing for the latest version that this package knows.
func Describe(abi int) []string {
	var missing []string
	for _, v := range versions[min(max(abi, 0), newest):] {
		if v.missing != "" {
			missing = append(missing, v.missing)
		}
	}
	return missing
}
