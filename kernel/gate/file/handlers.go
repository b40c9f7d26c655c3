// Package file holds the gate's handlers for descriptors and paths. Each decodes
// its flags, reserves what it needs, acts, and commits; the commit cannot fail,
// so that nothing that was done has to be undone.
//
// Invariants: a handler keeps neither the call nor its buffers; every reference
// to a file that it takes it lets go of; what it leaves in the call on an error
// is no result.
//
// Locks: none of its own.
//
// Imports: kernel/{abi,gate,proc,vfs}.
package file

import (
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/gate"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// Modes of what a guest creates, before the umask of the kernel's own process.
const (
	fileMode = 0o666
	dirMode  = 0o777
)

// maxEntries bounds the directory entries of one call.
const maxEntries = 1024

// Handlers returns the handlers of every row that touches a descriptor or a
// path, except poll and those of sockets.
func Handlers() map[abi.Sysno]gate.Handler {
	return map[abi.Sysno]gate.Handler{
		abi.SysOpen:     open,
		abi.SysClose:    closeFD,
		abi.SysRead:     read,
		abi.SysWrite:    write,
		abi.SysPread:    pread,
		abi.SysPwrite:   pwrite,
		abi.SysSeek:     seek,
		abi.SysFdinfo:   fdinfo,
		abi.SysFcntl:    fcntl,
		abi.SysRights:   rights,
		abi.SysRenumber: renumber,
		abi.SysFstat:    fstat,
		abi.SysStat:     stat,
		abi.SysReaddir:  readdir,
		abi.SysMkdir:    mkdir,
		abi.SysRmdir:    rmdir,
		abi.SysUnlink:   unlink,
		abi.SysRename:   rename,
		abi.SysLink:     link,
		abi.SysSymlink:  symlink,
		abi.SysReadlink: readlink,
		abi.SysTruncate: truncate,
		abi.SysAllocate: allocate,
		abi.SysAdvise:   advise,
		abi.SysUtimes:   utimes,
		abi.SysFutimes:  futimes,
		abi.SysSync:     syncAll,
		abi.SysDatasync: syncData,
	}
}

// base returns the directory that fd stands for, with a reference that the
// caller lets go of through the returned file.
func base(p *proc.Process, fd abi.FD) (*vfs.Base, proc.Descriptor, abi.Errno) {
	d, errno := p.FDs().Get(fd)
	if errno != abi.OK {
		return nil, d, errno
	}
	if d.Base == nil {
		release(d.File)
		return nil, d, abi.ENOTDIR
	}
	return d.Base, d, abi.OK
}

// release lets go of a reference taken for the length of a call. The descriptor
// still holds its own, or whoever closed it is told of the error.
func release(f *vfs.File) { _ = f.Unref() }

func open(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	if (c.Arg[0]|c.Arg[1])&^d.Inherit != 0 {
		return abi.ENOTCAPABLE
	}
	fd, errno := p.FDs().Reserve()
	if errno != abi.OK {
		return errno
	}
	committed := false
	defer func() {
		if !committed {
			p.FDs().Cancel(fd)
		}
	}()
	epoch := p.Authority().Epoch() // before the question: an answer is never taken for a later one
	f, errno := p.NS().Open(p, b, c.Path, c.Open, fileMode)
	if errno != abi.OK {
		return errno
	}
	if !p.FDs().Commit(fd, proc.Descriptor{
		File: f, Base: f.Base(), Rights: c.Arg[0], Inherit: c.Arg[1], Epoch: epoch,
	}) {
		release(f) // the process is ending
		return abi.EBADF
	}
	committed = true
	c.Ret = uint64(fd)
	return abi.OK
}

func closeFD(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Remove(c.FD)
	if errno != abi.OK {
		return errno
	}
	return d.File.Unref()
}

func read(p *proc.Process, c *abi.Call) abi.Errno {
	f, errno := p.FDs().Borrow(c.FD)
	if errno != abi.OK {
		return errno
	}
	n, errno := f.Read(c.Buf)
	c.Ret = uint64(n)
	p.CountRead(n) // what moved before an error counts, though the guest is told the error
	return errno
}

func write(p *proc.Process, c *abi.Call) abi.Errno {
	f, errno := p.FDs().Borrow(c.FD)
	if errno != abi.OK {
		return errno
	}
	n, errno := f.Write(c.Buf)
	c.Ret = uint64(n)
	p.CountWritten(n) // what moved before an error counts, though the guest is told the error
	return errno
}

func pread(p *proc.Process, c *abi.Call) abi.Errno {
	f, errno := p.FDs().Borrow(c.FD)
	if errno != abi.OK {
		return errno
	}
	n, errno := f.Pread(c.Buf, c.Off)
	c.Ret = uint64(n)
	p.CountRead(n) // what moved before an error counts, though the guest is told the error
	return errno
}

func pwrite(p *proc.Process, c *abi.Call) abi.Errno {
	f, errno := p.FDs().Borrow(c.FD)
	if errno != abi.OK {
		return errno
	}
	n, errno := f.Pwrite(c.Buf, c.Off)
	c.Ret = uint64(n)
	p.CountWritten(n) // what moved before an error counts, though the guest is told the error
	return errno
}

func seek(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	off, errno := d.File.SeekTo(c.Off, c.Flags)
	c.Ret = uint64(off)
	return errno
}

func fdinfo(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	c.Info = abi.FDInfo{Type: d.File.Type(), Flags: d.File.Flags(), Rights: d.Rights, Inherit: d.Inherit, Preopen: d.Preopen}
	return abi.OK
}

func fcntl(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return d.File.SetFlags(c.Open)
}

func rights(p *proc.Process, c *abi.Call) abi.Errno {
	return p.FDs().Update(c.FD, func(d *proc.Descriptor) abi.Errno {
		if c.Arg[0]&^d.Rights != 0 || c.Arg[1]&^d.Inherit != 0 {
			return abi.ENOTCAPABLE
		}
		d.Rights, d.Inherit = c.Arg[0], c.Arg[1]
		return abi.OK
	})
}

func renumber(p *proc.Process, c *abi.Call) abi.Errno {
	old, errno := p.FDs().Renumber(c.FD, c.FD2)
	if errno == abi.OK && old.File != nil {
		// What was open there is gone either way; as with dup2 its closing has
		// no one to tell.
		release(old.File)
	}
	return errno
}

func fstat(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	c.Stat, errno = d.File.StatAs(p)
	return errno
}

func readdir(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	c.Ents, errno = d.File.Readdir(p, uint64(c.Off), int(min(max(c.Len, 1), maxEntries)))
	c.Ret = uint64(len(c.Ents))
	return errno
}

func truncate(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return d.File.Truncate(c.Off)
}

func allocate(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return d.File.Allocate(c.Off, c.Len)
}

func advise(p *proc.Process, c *abi.Call) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return d.File.Advise(c.Off, c.Len)
}

