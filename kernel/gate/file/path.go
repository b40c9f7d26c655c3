package file

import (
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/proc"
)

func stat(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	c.Stat, errno = p.NS().Stat(p, b, dirPath(c), c.Flags&abi.LookupFollow != 0)
	return errno
}

// dirPath is the path of a call, with a slash where it must be a directory.
func dirPath(c *abi.Call) string {
	if c.Flags&abi.LookupDir != 0 && c.Path != "" {
		return c.Path + "/"
	}
	return c.Path
}

func readlink(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	c.Link, errno = p.NS().Readlink(p, b, c.Path)
	c.Ret = uint64(len(c.Link))
	return errno
}

func utimes(p *proc.Process, c *abi.Call) abi.Errno {
	atime, mtime, errno := times(c)
	if errno != abi.OK {
		return errno
	}
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return p.NS().SetTimes(p, b, dirPath(c), c.Flags&abi.LookupFollow != 0, atime, mtime)
}

func mkdir(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return p.NS().Mkdir(p, b, c.Path, dirMode)
}

func rmdir(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return p.NS().Rmdir(p, b, c.Path)
}

func unlink(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return p.NS().Unlink(p, b, c.Path)
}

func symlink(p *proc.Process, c *abi.Call) abi.Errno {
	b, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	return p.NS().Symlink(p, c.Path2, b, c.Path)
}

func link(p *proc.Process, c *abi.Call) abi.Errno {
	from, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	to, d2, errno := base(p, c.FD2)
	if errno != abi.OK {
		return errno
	}
	defer release(d2.File)
	return p.NS().Link(p, from, c.Path, c.Flags&abi.LookupFollow != 0, to, c.Path2)
}

func rename(p *proc.Process, c *abi.Call) abi.Errno {
	from, d, errno := base(p, c.FD)
	if errno != abi.OK {
		return errno
	}
	defer release(d.File)
	to, d2, errno := base(p, c.FD2)
	if errno != abi.OK {
		return errno
	}
	defer release(d2.File)
	return p.NS().Rename(p, from, c.Path, to, c.Path2)
}
