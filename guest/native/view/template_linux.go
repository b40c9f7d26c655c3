package view

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"golang.org/x/sys/unix"
)

// Template is what does not differ between the roots of one list of mounts, put
// together once in a mount namespace of its own. A thread that enters gets a copy
// of all of it with one system call, and moves the pieces to a root of its own.
//
// A copy shares its file systems with every other, so that nothing may be made in
// them: they are read-only from the beginning, and a root that needs a place inside
// one is built without a template; see [ErrShared].
type Template struct {
	user    guest.User
	trees   *Trees // what goes into the pieces, until built
	proc    int    // the host's /proc, until built
	ns      int    // the mount namespace, once built
	changes int    // the host's mountinfo, to learn of changes
	sources []source
	mounts  []mounted // those of the host's mounts that can hide or show something of the sources

	pieces []piece
	rest   []part // what each root has of its own, in order

	shared, trusted, blanks []uint64 // device numbers, as in Root
	windows                 []string // places of windows that are the view's own, from the root
}

// piece is what a template has at one entry of the root.
type piece struct {
	name string
	dir  bool
	// whole is the mount itself if it is one, else -1: the number of the part.
	whole int
}

// source is what a bind showed when it was made.
type source struct {
	path     string
	dev, ino uint64
}

// ErrShared is the lack of a place that would have to be made in a file system that
// other programs see.
var ErrShared = errors.New("the directory above it is shared with other programs")

// Places of a template's own root, and for a while of a root.
const (
	hangName  = ".root"  // where a new root is mounted at first
	toolsName = ".tools" // the host's /proc, and an empty file and directory as masks
)

// Draft clones what a template for mounts needs of the host. Like [Prepare] it is
// called in the host's mount namespace; [Template.Build] must follow, and Close in
// any case.
func Draft(mounts []guest.Mount, user guest.User) (_ *Template, err error) {
	t := &Template{user: user, proc: -1, ns: -1, changes: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	// Before anything is looked at, so that no change is missed.
	if t.changes, err = unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, hint("open mountinfo", err)
	}
	all, err := mountsOf(unix.AT_FDCWD, "/proc/self/mountinfo")
	if err != nil {
		return nil, hint("list the mounts", err)
	}
	if t.trees, err = Prepare(mounts); err != nil {
		return nil, err
	}
	for i := range t.trees.parts {
		p := &t.trees.parts[i]
		if p.Kind == guest.Bind && p.File == nil {
			t.sources = append(t.sources, source{p.Host, p.dev, p.ino})
		}
	}
	t.mounts = t.concern(all)
	if t.proc, err = unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE); err != nil {
		return nil, hint("open_tree of /proc", err)
	}
	t.divide()
	return t, nil
}

// top returns the first element of a guest path, and whether it is the only one.
func top(p string) (name string, only bool) {
	e := elements(p)
	if len(e) == 0 {
		return "", false
	}
	return e[0], len(e) == 1
}

// divide sorts the parts into those that are the same for everyone and the rest.
func (t *Template) divide() {
	var common []part
	for _, p := range t.trees.parts {
		name, only := top(p.Guest)
		same := false
		switch p.Kind {
		case guest.Bind, guest.Devices:
			same = name != ""
			for _, n := range p.nodes {
				t.windows = append(t.windows, path.Join(p.Guest, n.name)[1:])
			}
		case guest.Text:
			same = name != "" && !only && p.Guest != machineID
		case guest.Link:
			same = name != "" && !only
		case guest.Private, guest.Procs, guest.Mask, guest.Frozen:
		}
		if p.Kind == guest.Devices || !same {
			t.rest = append(t.rest, part{Mount: p.Mount, tree: -1})
		}
		if !same {
			continue
		}
		whole := -1
		if only {
			whole = len(common)
		}
		common = append(common, p)
		i := slices.IndexFunc(t.pieces, func(q piece) bool { return q.name == name })
		if i < 0 {
			t.pieces = append(t.pieces, piece{name, !only || p.dir || p.Kind == guest.Devices, whole})
		}
	}
	t.trees.parts = common
}

// Build puts the template together. It must be called on a locked, disposable
// thread that has unshared its mount namespace; the thread is not needed any more
// afterwards.
func (t *Template) Build() error {
	r := newRoot(Config{User: t.user})
	r.sharing = true
	err := r.start()
	if err == nil {
		old := unix.Umask(0)
		err = t.build(r)
		unix.Umask(old)
	}
	return errors.Join(err, r.Close())
}