func futimes(p *proc.Process, c *abi.Call) abi.Errno {
	atime, mtime, errno := times(c)
	if errno != abi.OK {
		return errno
	}
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return d.File.SetTimes(p, atime, mtime)
}

func syncAll(p *proc.Process, c *abi.Call) abi.Errno { return flush(p, c, false) }

func syncData(p *proc.Process, c *abi.Call) abi.Errno { return flush(p, c, true) }

func flush(p *proc.Process, c *abi.Call, dataOnly bool) abi.Errno {
	d, errno := p.FDs().Get(c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return d.File.Sync(dataOnly)
}

// times decodes which times to set, and to what.
func times(c *abi.Call) (atime, mtime *int64, _ abi.Errno) {
	const a, m = abi.SetAtime | abi.SetAtimeNow, abi.SetMtime | abi.SetMtimeNow
	if c.Flags&a == a || c.Flags&m == m {
		return nil, nil, abi.EINVAL
	}
	now := time.Now().UnixNano()
	pick := func(set, setNow uint32, given int64) *int64 {
		switch {
		case c.Flags&set != 0:
			return &given
		case c.Flags&setNow != 0:
			return &now
		}
		return nil
	}
	return pick(abi.SetAtime, abi.SetAtimeNow, c.Time[0]), pick(abi.SetMtime, abi.SetMtimeNow, c.Time[1]), abi.OK
}
