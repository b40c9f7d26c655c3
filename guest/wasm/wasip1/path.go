package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

// onPath prepares a call on a path relative to a directory, of which it takes the
// rights in need.
func (p *Process) onPath(nr abi.Sysno, via string, need, dir, ptr, n uint64) (*abi.Call, abi.Errno) {
	path, errno := p.path(ptr, n)
	if errno != abi.OK {
		return nil, errno
	}
	c := p.onFD(nr, via, dir, need)
	c.Flags = 0
	c.Path = path
	c.Path2 = ""
	return c, abi.OK
}

// lookup decodes the flags of a lookup.
func lookup(flags uint64) (uint32, bool) {
	switch uint32(flags) {
	case 0:
		return 0, true
	case 1:
		return abi.LookupFollow, true
	}
	return 0, false
}

// enterPath performs a call on paths and lets go of them.
func (p *Process) enterPath(c *abi.Call) abi.Errno {
	p.Host.Enter(c)
	c.Path, c.Path2 = "", ""
	return c.Errno
}

func (p *Process) simplePath(nr abi.Sysno, via string, need uint64, a []uint64) abi.Errno {
	c, errno := p.onPath(nr, via, need, a[0], a[1], a[2])
	if errno != abi.OK {
		return errno
	}
	return p.enterPath(c)
}

func pathCreateDirectory(p *Process, a []uint64) abi.Errno {
	return p.simplePath(abi.SysMkdir, "path_create_directory", RightPathCreateDirectory, a)
}

func pathRemoveDirectory(p *Process, a []uint64) abi.Errno {
	return p.simplePath(abi.SysRmdir, "path_remove_directory", RightPathRemoveDirectory, a)
}

func pathUnlinkFile(p *Process, a []uint64) abi.Errno {
	return p.simplePath(abi.SysUnlink, "path_unlink_file", RightPathUnlinkFile, a)
}

func pathFilestatGet(p *Process, a []uint64) abi.Errno {
	flags, ok := lookup(a[1])
	if !ok {
		return abi.EINVAL
	}
	out, ok := p.span(uint32(a[4]), sizeFilestat)
	if !ok {
		return abi.EFAULT
	}
	c, errno := p.onPath(abi.SysStat, "path_filestat_get", RightPathFilestatGet, a[0], a[2], a[3])
	if errno != abi.OK {
		return errno
	}
	c.Flags = flags
	if errno = p.enterPath(c); errno == abi.OK {
		encodeFilestat(out, &c.Stat)
	}
	return errno
}

func pathFilestatSetTimes(p *Process, a []uint64) abi.Errno {
	flags, ok := lookup(a[1])
	if !ok {
		return abi.EINVAL
	}
	c, errno := p.onPath(abi.SysUtimes, "path_filestat_set_times", RightPathFilestatSetTimes, a[0], a[2], a[3])
	if errno != abi.OK {
		return errno
	}
	if !setTimes(c, a[4], a[5], uint32(a[6])) {
		return abi.EINVAL
	}
	c.Flags |= flags
	return p.enterPath(c)
}

func pathLink(p *Process, a []uint64) abi.Errno {
	flags, ok := lookup(a[1])
	if !ok {
		return abi.EINVAL
	}
	c, errno := p.onPath(abi.SysLink, "path_link", RightPathLinkSource, a[0], a[2], a[3])
	if errno != abi.OK {
		return errno
	}
	c.Flags = flags
	return p.toPath(c, RightPathLinkTarget, a[4], a[5], a[6])
}

func pathRename(p *Process, a []uint64) abi.Errno {
	c, errno := p.onPath(abi.SysRename, "path_rename", RightPathRenameSource, a[0], a[1], a[2])
	if errno != abi.OK {
		return errno
	}
	return p.toPath(c, RightPathRenameTarget, a[3], a[4], a[5])
}

// toPath adds the second directory, of which the call takes the rights in need,
// and path to c and performs it.
func (p *Process) toPath(c *abi.Call, need, dir, ptr, n uint64) abi.Errno {
	path, errno := p.path(ptr, n)
	if errno != abi.OK {
		return errno
	}
	c.FD2, c.Need2 = abi.FD(uint32(dir)), need
	c.Path2 = path
	return p.enterPath(c)
}