func (t *Template) build(r *Root) error {
	if err := r.begin(hangers...); err != nil {
		return err
	}
	for i := range t.pieces {
		if p := &t.pieces[i]; p.whole < 0 {
			if err := t.platform(r, p.name); err != nil {
				return failed("/"+p.name, "make the directory", err)
			}
		}
	}
	if _, err := r.attach(t.trees, -1); err != nil {
		return err
	}
	if !slices.ContainsFunc(t.pieces, func(p piece) bool { return p.name == "etc" && p.whole < 0 }) {
		return errors.New("the view has no /etc of its own")
	}
	if err := t.emptyMachineID(r); err != nil {
		return err
	}
	if err := r.pivot(); err != nil {
		return failed("/", "become the root", err)
	}
	if r.suspect {
		if err := r.hide(); err != nil {
			return err
		}
	}
	if err := t.furnish(r); err != nil {
		return failed("/", "build a template", err)
	}
	for dev := range r.made {
		t.shared = append(t.shared, dev)
	}
	for dev := range r.trusted {
		t.trusted = append(t.trusted, dev)
	}
	for dev := range r.blanks {
		t.blanks = append(t.blanks, dev)
	}
	if err := r.finish(); err != nil {
		return err
	}
	var err error
	if t.ns, err = unix.Openat(r.hosts, "thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return hint("open the mount namespace", err)
	}
	return errors.Join(t.trees.Close(), release(&t.proc))
}

// platform makes a directory that can be moved with all that is in it.
func (t *Template) platform(r *Root, name string) error {
	tree, err := newFS("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "size=16m", "nr_inodes=16k", "mode=0755")
	if err != nil {
		return err
	}
	r.closing = append(r.closing, tree)
	if err := r.own(tree, true); err != nil {
		return err
	}
	p := &place{guest: "/" + name, parent: r.root, name: name, fd: -1, ours: true}
	if err := r.ready(p, true); err != nil {
		return err
	}
	return errors.Join(move(tree, p), release(&p.fd))
}

// emptyMachineID makes the place for what each root has of its own.
func (t *Template) emptyMachineID(r *Root) error {
	at, err := r.locate(machineID, true)
	if err != nil {
		return err
	}
	return errors.Join(r.ready(at, false), at.close())
}

// furnish adds what the making of a root needs.
func (t *Template) furnish(r *Root) error {
	if err := unix.Mkdirat(r.root, hangName, 0o755); err != nil {
		return hint("mkdir", err)
	}
	if err := t.platform(r, toolsName); err != nil {
		return err
	}
	if err := unix.Mkdirat(r.root, toolsName+"/proc", 0o555); err != nil {
		return hint("mkdir", err)
	}
	if err := unix.MoveMount(t.proc, "", r.root, toolsName+"/proc", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return hint("move_mount of /proc", err)
	}
	// A bind of one of these has its flags, and takes one call.
	if err := r.write(r.root, toolsName+"/file", "", 0o000); err != nil {
		return err
	}
	if err := unix.Mkdirat(r.root, toolsName+"/dir", 0o700); err != nil {
		return hint("mkdir", err)
	}
	file, err := r.locate("/"+toolsName+"/file", false)
	if err != nil {
		return err
	}
	tree, err := cloneTree(file.fd, false, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_RDONLY)
	if err == nil {
		err = errors.Join(put(&tree, file), release(&tree))
	}
	if err = errors.Join(err, file.close()); err != nil {
		return err
	}
	dir, err := r.locate("/"+toolsName+"/dir", false)
	if err != nil {
		return err
	}
	return errors.Join(r.blank(dir), dir.close())
}

// Fresh reports whether the host still has what the template shows.
func (t *Template) Fresh() bool {
	p := []unix.PollFd{{Fd: int32(t.changes), Events: unix.POLLPRI}}
	switch n, err := unix.Poll(p, 0); {
	case err != nil:
		return false
	case n != 0:
		// Something was mounted or unmounted on the host: mostly elsewhere.
		all, err := mountsOf(unix.AT_FDCWD, "/proc/self/mountinfo")
		if err != nil || !slices.Equal(t.concern(all), t.mounts) {
			return false
		}
	}
	for i := range t.sources {
		s := &t.sources[i]
		var st unix.Stat_t
		if unix.Lstat(s.path, &st) != nil || uint64(st.Dev) != s.dev || st.Ino != s.ino {
			return false
		}
	}
	return true
}

// concern returns the mounts that lie on the way to a source, or inside one.
func (t *Template) concern(all []mounted) (some []mounted) {
	for _, m := range all {
		if slices.ContainsFunc(t.sources, func(s source) bool { return within(m.path, s.path) || within(s.path, m.path) }) {
			some = append(some, m)
		}
	}
	return some
}

// within reports whether a clean path is top or beneath it.
func within(p, top string) bool {
	return p == top || top == "/" || strings.HasPrefix(p, top+"/")
}

// Enter puts the calling thread, which must be locked and disposable, into the
// template. It has to unshare its mount namespace before it does anything else: the
// template itself must not change.
func (t *Template) Enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return hint("unshare", err)
	}
	if err := unix.Setns(t.ns, unix.CLONE_NEWNS); err != nil {
		return hint("setns", err)
	}
	return nil
}

