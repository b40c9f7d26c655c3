package attempt

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// proof is how it is told that an attempt succeeded.
type proof uint8

const (
	byAnswer  proof = iota // the call did not fail, or in a way that shows it got through
	byContent              // what it read is the bait's
	bySight                // the host saw it
)

// violation is something that a program must not be able to do.
type violation struct {
	name    string // stable
	what    string // for people: what is tried
	call    string // that decides
	proof   proof
	through []unix.Errno         // errors that come only after every check
	filter  []unix.Errno         // how the seccomp filter answers these arguments, if it looks at arguments
	by      map[unix.Errno]layer // who stops it, where the error alone does not say
	try     func(o *Order) answer
}

// violations are tried in this order: the last one ends the bystander.
var violations = []violation{
	{name: "secret", what: "read a file that was not granted", call: "openat", proof: byContent,
		try: func(o *Order) answer { return read(o.Secret) }},
	{name: "symlink", what: "leave a read grant by a symbolic link", call: "openat", proof: byContent,
		try: func(o *Order) answer {
			return first(func() answer { return read(o.Shown + "/" + absoluteLink) }, func() answer { return read(o.Shown + "/" + relativeLink) })
		}},
	{name: "own_symlink", what: "leave a write grant by a link of its own", call: "openat", proof: byContent, try: ownLink},
	{name: "dotdot", what: "leave a grant upwards", call: "openat", proof: byContent,
		try: func(o *Order) answer { return read(o.Shown + "/../" + filepath.Base(o.Secret)) }},
	{name: "proc_root", what: "leave its root through /proc", call: "openat", proof: byContent, by: map[unix.Errno]layer{unix.EACCES: layerTrace},
		try: func(o *Order) answer {
			return first(func() answer { return read("/proc/1/root" + o.Secret) }, func() answer { return read("/proc/self/root" + o.Secret) },
				func() answer { return read("/proc/" + strconv.Itoa(o.Bystander) + "/root" + o.Secret) })
		}},
	{name: "deny", what: "read what is denied inside a grant", call: "openat", proof: byContent, by: map[unix.Errno]layer{unix.EACCES: layerMask},
		try: func(o *Order) answer { return read(o.Shown + "/" + deniedFile) }},
	{name: "state", what: "open the state directory", call: "openat",
		try: func(o *Order) answer {
			if o.State == "" {
				return answer{skip: "there is no state directory"}
			}
			return open(o.State, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		}},
	{name: "write_read_grant", what: "change a read grant", call: "openat",
		try: func(o *Order) answer {
			return first(func() answer { return open(o.Shown+"/"+plainFile, unix.O_WRONLY, 0) }, func() answer { return create(o.Shown) })
		}},
	{name: "protected", what: "change a hook of a repository in a write grant", call: "openat", by: map[unix.Errno]layer{unix.EROFS: layerFrozen},
		try: func(o *Order) answer {
			return first(func() answer { return open(o.Repo+"/"+hookFile, unix.O_WRONLY, 0) }, func() answer { return create(filepath.Dir(o.Repo + "/" + hookFile)) })
		}},
	{name: "setuid_bit", what: "leave a set-user-ID file in a write grant", call: "fchmod", filter: []unix.Errno{unix.EPERM}, try: setuidBit},
	{name: "device_node", what: "make a device node", call: "mknodat", filter: []unix.Errno{unix.EPERM},
		try: func(o *Order) answer {
			p := o.Room + "/device"
			a := answered("mknodat", unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
			return cleared(a, p)
		}},
	{name: "devices", what: "open the host's memory and kernel log", call: "openat",
		try: func(*Order) answer {
			return first(func() answer { return open("/dev/mem", unix.O_RDONLY, 0) }, func() answer { return open("/dev/kmsg", unix.O_RDONLY, 0) },
				func() answer { return open("/proc/kcore", unix.O_RDONLY, 0) })
		}},
	{name: "usr", what: "write to /usr", call: "openat",
		try: func(*Order) answer {
			return first(func() answer { return create("/usr") }, func() answer { return open("/usr/bin/env", unix.O_WRONLY, 0) })
		}},
	{name: "sysctl", what: "change a setting of the host's kernel", call: "openat",
		try: func(*Order) answer {
			return first(func() answer { return open("/proc/sys/kernel/core_pattern", unix.O_WRONLY, 0) },
				func() answer { return open("/proc/sysrq-trigger", unix.O_WRONLY, 0) })
		}},
	{name: "sys", what: "look into /sys", call: "openat",
		try: func(*Order) answer { return open("/sys/kernel", unix.O_RDONLY|unix.O_DIRECTORY, 0) }},
	{name: "descriptors", what: "find a descriptor that was left open", call: "fcntl", try: leaked,
		by: map[unix.Errno]layer{unix.EBADF: layerClosed}},
	{name: "terminal", what: "open the user's terminal", call: "openat", by: map[unix.Errno]layer{unix.ENXIO: layerSession},
		try: func(*Order) answer { return open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY, 0) }},
	{name: "tiocsti", what: "type into a terminal", call: "ioctl", filter: []unix.Errno{unix.EPERM}, try: tiocsti},

	{name: "connect_host", what: "connect to the host's loopback", call: "connect", proof: bySight,
		try: func(o *Order) answer {
			return connect(unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{Port: o.Port, Addr: [4]byte{127, 0, 0, 1}})
		}},
	{name: "connect_out", what: "find a way to the internet", call: "connect",
		try: func(*Order) answer { // connecting a datagram socket sends nothing
			return first(func() answer {
				return connect(unix.AF_INET, unix.SOCK_DGRAM, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{192, 0, 2, 1}})
			}, func() answer {
				return connect(unix.AF_INET6, unix.SOCK_DGRAM, &unix.SockaddrInet6{Port: 9, Addr: [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}})
			})
		}},
	{name: "abstract_socket", what: "connect to an abstract socket of the host", call: "connect", proof: bySight,
		by: map[unix.Errno]layer{unix.ECONNREFUSED: layerNet, unix.EPERM: layerLandlock},
		try: func(o *Order) answer {
			return connect(unix.AF_UNIX, unix.SOCK_STREAM, &unix.SockaddrUnix{Name: "@" + o.Abstract})
		}},
	{name: "raw_socket", what: "make a raw socket", call: "socket", filter: []unix.Errno{unix.EPERM, unix.EAFNOSUPPORT, unix.EACCES},
		try: func(*Order) answer {
			return first(func() answer {
				return making("socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
			},
				func() answer { return making("socket", unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0) })
		}},
	{name: "vsock", what: "make a socket to the hypervisor", call: "socket", filter: []unix.Errno{unix.EAFNOSUPPORT},
		try: func(*Order) answer { return making("socket", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0) }},
	{name: "shared_memory", what: "attach the host's shared memory", call: "shmat", proof: byContent, by: map[unix.Errno]layer{unix.EINVAL: layerIPC}, try: segment},

	{name: "ptrace_sibling", what: "trace another process of its own", call: "ptrace",
		try: func(*Order) answer { return withChild(seize) }},
	{name: "peek_sibling", what: "read another process's memory", call: "process_vm_readv",
		try: func(*Order) answer { return withChild(peek) }},
	{name: "user_namespace", what: "make a nested user namespace", call: "clone", filter: []unix.Errno{unix.EPERM},
		try: func(*Order) answer {
			pid, errno := fork(unix.CLONE_NEWUSER, false, &unix.Timespec{})
			if errno == 0 {
				if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
					return answer{skip: err.Error()}
				}
			}
			return answer{errno: errno}
		}},
	{name: "mount_namespace", what: "make a nested mount namespace", call: "unshare", filter: []unix.Errno{unix.EPERM},
		try: func(*Order) answer {
			return astray(func() answer { return answered("unshare", unix.Unshare(unix.CLONE_NEWNS)) })
		}},
	{name: "setns", what: "enter a namespace", call: "setns",
		try: func(*Order) answer {
			fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return answered("openat", err)
			}
			a := astray(func() answer { return answered("setns", unix.Setns(fd, unix.CLONE_NEWNET)) })
			_ = unix.Close(fd) // only a name
			return a
		}},
	{name: "mount", what: "mount a file system", call: "mount", through: []unix.Errno{unix.ENODEV},
		try: func(o *Order) answer {
			return first(func() answer { return answered("mount", unix.Mount("none", o.Room, "agentos-no-such", 0, "")) },
				func() answer {
					fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
					if err == nil {
						_ = unix.Close(fd) // that it was made is the answer
					}
					return answered("open_tree", err)
				})
		}},
	{name: "chroot", what: "change its root", call: "chroot",
		try: func(*Order) answer { return answered("chroot", unix.Chroot("/")) }},
	{name: "open_by_handle", what: "open files by number, past every mount", call: "open_by_handle_at", through: []unix.Errno{unix.ESTALE},
		try: func(*Order) answer { return byHandle() }},
	{name: "module", what: "load a module into the kernel", call: "finit_module", through: []unix.Errno{unix.EBADF},
		try: func(*Order) answer { return module() }},
	{name: "reboot", what: "stop the machine", call: "reboot", through: []unix.Errno{unix.EINVAL},
		try: func(*Order) answer { return call("reboot", unix.SYS_REBOOT, 0, 0, 0, 0) }},
	{name: "bpf", what: "load a BPF map into the kernel", call: "bpf", try: func(*Order) answer { return bpf() }},
	{name: "perf", what: "count events of the kernel", call: "perf_event_open", try: func(*Order) answer { return perf() }},
	{name: "io_uring", what: "make calls past the filter (io_uring)", call: "io_uring_setup", try: func(*Order) answer { return ring() }},
	{name: "userfaultfd", what: "hold up the kernel's copies (userfaultfd)", call: "userfaultfd",
		try: func(*Order) answer { return making("userfaultfd", unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly) }},
	{name: "keyring", what: "use the user's keyring", call: "keyctl",
		try: func(*Order) answer {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, false)
			return answered("keyctl", err)
		}},
	{name: "hostname", what: "rename the host", call: "sethostname", try: rename},
	{name: "identity", what: "become another user", call: "setresuid", by: map[unix.Errno]layer{unix.EINVAL: layerUser},
		try: func(*Order) answer {
			id := uintptr(unix.Geteuid() + 4321)
			return astray(func() answer { return call("setresuid", unix.SYS_SETRESUID, id, id, id) })
		}},
	{name: "raise_limit", what: "raise its own limits", call: "prlimit64",
		try: func(*Order) answer {
			var l unix.Rlimit
			if err := unix.Prlimit(0, unix.RLIMIT_CORE, nil, &l); err != nil {
				return answered("prlimit64", err)
			}
			if l.Max == unix.RLIM_INFINITY {
				return answer{} // nothing was limited
			}
			return answered("prlimit64", unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{Cur: l.Cur, Max: l.Max + 1}, nil))
		}},

	{name: "environ", what: "read another process's environment", call: "openat", proof: byContent, by: map[unix.Errno]layer{unix.ENOENT: layerPID, unix.EACCES: layerTrace},
		try: func(o *Order) answer { return read("/proc/" + strconv.Itoa(o.Bystander) + "/environ") }},
	{name: "ptrace_outside", what: "trace a process outside", call: "ptrace",
		try: func(o *Order) answer { return seize(o.Bystander) }},
	{name: "signal_outside", what: "signal a process outside", call: "kill", proof: bySight, by: map[unix.Errno]layer{unix.EPERM: layerLandlock},
		try: func(o *Order) answer { return answered("kill", unix.Kill(o.Bystander, unix.SIGWINCH)) }},
}

