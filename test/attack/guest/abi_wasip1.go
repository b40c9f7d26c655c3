package main

// Addresses are plain numbers here, so that they can be wrong.

//go:wasmimport wasi_snapshot_preview1 fd_close
func fdClose(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_allocate
func fdAllocate(fd int32, off, n int64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
func fdFdstatSetFlags(fd, flags int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_rights
func fdFdstatSetRights(fd int32, base, inheriting uint64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_get
func fdFilestatGet(fd int32, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_size
func fdFilestatSetSize(fd int32, size int64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_times
func fdFilestatSetTimes(fd int32, atim, mtim int64, flags int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_pread
func fdPread(fd int32, iov uint32, n int32, off int64, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_read
func fdRead(fd int32, iov uint32, n int32, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_readdir
func fdReaddir(fd int32, buf uint32, n int32, cookie int64, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_renumber
func fdRenumber(from, to int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_write
func fdWrite(fd int32, iov uint32, n int32, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_create_directory
func pathCreateDirectory(fd int32, path uint32, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_filestat_get
func pathFilestatGet(fd, flags int32, path uint32, n int32, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_filestat_set_times
func pathFilestatSetTimes(fd, flags int32, path uint32, n int32, atim, mtim int64, fst int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_link
func pathLink(fd, flags int32, old uint32, n int32, newfd int32, name uint32, m int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_open
func pathOpen(fd, flags int32, path uint32, n, oflags int32, base, inheriting uint64, fdflags int32, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_readlink
func pathReadlink(fd int32, path uint32, n int32, buf uint32, m int32, out uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_remove_directory
func pathRemoveDirectory(fd int32, path uint32, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_rename
func pathRename(fd int32, old uint32, n int32, newfd int32, name uint32, m int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_symlink
func pathSymlink(target uint32, n int32, fd int32, path uint32, m int32) uint32

//go:wasmimport wasi_snapshot_preview1 path_unlink_file
func pathUnlinkFile(fd int32, path uint32, n int32) uint32

//go:wasmimport wasi_snapshot_preview1 clock_time_get
func clockTimeGet(id int32, precision int64, out uint32) uint32
