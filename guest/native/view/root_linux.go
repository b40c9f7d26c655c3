package view

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/internal/pseudofs"
	"golang.org/x/sys/unix"
)

// Config is what a root needs besides its mounts.
type Config struct {
	User guest.User // owns the private space
	// Disk is how many bytes all private space together holds, 0 for the system's
	// default, half of the memory. [Root.Resize] changes it.
	Disk uint64
	// Proc mounts a new proc file system at path, which a process inside the
	// thread's new pid namespace must do. The path is from the root that the
	// calling thread has at that moment. If it is nil the thread does it itself,
	// which takes Linux 6.17 and a pid namespace that has its first process.
	Proc func(path string) error
	// Start starts the first process, at a moment when the root is in place but for
	// /proc; proc is where the host's is then. Only [Template.Base] calls it: for
	// Base there must be one already. What it starts has the root that the thread
	// will have.
	Start func(proc string) error
}

// Left is a mask that could not be put in place because there is nothing to put it
// on yet, or because a symbolic link is there. It is left to those who see each
// call of the program.
type Left struct {
	Guest string
	Kind  guest.MountKind // Mask or Frozen
	Why   string
}

// Root is the root of a program under construction. It belongs to the thread that
// built it: every method must be called on that thread.
type Root struct {
	user guest.User
	proc func(string) error

	root   int    // the root of the view
	hosts  int    // the host's /proc, until sealed: how this thread sees itself
	prefix string // path of the root from the thread's own, until it is pivoted

	// made are the device numbers of file systems of the view's own, in which a
	// place may be created; trusted those whose symbolic links are the view's.
	made, trusted map[uint64]bool
	// shared are those of file systems that other programs see: nothing is made there.
	shared map[uint64]bool
	// blanks are the device numbers of the empty directories that hide others.
	blanks map[uint64]bool
	// windows are the mounts of forbidden file systems that are the view's own.
	windows map[uint64]bool
	// unseen are the places of more of them, whose numbers are not known yet.
	unseen []string
	// suspect is set once a tree of the host may have brought other mounts along.
	suspect bool
	closing []int  // mounts to be made read-only when sealed
	sharing bool   // it becomes a template: what is one program's own is left out
	masks   string // where a template has blank things to bind, until it is done

	space    int // the private space, -1 for none yet
	spaceDev uint64
	disk     uint64
	private  int // how many directories of it were given out

	stage     int    // a directory of the view that is gone when sealed, -1 for none
	stageIn   int    // its parent
	stagePath string // its guest path
	staged    []string
}

// stageName is the directory for what the view mounts from itself.
const stageName = ".agentos"

