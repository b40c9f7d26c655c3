package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/cgroup"
	"github.com/agentos-kernel/agentos/guest/native/view"
)

// cell is everything of a tree that does not depend on its program: a thread in
// namespaces of its own with the default root, pid 1, and a starter.
type cell struct {
	l       *Launcher
	thread  *thread // nil once retired, and without namespaces
	init    *member // nil without namespaces
	starter *member
	gate    *gate         // of the starter's filter; nil without listeners, and once a tree has it
	group   *cgroup.Group // nil where none can be made
	stage   stage
	plan    *plan      // that it was made by, nil for none
	root    *view.Root // nil without namespaces, and once sealed
	queues  *os.File   // see openQueues; nil without namespaces, and once sealed
	limited bool       // as its stage says, ahead of its job; missing is what could not be
	missing []string   // valid if limited
	sealed  bool       // ahead of its job; the next two are set then
	space   *os.File   // a handle on the private space, nil if there is none
	ruleset *os.File   // nil without Landlock, and once a job has it
	watch   supervision
	pinned  int           // processors that the tree may use, 0 for all
	counted bool          // the starter is alone in a user namespace, where RLIMIT_NPROC counts the tree
	nproc   uint64        // RLIMIT_NPROC of its processes, 0 for none
	ending  sync.Mutex    // held while orphans are reaped
	orphans ioCounts      // of those that were left to this process and reaped by it
	ground  *ground       // of the private files without namespaces
	mounts  *os.File      // the mount namespace, nil without
	ended   bool          // end was called
	before  time.Duration // what was used to make it; without it, making it would count as the program's
	left    []string      // what of the view's masks could not be put on
}

// namespaces are what a cell has of its own. The pid namespace counts from the first
// fork on. The cgroup namespace is not among them: a process cannot be born into a group
// outside the namespace of its parent, so the starter makes its own.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// hostname is what a program finds.
const hostname = "agentos"

// newCell makes a cell, by a plan or of its own. On error nothing is left of it.
func (l *Launcher) newCell(s stage, p *plan) (_ *cell, err error) {
	c := &cell{l: l, stage: s, plan: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	c.group, err = l.groups.Make(strconv.FormatUint(l.made.Add(1), 10))
	if err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		return nil, err
	}
	var trees *view.Trees
	if l.namespaces && p == nil {
		if trees, err = view.Prepare(s.mounts); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, trees.Close()) }()
	}
	c.thread = newThread()
	if err = c.thread.do(func() error { return c.prepare(trees) }); err != nil {
		return nil, err
	}
	if c.sealed {
		c.retire() // nothing is left to be done there
	}
	if err = c.enroll(); err != nil {
		return nil, err
	}
	if err = c.bind(); err != nil {
		return nil, err
	}
	c.limitAhead()
	u, err := c.usage()
	c.before = u.CPU
	return c, err
}

// enroll puts the stubs into the control group, if there is one and they were not born
// there. Without one there is nothing that this process may do to them: they belong to
// a user namespace.
func (c *cell) enroll() error {
	if c.group == nil {
		return nil
	}
	pids := make([]int, 0, 2)
	for _, m := range []*member{c.init, c.starter} {
		if m != nil {
			pids = append(pids, m.pid)
		}
	}
	if err := c.group.JoinProcess(pids...); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	for _, pid := range pids {
		if err := unlikely(pid); err != nil {
			return err
		}
	}
	return nil
}

// prepare does on the thread what must be done there.
func (c *cell) prepare(trees *view.Trees) (err error) {
	attr := new(syscall.SysProcAttr)
	if c.group != nil {
		if err := c.group.JoinThread(unix.Gettid()); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
		attr.CgroupFD, attr.UseCgroupFD = c.group.Fd()
	}
	if !c.l.namespaces {
		c.starter, err = fork(c.l.starterImage, "/proc", "starter", true, attr)
		return err
	}
	if c.plan != nil {
		if err := c.plan.template.Enter(); err != nil {
			return err
		}
	}
	if err := unix.Unshare(namespaces); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("sethostname: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if c.l.landlock != 0 {
		if c.queues, err = openQueues(); err != nil {
			return err
		}
	}
	conf := view.Config{User: c.stage.user, Proc: c.mountProc, Start: func(proc string) error { return c.forkBoth(attr, proc) }}
	if c.plan != nil {
		c.root, err = c.plan.template.Base(conf)
	} else if err = conf.Start("/proc"); err == nil {
		// The change of root takes both along.
		c.root, err = view.Base(trees, conf)
	}
	if err != nil {
		return err
	}
	if !c.stage.hasProc() {
		if err := c.mountProc("\x00"); err != nil {
			return err
		}
	}
	if c.stage.plain && c.root != nil {
		return c.sealAhead()
	}
	return nil
}

