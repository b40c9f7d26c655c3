package view

import (
	"fmt"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/internal/pseudofs"
	"golang.org/x/sys/unix"
)

// forbiddenHandle returns the name of the file system that fd lies on if it must
// not be lent, or "".
func forbiddenHandle(fd int) (string, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return "", hint("fstatfs", err)
	}
	magic := uint32(st.Type)
	if name := pseudofs.Name(magic); name != "" {
		return name, nil
	}
	if magic != unix.TMPFS_MAGIC && magic != unix.RAMFS_MAGIC {
		return "", nil
	}
	// The directory of device nodes tells the number of a tmpfs; only the mount
	// tells its name.
	id, err := mountID(fd)
	if err != nil {
		return "", err
	}
	list, err := mountsOf(unix.AT_FDCWD, "/proc/thread-self/mountinfo")
	if err != nil {
		return "", err
	}
	for _, m := range list {
		if m.id == id {
			if pseudofs.Is(m.fstype) {
				return m.fstype, nil
			}
			return "", nil
		}
	}
	return "", fmt.Errorf("mount %d is not among this process's mounts", id)
}

// Lendable refuses what is never lent to a program: a handle on a device, on a symbolic
// link, or on a file system of the operating system's kernel. The error is an *[Error].
func Lendable(fd int, m *guest.Mount) error {
	_, err := lendable(fd, m)
	return err
}

// Windows returns where file systems of the operating system's kernel are mounted, as
// this process sees it.
func Windows() ([]string, error) {
	list, err := mountsOf(unix.AT_FDCWD, "/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, m := range list {
		if pseudofs.Is(m.fstype) {
			paths = append(paths, m.path)
		}
	}
	return paths, nil
}
