package event

import (
	"strconv"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Kind says what happened. The kinds below [firstKind] are the kernel's
// operations, by the number of their row; the others are named here.
type Kind uint16

// firstKind leaves room for the syscall table.
const firstKind Kind = 256

// The syscall table fits below firstKind.
var _ [firstKind - Kind(abi.NumSys)]struct{}

// The kinds that are not operations. What their numbers and texts mean is in
// kindTable and nowhere else.
const (
	KindBoot Kind = firstKind + iota
	KindShutdown
	KindDegraded
	KindOrphan
	KindPanic
	KindLost

	KindSpawn
	KindExec
	KindState
	KindInit
	KindRollback
	KindSignal
	KindKill
	KindFault
	KindEnd
	KindCleanup
	KindCleanupFailed

	KindDenial
	KindHidden
	KindGrant
	KindLimit
	KindRevoke

	KindMemoryGrow
	KindMemoryFree
	KindMount
	KindCompile
	KindSlice
	KindBlock
	KindWake

	endKind
)

// KindSyscall is the kind of the event of one operation.
func KindSyscall(nr abi.Sysno) Kind { return Kind(nr) }

// Sysno returns the operation that k is the event of.
func (k Kind) Sysno() (abi.Sysno, bool) { return abi.Sysno(k), k < Kind(abi.NumSys) }

// String returns the stable name of k: that of the operation's row, or its own.
func (k Kind) String() string { return k.Info().Name }

// Class decides which rings a record lives in. Each class has its own, so that
// a flood in one takes no room from another.
type Class uint8

// The classes.
const (
	Bulk      Class = iota // calls and measurements: as many as there are
	Security               // denials, limits, grants
	Lifecycle              // what processes and the kernel itself went through
	numClasses
)

// Form is how a text attribute is to be shown.
type Form uint8

// The forms.
const (
	Path  Form = iota // a path or a name, shown as it is
	Prose             // a message, in which the secrets of URLs are hidden
	URL               // an address, whose user and query are hidden
	Env               // KEY=VALUE, whose value is hidden
)

// Number is a numeric attribute: its name, and what turns its value into a name
// where it is one of an enumeration. An empty Name means there is none.
type Number struct {
	Name   string
	Symbol func(uint64) string
}

// Text is a text attribute. An empty Name means there is none.
type Text struct {
	Name string
	Form Form
}

// Info describes the events of one kind.
type Info struct {
	Name        string
	Class       Class
	A, B        Number
	Text, Text2 Text
}

// Absent as a number of an event means that it has none. It is what a
// descriptor of [abi.NoFD] becomes when it is widened.
const Absent = ^uint64(0)

func num(name string) Number { return Number{Name: name} }

// symbol names a number by the enumeration it belongs to.
func symbol[T interface {
	~uint8 | ~uint16
	String() string
}](name string) Number {
	return Number{name, func(v uint64) string {
		if uint64(T(v)) != v {
			return strconv.FormatUint(v, 10)
		}
		return T(v).String()
	}}
}

// kindTable describes the kinds that are not operations, in order.
var kindTable = [endKind - firstKind]Info{
	KindBoot - firstKind:          {"boot", Lifecycle, num("vcpus"), Number{}, Text{"version", Path}, Text{"detail", Prose}},
	KindShutdown - firstKind:      {"shutdown", Lifecycle, Number{}, Number{}, Text{"detail", Prose}, Text{}},
	KindDegraded - firstKind:      {"degraded", Lifecycle, Number{}, Number{}, Text{"subsystem", Path}, Text{"reason", Prose}},
	KindOrphan - firstKind:        {"orphaned_worker", Lifecycle, Number{}, num("orphans"), Text{"path", Path}, Text{}},
	KindPanic - firstKind:         {"handler_panic", Lifecycle, Number{}, Number{}, Text{"panic", Prose}, Text{"where", Prose}},
	KindLost - firstKind:          {"lost", Lifecycle, num("count"), num("unattributed"), Text{}, Text{}},
	KindSpawn - firstKind:         {"spawn", Lifecycle, num("parent_pid"), Number{}, Text{"program", Path}, Text{"domain", Path}},
	KindExec - firstKind:          {"exec", Lifecycle, num("host_pid"), Number{}, Text{"program", Path}, Text{}},
	KindState - firstKind:         {"state", Lifecycle, Number{}, Number{}, Text{"from", Path}, Text{"to", Path}},
	KindInit - firstKind:          {"initialized", Lifecycle, symbol[resource]("resource"), Number{}, Text{"error", Prose}, Text{}},
	KindRollback - firstKind:      {"rollback", Lifecycle, symbol[resource]("resource"), Number{}, Text{"error", Prose}, Text{}},
	KindSignal - firstKind:        {"signal", Lifecycle, symbol[abi.Signal]("signal"), num("from_pid"), Text{"detail", Prose}, Text{}},
	KindKill - firstKind:          {"kill", Lifecycle, symbol[abi.Cause]("cause"), num("from_pid"), Text{"detail", Prose}, Text{}},
	KindFault - firstKind:         {"fault", Lifecycle, Number{}, Number{}, Text{"detail", Prose}, Text{"backtrace", Prose}},
	KindEnd - firstKind:           {"end", Lifecycle, num("exit_code"), symbol[abi.Cause]("cause"), Text{"detail", Prose}, Text{}},
	KindCleanup - firstKind:       {"cleanup", Lifecycle, num("freed"), num("bytes"), Text{"resource", Path}, Text{"detail", Prose}},
	KindCleanupFailed - firstKind: {"cleanup_failed", Lifecycle, num("freed"), num("bytes"), Text{"resource", Path}, Text{"error", Prose}},
	KindDenial - firstKind:        {"denial", Security, symbol[abi.Sysno]("syscall"), symbol[abi.Layer]("layer"), Text{"path", Path}, Text{"rule", Prose}},
	KindHidden - firstKind:        {"hidden", Security, symbol[abi.Sysno]("syscall"), symbol[abi.Layer]("layer"), Text{"path", Path}, Text{"rule", Prose}},
	KindGrant - firstKind:         {"grant", Security, symbol[abi.Capability]("capability"), Number{}, Text{"path", Path}, Text{"change", Prose}},
	KindRevoke - firstKind:        {"revoke", Security, symbol[abi.Capability]("capability"), Number{}, Text{"path", Path}, Text{"change", Prose}},
	KindLimit - firstKind:         {"limit_refused", Security, symbol[abi.Limit]("limit"), num("asked"), Text{"detail", Prose}, Text{}},
	KindMemoryGrow - firstKind:    {"memory_grow", Bulk, num("bytes"), num("was"), Text{}, Text{}},
	KindMemoryFree - firstKind:    {"memory_free", Bulk, num("bytes"), Number{}, Text{}, Text{}},
	KindMount - firstKind:         {"mount", Lifecycle, Number{}, Number{}, Text{"path", Path}, Text{"change", Prose}},
	KindCompile - firstKind:       {"compile", Lifecycle, num("bytes"), num("cached"), Text{"program", Path}, Text{"error", Prose}},
	KindSlice - firstKind:         {"slice", Bulk, num("fuel"), Number{}, Text{}, Text{}},
	KindBlock - firstKind:         {"block", Bulk, num("fuel"), Number{}, Text{}, Text{}},
	KindWake - firstKind:          {"wake", Bulk, Number{}, Number{}, Text{}, Text{}},
}

// resource gives abi.ResourceKind its place in symbol's constraint.
type resource = abi.ResourceKind

// syscallTable describes the events of operations. By convention B is the result
// and A the descriptor argument, Absent without one, or of an operation that
// touches neither descriptor nor path its first argument. Only what the
// convention does not name well enough is said here.
var syscallTable = func() (t [abi.NumSys]Info) {
	result := [abi.NumSys]string{
		abi.SysArgs: "count", abi.SysEnviron: "count", abi.SysRandom: "bytes",
		abi.SysRead: "bytes", abi.SysWrite: "bytes", abi.SysPread: "bytes", abi.SysPwrite: "bytes",
		abi.SysOpen: "opened_fd", abi.SysSeek: "offset", abi.SysPoll: "ready", abi.SysReaddir: "count",
		abi.SysReadlink: "bytes",
	}
	for _, row := range abi.Rows() {
		in := Info{Name: row.Name, B: num(result[row.Nr])}
		switch row.Touches {
		case abi.ObjDescriptor:
			in.A = num("fd")
		case abi.ObjPath:
			in.A, in.Text = num("fd"), Text{"path", Path}
		case abi.ObjTwoPaths:
			in.A, in.Text, in.Text2 = num("fd"), Text{"path", Path}, Text{"path2", Path}
		}
		t[row.Nr] = in
	}
	t[abi.SysExit].A = num("exit_code")
	t[abi.SysClockTime].A, t[abi.SysClockRes].A = num("clock"), num("clock")
	t[abi.SysRaise].A = symbol[abi.Signal]("signal")
	t[abi.SysSymlink].Text2 = Text{"target", Path}
	t[abi.SysRenumber].B = num("to_fd")
	return t
}()

// unknown describes a kind that the table does not have.
var unknown = Info{Name: "?", A: num("a"), B: num("b"), Text: Text{"text", Path}, Text2: Text{"text2", Path}}

// Info describes k. The result is shared and must not be changed.
func (k Kind) Info() *Info {
	switch {
	case k < Kind(abi.NumSys):
		return &syscallTable[k]
	case k >= firstKind && k < endKind:
		return &kindTable[k-firstKind]
	}
	return &unknown
}

// Kinds returns every kind, operations first.
func Kinds() []Kind {
	ks := make([]Kind, 0, int(abi.NumSys)+len(kindTable))
	for k := range Kind(abi.NumSys) {
		ks = append(ks, k)
	}
	for k := firstKind; k < endKind; k++ {
		ks = append(ks, k)
	}
	return ks
}

// ParseKind resolves a stable name.
func ParseKind(s string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.String() == s {
			return k, true
		}
	}
	return 0, false
}
