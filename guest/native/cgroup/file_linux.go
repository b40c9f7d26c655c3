package cgroup

import (
	"strings"

	"golang.org/x/sys/unix"
)

// put writes to a control file that must exist. The errors are bare numbers.
func put(dir int, name, value string) error {
	fd, err := openat(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	err = write(fd, value)
	drop(fd)
	return err
}

// exchange writes to a control file and returns what the file then shows.
func exchange(dir int, name, value string) (string, error) {
	fd, err := openat(dir, name, unix.O_RDWR)
	if err != nil {
		return "", err
	}
	defer drop(fd)
	if err := write(fd, value); err != nil {
		return "", err
	}
	var buf [64]byte
	for {
		n, err := unix.Pread(fd, buf[:], 0)
		if err != unix.EINTR {
			return strings.TrimSpace(string(buf[:max(n, 0)])), err
		}
	}
}

func write(fd int, value string) error {
	for {
		if _, err := unix.Write(fd, []byte(value)); err != unix.EINTR {
			return err
		}
	}
}

// drop closes a descriptor. In control files nothing is buffered: what there is to
// fail has failed before.
func drop(fd int) { _ = unix.Close(fd) }

// get reads a control file to its end.
func get(dir int, name string) (string, error) {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer drop(fd)
	buf := make([]byte, 0, 1024)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", err
		case n == 0:
			return string(buf), nil
		}
		buf = buf[:len(buf)+n]
	}
}

func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func exists(dir int, name string) bool {
	return unix.Faccessat(dir, name, unix.F_OK, 0) == nil
}
