package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

// Module is the name that programs import preview 1 under.
const Module = "wasi_snapshot_preview1"

// Function is one function of the interface. Params has a letter for every
// parameter: i for a 32-bit and I for a 64-bit integer. All but proc_exit return
// an error number.
type Function struct {
	Name    string
	Params  string
	NoError bool // returns nothing
	do      func(p *Process, a []uint64) abi.Errno
}

// Invoke performs f. a holds the arguments, and the result in a[0] afterwards.
func (f *Function) Invoke(p *Process, a []uint64) {
	errno := f.do(p, a)
	if !f.NoError {
		a[0] = uint64(Errno(errno))
	}
}

// Functions returns every function of preview 1.
func Functions() []Function {
	return []Function{
		{Name: "args_get", Params: "ii", do: argsGet},
		{Name: "args_sizes_get", Params: "ii", do: argsSizesGet},
		{Name: "environ_get", Params: "ii", do: environGet},
		{Name: "environ_sizes_get", Params: "ii", do: environSizesGet},
		{Name: "clock_res_get", Params: "ii", do: clockResGet},
		{Name: "clock_time_get", Params: "iIi", do: clockTimeGet},
		{Name: "fd_advise", Params: "iIIi", do: fdAdvise},
		{Name: "fd_allocate", Params: "iII", do: fdAllocate},
		{Name: "fd_close", Params: "i", do: fdClose},
		{Name: "fd_datasync", Params: "i", do: fdDatasync},
		{Name: "fd_fdstat_get", Params: "ii", do: fdFdstatGet},
		{Name: "fd_fdstat_set_flags", Params: "ii", do: fdFdstatSetFlags},
		{Name: "fd_fdstat_set_rights", Params: "iII", do: fdFdstatSetRights},
		{Name: "fd_filestat_get", Params: "ii", do: fdFilestatGet},
		{Name: "fd_filestat_set_size", Params: "iI", do: fdFilestatSetSize},
		{Name: "fd_filestat_set_times", Params: "iIIi", do: fdFilestatSetTimes},
		{Name: "fd_pread", Params: "iiiIi", do: fdPread},
		{Name: "fd_prestat_get", Params: "ii", do: fdPrestatGet},
		{Name: "fd_prestat_dir_name", Params: "iii", do: fdPrestatDirName},
		{Name: "fd_pwrite", Params: "iiiIi", do: fdPwrite},
		{Name: "fd_read", Params: "iiii", do: fdRead},
		{Name: "fd_readdir", Params: "iiiIi", do: fdReaddir},
		{Name: "fd_renumber", Params: "ii", do: fdRenumber},
		{Name: "fd_seek", Params: "iIii", do: fdSeek},
		{Name: "fd_sync", Params: "i", do: doFdSync},
		{Name: "fd_tell", Params: "ii", do: fdTell},
		{Name: "fd_write", Params: "iiii", do: fdWrite},
		{Name: "path_create_directory", Params: "iii", do: pathCreateDirectory},
		{Name: "path_filestat_get", Params: "iiiii", do: pathFilestatGet},
		{Name: "path_filestat_set_times", Params: "iiiiIIi", do: pathFilestatSetTimes},
		{Name: "path_link", Params: "iiiiiii", do: pathLink},
		{Name: "path_open", Params: "iiiiiIIii", do: pathOpen},
		{Name: "path_readlink", Params: "iiiiii", do: pathReadlink},
		{Name: "path_remove_directory", Params: "iii", do: pathRemoveDirectory},
		{Name: "path_rename", Params: "iiiiii", do: pathRename},
		{Name: "path_symlink", Params: "iiiii", do: pathSymlink},
		{Name: "path_unlink_file", Params: "iii", do: pathUnlinkFile},
		{Name: "poll_oneoff", Params: "iiii", do: pollOneoff},
		{Name: "proc_exit", Params: "i", NoError: true, do: procExit},
		{Name: "proc_raise", Params: "i", do: procRaise},
		{Name: "random_get", Params: "ii", do: randomGet},
		{Name: "sched_yield", Params: "", do: schedYield},
		{Name: "sock_accept", Params: "iii", do: sockAccept},
		{Name: "sock_recv", Params: "iiiiii", do: sockRecv},
		{Name: "sock_send", Params: "iiiii", do: sockSend},
		{Name: "sock_shutdown", Params: "ii", do: sockShutdown},
	}
}