// pathSymlink makes Path, relative to FD, a link to Path2. The target is text,
// not a path that is walked now.
func pathSymlink(p *Process, a []uint64) abi.Errno {
	target, errno := p.path(a[0], a[1])
	if errno != abi.OK {
		return errno
	}
	c, errno := p.onPath(abi.SysSymlink, "path_symlink", RightPathSymlink, a[2], a[3], a[4])
	if errno != abi.OK {
		return errno
	}
	c.Path2 = target
	return p.enterPath(c)
}

// pathReadlink stores as much of the target as fits; the interface truncates
// without an error.
func pathReadlink(p *Process, a []uint64) abi.Errno {
	out, ok := p.span(uint32(a[3]), uint64(uint32(a[4])))
	if !ok {
		return abi.EFAULT
	}
	used, ok := p.span(uint32(a[5]), 4)
	if !ok {
		return abi.EFAULT
	}
	c, errno := p.onPath(abi.SysReadlink, "path_readlink", RightPathReadlink, a[0], a[1], a[2])
	if errno != abi.OK {
		return errno
	}
	if errno = p.enterPath(c); errno == abi.OK {
		le.PutUint32(used, uint32(copy(out, c.Link)))
	}
	c.Link = ""
	return errno
}

// WASI's flags of path_open.
const (
	oCreat uint32 = 1 << iota
	oDirectory
	oExcl
	oTrunc
	oAll = oTrunc<<1 - 1
)

var openFlags = [...]struct {
	wasi   uint32
	kernel abi.OpenFlags
}{
	{oCreat, abi.OCreate},
	{oDirectory, abi.ODirectory},
	{oExcl, abi.OExcl},
	{oTrunc, abi.OTrunc},
}

// access derives what a file is opened for from the rights asked for. Only the
// right to write asks for writing: C libraries and Go ask for the others with
// every file. A descriptor with neither is opened for reading.
func access(rights uint64) (o abi.OpenFlags) {
	if rights&RightFdWrite != 0 {
		o |= abi.OWrite
	}
	if rights&(RightFdRead|RightFdReaddir) != 0 || o == 0 {
		o |= abi.ORead
	}
	return o
}

func pathOpen(p *Process, a []uint64) abi.Errno {
	follow, ok := lookup(a[1])
	if !ok {
		return abi.EINVAL
	}
	oflags := uint32(a[4])
	flags, ok := decodeFdFlags(uint32(a[7]))
	if !ok || oflags&^oAll != 0 {
		return abi.EINVAL
	}
	flags |= access(a[5])
	for _, m := range openFlags {
		if oflags&m.wasi != 0 {
			flags |= m.kernel
		}
	}
	if follow == 0 {
		flags |= abi.ONofollow
	}
	out, ok := p.span(uint32(a[8]), 4)
	if !ok {
		return abi.EFAULT
	}
	need := RightPathOpen
	if oflags&oCreat != 0 {
		need |= RightPathCreateFile
	}
	if oflags&oTrunc != 0 {
		need |= RightPathFilestatSetSize
	}
	c, errno := p.onPath(abi.SysOpen, "path_open", need, a[0], a[2], a[3])
	if errno != abi.OK {
		return errno
	}
	c.Flags = follow
	c.Open = flags
	if oflags&oTrunc != 0 {
		c.Lack = abi.EPERM
	}
	c.Arg = [2]uint64{a[5] & RightsAll, a[6] & RightsAll} // libraries ask for all bits there are
	if c.Arg[0]&RightPathCreateFile != 0 {
		// Go opens a directory without the right to truncate in it, lets it be
		// inherited from it, and truncates in it all the same (os.Root).
		c.Arg[0] |= c.Arg[1] & RightPathFilestatSetSize
	}
	if errno = p.enterPath(c); errno == abi.OK {
		le.PutUint32(out, uint32(c.Ret))
	}
	return errno
}
