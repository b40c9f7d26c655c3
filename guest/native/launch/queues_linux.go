package launch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openQueues opens the file system in which the message queues (mq_open) of this
// thread's ipc namespace are, nil if the host's kernel has none. It is mounted nowhere,
// but Landlock asks about a queue as about a file, and a program that opens one needs a
// rule for the place. The mount goes at once, since to take one away is slow; a rule
// is about what was mounted.
func openQueues() (_ *os.File, err error) {
	const name = "message queues"
	fs, err := unix.Fsopen("mqueue", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "fsopen", Path: name, Err: err}
	}
	defer func() { err = errors.Join(err, unix.Close(fs)) }()
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, &os.PathError{Op: "fsconfig", Path: name, Err: err}
	}
	tree, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, &os.PathError{Op: "fsmount", Path: name, Err: err}
	}
	defer func() { err = errors.Join(err, unix.Close(tree)) }()
	fd, err := unix.Openat(tree, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
