//go:build linux && (amd64 || arm64)

package seccomp

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// model says what the filter should do, in the slowest and plainest way: by the
// table for what does not depend on arguments, and by a second telling of the
// clauses for what does.
func model(m machine, o Options, c call) uint32 {
	nosys := refused(unix.ENOSYS)
	if c.arch != m.arch {
		return nosys
	}
	name, ok := m.names[c.nr]
	if !ok {
		return nosys
	}
	switch r := m.rule(name, o); r.Verdict {
	case Refuse:
		return refused(r.Errno)
	case Inspect:
		if e := inspected(name, o, c.args); e != 0 {
			return refused(e)
		}
	}
	if o.Gate && (name == "execve" || name == "execveat") {
		return unix.SECCOMP_RET_USER_NOTIF
	}
	return unix.SECCOMP_RET_ALLOW
}

func inspected(name string, o Options, args [6]uint64) unix.Errno {
	var a [6]uint32
	for i := range a {
		a[i] = uint32(args[i])
	}
	if o.NoNamespaces {
		switch name {
		case "socket":
			switch a[0] {
			case 1, 2, 10:
				return unix.EACCES
			}
			return unix.EAFNOSUPPORT
		case "socketpair":
			if a[0] != 1 {
				return unix.EAFNOSUPPORT
			}
			if t := a[1] % 16; t != 1 && t != 5 {
				return unix.EACCES
			}
			return 0
		case "utimensat":
			if args[1] != 0 {
				return unix.EPERM
			}
			return 0
		case "prlimit64":
			if a[0] != 0 {
				return unix.EPERM
			}
			return 0
		case "setpriority":
			if a[0] != 0 {
				return unix.EPERM
			}
			return 0
		case "ioprio_set":
			if a[0] != 1 {
				return unix.EPERM
			}
			return 0
		}
	}
	setid := func(mode uint32) unix.Errno {
		if mode&0o4000 != 0 || mode&0o2000 != 0 {
			return unix.EPERM
		}
		return 0
	}
	create := func(flags, mode uint32) unix.Errno {
		if flags&0o100 != 0 || flags&0o20000000 != 0 {
			return setid(mode)
		}
		return 0
	}
	node := func(mode uint32) unix.Errno {
		switch mode & 0o170000 {
		case 0, 0o100000, 0o010000, 0o140000:
			return setid(mode)
		}
		return unix.EPERM
	}
	switch name {
	case "seccomp":
		if a[1]&8 != 0 {
			return unix.EPERM
		}
	case "clone":
		for _, flag := range []uint32{0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x8000} {
			if a[0]&flag != 0 {
				return unix.EPERM
			}
		}
	case "unshare":
		if a[0]|0x200|0x400|0x40000 != 0x200|0x400|0x40000 {
			return unix.EPERM
		}
	case "socket":
		switch a[0] {
		case 1:
			return 0
		case 16:
			if a[2] != 0 {
				return unix.EPROTONOSUPPORT
			}
		case 2, 10:
			if a[1]%16 > 2 {
				return unix.EPERM
			}
			switch {
			case a[2] == 0, a[2] == 6, a[2] == 17, a[2] == 1 && a[0] == 2, a[2] == 58 && a[0] == 10:
				return 0
			}
			return unix.EPROTONOSUPPORT
		default:
			return unix.EAFNOSUPPORT
		}
	case "socketpair":
		if a[0] != 1 {
			return unix.EAFNOSUPPORT
		}
	case "ioctl":
		switch a[1] {
		case 0x5412, 0x541c, 0x541d, 0x5423, 0x5437:
			return unix.EPERM
		case 0x40049409, 0x4020940d, 0xc0189436:
			return 0
		case 0x800c6613, 0xc0506617:
			return unix.ENOTTY
		}
		switch a[1] >> 8 {
		case 0x4b, 0x56, 0xff:
			return unix.ENOTTY
		}
		switch a[1] >> 8 & 0xff {
		case 0x94, 0xbc, 0xb7:
			return unix.ENOTTY
		}
	case "prctl":
		switch {
		case a[0] == 0x53564d41:
			return 0
		case a[0] == 35:
			return unix.EPERM
		case a[0] == 62, a[0] > 81:
			return unix.EINVAL
		}
	case "personality":
		switch a[0] {
		case 0, 8, 0x20000, 0x20008, 0x40000, 0x40008, 0x60000, 0x60008, 0xffffffff:
			return 0
		}
		return unix.EPERM
	case "fchmod", "chmod", "creat":
		return setid(a[1])
	case "fchmodat", "fchmodat2":
		return setid(a[2])
	case "open":
		return create(a[1], a[2])
	case "openat":
		return create(a[2], a[3])
	case "mknod":
		return node(a[1])
	case "mknodat":
		return node(a[2])
	default:
		panic("no model of " + name)
	}
	return 0
}

