package abi

// name returns names[i], or "?" for a value outside its enumeration, so that
// printing a corrupt value never panics.
func name[T ~uint8 | ~uint16](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "?"
}

// find is the inverse of name.
func find[T ~uint8 | ~uint16](names []string, s string) (T, bool) {
	for i, n := range names {
		if n == s {
			return T(i), true
		}
	}
	return 0, false
}

// Category groups events. The names are part of the command-line contract.
type Category uint8

// The categories of events.
const (
	CatProcess Category = iota
	CatSyscall
	CatMemory
	CatIPC
	CatScheduler
	CatSecurity
	CatNetwork
	CatPerformance
	CatKernel
	NumCategories
)

var categoryNames = []string{"process", "syscall", "memory", "ipc", "scheduler", "security", "network", "performance", "kernel"}

// String returns the stable name of c.
func (c Category) String() string { return name(categoryNames, c) }

// ParseCategory resolves a stable name.
func ParseCategory(s string) (Category, bool) { return find[Category](categoryNames, s) }

// Severity orders events by how much a person should care.
type Severity uint8

// The severities, least first.
const (
	Debug Severity = iota
	Info
	Notice
	Warning
	Critical
	NumSeverities
)

var severityNames = []string{"debug", "info", "notice", "warning", "critical"}

// String returns the stable name of s.
func (s Severity) String() string { return name(severityNames, s) }

// ParseSeverity resolves a stable name.
func ParseSeverity(s string) (Severity, bool) { return find[Severity](severityNames, s) }

// Action is the verb of an operation as a policy sees it.
type Action uint8

// The actions. ActNone marks an operation that no policy decides.
const (
	ActNone Action = iota
	ActRead
	ActList
	ActWrite
	ActCreate
	ActDelete
	ActExecute
	ActConnect
	ActListen
	ActSignal
	ActEnv
	ActIPC
	ActClock
	ActRandom
	ActInfo
	NumActions
)

var actionNames = []string{"none", "read", "list", "write", "create", "delete", "execute", "connect", "listen", "signal", "env", "ipc", "clock", "random", "info"}

// String returns the stable name of a.
func (a Action) String() string { return name(actionNames, a) }

// ParseAction resolves a stable name.
func ParseAction(s string) (Action, bool) { return find[Action](actionNames, s) }

// Capability is what a process must hold before an operation is considered at
// all: layer 1. Some capabilities carry a scope (paths, hosts, variables), which
// layer 2 decides on.
type Capability uint8

// The capabilities. CapNone is needed for operations on what a process already
// holds (its own descriptors, its own exit).
const (
	CapNone Capability = iota
	CapFileRead
	CapFileWrite
	CapEnv
	CapClock
	CapRandom
	CapInfo
	CapSignal
	NumCapabilities
)

var capabilityNames = []string{"none", "file.read", "file.write", "env", "clock", "random", "info", "signal"}

// String returns the stable name of c.
func (c Capability) String() string { return name(capabilityNames, c) }

// ParseCapability resolves a stable name.
func ParseCapability(s string) (Capability, bool) { return find[Capability](capabilityNames, s) }

// CapSet is a set of capabilities.
type CapSet uint32

