package abi

import "slices"

// Sysno numbers the kernel's own operations. It indexes [Rows].
type Sysno uint16

// The operations. Their names, capabilities, and documentation are in [Rows]
// and nowhere else.
const (
	SysArgs Sysno = iota
	SysEnviron
	SysClockTime
	SysClockRes
	SysRandom
	SysYield
	SysRaise
	SysExit
	SysPoll
	SysOpen
	SysClose
	SysRead
	SysWrite
	SysPread
	SysPwrite
	SysSeek
	SysFdinfo
	SysFcntl
	SysRights
	SysRenumber
	SysFstat
	SysStat
	SysReaddir
	SysMkdir
	SysRmdir
	SysUnlink
	SysRename
	SysLink
	SysSymlink
	SysReadlink
	SysTruncate
	SysAllocate
	SysAdvise
	SysUtimes
	SysFutimes
	SysSync
	SysDatasync
	SysAccept
	SysReceive
	SysSend
	SysShutdown
	SysReason
	NumSys
)

// Object is the kind of thing an operation touches.
type Object uint8

// The objects.
const (
	ObjProcess Object = iota
	ObjDescriptor
	ObjPath
	ObjTwoPaths
	ObjHost
	NumObjects
)

var objectNames = []string{"process", "descriptor", "path", "two_paths", "host"}

// String returns the stable name of o.
func (o Object) String() string { return name(objectNames, o) }

// Row is one line of the syscall table.
type Row struct {
	Nr         Sysno
	Name       string
	Category   Category
	Capability Capability // layer 1; path rights are decided at layer 2
	Action     Action     // what a policy calls it; open refines it by its flags
	Touches    Object
	Waits      bool   // may suspend the caller
	Doc        string // one sentence
}

