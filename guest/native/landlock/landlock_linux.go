package landlock

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Access is a set of rights to a file, or to a directory and all beneath it.
type Access uint64

// The sets that the floor grants.
const (
	Execute Access = unix.LANDLOCK_ACCESS_FS_EXECUTE
	Read    Access = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// Write is to change, create, and remove, and to rename and link between
	// directories, for which both must be granted it. It has no right to read
	// and none to make devices.
	Write Access = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	// Control is to use a device's own requests (ioctl), without which it can
	// only be read and written.
	Control Access = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// Connect is to reach the unix sockets that have a name there.
	Connect Access = unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX

	ReadExec      = Read | Execute
	ReadWrite     = Read | Write
	ReadWriteExec = Read | Write | Execute
)

// onFiles are the rights that a file can have; the rest only a directory can,
// and the kernel turns down a rule that gives a file one of those.
const onFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
	unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX

// Rule grants rights to a place. File may be opened with O_PATH.
type Rule struct {
	File   *os.File
	Access Access
}

// Options are what a ruleset handles. The zero value handles everything that the
// kernel can and grants nothing.
type Options struct {
	// ABI acts as if the kernel had no more than that version; 0 is what it has.
	ABI int
	// BindTCP and ConnectTCP are the ports that may be bound and connected to.
	BindTCP, ConnectTCP []uint16
	// AnyTCP leaves TCP alone, for where a network namespace restricts it.
	AnyTCP bool
	// AnySocket leaves unix sockets alone, those with a name and abstract ones,
	// for where namespaces restrict them.
	AnySocket bool
	// AnySignal leaves signals alone, for where a pid namespace restricts them.
	AnySignal bool
}

// ErrMissing is returned where the kernel has no Landlock, or has it turned off.
var ErrMissing = errors.New("no Landlock")

// newest is the latest version of the interface that this package knows.
const newest = 9

// ABI returns the version of the kernel's interface, 0 if it has none.
func ABI() int {
	r, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(r)
}

// Ruleset is what a thread is going to be restricted to.
type Ruleset struct {
	fd  int
	abi int
	fs  uint64 // the rights that are handled; never none
}

// New makes a ruleset. The caller closes it.
func New(o Options, rules ...Rule) (*Ruleset, error) {
	abi := min(ABI(), newest)
	if o.ABI != 0 {
		abi = min(abi, o.ABI)
	}
	if abi < 1 {
		return nil, ErrMissing
	}
	attr := handled(abi, o)
	size := sizeAt(abi)
	r, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return nil, fmt.Errorf("making a ruleset of Landlock %d: %w", abi, errno)
	}
	s := &Ruleset{fd: int(r), abi: abi, fs: attr.Handled_access_fs}
	if err := s.fill(o, attr.Handled_access_net, rules); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Ruleset) fill(o Options, net uint64, rules []Rule) error {
	for _, r := range rules {
		if err := s.add(r); err != nil {
			return err
		}
	}
	for _, p := range []struct {
		right uint64
		ports []uint16
	}{
		{unix.LANDLOCK_ACCESS_NET_BIND_TCP, o.BindTCP},
		{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, o.ConnectTCP},
	} {
		if net&p.right == 0 {
			continue
		}
		for _, port := range p.ports {
			if err := s.addPort(port, p.right); err != nil {
				return err
			}
		}
	}
	return nil
}

// add grants what of a rule the ruleset handles and the place can have.
func (s *Ruleset) add(r Rule) error {
	var st unix.Stat_t
	fd := int(r.File.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("granting %s: %w", r.File.Name(), err)
	}
	rights := uint64(r.Access) & s.fs
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= onFiles
	}
	if rights == 0 {
		return nil // the kernel has no rule that grants nothing, and none is needed
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(s.fd), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	runtime.KeepAlive(r.File)
	if errno != 0 {
		return fmt.Errorf("granting %s: %w", r.File.Name(), errno)
	}
	return nil
}

// netPort is struct landlock_net_port_attr.
type netPort struct {
	access, port uint64
}

func (s *Ruleset) addPort(port uint16, right uint64) error {
	attr := netPort{right, uint64(port)}
	_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(s.fd), ruleNetPort,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("granting port %d: %w", port, errno)
	}
	return nil
}

// Restrict puts the ruleset on the calling thread, for good, and on what it
// starts. The thread must be locked to its goroutine and never be unlocked; it
// must have no_new_privs.
func (s *Ruleset) Restrict() error {
	_, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(s.fd), 0, 0)
	if errno != 0 {
		return fmt.Errorf("restricting the thread by Landlock %d: %w", s.abi, errno)
	}
	return nil
}

// Close lets go of the ruleset; threads stay restricted.
func (s *Ruleset) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// File returns another handle on the ruleset, to be handed to the process that it is
// for, which restricts itself. It is the caller's.
func (s *Ruleset) File() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("another handle on the ruleset: %w", err)
	}
	return os.NewFile(uintptr(fd), "landlock ruleset"), nil
}