// forkBoth starts the stubs, which are executed through the host's /proc.
func (c *cell) forkBoth(attr *syscall.SysProcAttr, proc string) (err error) {
	if c.init, err = fork(c.l.initImage, proc, "init", false, attr); err != nil {
		return err
	}
	if attr, err = c.l.starterAttr(attr); err != nil {
		return err
	}
	c.counted = attr.Cloneflags != 0
	if c.starter, err = fork(c.l.starterImage, proc, "starter", true, attr); err != nil {
		return err
	}
	c.mounts, err = os.Open(proc + "/thread-self/ns/mnt")
	return err
}

// mountProc has pid 1 mount a proc file system at path, as the thread sees it.
func (c *cell) mountProc(path string) error {
	if len(path) > 255 {
		return fmt.Errorf("mount point of proc: %w", unix.ENAMETOOLONG)
	}
	if _, err := io.WriteString(c.init.end, path); err != nil {
		return fmt.Errorf("pid 1: %w", err)
	}
	var status [4]byte
	if err := c.init.end.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.init.end, status[:]); err != nil {
		return fmt.Errorf("pid 1 did not come up: %w", err)
	}
	if s := int32(binary.NativeEndian.Uint32(status[:])); s != 0 {
		return fmt.Errorf("pid 1 could not mount proc or give up its privileges: %d", s)
	}
	return nil
}

// loopbackUp switches the loopback of a new network namespace on. There is no other
// interface in it.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // only for the ioctl
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// retire gives the thread away.
func (c *cell) retire() {
	if c.thread != nil {
		c.thread.retire()
		c.thread = nil
	}
}

// kill ends every process of the cell.
func (c *cell) kill() error {
	if c.init != nil {
		return c.init.kill() // and with pid 1 the whole namespace
	}
	var err error
	if c.starter != nil {
		err = c.starter.kill()
	}
	if c.group != nil {
		err = errors.Join(err, c.group.Kill())
	}
	if c.l.o.Alone {
		err = errors.Join(err, c.killOrphans())
	}
	return err
}

// close ends and returns everything: when every process has ended, the control group,
// which is empty then, and the mounts, which nobody sees. The kernel takes half a
// millisecond for it, in which a run is over already.
func (c *cell) close() error {
	errs := []error{c.end()}
	if c.gate != nil {
		errs = append(errs, c.gate.close())
	}
	for _, m := range []*member{c.starter, c.init} {
		if m != nil {
			errs = append(errs, m.close())
		}
	}
	if c.group != nil {
		errs = append(errs, c.group.Close())
	}
	return errors.Join(append(errs, closeFile(c.mounts))...)
}

// end ends every process and waits until each is dead and reaped. A second call does
// nothing.
func (c *cell) end() error {
	if c.ended {
		return nil
	}
	c.ended = true
	var errs []error
	if c.root != nil {
		errs = append(errs, c.thread.do(c.root.Close))
		c.root = nil
	}
	errs = append(errs, closeFile(c.queues), closeFile(c.space), closeFile(c.ruleset))
	c.space, c.ruleset = nil, nil
	c.retire()
	if c.init != nil || c.starter != nil {
		errs = append(errs, c.kill())
	}
	for _, m := range []*member{c.starter, c.init} {
		if m == nil {
			continue
		}
		if m == c.init {
			errs = append(errs, m.kill())
		}
		<-m.gone
		errs = append(errs, m.err)
	}
	if c.init == nil && c.group != nil {
		// Nothing but the emptiness of the group says that everyone is dead.
		errs = append(errs, c.group.Close())
		c.group = nil
	}
	return errors.Join(append(errs, c.ground.close())...)
}

// openImages makes the stubs' executables.
func (l *Launcher) openImages() (err error) {
	if l.initImage, err = stubFile("init"); err != nil {
		return err
	}
	l.starterImage, err = stubFile("starter")
	return err
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
