package seccomp

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Verdict is what the filter does with a call.
type Verdict uint8

// The verdicts. The zero value is the one that lets nothing through.
const (
	Refuse  Verdict = iota // fails with the rule's error number
	Allow                  // goes through, whatever its arguments
	Inspect                // depends on its arguments; what is refused fails with the rule's error number
)

var verdictNames = [...]string{Refuse: "refuse", Allow: "allow", Inspect: "inspect"}

func (v Verdict) String() string { return verdictNames[v] }

// Rule says what the floor does with one call.
type Rule struct {
	Name    string // as the kernel spells it
	Arch    string // the one architecture that has the call, as Go spells it; "" if both have it
	Verdict Verdict
	Errno   unix.Errno // of what is refused; of an Inspect, of its first clause that refuses
	Why     string     // a clause of a sentence; empty only where the call is simply allowed
}

// Rules returns the whole table, sorted by name. It is the same on every
// architecture.
func Rules() []Rule { return flatten(floor) }

// WithoutNamespaces returns the rules that replace those of the same name where
// no namespaces stand behind the filter, sorted by name. Some of what a pid
// namespace stops a filter cannot: whom a signal, a priority, or an affinity is
// meant for. Landlock restricts signals, from version 6 on; the others reach
// every process of the same user.
func WithoutNamespaces() []Rule { return flatten(bare) }

