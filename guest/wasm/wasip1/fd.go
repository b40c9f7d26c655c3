package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

func fdAdvise(p *Process, a []uint64) abi.Errno {
	off, n := int64(a[1]), int64(a[2])
	if uint32(a[3]) > 5 {
		return abi.EINVAL
	}
	c := p.onFD(abi.SysAdvise, "fd_advise", a[0], RightFdAdvise)
	c.Off, c.Len = off, n
	c.Arg[0] = uint64(uint32(a[3]))
	return p.done(c)
}

func fdAllocate(p *Process, a []uint64) abi.Errno {
	off, n := int64(a[1]), int64(a[2])
	c := p.onFD(abi.SysAllocate, "fd_allocate", a[0], RightFdAllocate)
	c.Off, c.Len = off, n
	return p.done(c)
}

func fdClose(p *Process, a []uint64) abi.Errno {
	return p.done(p.onFD(abi.SysClose, "fd_close", a[0], 0))
}

func fdDatasync(p *Process, a []uint64) abi.Errno {
	return p.done(p.onFD(abi.SysDatasync, "fd_datasync", a[0], RightFdDatasync))
}

func doFdSync(p *Process, a []uint64) abi.Errno {
	return p.done(p.onFD(abi.SysSync, "fd_sync", a[0], RightFdSync))
}

func fdRenumber(p *Process, a []uint64) abi.Errno {
	c := p.onFD(abi.SysRenumber, "fd_renumber", a[0], 0)
	c.FD2 = abi.FD(uint32(a[1]))
	return p.done(c)
}

func fdFdstatGet(p *Process, a []uint64) abi.Errno {
	out, ok := p.span(uint32(a[1]), sizeFdstat)
	if !ok {
		return abi.EFAULT
	}
	c := p.onFD(abi.SysFdinfo, "fd_fdstat_get", a[0], 0)
	p.Host.Enter(c)
	if c.Errno == abi.OK {
		encodeFdstat(out, &c.Info)
	}
	return c.Errno
}

func fdFdstatSetFlags(p *Process, a []uint64) abi.Errno {
	flags, ok := decodeFdFlags(uint32(a[1]))
	if !ok {
		return abi.EINVAL
	}
	c := p.onFD(abi.SysFcntl, "fd_fdstat_set_flags", a[0], RightFdFdstatSetFlags)
	c.Open = flags
	return p.done(c)
}

// fdFdstatSetRights narrows the rights. What is not among those that fd_fdstat_get
// shows cannot be asked for, though the kernel may keep it.
func fdFdstatSetRights(p *Process, a []uint64) abi.Errno {
	c := p.onFD(abi.SysFdinfo, "fd_fdstat_set_rights", a[0], 0)
	if errno := p.done(c); errno != abi.OK {
		return errno
	}
	base, inheriting := shownRights(&c.Info)
	if a[1]&^base != 0 || a[2]&^inheriting != 0 {
		return abi.ENOTCAPABLE
	}
	c = p.onFD(abi.SysRights, "fd_fdstat_set_rights", a[0], 0)
	c.Arg = [2]uint64{a[1], a[2]}
	return p.done(c)
}

func fdFilestatGet(p *Process, a []uint64) abi.Errno {
	return p.filestat(p.onFD(abi.SysFstat, "fd_filestat_get", a[0], RightFdFilestatGet), a[1])
}

// filestat performs c and stores its Stat at result.
func (p *Process) filestat(c *abi.Call, result uint64) abi.Errno {
	out, ok := p.span(uint32(result), sizeFilestat)
	if !ok {
		return abi.EFAULT
	}
	p.Host.Enter(c)
	if c.Errno == abi.OK {
		encodeFilestat(out, &c.Stat)
	}
	return c.Errno
}

func fdFilestatSetSize(p *Process, a []uint64) abi.Errno {
	c := p.onFD(abi.SysTruncate, "fd_filestat_set_size", a[0], RightFdFilestatSetSize)
	c.Off = int64(a[1])
	return p.done(c)
}

func fdFilestatSetTimes(p *Process, a []uint64) abi.Errno {
	c := p.onFD(abi.SysFutimes, "fd_filestat_set_times", a[0], RightFdFilestatSetTimes)
	if !setTimes(c, a[1], a[2], uint32(a[3])) {
		return abi.EINVAL
	}
	return p.done(c)
}