// argumentCases are inspected calls whose verdict is told a third time, by hand.
var argumentCases = []struct {
	name string
	args [6]uint64
	want unix.Errno
}{
	{"clone", [6]uint64{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, 0},
	{"clone", [6]uint64{0x3d0f00}, 0}, // a thread, as glibc asks for it
	{"clone", [6]uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, unix.EPERM},
	{"clone", [6]uint64{unix.CLONE_PARENT}, unix.EPERM},
	{"clone", [6]uint64{0xffffffff00000000 | unix.CLONE_NEWNS}, unix.EPERM},
	{"unshare", [6]uint64{unix.CLONE_FS | unix.CLONE_FILES}, 0},
	{"unshare", [6]uint64{unix.CLONE_NEWUSER}, unix.EPERM},
	{"unshare", [6]uint64{unix.CLONE_NEWTIME}, unix.EPERM},
	{"socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, 0}, 0},
	{"socket", [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, 0},
	{"socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, unix.EPROTONOSUPPORT},
	{"socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, unix.EPROTONOSUPPORT},
	{"socket", [6]uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, unix.EPERM},
	{"socket", [6]uint64{unix.AF_INET, unix.SOCK_PACKET, 0}, unix.EPERM},
	{"socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, 0},
	{"socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, unix.EPROTONOSUPPORT},
	{"socket", [6]uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, unix.EAFNOSUPPORT},
	{"socket", [6]uint64{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, unix.EAFNOSUPPORT},
	{"socket", [6]uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, unix.EAFNOSUPPORT},
	{"socket", [6]uint64{1<<32 | unix.AF_VSOCK, unix.SOCK_STREAM, 0}, unix.EAFNOSUPPORT},
	{"socketpair", [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, 0},
	{"socketpair", [6]uint64{unix.AF_TIPC, unix.SOCK_STREAM, 0}, unix.EAFNOSUPPORT},
	{"ioctl", [6]uint64{0, unix.TCGETS}, 0},
	{"ioctl", [6]uint64{0, unix.TIOCSCTTY}, 0},
	{"ioctl", [6]uint64{0, unix.TIOCGWINSZ}, 0},
	{"ioctl", [6]uint64{0, unix.TIOCSTI}, unix.EPERM},
	{"ioctl", [6]uint64{0, 0xffffffff00000000 | unix.TIOCSTI}, unix.EPERM}, // CVE-2019-10063
	{"ioctl", [6]uint64{0, unix.TIOCLINUX}, unix.EPERM},
	{"ioctl", [6]uint64{0, unix.TIOCSETD}, unix.EPERM},
	{"ioctl", [6]uint64{0, unix.TIOCCONS}, unix.EPERM},
	{"ioctl", [6]uint64{0, unix.FICLONE}, 0},
	{"ioctl", [6]uint64{0, unix.FICLONERANGE}, 0},
	{"ioctl", [6]uint64{0, unix.FIDEDUPERANGE}, 0},
	{"ioctl", [6]uint64{0, 0x50009417}, unix.ENOTTY},         // BTRFS_IOC_SNAP_CREATE_V2
	{"ioctl", [6]uint64{0, unix.FS_IOC_SETFLAGS}, 0},         // chattr
	{"ioctl", [6]uint64{0, unix.PIDFD_GET_INFO}, 0},          // systemd, glib
	{"ioctl", [6]uint64{0, unix.NS_GET_PARENT}, unix.ENOTTY}, // a namespace's parent
	{"ioctl", [6]uint64{0, unix.PIDFD_GET_MNT_NAMESPACE}, unix.ENOTTY},
	{"ioctl", [6]uint64{0, unix.FS_IOC_SET_ENCRYPTION_POLICY}, unix.ENOTTY},
	{"prctl", [6]uint64{unix.PR_SET_NAME}, 0},
	{"prctl", [6]uint64{unix.PR_SET_NO_NEW_PRIVS}, 0},
	{"prctl", [6]uint64{unix.PR_SET_SECCOMP}, 0},
	{"prctl", [6]uint64{unix.PR_SET_VMA}, 0},
	{"prctl", [6]uint64{unix.PR_SET_MM}, unix.EPERM},
	{"prctl", [6]uint64{unix.PR_SET_PTRACER}, unix.EINVAL},
	{"prctl", [6]uint64{unix.PR_SCHED_CORE}, unix.EINVAL},
	{"personality", [6]uint64{0xffffffff}, 0},
	{"personality", [6]uint64{0x0040000}, 0},
	{"personality", [6]uint64{0x0400000}, unix.EPERM}, // READ_IMPLIES_EXEC
	{"fchmod", [6]uint64{3, 0o1777}, 0},
	{"fchmod", [6]uint64{3, 0o4755}, unix.EPERM},
	{"fchmodat", [6]uint64{3, 0, 0o2755}, unix.EPERM},
	{"fchmodat2", [6]uint64{3, 0, 0o6755}, unix.EPERM},
	{"openat", [6]uint64{3, 0, unix.O_RDONLY, 0o4755}, 0},
	{"openat", [6]uint64{3, 0, unix.O_RDONLY | unix.O_DIRECTORY, 0o4755}, 0},
	{"openat", [6]uint64{3, 0, unix.O_CREAT, 0o644}, 0},
	{"openat", [6]uint64{3, 0, unix.O_CREAT, 0o4755}, unix.EPERM},
	{"openat", [6]uint64{3, 0, unix.O_TMPFILE | unix.O_RDWR, 0o2755}, unix.EPERM},
	{"mknodat", [6]uint64{3, 0, unix.S_IFIFO | 0o600}, 0},
	{"mknodat", [6]uint64{3, 0, 0o600}, 0},
	{"mknodat", [6]uint64{3, 0, unix.S_IFREG | 0o4755}, unix.EPERM},
	{"mknodat", [6]uint64{3, 0, unix.S_IFCHR | 0o600}, unix.EPERM},
	{"mknodat", [6]uint64{3, 0, unix.S_IFBLK | 0o600}, unix.EPERM},
	{"seccomp", [6]uint64{unix.SECCOMP_SET_MODE_FILTER, 0}, 0},
	{"seccomp", [6]uint64{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}, unix.EPERM},
}

func TestArguments(t *testing.T) {
	for _, m := range mustMachines(t) {
		f, err := assemble(m.arch, m.goarch, m.numbers, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range argumentCases {
			want := uint32(unix.SECCOMP_RET_ALLOW)
			if test.want != 0 {
				want = refused(test.want)
			}
			got, err := run(f, call{nr: numberOf(m, test.name), arch: m.arch, args: test.args}, false)
			if err != nil || got != want {
				t.Errorf("%s: %s%#x gives %#x, %v, want %#x", m.goarch, test.name, test.args, got, err, want)
			}
		}
	}
}

// TestArgumentsAgainstModel gives every inspected call values around those that
// its clauses speak of.
func TestArgumentsAgainstModel(t *testing.T) {
	for _, m := range mustMachines(t) {
		for _, o := range optionSets {
			f, err := assemble(m.arch, m.goarch, m.numbers, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range m.numbers {
				if m.rule(n.name, o).Verdict != Inspect {
					continue
				}
				check := func(args [6]uint64) {
					c := call{nr: n.nr, arch: m.arch, args: args}
					got, err := run(f, c, false)
					if want := model(m, o, c); err != nil || got != want {
						t.Fatalf("%s %+v: %s%#x gives %#x, %v, want %#x", m.goarch, o, n.name, args, got, err, want)
					}
				}
				values := valuesAround(n.name)
				for v := range values {
					for w := range values {
						check([6]uint64{v, w, 0, 0})
						check([6]uint64{2, v, w, 0})
						check([6]uint64{v, 1, w, 0})
						check([6]uint64{0, 0, v, w})
					}
				}
			}
		}
	}
}

func valuesAround(name string) map[uint64]bool {
	values := map[uint64]bool{0: true, 1: true, 3: true, 5: true, 1 << 32: true, ^uint64(0): true}
	for _, g := range slices.Concat(floor, bare) {
		if !slices.Contains(strings.Fields(g.names), name) {
			continue
		}
		for _, c := range g.clauses {
			for _, w := range c.when {
				for _, v := range []uint32{w.value, w.value + 1, w.value - 1, w.mask, ^w.mask, w.value | 1<<31, w.value | ^w.mask} {
					values[uint64(v)] = true
				}
				values[uint64(w.value)|5<<32] = true
			}
		}
	}
	return values
}