func flatten(groups []group) []Rule {
	var rules []Rule
	for i := range groups {
		g := &groups[i]
		for name := range strings.FieldsSeq(g.names) {
			rules = append(rules, Rule{Name: name, Arch: g.arch, Verdict: g.verdict(), Errno: g.refusal(), Why: g.why})
		}
	}
	slices.SortFunc(rules, func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
	return rules
}

// number is the number of a call on the architecture that is being built.
type number struct {
	name string
	nr   uint32
}

// group are calls that are treated alike. One with neither errno nor clauses is
// allowed.
type group struct {
	names   string // separated by white space
	arch    string
	errno   unix.Errno
	clauses []clause
	why     string
	// metadata marks what Options.Metadata does without.
	metadata bool
}

func (g *group) verdict() Verdict {
	switch {
	case g.clauses != nil:
		return Inspect
	case g.errno != 0:
		return Refuse
	default:
		return Allow
	}
}

func (g *group) refusal() unix.Errno {
	for _, c := range g.clauses {
		if c.errno != 0 {
			return c.errno
		}
	}
	return g.errno
}

// floor is the table. ENOSYS is for what programs know how to do without, since
// kernels without it are common; EPERM for what only a privileged program asks
// for and is used to be refused.
var floor = []group{
	{names: `
		read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
		lseek close close_range dup dup3 fcntl flock fsync fdatasync sync syncfs
		sync_file_range fadvise64 fallocate ftruncate truncate readahead
		sendfile splice tee vmsplice copy_file_range pipe2
		fstat newfstatat statx statfs fstatfs faccessat faccessat2 readlinkat
		getcwd chdir fchdir getdents64
		mkdirat unlinkat renameat renameat2 linkat symlinkat utimensat umask
		fchown fchownat
		epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 ppoll pselect6 eventfd2
		signalfd4 timerfd_create timerfd_gettime timerfd_settime
		inotify_init1 inotify_add_watch inotify_rm_watch
		io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
		memfd_create`},
	{names: `
		access chown dup2 epoll_create epoll_wait eventfd futimesat getdents
		inotify_init lchown link lstat mkdir pipe poll readlink rename rmdir select
		signalfd stat symlink unlink utime utimes`, arch: "amd64"},
	{names: `
		getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr getxattrat listxattrat
		setxattr lsetxattr fsetxattr setxattrat
		removexattr lremovexattr fremovexattr removexattrat`,
		why: "a filter cannot read the attribute's name: security.capability and trusted.* take capabilities, which no program has or can get, and mounts are nosuid"},

	{names: `
		brk mmap munmap mprotect mremap madvise msync mincore mlock mlock2 munlock
		mlockall munlockall mseal map_shadow_stack remap_file_pages membarrier
		pkey_alloc pkey_free pkey_mprotect
		mbind get_mempolicy set_mempolicy set_mempolicy_home_node`},

	{names: `
		exit exit_group wait4 waitid execve execveat
		getpid getppid gettid getpgid setpgid getsid setsid
		getuid geteuid getgid getegid getgroups getresuid getresgid
		setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
		capget capset getrlimit setrlimit prlimit64 getrusage times getpriority setpriority
		ioprio_get ioprio_set getcpu rseq rseq_slice_yield
		set_tid_address set_robust_list get_robust_list restart_syscall
		sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr
		sched_getparam sched_setparam sched_getscheduler sched_setscheduler
		sched_get_priority_max sched_get_priority_min sched_rr_get_interval
		futex futex_wait futex_waitv futex_wake futex_requeue`},
	{names: `arch_prctl fork getpgrp pause time vfork`, arch: "amd64"},
	{names: `uprobe uretprobe`, arch: "amd64",
		why: "only the trampoline of a probe that the host's administrator placed makes these calls, and a program in which it fails is killed"},
	{names: `
		kill tkill tgkill pidfd_open pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo
		rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack`,
		why: "the pid namespace and Landlock's scope decide whom a signal reaches"},

	{names: `
		clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday getitimer setitimer
		timer_create timer_delete timer_getoverrun timer_gettime timer_settime
		uname sysinfo getrandom`},
	{names: `alarm`, arch: "amd64"},

	{names: `
		bind connect listen accept accept4 shutdown getsockname getpeername getsockopt setsockopt
		sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg`,
		why: "what a socket may reach was decided when it was made, and by the network namespace"},
	{names: `
		shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
		mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr`,
		why: "the ipc namespace is the program's own"},

	{names: `landlock_create_ruleset landlock_add_rule landlock_restrict_self`,
		why: "a program may only restrict itself further"},
	{names: `seccomp`, clauses: seccompClauses,
		why: "a program may only restrict itself further; a listener of its own would answer in place of the floor's, since of two notifications the newer filter's counts"},

	// What depends on the arguments.
	{names: `clone`, clauses: cloneClauses,
		why: "no new namespaces, and no child of the program's parent, which is the kernel"},
	{names: `unshare`, clauses: unshareClauses,
		why: "new namespaces bring capabilities in them and with those most of the kernel's attack surface"},
	{names: `clone3`, errno: unix.ENOSYS,
		why: "its flags are in memory, which a filter cannot read; libraries fall back on clone"},
	{names: `socket`, clauses: socketClauses,
		why: "only unix, TCP, UDP, ping, and route sockets: other families and protocols leave the network namespace (vsock), escape Landlock's rules on TCP (MPTCP, SCTP, SMC), or are seldom tested parts of the kernel"},
	{names: `socketpair`, clauses: socketpairClauses,
		why: "only unix sockets come in pairs"},
	{names: `ioctl`, clauses: ioctlClauses,
		why: "requests that type into or take over a terminal (TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS, TIOCVHANGUP, the console's), that pass by the mounts (those of btrfs and bcachefs but for reflinks: a snapshot shows what is masked), that leave something behind in a granted file system (encryption keys), or that hand out namespaces"},
	{names: `prctl`, clauses: prctlClauses,
		why: "PR_SET_MM lets a program lie about what it is; PR_SET_PTRACER and PR_SCHED_CORE act on others; options that are not known yet do not exist"},
	{names: `personality`, clauses: personalityClauses,
		why: "only to ask, for uname's answers, and without randomized addresses; other personalities weaken the protection of memory"},
	{names: `fchmod`, clauses: modeClauses(1), why: whySetuid},
	{names: `fchmodat fchmodat2`, clauses: modeClauses(2), why: whySetuid},
	{names: `chmod`, arch: "amd64", clauses: modeClauses(1), why: whySetuid},
	{names: `openat`, clauses: createClauses(2, 3), why: whySetuid},
	{names: `open`, arch: "amd64", clauses: createClauses(1, 2), why: whySetuid},
	{names: `creat`, arch: "amd64", clauses: modeClauses(1), why: whySetuid},
	{names: `openat2`, errno: unix.ENOSYS,
		why: "its mode is in memory, which a filter cannot read; programs fall back on openat"},
	{names: `mknodat`, clauses: nodeClauses(2), why: whyNode},
	{names: `mknod`, arch: "amd64", clauses: nodeClauses(1), why: whyNode},

	// Other processes.
	{names: `ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease`, errno: unix.EPERM,
		why: "reads or changes other processes, and is how most sandboxes were left"},
	{names: `move_pages migrate_pages`, errno: unix.EPERM,
		why: "moves the memory of other processes and tells where it is"},

	// Mounts and namespaces.
	{names: `mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr`, errno: unix.EPERM,
		why: "the view is made before the program starts and stays as it is"},
	{names: `statmount listmount listns`, errno: unix.ENOSYS,
		why: "tells about mounts and namespaces what nothing needs; programs read /proc"},
	{names: `setns`, errno: unix.EPERM, why: "enters another namespace"},
	{names: `sethostname setdomainname`, errno: unix.EPERM, why: "the name is the host's to give"},
	{names: `open_by_handle_at`, errno: unix.EPERM,
		why: "opens files by number, past every mount and mask"},
	{names: `name_to_handle_at`, errno: unix.EOPNOTSUPP,
		why: "is of use only to open by handle; the answer is that of a file system without handles"},
	{names: `fanotify_init fanotify_mark`, errno: unix.EPERM,
		why: "watches whole mounts and hands out descriptors of what others open"},

	// Wide interfaces to the kernel.
	{names: `bpf perf_event_open`, errno: unix.EPERM,
		why: "runs programs in the kernel or watches it at work"},
	{names: `userfaultfd`, errno: unix.EPERM,
		why: "stops the kernel in the middle of a copy for as long as the program likes, which is what makes races in it usable"},
	{names: `io_uring_setup io_uring_enter io_uring_register`, errno: unix.EPERM,
		why: "makes calls that no filter sees; programs fall back on epoll or threads"},
	{names: `add_key request_key keyctl`, errno: unix.EPERM,
		why: "keyrings are not divided by namespaces"},
	{names: `modify_ldt`, arch: "amd64", errno: unix.ENOSYS,
		why: "16-bit segments are of use to Wine alone, and a rich source of faults in the kernel"},
	{names: `memfd_secret`, errno: unix.ENOSYS,
		why: "takes pages out of the kernel's own map for good and hides them from whoever must account for them"},
	{names: `cachestat`, errno: unix.ENOSYS,
		why: "tells which pages of the host's files others have used"},
	{names: `lsm_get_self_attr lsm_set_self_attr lsm_list_modules`, errno: unix.ENOSYS,
		why: "the host's security modules are not the program's to configure"},
	{names: `file_getattr file_setattr`, errno: unix.ENOSYS,
		why: "what it sets is in memory, which a filter cannot read; programs fall back on ioctl"},

	// The machine.
	{names: `init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog`, errno: unix.EPERM,
		why: "administers the host"},
	{names: `settimeofday clock_settime adjtimex clock_adjtime`, errno: unix.EPERM,
		why: "the clock is the host's"},
	{names: `iopl ioperm`, arch: "amd64", errno: unix.EPERM, why: "speaks to the hardware"},
	{names: `vhangup`, errno: unix.EPERM, why: "takes a terminal from everybody who has it open"},

	// What kernels no longer have, or never had.
	{names: `lookup_dcookie nfsservctl`, errno: unix.ENOSYS, why: whyGone},
	{names: `
		_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area
		getpmsg putpmsg query_module security set_thread_area sysfs tuxcall uselib ustat vserver`,
		arch: "amd64", errno: unix.ENOSYS, why: whyGone},
}

const (
	whySetuid = "no set-user-ID or set-group-ID bits: a nosuid mount makes them harmless to the program, but in a granted directory they would stay for the host to find"
	whyNode   = "only files, pipes, and sockets, without set-user-ID bits: a device is a door to the host"
	whyGone   = "kernels no longer have it, or it is an obsolete question that nothing needs answered"
)

// bare replaces rules of the floor where no namespaces stand behind the filter.
// What it adds is what Landlock does not restrict and only a namespace would.
var bare = []group{
	{names: `socket`, clauses: []clause{
		{when: []test{is(0, unix.AF_UNIX)}, errno: unix.EACCES},
		{when: []test{is(0, unix.AF_INET)}, errno: unix.EACCES},
		{when: []test{is(0, unix.AF_INET6)}, errno: unix.EACCES},
		{errno: unix.EAFNOSUPPORT},
	}, why: "every network that there is would be the host's, and so would every unix socket with a name: a session bus starts programs outside"},
	{names: `socketpair`, clauses: []clause{
		{when: []test{is(0, unix.AF_UNIX), masked(1, sockTypeMask, unix.SOCK_STREAM)}},
		{when: []test{is(0, unix.AF_UNIX), masked(1, sockTypeMask, unix.SOCK_SEQPACKET)}},
		{when: []test{is(0, unix.AF_UNIX)}, errno: unix.EACCES},
		{errno: unix.EAFNOSUPPORT},
	}, why: "of a pair of datagram sockets each can still be pointed at a socket of the host"},
	{names: `
		shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
		mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr`, errno: unix.ENOSYS,
		why: "there is one space of keys and names, and it is the host's"},
	{names: `fchmodat fchmodat2 fchownat setxattr lsetxattr setxattrat removexattr lremovexattr removexattrat`,
		errno: unix.EPERM, why: whyMetadata, metadata: true},
	{names: `chmod chown lchown utime utimes futimesat`, arch: "amd64", errno: unix.EPERM, why: whyMetadata, metadata: true},
	{names: `utimensat`, clauses: []clause{
		{when: []test{is(1, 0), isHigh(1, 0)}},
		{errno: unix.EPERM},
	}, why: whyMetadata, metadata: true},
	{names: `inotify_add_watch`, errno: unix.EACCES,
		why: "Landlock does not restrict it, so that it would tell the names of files anywhere"},
	{names: `prlimit64`, clauses: []clause{
		{when: []test{is(0, 0)}},
		{errno: unix.EPERM},
	}, why: "a limit of another process of the same user can end it"},
	{names: `setpriority`, clauses: []clause{
		{when: []test{is(0, unix.PRIO_PROCESS)}},
		{errno: unix.EPERM},
	}, why: "a group or a user is more than the program"},
	{names: `ioprio_set`, clauses: []clause{
		{when: []test{is(0, ioprioWhoProcess)}},
		{errno: unix.EPERM},
	}, why: "a group or a user is more than the program"},
}

const whyMetadata = "Landlock does not restrict changes of mode, owner, time, and attributes, so that by path they would reach every file of the user's; by descriptor they reach what the program could open"