// setTimes decodes times and which of them to set. It reports false for flags
// that contradict each other or are not defined.
func setTimes(c *abi.Call, atime, mtime uint64, f uint32) bool {
	const both, bothM = 1 | 2, 4 | 8
	if f&^15 != 0 || f&both == both || f&bothM == bothM {
		return false
	}
	c.Flags = 0
	for i, bit := range [...]uint32{abi.SetAtime, abi.SetAtimeNow, abi.SetMtime, abi.SetMtimeNow} {
		if f&(1<<i) != 0 {
			c.Flags |= bit
		}
	}
	c.Time = [2]int64{clampTime(atime), clampTime(mtime)}
	return true
}

func fdRead(p *Process, a []uint64) abi.Errno {
	return p.transfer(p.onIO(abi.SysRead, "fd_read", a[0], RightFdRead), a[1], a[2], a[3])
}

func fdWrite(p *Process, a []uint64) abi.Errno {
	return p.transfer(p.onIO(abi.SysWrite, "fd_write", a[0], RightFdWrite), a[1], a[2], a[3])
}

func fdPread(p *Process, a []uint64) abi.Errno {
	return p.transferAt(p.onIO(abi.SysPread, "fd_pread", a[0], RightFdRead|RightFdSeek), a)
}

func fdPwrite(p *Process, a []uint64) abi.Errno {
	return p.transferAt(p.onIO(abi.SysPwrite, "fd_pwrite", a[0], RightFdWrite|RightFdSeek), a)
}

func (p *Process) transferAt(c *abi.Call, a []uint64) abi.Errno {
	if int64(a[3]) < 0 {
		return abi.EINVAL
	}
	c.Off = int64(a[3])
	return p.transfer(c, a[1], a[2], a[4])
}

func fdSeek(p *Process, a []uint64) abi.Errno {
	if uint32(a[2]) > abi.SeekEnd {
		return abi.EINVAL
	}
	if a[1] == 0 && uint32(a[2]) == abi.SeekCur {
		return p.tell("fd_seek", a[0], a[3]) // it moves nothing
	}
	c := p.onFD(abi.SysSeek, "fd_seek", a[0], RightFdSeek)
	c.Off = int64(a[1])
	c.Flags = uint32(a[2])
	return p.value(c, a[3])
}

// fdTell needs the right to tell, or the right to seek, which implies it.
func fdTell(p *Process, a []uint64) abi.Errno {
	return p.tell("fd_tell", a[0], a[1])
}

// tell stores where the offset is. Either of two rights suffices.
func (p *Process) tell(via string, fd, result uint64) (errno abi.Errno) {
	for _, need := range [...]uint64{RightFdTell, RightFdSeek} {
		c := p.onFD(abi.SysSeek, via, fd, need)
		c.Off = 0
		c.Flags = abi.SeekCur
		if errno = p.value(c, result); errno != abi.ENOTCAPABLE {
			break
		}
	}
	return errno
}

// preopen returns the guest path that a descriptor was pre-opened as. Others
// are bad descriptors to the interface, which is how programs find the last.
func (p *Process) preopen(via string, fd uint64) (string, abi.Errno) {
	c := p.onFD(abi.SysFdinfo, via, fd, 0)
	p.Host.Enter(c)
	if c.Errno != abi.OK {
		return "", c.Errno
	}
	if c.Info.Preopen == "" {
		return "", abi.EBADF
	}
	return c.Info.Preopen, abi.OK
}

func fdPrestatGet(p *Process, a []uint64) abi.Errno {
	out, ok := p.span(uint32(a[1]), sizePrestat)
	if !ok {
		return abi.EFAULT
	}
	name, errno := p.preopen("fd_prestat_get", a[0])
	if errno != abi.OK {
		return errno
	}
	clear(out)
	le.PutUint32(out[4:], uint32(len(name)))
	return abi.OK
}

func fdPrestatDirName(p *Process, a []uint64) abi.Errno {
	name, errno := p.preopen("fd_prestat_dir_name", a[0])
	if errno != abi.OK {
		return errno
	}
	if uint64(uint32(a[2])) < uint64(len(name)) {
		return abi.ENAMETOOLONG
	}
	out, ok := p.span(uint32(a[1]), uint64(len(name)))
	if !ok {
		return abi.EFAULT
	}
	copy(out, name)
	return abi.OK
}
