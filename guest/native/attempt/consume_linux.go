package attempt

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// What an order can ask to use up, each without end but for its amount. The program
// says nothing and exits with 0 if it had all of that, with Refused if the host refused
// it more.
const (
	Memory    = "memory"    // bytes
	Processes = "processes" // processes
	Disk      = "disk"      // bytes of private files
	Processor = "processor" // seconds of processor time
	Output    = "output"    // bytes
	Time      = "time"      // seconds of wall time
	Files     = "files"     // descriptors
	Outlive   = "outlive"   // seconds after its own end
)

// Refused is the exit status of a program that was refused more.
const Refused = 9

var uses = map[string]func(*Order) error{
	Memory: useMemory, Processes: useProcesses, Disk: useDisk, Processor: useProcessor,
	Output: useOutput, Time: useTime, Files: useFiles, Outlive: outlive,
}

// refused ends the program if err says that there is no more.
func refused(err error, when ...unix.Errno) {
	for _, w := range when {
		if err == w {
			os.Exit(Refused)
		}
	}
}

// lingering is how long a program that used too much waits for what is held by looking
// at it from time to time.
const lingering = 2 * time.Second

func useMemory(o *Order) error {
	const step = 1 << 20
	for range o.Amount / step {
		b, err := unix.Mmap(-1, 0, step, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		refused(err, unix.ENOMEM)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	time.Sleep(lingering)
	return nil
}

func useProcesses(o *Order) error {
	var pids []int
	defer func() {
		for _, pid := range pids {
			_ = end(pid) // they also end by themselves
		}
	}()
	for range o.Amount {
		pid, errno := fork(0, false, &unix.Timespec{Sec: 5})
		if errno != 0 {
			makeRoom(pids)
			refused(errno, unix.EAGAIN)
			return errno
		}
		pids = append(pids, pid)
	}
	time.Sleep(lingering)
	return nil
}

// makeRoom ends processes by raw calls: around others the runtime may want another
// thread, for which there is no room yet. Those that it cannot end do so by themselves.
func makeRoom(pids []int) {
	for _, pid := range pids {
		_, _, _ = unix.RawSyscall(unix.SYS_KILL, uintptr(pid), uintptr(unix.SIGKILL), 0)
		_, _, _ = unix.RawSyscall6(unix.SYS_WAIT4, uintptr(pid), 0, 0, 0, 0, 0)
	}
}

// useDisk fills a file that keeps its name, since not every floor sees one that has
// none.
func useDisk(o *Order) (err error) {
	f, err := os.CreateTemp("", "agentos-fill-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	b := make([]byte, 64<<10)
	for range o.Amount / uint64(len(b)) {
		_, err := unix.Write(int(f.Fd()), b)
		refused(err, unix.ENOSPC, unix.EDQUOT)
		if err != nil {
			return err
		}
	}
	time.Sleep(lingering)
	return nil
}

func useProcessor(o *Order) error {
	for {
		var u unix.Rusage
		for range 1_000_000 {
		}
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			return err
		}
		if u.Utime.Sec+u.Stime.Sec >= int64(o.Amount) {
			return nil
		}
	}
}

func useOutput(o *Order) error {
	b := make([]byte, 4096)
	for range o.Amount / uint64(len(b)) {
		if _, err := os.Stdout.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func useTime(o *Order) error {
	time.Sleep(time.Duration(o.Amount) * time.Second)
	return nil
}

func useFiles(o *Order) error {
	for range o.Amount {
		_, err := unix.Dup(0)
		refused(err, unix.EMFILE, unix.ENFILE)
		if err != nil {
			return err
		}
	}
	return nil
}

// outlive leaves a process in a session of its own that holds a lock.
func outlive(o *Order) error {
	fd, err := unix.Open(lockIn(o.Room), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	if _, errno := fork(0, true, &unix.Timespec{Sec: int64(o.Amount)}); errno != 0 {
		return errno
	}
	return nil
}

func lockIn(room string) string { return filepath.Join(room, "lock") }

// Outlived reports whether what an [Outlive] left is still there.
func (b *Bait) Outlived() (bool, error) {
	fd, err := unix.Open(lockIn(b.Order.Room), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: lockIn(b.Order.Room), Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		return false, nil
	case unix.EWOULDBLOCK:
		return true, nil
	default:
		return false, err
	}
}