// Caps builds a set.
func Caps(cs ...Capability) (s CapSet) {
	for _, c := range cs {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in s. CapNone always is.
func (s CapSet) Has(c Capability) bool { return c == CapNone || s&(1<<c) != 0 }

// Without returns s less c.
func (s CapSet) Without(c Capability) CapSet { return s &^ (1 << c) }

// Layer names what refused an operation.
type Layer uint8

// The layers, in the order in which they are asked.
const (
	LayerNone Layer = iota
	LayerCapability
	LayerPath
	LayerPolicy
	LayerLimit
	LayerIsolation
	NumLayers
)

var layerNames = []string{"none", "capability", "path", "policy", "limit", "isolation"}

// String returns the stable name of l.
func (l Layer) String() string { return name(layerNames, l) }

// ParseLayer resolves a stable name.
func ParseLayer(s string) (Layer, bool) { return find[Layer](layerNames, s) }

// Cause is why a process ended. The first cause wins and is never overwritten.
type Cause uint8

// The causes. CauseNone belongs to a process that has not ended.
const (
	CauseNone Cause = iota
	CauseExited
	CauseSignaled
	CauseKilled
	CauseTimeout
	CauseCPULimit
	CauseMemoryLimit
	CauseOutputLimit
	CausePolicy
	CauseFault
	CauseSetupFailed
	CauseKernelError
	NumCauses
)

var causeNames = []string{"none", "exited", "signaled", "killed", "timeout", "cpu_limit", "memory_limit", "output_limit", "policy", "fault", "setup_failed", "kernel_error"}

// String returns the stable name of c.
func (c Cause) String() string { return name(causeNames, c) }

// ParseCause resolves a stable name.
func ParseCause(s string) (Cause, bool) { return find[Cause](causeNames, s) }

// Limit is a kind of quantity that an account is charged for.
type Limit uint8

// The limits. Units: bytes for memory, disk, and output; nanoseconds for CPU
// and wall time; a count for the others.
const (
	LimitMemory Limit = iota
	LimitDisk
	LimitOutput
	LimitFiles
	LimitProcesses
	LimitCPU
	LimitWall
	NumLimits
)

var limitNames = []string{"memory", "disk", "output", "files", "processes", "cpu", "wall"}

// String returns the stable name of l.
func (l Limit) String() string { return name(limitNames, l) }

// ResourceKind is a kind of thing a process can hold. Each has exactly one owner
// registered at boot, which initializes it and releases it; boot refuses
// otherwise.
type ResourceKind uint8

// The resource kinds, in the order in which they are initialized. Release runs
// in the reverse order.
const (
	ResAccount    ResourceKind = iota // limits: charged before use, zero after release
	ResMount                          // the mount namespace and its host handles
	ResMemory                         // guest linear memory
	ResDescriptor                     // open descriptors
	ResTimer                          // wall and CPU deadlines
	ResWait                           // pending waits and host operations in flight
	ResInstance                       // the guest instance: module, coroutine, stack
	ResTask                           // the scheduler's entity
	NumResourceKinds
)

var resourceKindNames = []string{"account", "mount", "memory", "descriptor", "timer", "wait", "instance", "task"}

// String returns the stable name of k.
func (k ResourceKind) String() string { return name(resourceKindNames, k) }

// Signal is one of the few signals that mean the same in every domain. Values
// are Linux's.
type Signal uint8

// The signals a caller may send.
const (
	SIGHUP  Signal = 1
	SIGINT  Signal = 2
	SIGQUIT Signal = 3
	SIGABRT Signal = 6
	SIGKILL Signal = 9
	SIGTERM Signal = 15
	SIGCONT Signal = 18
	SIGSTOP Signal = 19
)

var signalNames = map[Signal]string{SIGHUP: "HUP", SIGINT: "INT", SIGQUIT: "QUIT", SIGABRT: "ABRT", SIGKILL: "KILL", SIGTERM: "TERM", SIGCONT: "CONT", SIGSTOP: "STOP"}

// String returns the name without its SIG prefix.
func (s Signal) String() string {
	if n, ok := signalNames[s]; ok {
		return n
	}
	return "?"
}

// ParseSignal resolves a name, with or without SIG.
func ParseSignal(n string) (Signal, bool) {
	if len(n) > 3 && n[:3] == "SIG" {
		n = n[3:]
	}
	for s, have := range signalNames {
		if have == n {
			return s, true
		}
	}
	return 0, false
}

// Ignored reports whether the signal's default action is to do nothing: CONT,
// CHLD, URG, and WINCH.
func (s Signal) Ignored() bool { return s == SIGCONT || s == 17 || s == 23 || s == 28 }
