//go:build linux && !hostfs_portable

package hostfs

import (
	"math"
	"math/bits"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// How much the number of a mount says.
const (
	mountUnknown  = iota // the host does not tell
	mountReusable        // a later mount may get the same number
	mountUnique          // never given twice (Linux 6.8)
)

// info is what the host says about an object.
type info struct {
	dev, ino            uint64
	mount               uint64
	mountKind           uint8
	mode                uint32 // type and permissions, as the host encodes them
	nlink               uint64
	size                int64
	atime, mtime, ctime int64
}

const (
	statxMask  = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE
	statxFlags = unix.AT_NO_AUTOMOUNT | unix.AT_SYMLINK_NOFOLLOW
)

// describe returns the info of an open handle. Unless fresh, attributes that a
// network file system has cached are good enough: the type, the identity, and
// the mount of an object never change.
func (fs *FS) describe(fd int, fresh bool) (info, error) {
	if !fs.has.statx {
		return fstat(fd)
	}
	flags := statxFlags | unix.AT_EMPTY_PATH
	if !fresh {
		flags |= unix.AT_STATX_DONT_SYNC
	}
	return statx(fd, "", flags)
}

func statx(dirfd int, name string, flags int) (info, error) {
	var st unix.Statx_t
	if err := againErr(func() error { return unix.Statx(dirfd, name, flags, statxMask, &st) }); err != nil {
		return info{}, err
	}
	in := info{
		dev:   unix.Mkdev(st.Dev_major, st.Dev_minor),
		ino:   st.Ino,
		mount: st.Mnt_id,
		mode:  uint32(st.Mode),
		nlink: uint64(st.Nlink),
		size:  clampSize(st.Size),
		atime: nanos(st.Atime.Sec, int64(st.Atime.Nsec)),
		mtime: nanos(st.Mtime.Sec, int64(st.Mtime.Nsec)),
		ctime: nanos(st.Ctime.Sec, int64(st.Ctime.Nsec)),
	}
	switch {
	case st.Mask&unix.STATX_MNT_ID_UNIQUE != 0:
		in.mountKind = mountUnique
	case st.Mask&unix.STATX_MNT_ID != 0:
		in.mountKind = mountReusable
	}
	return in, nil
}

func fstat(fd int) (info, error) {
	var st unix.Stat_t
	if err := againErr(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return info{}, err
	}
	return info{
		dev: st.Dev, ino: st.Ino, mode: st.Mode, nlink: uint64(st.Nlink), size: st.Size,
		atime: nanos(st.Atim.Unix()), mtime: nanos(st.Mtim.Unix()), ctime: nanos(st.Ctim.Unix()),
	}, nil
}

// clampSize keeps a size that a hostile FUSE server invented from turning
// negative.
func clampSize(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// nanos is sec·10⁹+nsec, saturated: file times may lie outside what 64 bits of
// nanoseconds can say.
func nanos(sec, nsec int64) int64 {
	neg := sec < 0
	abs := uint64(sec)
	if neg {
		abs = -abs
	}
	hi, lo := bits.Mul64(abs, 1e9)
	switch {
	case neg && (hi != 0 || lo-uint64(nsec) > 1<<63):
		return math.MinInt64
	case neg:
		return -int64(lo - uint64(nsec))
	case hi != 0 || lo > math.MaxInt64-uint64(nsec):
		return math.MaxInt64
	}
	return int64(lo) + nsec
}

// typ returns the type of the object.
func (in *info) typ() abi.FileType {
	switch in.mode & unix.S_IFMT {
	case unix.S_IFREG:
		return abi.TypeRegular
	case unix.S_IFDIR:
		return abi.TypeDirectory
	case unix.S_IFLNK:
		return abi.TypeSymlink
	case unix.S_IFIFO:
		return abi.TypeFIFO
	case unix.S_IFSOCK:
		return abi.TypeSocket
	case unix.S_IFCHR:
		return abi.TypeCharDevice
	case unix.S_IFBLK:
		return abi.TypeBlockDevice
	}
	return abi.TypeUnknown
}

// privileged reports whether executing the object grants another identity.
func (in *info) privileged() bool {
	return in.mode&unix.S_ISUID != 0 || in.mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP
}

func (in *info) stat() abi.Stat {
	return abi.Stat{
		Dev: guestDev(in.dev), Ino: in.ino, Type: in.typ(), Mode: in.mode & 0o777,
		Nlink: in.nlink, Size: in.size, Atime: in.atime, Mtime: in.mtime, Ctime: in.ctime,
	}
}
