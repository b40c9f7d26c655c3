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
		missing: "Landlock is missing: files are protected by mounts alone.",
	}, {
		fs: unix.LANDLOCK_ACCESS_FS_REFER,
		missing: "Landlock 1 cannot grant renames and links between directories: programs get EXDEV for every one, " +
			"granted or not.",
	}, {
		fs:      unix.LANDLOCK_ACCESS_FS_TRUNCATE,
		missing: "Landlock 2 does not restrict truncation: what stops it is a read-only mount, and without namespaces nothing.",
	}, {
		net:     unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP,
		missing: "Landlock 3 does not restrict TCP: only the network namespace and the filter of system calls do.",
	}, {
		fs:      unix.LANDLOCK_ACCESS_FS_IOCTL_DEV,
		missing: "Landlock 4 does not restrict requests to devices: only the choice of devices in /dev does.",
	}, {
		scope: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL,
		missing: "Landlock 5 does not restrict signals and abstract unix sockets: only the pid and network namespaces do, " +
			"and without namespaces a program can signal every process of the same user.",
	},
	{}, // 7: what is logged
	{}, // 8: all threads at once
	{
		fs: unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX,
		missing: "Landlock 8 does not restrict connections to unix sockets with a name: only what is mounted does, " +
			"and without namespaces the filter refuses all unix sockets.",
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

// sizeAt is the size of the attributes that a kernel of that version knows; one
// turns down what is longer, even if it is all zero only from its own length on.
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
// most severe first; nothing for the latest version that is known.
func Describe(abi int) []string {
	var missing []string
	for _, v := range versions[min(max(abi, 0), newest):] {
		if v.missing != "" {
			missing = append(missing, v.missing)
		}
	}
	return missing
}