const userModeOnly = 1 // UFFD_USER_MODE_ONLY

// create makes a file in a directory, and removes it.
func create(dir string) answer {
	p := dir + "/." + baitPrefix + strconv.Itoa(os.Getpid())
	return cleared(open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600), p)
}

// cleared removes what an attempt made.
func cleared(a answer, path string) answer {
	if a.errno == 0 {
		_ = unix.Unlink(path) // that it was made is the answer; bait is removed anyway
	}
	return a
}

func ownLink(o *Order) answer {
	p := o.Room + "/link"
	if err := unix.Symlink(o.Secret, p); err != nil {
		return answer{skip: "no link of its own: " + err.Error()}
	}
	a := read(p)
	if err := unix.Unlink(p); err != nil {
		return answer{skip: "its link stays: " + err.Error()}
	}
	return a
}

func setuidBit(o *Order) answer {
	p := o.Room + "/program"
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o700)
	if err != nil {
		return answer{skip: "no file in the write grant: " + err.Error()}
	}
	a := answered("fchmod", unix.Fchmod(fd, 0o4755))
	_ = unix.Close(fd) // nothing was written
	if err := unix.Unlink(p); err != nil {
		return answer{skip: "its file stays: " + err.Error()}
	}
	return a
}

// leaked looks for descriptors that are neither the standard streams nor the Go
// runtime's own. None is EBADF, what using one would give.
func leaked(*Order) answer {
	for fd := 3; fd < 1024; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			continue // closed meanwhile
		}
		if name != "anon_inode:[eventpoll]" && name != "anon_inode:[eventfd]" && !strings.HasPrefix(name, "anon_inode:[pidfd") {
			return answer{got: []byte(name)}
		}
	}
	return answer{errno: unix.EBADF}
}

func tiocsti(*Order) answer {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = 0 // the filter does not ask what it is
	} else {
		defer func() { _ = unix.Close(fd) }() // nothing was written
	}
	return typeInto(fd)
}

func connect(family, kind int, to unix.Sockaddr) answer {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return answered("socket", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	return answered("connect", unix.Connect(fd, to))
}

func segment(o *Order) answer {
	b, err := unix.SysvShmAttach(o.Segment, 0, unix.SHM_RDONLY)
	if err != nil {
		return answered("shmat", err)
	}
	a := answer{got: []byte(strings.Clone(string(b[:min(len(b), 64)])))}
	if err := unix.SysvShmDetach(b); err != nil {
		a.skip = err.Error()
	}
	return a
}

func rename(*Order) answer {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return answered("uname", err)
	}
	return answered("sethostname", unix.Sethostname([]byte(unix.ByteSliceToString(u.Nodename[:]))))
}
