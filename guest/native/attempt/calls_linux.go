package attempt

import (
	"errors"
	"io/fs"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// answer is what the host answered to an attempt.
type answer struct {
	call  string // if not the one that the table names
	errno unix.Errno
	got   []byte
	skip  string // why it could not be tried
}

// answered turns the error of a call into an answer.
func answered(call string, err error) answer {
	var errno syscall.Errno
	switch {
	case err == nil:
		return answer{call: call}
	case errors.As(err, &errno):
		return answer{call: call, errno: errno}
	case errors.Is(err, fs.ErrNotExist):
		return answer{call: call, errno: unix.ENOENT}
	}
	return answer{call: call, skip: err.Error()}
}

// first returns the first answer that is not an error, else the first one.
func first(tries ...func() answer) answer {
	var kept answer
	for i, try := range tries {
		a := try()
		if i == 0 || a.errno == 0 && a.skip == "" {
			kept = a
		}
		if a.errno == 0 && a.skip == "" {
			break
		}
	}
	return kept
}

// call makes a raw system call.
func call(name string, nr uintptr, args ...uintptr) answer {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return answer{call: name, errno: errno}
}

// making makes a raw system call that returns a descriptor, and closes that.
func making(name string, nr uintptr, args ...uintptr) answer {
	var a [6]uintptr
	copy(a[:], args)
	fd, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno == 0 {
		_ = unix.Close(int(fd)) // that it was made is the answer
	}
	return answer{call: name, errno: errno}
}

// open opens a file and closes it.
func open(path string, flags int, mode uint32) answer {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, mode)
	if err == nil {
		_ = unix.Close(fd) // as above
	}
	return answered("openat", err)
}

// read reads the beginning of a file.
func read(path string) answer {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return answered("openat", err)
	}
	defer func() { _ = unix.Close(fd) }() // only read from
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	a := answered("read", err)
	if err == nil {
		a.got = buf[:n]
	}
	return a
}

// astray runs try on a thread that ends with it, whatever becomes of the thread.
func astray(try func() answer) answer {
	c := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlocked
		c <- try()
	}()
	return <-c
}

// mapType and friends are the beginning of union bpf_attr.
type bpfMap struct{ mapType, keySize, valueSize, entries uint32 }

func bpf() answer {
	m := bpfMap{2, 4, 4, 1} // an array of one word
	a := making("bpf", unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m))
	runtime.KeepAlive(&m)
	return a
}

func perf() answer {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK, Bits: unix.PerfBitDisabled | unix.PerfBitExcludeKernel}
	attr.Size = uint32(unsafe.Sizeof(attr))
	a := making("perf_event_open", unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&attr)), 0, ^uintptr(0), ^uintptr(0), unix.PERF_FLAG_FD_CLOEXEC)
	runtime.KeepAlive(&attr)
	return a
}

func ring() answer {
	var params [120]byte // struct io_uring_params
	a := making("io_uring_setup", unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
	runtime.KeepAlive(&params)
	return a
}

// byHandle opens a file by a number that no file has.
func byHandle() answer {
	handle := struct {
		size uint32
		kind int32
		data [8]byte
	}{size: 8, kind: 1}
	a := making("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, uintptr(0xffffffffffffff9c), uintptr(unsafe.Pointer(&handle)), unix.O_RDONLY)
	runtime.KeepAlive(&handle)
	return a
}

func module() answer {
	var none byte
	a := call("finit_module", unix.SYS_FINIT_MODULE, ^uintptr(0), uintptr(unsafe.Pointer(&none)), 0)
	runtime.KeepAlive(&none)
	return a
}

// typeInto types a character into a terminal, its own.
func typeInto(fd int) answer {
	c := byte('x')
	a := call("ioctl", unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	runtime.KeepAlive(&c)
	return a
}

// fork makes a process that does nothing for some time and ends, with the flags of
// clone given. With setsid it has a session of its own. The child is a copy of one
// thread of a program that has several, so it makes raw calls only, and has nobody to
// tell of their errors.
//
//go:noinline
//go:norace
//go:nocheckptr
func fork(flags uintptr, setsid bool, wait *unix.Timespec) (pid int, errno unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|flags, 0, 0, 0, 0, 0)
	if errno != 0 || r != 0 {
		return int(r), errno
	}
	if setsid {
		_, _, _ = unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	} else {
		_, _, _ = unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(wait)), 0, 0, 0)
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// end kills a child and reaps it.
func end(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return err
		}
	}
}

// withChild has something tried on a process beside, of the guest's own.
func withChild(try func(pid int) answer) answer {
	pid, errno := fork(0, false, &unix.Timespec{Sec: 5})
	if errno != 0 {
		return answer{skip: "no second process: " + errno.Error()}
	}
	a := try(pid)
	if err := end(pid); err != nil {
		return answer{skip: "the second process: " + err.Error()}
	}
	return a
}

// seize begins to trace a process. It is let go when this one ends.
func seize(pid int) answer {
	return call("ptrace", unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0)
}

// peek reads the memory of a process that is a copy of this one.
func peek(pid int) answer {
	var here, there [8]byte
	local := []unix.Iovec{{Base: &here[0], Len: 8}}
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&there)), Len: 8}}
	_, err := unix.ProcessVMReadv(pid, local, remote, 0)
	runtime.KeepAlive(&there)
	return answered("process_vm_readv", err)
}
