package seccomp

import "golang.org/x/sys/unix"

// clause is one line of an inspection: if every test holds, the call is refused
// with errno, or allowed if that is zero. The first clause that applies decides;
// the last of an inspection has no tests.
type clause struct {
	when  []test
	errno unix.Errno
}

// test looks at one half of one argument. The lower half is all that the kernel
// looks at itself where the argument is an int.
type test struct {
	arg   uint8
	high  bool
	mask  uint32
	op    op
	value uint32
}

type op uint8

const (
	equal op = iota // argument & mask == value
	some            // argument & mask != 0
	above           // argument & mask > value
)

const all = ^uint32(0)

func is(arg uint8, v uint32) test           { return test{arg: arg, mask: all, value: v} }
func isHigh(arg uint8, v uint32) test       { return test{arg: arg, high: true, mask: all, value: v} }
func masked(arg uint8, mask, v uint32) test { return test{arg: arg, mask: mask, value: v} }
func has(arg uint8, mask uint32) test       { return test{arg: arg, mask: mask, op: some} }
func over(arg uint8, mask, v uint32) test   { return test{arg: arg, mask: mask, op: above, value: v} }

const (
	setID        = unix.S_ISUID | unix.S_ISGID
	sockTypeMask = 0xf // the rest of the argument is flags
	// creates are the flags with which an open looks at its mode: without them the
	// argument is whatever was in the register.
	creates = unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY
	// newNamespaces leaves out CLONE_NEWTIME, which to clone is part of a signal.
	newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

	ioprioWhoProcess = 1
	per32            = 0x8 // PER_LINUX32
	uname26          = 0x0020000
	noRandomize      = 0x0040000
	queryPersonality = 0xffffffff
	lastPrctl        = 81 // PR_SET_CFI, of Linux 7.0

	// The requests of ioctl whose constants differ between architectures in name
	// only.
	tiocsti        = 0x5412
	tioclinux      = 0x541c
	tioccons       = 0x541d
	tiocsetd       = 0x5423
	tiocvhangup    = 0x5437
	ficlone        = 0x40049409
	ficlonerng     = 0x4020940d
	fidedupe       = 0xc0189436
	setCryptPolicy = 0x800c6613
	magic          = 0xff00 // the byte of a request that names who serves it
	whole          = 0xffffff00
)

var seccompClauses = []clause{
	{when: []test{has(1, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)}, errno: unix.EPERM},
	{},
}

var cloneClauses = []clause{
	{when: []test{has(0, newNamespaces|unix.CLONE_PARENT)}, errno: unix.EPERM},
	{},
}

var unshareClauses = []clause{
	{when: []test{has(0, ^uint32(unix.CLONE_FS|unix.CLONE_FILES|unix.CLONE_SYSVSEM))}, errno: unix.EPERM},
	{},
}

var socketClauses = []clause{
	{when: []test{is(0, unix.AF_UNIX)}},
	{when: []test{is(0, unix.AF_NETLINK), is(2, unix.NETLINK_ROUTE)}},
	{when: []test{is(0, unix.AF_NETLINK)}, errno: unix.EPROTONOSUPPORT},
	// Raw and packet sockets take a capability that no program has; of the other
	// types none has a protocol that is allowed.
	{when: []test{is(0, unix.AF_INET), over(1, sockTypeMask, unix.SOCK_DGRAM)}, errno: unix.EPERM},
	{when: []test{is(0, unix.AF_INET6), over(1, sockTypeMask, unix.SOCK_DGRAM)}, errno: unix.EPERM},
	{when: []test{is(0, unix.AF_INET), is(2, unix.IPPROTO_IP)}},
	{when: []test{is(0, unix.AF_INET), is(2, unix.IPPROTO_ICMP)}},
	{when: []test{is(0, unix.AF_INET), is(2, unix.IPPROTO_TCP)}},
	{when: []test{is(0, unix.AF_INET), is(2, unix.IPPROTO_UDP)}},
	{when: []test{is(0, unix.AF_INET)}, errno: unix.EPROTONOSUPPORT},
	{when: []test{is(0, unix.AF_INET6), is(2, unix.IPPROTO_IP)}},
	{when: []test{is(0, unix.AF_INET6), is(2, unix.IPPROTO_TCP)}},
	{when: []test{is(0, unix.AF_INET6), is(2, unix.IPPROTO_UDP)}},
	{when: []test{is(0, unix.AF_INET6), is(2, unix.IPPROTO_ICMPV6)}},
	{when: []test{is(0, unix.AF_INET6)}, errno: unix.EPROTONOSUPPORT},
	{errno: unix.EAFNOSUPPORT},
}