// Base builds a root from t on the calling thread and makes it the thread's root.
// The thread must be locked and disposable, and must have unshared its mount
// namespace, and its pid namespace if t has a /proc; its first process must exist
// by then. If the list has a bind at "/" that is the root, and of the view's own
// there may only be /proc and /dev.
//
// Errors are *[Error]s where a mount is the cause. After an error the thread is of
// no use.
func Base(t *Trees, c Config) (*Root, error) {
	r := newRoot(c)
	if err := r.start(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	// A thread with its own mount namespace has an umask of its own as well.
	old := unix.Umask(0)
	err := r.build(t)
	unix.Umask(old)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func newRoot(c Config) *Root {
	return &Root{user: c.User, proc: c.Proc, disk: c.Disk, root: -1, hosts: -1, space: -1, stage: -1, stageIn: -1,
		made: make(map[uint64]bool), trusted: make(map[uint64]bool), shared: make(map[uint64]bool),
		blanks: make(map[uint64]bool), windows: make(map[uint64]bool)}
}

// openHosts opens the host's /proc.
func (r *Root) openHosts(proc string) error {
	fd, err := unix.Open(proc, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return hint("open "+proc, err)
	}
	r.hosts = fd
	if unix.Gettid() == unix.Getpid() {
		// It cannot end by itself, and what it has counts as the process's.
		return errors.New("the main thread of a process is not disposable")
	}
	return nil
}

// start refuses a thread whose mounts are those of the process: what follows would
// take the host's root away from it.
func (r *Root) start() error {
	if err := r.openHosts("/proc"); err != nil {
		return err
	}
	var mine, all unix.Stat_t
	if err := unix.Fstatat(r.hosts, "thread-self/ns/mnt", &mine, 0); err != nil {
		return hint("look at the mount namespace", err)
	}
	if err := unix.Fstatat(r.hosts, strconv.Itoa(os.Getpid())+"/ns/mnt", &all, 0); err != nil {
		return hint("look at the mount namespace", err)
	}
	if mine.Ino == all.Ino {
		return errors.New("the thread has no mount namespace of its own")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return hint("make the mounts private", err)
	}
	return nil
}

// build makes the root, everything in it, and moves the thread there.
func (r *Root) build(t *Trees) error {
	whole := -1
	for i := range t.parts {
		if p := &t.parts[i]; p.Kind == guest.Bind && p.Guest == "/" {
			whole = i
		}
	}
	if whole >= 0 {
		p := &t.parts[whole]
		if !p.dir {
			return &Error{Guest: "/", Problem: p.Host + " is a file", Fix: "grant a directory as the root"}
		}
		r.root, p.tree = p.tree, -1
		if err := r.hang(hangers...); err != nil {
			return failed("/", "mount the root", err)
		}
		r.suspect = true
	} else if err := r.begin(hangers...); err != nil {
		return err
	}
	if _, err := r.attach(t, whole); err != nil {
		return err
	}
	if err := r.pivot(); err != nil {
		return failed("/", "become the root", err)
	}
	return nil
}

// begin makes an empty root of the view's own and mounts it on one of dirs.
func (r *Root) begin(dirs ...string) (err error) {
	r.root, err = newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, "size=16m", "nr_inodes=16k", "mode=0755")
	if err != nil {
		return failed("/", "make the root", err)
	}
	if err := r.hang(dirs...); err != nil {
		return failed("/", "mount the root", err)
	}
	if err := r.own(r.root, true); err != nil {
		return failed("/", "look at the root", err)
	}
	r.closing = append(r.closing, r.root)
	return r.openStage(r.root, "/")
}

// hang mounts the root somewhere: pivot_root wants a mount of this namespace. Any
// directory of the host does, but /proc, through which processes are still started.
func (r *Root) hang(dirs ...string) error {
	err := error(unix.ENOENT)
	for _, dir := range dirs {
		err = unix.MoveMount(r.root, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH)
		if err == nil {
			r.prefix = dir
			return nil
		}
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			break
		}
	}
	return hint("move_mount", err)
}

// own notes that the view may create places on the file system of fd.
func (r *Root) own(fd int, trusted bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return hint("fstat", err)
	}
	r.made[uint64(st.Dev)] = true
	if trusted {
		r.trusted[uint64(st.Dev)] = true
	}
	return nil
}

// newFS makes a file system that is mounted nowhere yet. Options are KEY=VALUE or
// a flag.
func newFS(name string, attr int, options ...string) (int, error) {
	fs, err := unix.Fsopen(name, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, hint("fsopen "+name, err)
	}
	tree, err := configure(fs, attr, options)
	if err != nil {
		err = hint(name, err)
	}
	if cerr := unix.Close(fs); cerr != nil && err == nil {
		return -1, errors.Join(cerr, unix.Close(tree))
	}
	return tree, err
}

func configure(fs, attr int, options []string) (int, error) {
	for _, o := range options {
		if err := setOption(fs, o); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, hint("fsconfig create", err)
	}
	tree, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, hint("fsmount", err)
	}
	return tree, nil
}