// rows is the syscall table. It is an array indexed by Sysno, so that a missing
// row is a zero row and fails the table's test.
var rows = [NumSys]Row{
	SysArgs:      {SysArgs, "args", CatSyscall, CapNone, ActNone, ObjProcess, false, "Read the program's arguments."},
	SysEnviron:   {SysEnviron, "environ", CatSyscall, CapEnv, ActEnv, ObjProcess, false, "Read the environment variables that were granted."},
	SysClockTime: {SysClockTime, "clock_time", CatSyscall, CapClock, ActClock, ObjHost, false, "Read a clock."},
	SysClockRes:  {SysClockRes, "clock_res", CatSyscall, CapClock, ActClock, ObjHost, false, "Read the resolution of a clock."},
	SysRandom:    {SysRandom, "random", CatSyscall, CapRandom, ActRandom, ObjHost, false, "Fill a buffer with random bytes."},
	SysYield:     {SysYield, "yield", CatScheduler, CapNone, ActNone, ObjProcess, false, "Give up the rest of the time slice."},
	SysRaise:     {SysRaise, "raise", CatProcess, CapSignal, ActSignal, ObjProcess, false, "Send a signal to oneself."},
	SysExit:      {SysExit, "exit", CatProcess, CapNone, ActNone, ObjProcess, false, "End the process with a status."},
	SysPoll:      {SysPoll, "poll", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Wait for clocks and descriptors."},
	SysOpen:      {SysOpen, "open", CatSyscall, CapFileRead, ActRead, ObjPath, true, "Open or create a file or directory."},
	SysClose:     {SysClose, "close", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Close a descriptor."},
	SysRead:      {SysRead, "read", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Read from a descriptor at its offset."},
	SysWrite:     {SysWrite, "write", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Write to a descriptor at its offset."},
	SysPread:     {SysPread, "pread", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Read from a descriptor at a given offset."},
	SysPwrite:    {SysPwrite, "pwrite", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Write to a descriptor at a given offset."},
	SysSeek:      {SysSeek, "seek", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Move a descriptor's offset."},
	SysFdinfo:    {SysFdinfo, "fdinfo", CatSyscall, CapNone, ActNone, ObjDescriptor, false, "Describe a descriptor: type, flags, rights, pre-opened name."},
	SysFcntl:     {SysFcntl, "fcntl", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Change a descriptor's flags."},
	SysRights:    {SysRights, "rights", CatSecurity, CapNone, ActNone, ObjDescriptor, false, "Narrow a descriptor's rights."},
	SysRenumber:  {SysRenumber, "renumber", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Move a descriptor onto another number."},
	SysFstat:     {SysFstat, "fstat", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Describe an open file."},
	SysStat:      {SysStat, "stat", CatSyscall, CapFileRead, ActRead, ObjPath, true, "Describe the file at a path."},
	SysReaddir:   {SysReaddir, "readdir", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "List a directory."},
	SysMkdir:     {SysMkdir, "mkdir", CatSyscall, CapFileWrite, ActCreate, ObjPath, true, "Create a directory."},
	SysRmdir:     {SysRmdir, "rmdir", CatSyscall, CapFileWrite, ActDelete, ObjPath, true, "Remove an empty directory."},
	SysUnlink:    {SysUnlink, "unlink", CatSyscall, CapFileWrite, ActDelete, ObjPath, true, "Remove a file's name."},
	SysRename:    {SysRename, "rename", CatSyscall, CapFileWrite, ActDelete, ObjTwoPaths, true, "Move a file or directory to another name."},
	SysLink:      {SysLink, "link", CatSyscall, CapFileWrite, ActCreate, ObjTwoPaths, true, "Give a file another name."},
	SysSymlink:   {SysSymlink, "symlink", CatSyscall, CapFileWrite, ActCreate, ObjPath, true, "Create a symbolic link."},
	SysReadlink:  {SysReadlink, "readlink", CatSyscall, CapFileRead, ActRead, ObjPath, true, "Read the target of a symbolic link."},
	SysTruncate:  {SysTruncate, "truncate", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Set the size of an open file."},
	SysAllocate:  {SysAllocate, "allocate", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Reserve space for an open file."},
	SysAdvise:    {SysAdvise, "advise", CatSyscall, CapNone, ActNone, ObjDescriptor, false, "Announce a pattern of access."},
	SysUtimes:    {SysUtimes, "utimes", CatSyscall, CapFileWrite, ActWrite, ObjPath, true, "Set the times of the file at a path."},
	SysFutimes:   {SysFutimes, "futimes", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Set the times of an open file."},
	SysSync:      {SysSync, "sync", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Write an open file's data and metadata to storage."},
	SysDatasync:  {SysDatasync, "datasync", CatSyscall, CapNone, ActNone, ObjDescriptor, true, "Write an open file's data to storage."},
	SysAccept:    {SysAccept, "accept", CatNetwork, CapNone, ActListen, ObjDescriptor, true, "Take a connection that came in through a listener."},
	SysReceive:   {SysReceive, "receive", CatNetwork, CapNone, ActNone, ObjDescriptor, true, "Read from a connection."},
	SysSend:      {SysSend, "send", CatNetwork, CapNone, ActNone, ObjDescriptor, true, "Write to a connection."},
	SysShutdown:  {SysShutdown, "socket_shutdown", CatNetwork, CapNone, ActNone, ObjDescriptor, false, "End one direction of a connection, or both."},
	SysReason:    {SysReason, "reason", CatSecurity, CapNone, ActNone, ObjProcess, false, "Ask why the last call that failed did."},
}

// Rows returns a copy of the syscall table, in order.
func Rows() []Row { return slices.Clone(rows[:]) }

// Row returns the line for n, which must be below [NumSys].
func (n Sysno) Row() *Row { return &rows[n] }

// String returns the stable name of the operation.
func (n Sysno) String() string {
	if n < NumSys {
		return rows[n].Name
	}
	return "?"
}

// ParseSysno resolves a stable name.
func ParseSysno(s string) (Sysno, bool) {
	for i := range rows {
		if rows[i].Name == s {
			return rows[i].Nr, true
		}
	}
	return 0, false
}