var socketpairClauses = []clause{
	{when: []test{is(0, unix.AF_UNIX)}},
	{errno: unix.EAFNOSUPPORT},
}

// The answers are those of a terminal or file system that does not know the
// request, except where a program asks for the terminal itself.
var ioctlClauses = []clause{
	{when: []test{is(1, tiocsti)}, errno: unix.EPERM},
	{when: []test{is(1, tioclinux)}, errno: unix.EPERM},
	{when: []test{is(1, tioccons)}, errno: unix.EPERM},
	{when: []test{is(1, tiocsetd)}, errno: unix.EPERM},
	{when: []test{is(1, tiocvhangup)}, errno: unix.EPERM},
	{when: []test{masked(1, whole, 0x4b00)}, errno: unix.ENOTTY}, // the console's keyboard and fonts
	{when: []test{masked(1, whole, 0x5600)}, errno: unix.ENOTTY}, // virtual terminals
	{when: []test{is(1, ficlone)}},
	{when: []test{is(1, ficlonerng)}},
	{when: []test{is(1, fidedupe)}},
	{when: []test{masked(1, magic, 0x9400)}, errno: unix.ENOTTY}, // btrfs
	{when: []test{masked(1, magic, 0xbc00)}, errno: unix.ENOTTY}, // bcachefs
	{when: []test{masked(1, magic, 0xb700)}, errno: unix.ENOTTY}, // a namespace's relatives
	{when: []test{masked(1, whole, 0xff00)}, errno: unix.ENOTTY}, // a process's namespaces
	{when: []test{is(1, setCryptPolicy)}, errno: unix.ENOTTY},
	{when: []test{is(1, unix.FS_IOC_ADD_ENCRYPTION_KEY)}, errno: unix.ENOTTY},
	{},
}

var prctlClauses = []clause{
	{when: []test{is(0, unix.PR_SET_VMA)}},
	{when: []test{is(0, unix.PR_SET_MM)}, errno: unix.EPERM},
	{when: []test{is(0, unix.PR_SCHED_CORE)}, errno: unix.EINVAL},
	// PR_SET_PTRACER is among these; the answer is that of a kernel without Yama.
	{when: []test{over(0, all, lastPrctl)}, errno: unix.EINVAL},
	{},
}

var personalityClauses = []clause{
	{when: []test{is(0, queryPersonality)}},
	{when: []test{has(0, ^uint32(per32|uname26|noRandomize))}, errno: unix.EPERM},
	{},
}

// modeClauses are for a call whose argument is a mode.
func modeClauses(mode uint8) []clause {
	return []clause{
		{when: []test{has(mode, setID)}, errno: unix.EPERM},
		{},
	}
}

// createClauses are for a call whose mode counts only with some flags.
func createClauses(flags, mode uint8) []clause {
	return []clause{
		{when: []test{has(mode, setID), has(flags, creates)}, errno: unix.EPERM},
		{},
	}
}

// nodeClauses are for a call whose mode says what to make.
func nodeClauses(mode uint8) []clause {
	return []clause{
		{when: []test{has(mode, setID)}, errno: unix.EPERM},
		{when: []test{masked(mode, unix.S_IFMT, 0)}}, // a regular file, too
		{when: []test{masked(mode, unix.S_IFMT, unix.S_IFREG)}},
		{when: []test{masked(mode, unix.S_IFMT, unix.S_IFIFO)}},
		{when: []test{masked(mode, unix.S_IFMT, unix.S_IFSOCK)}},
		{errno: unix.EPERM},
	}
}
