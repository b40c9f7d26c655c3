package abi

// Errno is an error number of the kernel's own. Its order is not Linux's and not
// WASI's: each edge maps it through one exhaustive table.
type Errno uint16

// The error numbers. OK is success.
const (
	OK Errno = iota
	E2BIG
	EACCES
	EADDRINUSE
	EADDRNOTAVAIL
	EAFNOSUPPORT
	EAGAIN
	EALREADY
	EBADF
	EBADMSG
	EBUSY
	ECANCELED
	ECHILD
	ECONNABORTED
	ECONNREFUSED
	ECONNRESET
	EDEADLK
	EDESTADDRREQ
	EDOM
	EDQUOT
	EEXIST
	EFAULT
	EFBIG
	EHOSTUNREACH
	EIDRM
	EILSEQ
	EINPROGRESS
	EINTR
	EINVAL
	EIO
	EISCONN
	EISDIR
	ELOOP
	EMFILE
	EMLINK
	EMSGSIZE
	EMULTIHOP
	ENAMETOOLONG
	ENETDOWN
	ENETRESET
	ENETUNREACH
	ENFILE
	ENOBUFS
	ENODEV
	ENOENT
	ENOEXEC
	ENOLCK
	ENOLINK
	ENOMEM
	ENOMSG
	ENOPROTOOPT
	ENOSPC
	ENOSYS
	ENOTCONN
	ENOTDIR
	ENOTEMPTY
	ENOTRECOVERABLE
	ENOTSOCK
	ENOTSUP
	ENOTTY
	ENXIO
	EOVERFLOW
	EOWNERDEAD
	EPERM
	EPIPE
	EPROTO
	EPROTONOSUPPORT
	EPROTOTYPE
	ERANGE
	EROFS
	ESPIPE
	ESRCH
	ESTALE
	ETIMEDOUT
	ETXTBSY
	EXDEV
	ENOTCAPABLE
	NumErrnos
)

var errnoNames = []string{"ok", "E2BIG", "EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EAGAIN", "EALREADY", "EBADF", "EBADMSG", "EBUSY", "ECANCELED", "ECHILD", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EDEADLK", "EDESTADDRREQ", "EDOM", "EDQUOT", "EEXIST", "EFAULT", "EFBIG", "EHOSTUNREACH", "EIDRM", "EILSEQ", "EINPROGRESS", "EINTR", "EINVAL", "EIO", "EISCONN", "EISDIR", "ELOOP", "EMFILE", "EMLINK", "EMSGSIZE", "EMULTIHOP", "ENAMETOOLONG", "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENFILE", "ENOBUFS", "ENODEV", "ENOENT", "ENOEXEC", "ENOLCK", "ENOLINK", "ENOMEM", "ENOMSG", "ENOPROTOOPT", "ENOSPC", "ENOSYS", "ENOTCONN", "ENOTDIR", "ENOTEMPTY", "ENOTRECOVERABLE", "ENOTSOCK", "ENOTSUP", "ENOTTY", "ENXIO", "EOVERFLOW", "EOWNERDEAD", "EPERM", "EPIPE", "EPROTO", "EPROTONOSUPPORT", "EPROTOTYPE", "ERANGE", "EROFS", "ESPIPE", "ESRCH", "ESTALE", "ETIMEDOUT", "ETXTBSY", "EXDEV", "ENOTCAPABLE"}

var errnoTexts = []string{"success", "argument list too long", "permission denied", "address in use", "address not available", "address family not supported", "resource temporarily unavailable", "operation already in progress", "bad file descriptor", "bad message", "device or resource busy", "operation canceled", "no child processes", "connection aborted", "connection refused", "connection reset", "resource deadlock avoided", "destination address required", "argument out of domain", "disk quota exceeded", "file exists", "bad address", "file too large", "host is unreachable", "identifier removed", "illegal byte sequence", "operation in progress", "interrupted", "invalid argument", "input/output error", "socket is connected", "is a directory", "too many levels of symbolic links", "too many open files", "too many links", "message too large", "multihop attempted", "file name too long", "network is down", "connection aborted by network", "network is unreachable", "too many open files in system", "no buffer space available", "no such device", "no such file or directory", "exec format error", "no locks available", "link has been severed", "out of memory", "no message of the desired type", "protocol not available", "no space left on device", "function not implemented", "socket is not connected", "not a directory", "directory not empty", "state not recoverable", "not a socket", "operation not supported", "inappropriate I/O control operation", "no such device or address", "value too large", "previous owner died", "operation not permitted", "broken pipe", "protocol error", "protocol not supported", "protocol wrong type for socket", "result too large", "read-only file system", "illegal seek", "no such process", "stale file handle", "timed out", "text file busy", "cross-device link", "capabilities insufficient"}

// String returns the symbolic name ("ENOENT"), or "ok".
func (e Errno) String() string { return name(errnoNames, e) }

// Error returns the description ("no such file or directory"), so that an Errno
// can be returned as an error outside the gate.
func (e Errno) Error() string { return name(errnoTexts, e) }

// ParseErrno resolves a symbolic name.
func ParseErrno(s string) (Errno, bool) { return find[Errno](errnoNames, s) }
