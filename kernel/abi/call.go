package abi

// OpenFlags are the kernel's flags of open and of descriptors.
type OpenFlags uint32

// The flags. Access is decided on ORead and OWrite; the others shape it.
const (
	ORead OpenFlags = 1 << iota
	OWrite
	OAppend
	OCreate
	OExcl
	OTrunc
	ODirectory
	ONofollow // refuse a symbolic link as the last component
	ONonblock
	OSync
	ODsync
	ORsync
)

// LookupFollow, in [Call.Flags] of a path operation other than open, follows a
// symbolic link in the last component. LookupDir requires that the last
// component be a directory (a trailing slash).
const (
	LookupFollow uint32 = 1 << iota
	LookupDir
)

// Whence values of seek.
const (
	SeekSet uint32 = iota
	SeekCur
	SeekEnd
)

// Bits of [Call.Flags] for utimes and futimes: which time is set, and whether
// to now.
const (
	SetAtime uint32 = 1 << (8 + iota)
	SetAtimeNow
	SetMtime
	SetMtimeNow
)

// FileType is the type of a file.
type FileType uint8

// The file types.
const (
	TypeUnknown FileType = iota
	TypeRegular
	TypeDirectory
	TypeSymlink
	TypeCharDevice
	TypeBlockDevice
	TypeFIFO
	TypeSocket
	NumFileTypes
)

var fileTypeNames = []string{"unknown", "regular", "directory", "symlink", "char_device", "block_device", "fifo", "socket"}

// String returns the stable name of t.
func (t FileType) String() string { return name(fileTypeNames, t) }

// Stat describes a file. Times are nanoseconds since 1970. Dev and Ino identify
// a file within one kernel; they are not the host's.
type Stat struct {
	Dev, Ino            uint64
	Type                FileType
	Mode                uint32 // permission bits only
	Nlink               uint64
	Size                int64
	Atime, Mtime, Ctime int64
}

// Dirent is one directory entry. Next is the cookie that resumes after it.
type Dirent struct {
	Next uint64
	Ino  uint64
	Type FileType
	Name string
}

// FDInfo describes an open descriptor.
type FDInfo struct {
	Type    FileType
	Flags   OpenFlags
	Rights  uint64 // the guest ABI's own rights, kept for it by the kernel
	Inherit uint64 // rights that descriptors opened beneath it may have
	Preopen string // name that it was pre-opened under, "" if it was not
}

// PollKind is what one poll subscription waits for.
type PollKind uint8

// The poll kinds.
const (
	PollClock PollKind = iota
	PollRead
	PollWrite
)

// Poll is one subscription of poll and, once Ready, its event.
type Poll struct {
	Kind     PollKind
	Absolute bool    // Timeout is an absolute reading of Clock
	Ready    bool    // result
	Hangup   bool    // result
	Errno    Errno   // result
	Clock    ClockID // for PollClock
	FD       FD      // for PollRead and PollWrite
	Timeout  int64   // nanoseconds, for PollClock
	Bytes    uint64  // result: bytes known to be available
	User     uint64  // the guest's own tag, returned untouched
}

// ClockID names a clock.
type ClockID uint8

// The clocks.
const (
	ClockRealtime ClockID = iota
	ClockMonotonic
	ClockProcessCPU
	ClockThreadCPU
	NumClocks
)

// MaxTransfer bounds the bytes that one call moves, so that a single host call
// never holds a vCPU for long. Longer transfers return short.
const MaxTransfer = 1 << 20

// Status is how a gate call returned.
type Status uint8

// The statuses. After Blocked the guest must yield to the scheduler and then
// continue the same Call; after Killed it must unwind without another call.
const (
	Done Status = iota
	Blocked
	Killed
)

// Call is one operation on its way through the gate: arguments in, results out.
// A guest owns one Call, reuses it, and has at most one in flight.
//
// Buf are windows into guest memory. They stay valid while the guest is
// suspended in this call, since its memory neither moves nor shrinks; the kernel
// writes them only from the guest's own vCPU.
type Call struct {
	Nr    Sysno
	Errno Errno  // result
	Via   string // the guest ABI's own name of the call, a constant
	FD    FD
	FD2   FD
	Flags uint32
	Open  OpenFlags
	Off   int64 // offset, signed delta, size, or cookie
	Len   int64 // length or limit
	Time  [2]int64
	Arg   [2]uint64 // rights, clock, advice, exit code
	// Need and Need2 are the rights, in the guest ABI's own bits, that the call
	// takes of FD and FD2, and Lack is what it is told without them.
	Need, Need2 uint64
	Lack        Errno

	Path  string // copied once from the guest, never re-read
	Path2 string
	Buf   [][]byte

	Ret   uint64   // result: bytes moved, new descriptor, offset, time
	Stat  Stat     // result of stat and fstat
	Info  FDInfo   // result of fdinfo
	Ents  []Dirent // result of readdir; valid until the next call
	Strs  []string // result of args and environ; read-only
	Link  string   // result of readlink
	Polls []Poll   // in and out, of poll
}
