package remote

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/launch"
)

// op is what the kernel wants.
type op uint8

const (
	opPrepare op = iota + 1 // a tree for Job
	opStdio                 // the descriptors that were asked for, or Fault
	opGo
	opSignal
	opStop
	opContinue
	opKill
	opUsage
)

// order is a message of the kernel.
type order struct {
	Call   uint64 // to be answered under this number; 0 for no answer
	Tree   uint64
	Op     op
	Signal int
	Job    *job
	Fault  *fault
}

// what is what the other process says.
type what uint8

const (
	isAnswer what = iota + 1 // to a call
	isStdio                  // a tree needs its descriptors; with the terminal's master if it has one
	isRan                    // a program was started in a tree
	isEnd                    // a tree is gone
)

// word is a message of the other process.
type word struct {
	What    what
	Call    uint64
	Tree    uint64
	Fault   *fault
	PID     int
	Missing []string
	Watched bool
	Usage   guest.Usage
	Over    *launch.Excess
	Program string
	End     *end
}

// greeting is the first message each way: what the launcher shall be like, and what it
// is like.
type greeting struct {
	Options launch.Options
	Facts   launch.Facts
	Fault   *fault
}

// job is a [launch.Job] without what cannot be sent.
type job struct {
	Program    string
	Args, Env  []string
	Dir        string
	User       guest.User
	Mounts     []mount
	Limits     guest.Bounds
	BestEffort bool
	Terminal   bool
	Session    int
}

// mount is a [guest.Mount] with the identity of its handle.
type mount struct {
	Guest  string
	Kind   guest.MountKind
	Host   string
	Write  bool
	Data   string
	Dir    bool
	Source string

	Optional bool
	Held     bool // it has a handle, on the file of this device and inode
	Dev, Ino uint64
}

// toJob makes what is sent of a job.
func toJob(j *launch.Job) (*job, error) {
	w := &job{Program: j.Program, Args: j.Args, Env: j.Env, Dir: j.Dir, User: j.User, Limits: j.Limits,
		BestEffort: j.BestEffort, Terminal: j.Terminal, Session: j.Session}
	for i := range j.Mounts {
		m := &j.Mounts[i]
		n := mount{Guest: m.Guest, Kind: m.Kind, Host: m.Host, Write: m.Write, Data: m.Data, Dir: m.Dir, Source: m.Source, Optional: m.Optional}
		if m.File != nil {
			var st unix.Stat_t
			if err := unix.Fstat(int(m.File.Fd()), &st); err != nil {
				return nil, fmt.Errorf("%s: %w", m.Guest, &os.PathError{Op: "stat", Path: m.Host, Err: err})
			}
			n.Held, n.Dev, n.Ino = true, uint64(st.Dev), st.Ino
		}
		w.Mounts = append(w.Mounts, n)
	}
	return w, nil
}

// open makes a job of it. What the kernel has handles on is opened by its path: a handle
// belongs to the mount namespace that it was opened in, and nothing can be mounted from
// it elsewhere. The kernel holds its own meanwhile, so that the numbers are not given to
// another file. The caller closes the handles.
func (w *job) open() (j *launch.Job, err error) {
	j = &launch.Job{Program: w.Program, Args: w.Args, Env: w.Env, Dir: w.Dir, User: w.User, Limits: w.Limits,
		BestEffort: w.BestEffort, Terminal: w.Terminal, Session: w.Session}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeMounts(j))
		}
	}()
	for i := range w.Mounts {
		n := &w.Mounts[i]
		m := guest.Mount{Guest: n.Guest, Kind: n.Kind, Host: n.Host, Write: n.Write, Data: n.Data, Dir: n.Dir, Source: n.Source, Optional: n.Optional}
		if n.Held {
			if m.File, err = n.reopen(); err != nil {
				return j, err
			}
		}
		j.Mounts = append(j.Mounts, m)
	}
	return j, nil
}

func (n *mount) reopen() (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, n.Host, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Guest, &os.PathError{Op: "open", Path: n.Host, Err: err})
	}
	f := os.NewFile(uintptr(fd), n.Host)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", n.Guest, &os.PathError{Op: "stat", Path: n.Host, Err: err}), f.Close())
	}
	if uint64(st.Dev) != n.Dev || st.Ino != n.Ino {
		return nil, errors.Join(fmt.Errorf("%s: %s was replaced while the run was prepared", n.Guest, n.Host), f.Close())
	}
	return f, nil
}

func closeMounts(j *launch.Job) error {
	var errs []error
	for i := range j.Mounts {
		if f := j.Mounts[i].File; f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// end is a [launch.End] whose error can be sent.
type end struct {
	End   launch.End
	Fault *fault
}

// fault is an error on its way.
type fault struct {
	Text  string
	Errno syscall.Errno // that is among its causes; 0 for none
	Exec  *execution    // if it is one of executing the program
}

// execution is a [launch.ExecError].
type execution struct {
	Program, Call string
	Errno         syscall.Errno
}

func toFault(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Text: err.Error()}
	// No error: the number is left 0.
	_ = errors.As(err, &f.Errno)
	var e *launch.ExecError
	if errors.As(err, &e) {
		f.Exec = &execution{e.Program, e.Call, f.Errno}
	}
	return f
}

// error gives back what is left of an error.
func (f *fault) error() error {
	switch {
	case f == nil:
		return nil
	case f.Exec != nil:
		return &launch.ExecError{Program: f.Exec.Program, Call: f.Exec.Call, Err: f.Exec.Errno}
	}
	return &Error{text: f.Text, errno: f.Errno}
}

// Error is an error of the other process.
type Error struct {
	text  string
	errno syscall.Errno
}

func (e *Error) Error() string { return e.text }

// Unwrap returns the system's error number among its causes, or nil.
func (e *Error) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}