// pivot makes the root the thread's and takes the host's away.
func (r *Root) pivot() error {
	if err := unix.Fchdir(r.root); err != nil {
		return hint("fchdir", err)
	}
	// The old root ends up on top of the new one, from where it is unmounted.
	if err := unix.PivotRoot(".", "."); err != nil {
		return hint("pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return hint("umount", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return hint("chdir", err)
	}
	r.prefix = ""
	return nil
}

// hide masks every file system that must not be lent and that came along inside a
// tree of the host.
func (r *Root) hide() error {
	list, err := mountsOf(r.hosts, "thread-self/mountinfo")
	if err != nil {
		return failed("/", "list the mounts", err)
	}
	for _, m := range list {
		if r.windows[m.id] || !pseudofs.Is(m.fstype) {
			continue
		}
		if err := r.hideMount(m); err != nil {
			return failed(m.path, "hide the "+m.fstype+" file system inside a grant", err)
		}
	}
	return nil
}

func (r *Root) hideMount(m mounted) error {
	fd, err := unix.Openat2(r.root, m.path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // something is mounted over a directory above it
	}
	if err != nil {
		return hint("open", err)
	}
	p := &place{guest: m.path, fd: fd, parent: -1}
	err = r.hidePlace(p, m.id)
	return errors.Join(err, p.close())
}

func (r *Root) hidePlace(p *place, id uint64) error {
	top, err := mountID(p.fd)
	if err != nil {
		return err
	}
	if top != id {
		return nil // something is mounted over it; if that must be hidden it has a line of its own
	}
	if err := unix.Fstat(p.fd, &p.stat); err != nil {
		return hint("fstat", err)
	}
	return r.blank(p)
}

// Resize sets how many bytes all private space together holds.
func (r *Root) Resize(disk uint64) error {
	r.disk = disk
	if r.space < 0 || disk == 0 {
		return nil
	}
	return resize(r.space, disk)
}

// Space returns a handle on the private space, with which [Resize] changes it when the
// root is sealed; nil if there is none.
func (r *Root) Space() (*os.File, error) {
	if r.space < 0 {
		return nil, nil
	}
	fd, err := unix.FcntlInt(uintptr(r.space), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, hint("a handle on the private space", err)
	}
	return os.NewFile(uintptr(fd), "private space"), nil
}

// Resize sets how many bytes the private space holds that [Root.Space] returned. It may
// be called on any thread.
func Resize(space *os.File, disk uint64) error {
	if space == nil || disk == 0 {
		return nil
	}
	c, err := space.SyscallConn()
	if err != nil {
		return err
	}
	var rerr error
	if err := c.Control(func(fd uintptr) { rerr = resize(int(fd), disk) }); err != nil {
		return err
	}
	return rerr
}

func resize(space int, disk uint64) error {
	fs, err := unix.Fspick(space, "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return hint("fspick the private space", err)
	}
	for _, o := range quota(disk) {
		if err == nil {
			err = setOption(fs, o)
		}
	}
	if err == nil {
		if err = unix.FsconfigReconfigure(fs); err != nil {
			err = hint("resize the private space", err)
		}
	}
	return errors.Join(err, unix.Close(fs))
}

// quota limits a tmpfs. A file of any size takes a page, so that there is no use
// for more files than pages; the constant is for directories and empty files.
func quota(disk uint64) []string {
	if disk == 0 {
		return nil
	}
	return []string{fmt.Sprintf("size=%d", disk), fmt.Sprintf("nr_inodes=%d", disk/4096+1024)}
}

// hangers are places of the host to mount a root on for a moment.
var hangers = []string{"/tmp", "/usr", "/var", "/dev"}

// Attach adds mounts to the root, in order, each over what is there. It returns
// the masks that could not be put in place.
func (r *Root) Attach(t *Trees) ([]Left, error) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	for i := range t.parts {
		if t.parts[i].Kind == guest.Bind && t.parts[i].dir {
			if err := r.see(); err != nil {
				return nil, err
			}
		}
	}
	return r.attach(t, -1)
}

// see notes the windows that came with a template, before anything can be mounted
// over them that brings others along.
func (r *Root) see() error {
	for _, p := range r.unseen {
		var st unix.Statx_t
		if err := unix.Statx(r.root, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st); err != nil {
			return failed("/"+p, "statx", err)
		}
		r.windows[st.Mnt_id] = true
	}
	r.unseen = nil
	return nil
}

// Seal makes the root what the program will find: nothing can be mounted
// afterwards, what must not be lent is masked wherever it came along, and what is
// the view's own is read-only.
func (r *Root) Seal() error {
	if r.suspect {
		if err := r.hide(); err != nil {
			return err
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	return r.Close()
}

// finish makes read-only what is the view's own.
func (r *Root) finish() error {
	if err := r.closeStage(); err != nil {
		return failed("/", "clear up", err)
	}
	for _, fd := range r.closing {
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return failed("/", "make it read-only", hint("mount_setattr", err))
		}
	}
	return nil
}

// Close gives back every handle, the one on the host's /proc included. What is
// mounted lasts as long as the thread and its children.
func (r *Root) Close() error {
	var errs []error
	for _, fd := range r.closing {
		if fd != r.root {
			errs = append(errs, unix.Close(fd))
		}
	}
	r.closing = nil
	for _, fd := range []*int{&r.stage, &r.stageIn, &r.space, &r.root, &r.hosts} {
		errs = append(errs, release(fd))
	}
	return errors.Join(errs...)
}