// Close gives the template up. Roots made from it are not concerned.
func (t *Template) Close() error {
	errs := []error{release(&t.ns), release(&t.changes), release(&t.proc)}
	if t.trees != nil {
		errs = append(errs, t.trees.Close())
	}
	return errors.Join(errs...)
}

// Base is the function [Base] for a thread that has entered the template and has
// unshared what Base wants.
func (t *Template) Base(c Config) (*Root, error) {
	r := newRoot(c)
	r.masks, r.unseen = "/"+toolsName, t.windows
	for to, devs := range map[*map[uint64]bool][]uint64{&r.shared: t.shared, &r.trusted: t.trusted, &r.blanks: t.blanks} {
		for _, dev := range devs {
			(*to)[dev] = true
		}
	}
	err := r.look(t.ns)
	if err == nil {
		old := unix.Umask(0)
		err = t.root(r, c.Start)
		unix.Umask(old)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// root makes a root of the pieces.
func (t *Template) root(r *Root, start func(string) error) error {
	if err := r.begin("/" + hangName); err != nil {
		return err
	}
	for i := range t.pieces {
		p := &t.pieces[i]
		if err := t.take(r, p); err != nil {
			return failed("/"+p.name, "take it from the template", err)
		}
	}
	if err := t.take(r, &piece{name: toolsName, dir: true}); err != nil {
		return failed("/", "take the tools from the template", err)
	}
	if err := r.cover(); err != nil {
		return failed("/", "become the root", err)
	}
	for i := range t.rest {
		if t.rest[i].Kind == guest.Procs && start != nil {
			if err := start("/" + toolsName + "/proc"); err != nil {
				return err
			}
			start = nil
		}
		if _, err := r.part(&t.rest[i]); err != nil {
			return err
		}
	}
	if start != nil {
		if err := start("/" + toolsName + "/proc"); err != nil {
			return err
		}
	}
	r.masks = ""
	if err := unix.Unmount("/"+toolsName, unix.MNT_DETACH); err != nil {
		return failed("/", "unmount the tools", hint("umount", err))
	}
	if err := unix.Unlinkat(r.root, toolsName, unix.AT_REMOVEDIR); err != nil {
		return failed("/", "clear up", hint("rmdir", err))
	}
	return nil
}

// cover makes the root the thread's by mounting it over what is left of the template:
// a read-only directory of empty ones. Nobody without privileges over mounts gets
// beneath it. To exchange the two, as with the host's root, the kernel would look at
// every thread of the host, a tenth of a microsecond each.
func (r *Root) cover() error {
	if err := unix.MoveMount(r.root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return hint("move_mount", err)
	}
	if err := unix.Fchdir(r.root); err != nil {
		return hint("fchdir", err)
	}
	if err := unix.Chroot("."); err != nil {
		return hint("chroot", err)
	}
	r.prefix = ""
	return nil
}

// take moves a piece to the root.
func (t *Template) take(r *Root, p *piece) error {
	var err error
	if p.dir {
		err = unix.Mkdirat(r.root, p.name, 0o755)
	} else {
		err = r.write(r.root, p.name, "", 0o644)
	}
	if err != nil {
		return hint("make the place", err)
	}
	if err := unix.MoveMount(unix.AT_FDCWD, path.Join("/", p.name), r.root, p.name, 0); err != nil {
		return hint("move_mount", err)
	}
	return nil
}

// look opens the host's /proc and refuses a thread that has not unshared its mount
// namespace, whose own template would be taken apart.
func (r *Root) look(template int) error {
	if err := r.openHosts("/" + toolsName + "/proc"); err != nil {
		return err
	}
	var mine, theirs unix.Stat_t
	if err := unix.Fstatat(r.hosts, "thread-self/ns/mnt", &mine, 0); err != nil {
		return hint("look at the mount namespace", err)
	}
	if err := unix.Fstat(template, &theirs); err != nil {
		return hint("look at the template", err)
	}
	if mine.Ino == theirs.Ino {
		return fmt.Errorf("the thread has no copy of the template")
	}
	return nil
}
