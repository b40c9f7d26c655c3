//go:build !linux

package hostfs

import (
	"syscall"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// errnoOf maps one error number of a host that is not Linux. Numbers differ from
// host to host, names do not. Zero is not an error.
func errnoOf(e syscall.Errno) abi.Errno {
	if e == 0 {
		return abi.OK
	}
	for i := range errnos {
		if errnos[i].host == e {
			return errnos[i].errno
		}
	}
	return abi.EIO
}

var errnos = [...]struct {
	host  syscall.Errno
	errno abi.Errno
}{
	{syscall.ENOENT, abi.ENOENT},
	{syscall.EPERM, abi.EPERM},
	{syscall.ESRCH, abi.ESRCH},
	{syscall.EINTR, abi.EINTR},
	{syscall.EIO, abi.EIO},
	{syscall.ENXIO, abi.ENXIO},
	{syscall.E2BIG, abi.E2BIG},
	{syscall.ENOEXEC, abi.ENOEXEC},
	{syscall.EBADF, abi.EBADF},
	{syscall.ECHILD, abi.ECHILD},
	{syscall.EAGAIN, abi.EAGAIN},
	{syscall.ENOMEM, abi.ENOMEM},
	{syscall.EACCES, abi.EACCES},
	{syscall.EFAULT, abi.EFAULT},
	{syscall.EBUSY, abi.EBUSY},
	{syscall.EEXIST, abi.EEXIST},
	{syscall.EXDEV, abi.EXDEV},
	{syscall.ENODEV, abi.ENODEV},
	{syscall.ENOTDIR, abi.ENOTDIR},
	{syscall.EISDIR, abi.EISDIR},
	{syscall.EINVAL, abi.EINVAL},
	{syscall.ENFILE, abi.ENFILE},
	{syscall.EMFILE, abi.EMFILE},
	{syscall.ENOTTY, abi.ENOTTY},
	{syscall.ETXTBSY, abi.ETXTBSY},
	{syscall.EFBIG, abi.EFBIG},
	{syscall.ENOSPC, abi.ENOSPC},
	{syscall.ESPIPE, abi.ESPIPE},
	{syscall.EROFS, abi.EROFS},
	{syscall.EMLINK, abi.EMLINK},
	{syscall.EPIPE, abi.EPIPE},
	{syscall.EDOM, abi.EDOM},
	{syscall.ERANGE, abi.ERANGE},
	{syscall.EDEADLK, abi.EDEADLK},
	{syscall.ENAMETOOLONG, abi.ENAMETOOLONG},
	{syscall.ENOLCK, abi.ENOLCK},
	{syscall.ENOSYS, abi.ENOSYS},
	{syscall.ENOTEMPTY, abi.ENOTEMPTY},
	{syscall.ELOOP, abi.ELOOP},
	{syscall.EOVERFLOW, abi.EOVERFLOW},
	{syscall.EILSEQ, abi.EILSEQ},
	{syscall.EDQUOT, abi.EDQUOT},
	{syscall.ESTALE, abi.ESTALE},
	{syscall.ECANCELED, abi.ECANCELED},
	{syscall.ENOTSOCK, abi.ENOTSOCK},
	{syscall.EDESTADDRREQ, abi.EDESTADDRREQ},
	{syscall.EMSGSIZE, abi.EMSGSIZE},
	{syscall.EPROTOTYPE, abi.EPROTOTYPE},
	{syscall.ENOPROTOOPT, abi.ENOPROTOOPT},
	{syscall.EPROTONOSUPPORT, abi.EPROTONOSUPPORT},
	{syscall.EAFNOSUPPORT, abi.EAFNOSUPPORT},
	{syscall.EADDRINUSE, abi.EADDRINUSE},
	{syscall.EADDRNOTAVAIL, abi.EADDRNOTAVAIL},
	{syscall.ENETDOWN, abi.ENETDOWN},
	{syscall.ENETUNREACH, abi.ENETUNREACH},
	{syscall.ENETRESET, abi.ENETRESET},
	{syscall.ECONNABORTED, abi.ECONNABORTED},
	{syscall.ECONNRESET, abi.ECONNRESET},
	{syscall.ENOBUFS, abi.ENOBUFS},
	{syscall.EISCONN, abi.EISCONN},
	{syscall.ENOTCONN, abi.ENOTCONN},
	{syscall.ETIMEDOUT, abi.ETIMEDOUT},
	{syscall.ECONNREFUSED, abi.ECONNREFUSED},
	{syscall.EHOSTUNREACH, abi.EHOSTUNREACH},
	{syscall.EALREADY, abi.EALREADY},
	{syscall.EINPROGRESS, abi.EINPROGRESS},
	{syscall.ENOTSUP, abi.ENOTSUP},
	{syscall.EOPNOTSUPP, abi.ENOTSUP},
	{syscall.EPFNOSUPPORT, abi.EAFNOSUPPORT},
	{syscall.ESOCKTNOSUPPORT, abi.ENOTSUP},
	{syscall.ESHUTDOWN, abi.EPIPE},
	{syscall.EHOSTDOWN, abi.EHOSTUNREACH},
	{syscall.ETOOMANYREFS, abi.ENFILE},
	{syscall.EUSERS, abi.ENFILE},
	{syscall.ENOTBLK, abi.EINVAL},
	{syscall.EREMOTE, abi.EIO},
}
