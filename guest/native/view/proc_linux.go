package view

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maskedProcs are the entries of /proc that tell of the host's kernel and other
// programs what no program needs. What is not here can be read, and nothing can be
// written to.
var maskedProcs = []string{
	"acpi", "asound", "interrupts", "iomem", "ioports", "kallsyms", "kcore", "key-users", "keys", "kmsg",
	"kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "mtrr", "pagetypeinfo", "sched_debug", "scsi",
	"slabinfo", "sysrq-trigger", "timer_list", "timer_stats", "vmallocinfo", "vmcore",
}

// procs mounts a proc file system that shows the program's own processes.
func (r *Root) procs(at *place) error {
	if err := r.ready(at, true); err != nil {
		return err
	}
	if err := r.mountProc(at); err != nil {
		if errors.Is(err, unix.EPERM) {
			// A user namespace gets a new one only where it sees all of an old one.
			return &Error{Guest: at.guest, Err: err, Problem: "the system refuses a new proc file system, as it does where parts of the host's own /proc are covered",
				Fix: "in a container, leave /proc uncovered: --security-opt systempaths=unconfined"}
		}
		return err
	}
	again, err := r.locate(at.guest, false)
	if err != nil {
		return err
	}
	return errors.Join(r.tameProc(again), again.close())
}

func (r *Root) mountProc(at *place) error {
	if r.proc != nil {
		return r.proc(r.prefix + at.guest)
	}
	tree, err := r.newProc()
	if err != nil {
		return err
	}
	return errors.Join(put(&tree, at), release(&tree))
}

// newProc makes a proc file system of the pid namespace that the thread's children
// are in.
func (r *Root) newProc() (int, error) {
	const ours, children = "thread-self/ns/pid", "thread-self/ns/pid_for_children"
	var mine, theirs unix.Stat_t
	if err := unix.Fstatat(r.hosts, ours, &mine, 0); err != nil {
		return -1, hint("look at the pid namespace", err)
	}
	if err := unix.Fstatat(r.hosts, children, &theirs, 0); err != nil {
		return -1, hint("look at the new pid namespace, which must have a process", err)
	}
	if mine.Ino == theirs.Ino {
		return -1, errors.New("the thread has no pid namespace of its own")
	}
	ns, err := unix.Openat(r.hosts, children, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, hint("open the new pid namespace", err)
	}
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, errors.Join(hint("fsopen proc", err), unix.Close(ns))
	}
	tree := -1
	if err = unix.FsconfigSetFd(fs, "pidns", ns); err != nil {
		err = hint("proc of another pid namespace (Linux 6.17)", err)
	} else {
		tree, err = configure(fs, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, nil)
	}
	return tree, errors.Join(err, unix.Close(fs), unix.Close(ns))
}

// tameProc checks that a new proc file system is at the place, and makes it harmless.
// It is read-only as a whole: a switch of a later kernel is then no open door, no
// program writes to its own code by way of its memory file, and what programs do
// change there of themselves, such as their name or how soon they are killed for
// want of memory, they all do without.
func (r *Root) tameProc(at *place) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(at.fd, &fs); err != nil {
		return hint("fstatfs", err)
	}
	var theirs unix.Stat_t
	if err := unix.Fstat(r.hosts, &theirs); err != nil {
		return hint("fstat", err)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC || at.stat.Dev == theirs.Dev {
		return errors.New("no new proc file system was mounted")
	}
	if err := unix.MountSetattr(at.fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}); err != nil {
		return hint("mount_setattr", err)
	}
	id, err := mountID(at.fd)
	if err != nil {
		return err
	}
	r.windows[id] = true
	for _, name := range maskedProcs {
		if err := r.maskProc(at, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// maskProc hides an entry, if this kernel has it.
func (r *Root) maskProc(at *place, name string) error {
	guestPath := strings.TrimSuffix(at.guest, "/") + "/" + name
	if r.masks != "" {
		err := unix.Mount(r.masks+"/file", r.prefix+guestPath, "", unix.MS_BIND, "")
		if errors.Is(err, unix.ENOTDIR) {
			err = unix.Mount(r.masks+"/dir", r.prefix+guestPath, "", unix.MS_BIND, "")
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return hint("mount", err)
		}
		return nil
	}
	fd, err := unix.Openat(at.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return hint("open", err)
	}
	p := &place{guest: guestPath, parent: -1, fd: fd}
	if err = unix.Fstat(p.fd, &p.stat); err != nil {
		err = hint("fstat", err)
	} else {
		err = r.blank(p)
	}
	return errors.Join(err, p.close())
}

// setOption sets KEY=VALUE, or a flag, of a file system.
func setOption(fs int, o string) error {
	var err error
	if key, value, ok := strings.Cut(o, "="); ok {
		err = unix.FsconfigSetString(fs, key, value)
	} else {
		err = unix.FsconfigSetFlag(fs, o)
	}
	if err != nil {
		return hint("option "+o, err)
	}
	return nil
}
