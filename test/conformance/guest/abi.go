//go:build wasip1

package main

import "unsafe"

type ptr = unsafe.Pointer

//go:wasmimport wasi_snapshot_preview1 args_get
func argsGet(list, text ptr) uint32

//go:wasmimport wasi_snapshot_preview1 args_sizes_get
func argsSizesGet(count, size ptr) uint32

//go:wasmimport wasi_snapshot_preview1 environ_get
func environGet(list, text ptr) uint32

//go:wasmimport wasi_snapshot_preview1 environ_sizes_get
func environSizesGet(count, size ptr) uint32

//go:wasmimport wasi_snapshot_preview1 clock_res_get
func clockResGet(id int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 clock_time_get
func clockTimeGet(id int32, precision int64, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_advise
func fdAdvise(fd int32, off, n int64, advice int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_allocate
func fdAllocate(fd int32, off, n int64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_close
func fdClose(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_datasync
func fdDatasync(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_get
func fdFdstatGet(fd int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
func fdFdstatSetFlags(fd, flags int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_rights
func fdFdstatSetRights(fd int32, base, inheriting uint64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_get
func fdFilestatGet(fd int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_size
func fdFilestatSetSize(fd int32, size int64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_times
func fdFilestatSetTimes(fd int32, atim, mtim int64, flags int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_pread
func fdPread(fd int32, iov ptr, n int32, off int64, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_prestat_get
func fdPrestatGet(fd int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_prestat_dir_name
func fdPrestatDirName(fd int32, out ptr, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_pwrite
func fdPwrite(fd int32, iov ptr, n int32, off int64, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_read
func fdRead(fd int32, iov ptr, n int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_readdir
func fdReaddir(fd int32, buf ptr, n int32, cookie int64, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_renumber
func fdRenumber(from, to int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_seek
func fdSeek(fd int32, off int64, whence int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_sync
func fdSync(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_tell
func fdTell(fd int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 fd_write
func fdWrite(fd int32, iov ptr, n int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 path_create_directory
func pathCreateDirectory(fd int32, path ptr, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_filestat_get
func pathFilestatGet(fd, flags int32, path ptr, n int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 path_filestat_set_times
func pathFilestatSetTimes(fd, flags int32, path ptr, n int32, atim, mtim int64, fst int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_link
func pathLink(fd, flags int32, old ptr, n int32, newfd int32, name ptr, m int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_open
func pathOpen(fd, flags int32, path ptr, n, oflags int32, base, inheriting uint64, fdflags int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 path_readlink
func pathReadlink(fd int32, path ptr, n int32, buf ptr, m int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 path_remove_directory
func pathRemoveDirectory(fd int32, path ptr, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_rename
func pathRename(fd int32, old ptr, n int32, newfd int32, name ptr, m int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_symlink
func pathSymlink(target ptr, n int32, fd int32, path ptr, m int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_unlink_file
func pathUnlinkFile(fd int32, path ptr, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 poll_oneoff
func pollOneoff(in, out ptr, n int32, count ptr) uint32

//go:wasmimport wasi_snapshot_preview1 proc_exit
func procExit(code int32)

//go:wasmimport wasi_snapshot_preview1 proc_raise
func procRaise(sig int32) uint32

//go:wasmimport wasi_snapshot_preview1 random_get
func randomGet(buf ptr, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 sched_yield
func schedYield() uint32

//go:wasmimport wasi_snapshot_preview1 sock_accept
func sockAccept(fd, flags int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 sock_recv
func sockRecv(fd int32, iov ptr, n, flags int32, out, roflags ptr) uint32

//go:wasmimport wasi_snapshot_preview1 sock_send
func sockSend(fd int32, iov ptr, n, flags int32, out ptr) uint32

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
func sockShutdown(fd, how int32) uint32

// Errors, by their numbers.
const (
	ok          = 0
	eAgain      = 6
	eBadf       = 8
	eExist      = 20
	eFault      = 21
	eFbig       = 22
	eIlseq      = 25
	eInval      = 28
	eIsdir      = 31
	eLoop       = 32
	eNametoolng = 37
	eNoent      = 44
	eNotdir     = 54
	eNotempty   = 55
	eNotsock    = 57
	eNotsup     = 58
	ePerm       = 63
	ePipe       = 64
	eSpipe      = 70
	eNotcapable = 76
)

// Rights, by their bits.
const (
	rDatasync uint64 = 1 << iota
	rRead
	rSeek
	rSetFlags
	rSync
	rTell
	rWrite
	rAdvise
	rAllocate
	rMkdir
	rCreate
	rLinkSource
	rLinkTarget
	rOpen
	rReaddir
	rReadlink
	rRenameSource
	rRenameTarget
	rPathStat
	rPathSetSize
	rPathSetTimes
	rStat
	rSetSize
	rSetTimes
	rSymlink
	rRmdir
	rUnlink
	rPoll
	rShutdown
	rAccept
	rAll = rAccept<<1 - 1
)

// Flags of path_open.
const (
	oCreat = 1 << iota
	oDirectory
	oExcl
	oTrunc
)

// Flags of descriptors.
const (
	fAppend = 1 << iota
	fDsync
	fNonblock
	fRsync
	fSync
)

// File types.
const (
	typeDirectory = 3
	typeRegular   = 4
	typeSymlink   = 7
)
