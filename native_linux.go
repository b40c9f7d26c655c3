package agentos

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native"
	nativeview "github.com/agentos-kernel/agentos/guest/native/view"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// hasNative reports whether native programs can run on this system at all.
const hasNative = true

// openNative opens the domain of native programs, which probes the host.
func openNative(k *Kernel) (nativeDomain, error) {
	id, err := kernelID()
	if err != nil {
		return nil, err
	}
	d, err := native.New(native.Options{ID: id, Ready: k.config.ready(), NoNamespaces: k.config.NoNamespaces, Helper: k.config.Helper})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// kernelID names this kernel among all that ever ran on this host since it booted: by
// its process's number and when that began, in its pid namespace, and a random number,
// since a process may have several.
func kernelID() (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-%d-%d-%x", native.PIDNamespace(), os.Getpid(), native.Started(os.Getpid()), b), nil
}

// nativeHelper makes this process a helper of the native domain if it was started as one.
func nativeHelper() { native.HelperMain() }

// callerUser is who the caller is to its native programs.
func callerUser() guest.User {
	u := guest.User{UID: os.Geteuid(), GID: os.Getegid(), Name: "user", Home: "/home/user", Shell: "/bin/sh"}
	if p, err := user.LookupId(strconv.Itoa(u.UID)); err == nil {
		u.Name, u.Home = p.Username, p.HomeDir
	}
	if home := os.Getenv("HOME"); path.IsAbs(home) {
		u.Home = path.Clean(home)
	}
	if u.Home == "/" || !path.IsAbs(u.Home) {
		u.Home = "/home/" + u.Name
	}
	return u
}

// defaultMounts lists what a native program has without asking.
func defaultMounts(u guest.User, bare, whole bool) []guest.Mount {
	return nativeview.Default(u, nativeview.Options{Bare: bare, Whole: whole})
}

// nativeMounts is the whole view of a native program in the order in which it is
// mounted, without handles.
func (v *view) nativeMounts() []guest.Mount {
	all := slices.Clone(v.defaults)
	grants := make([]guest.Mount, 0, len(v.mounts))
	for _, m := range v.mounts {
		grants = append(grants, guest.Mount{Guest: m.guest, Kind: guest.Bind, Host: m.host, Write: m.write, Dir: m.dir, Source: m.source})
	}
	// Parents first: what is granted inside another grant lies over it.
	slices.SortStableFunc(grants, func(a, b guest.Mount) int { return depth(a.Guest) - depth(b.Guest) })
	if len(grants) > 0 && grants[0].Guest == "/" {
		all = append(grants[:1:1], all...)
		grants = grants[1:]
	}
	all = append(all, grants...)
	return append(all, v.masks()...)
}

func depth(p string) int {
	if p == "/" {
		return 0
	}
	return strings.Count(p, "/")
}

// masks are what lies over the grants: what is denied or hidden shows nothing, what is
// protected shows and refuses changes.
func (v *view) masks() []guest.Mount {
	var masks []guest.Mount
	add := func(m guest.Mount) {
		if !slices.ContainsFunc(masks, func(o guest.Mount) bool { return o.Guest == m.Guest && o.Kind == m.Kind }) {
			masks = append(masks, m)
		}
	}
	for _, r := range v.rules {
		if r.Right != perm.None {
			continue
		}
		if r.Guest != "" {
			add(guest.Mount{Guest: r.Guest, Kind: guest.Mask, Source: r.Source})
		}
		for _, g := range v.guestPaths(r.Host) {
			add(guest.Mount{Guest: g, Kind: guest.Mask, Source: r.Source})
		}
	}
	for _, h := range v.hiddenPaths {
		for _, g := range v.guestPaths(h) {
			add(guest.Mount{Guest: g, Kind: guest.Mask, Source: "default"})
		}
	}
	for _, p := range v.protected {
		add(guest.Mount{Guest: p.guest, Kind: guest.Frozen, Write: p.place, Source: "protected"})
	}
	return masks
}

// guestPaths returns where the grants show a host path.
func (v *view) guestPaths(host string) (guests []string) {
	if host == "" {
		return nil
	}
	show := func(top, at string) {
		if rel, err := filepath.Rel(top, host); err == nil && beneath(host, top) {
			guests = append(guests, path.Join(at, filepath.ToSlash(rel)))
		}
	}
	for _, m := range v.mounts {
		if m.host != "" {
			show(m.host, m.guest)
		}
	}
	for _, m := range v.defaults {
		if m.Kind == guest.Bind {
			show(m.Host, m.Guest)
		}
	}
	return guests
}

// protectNative finds what exists of the protected paths beneath the write grants.
func (v *view) protectNative(unprotect []string) {
	for _, m := range v.mounts {
		if !m.write || m.host == "" || !m.dir {
			continue
		}
		found, pins, complete := findProtected(m.host, unprotect)
		inside := func(p string) string { return path.Join(m.guest, filepath.ToSlash(strings.TrimPrefix(p, m.host))) }
		for _, p := range pins {
			v.protected = append(v.protected, protected{inside(p), true})
		}
		for _, p := range found {
			v.protected = append(v.protected, protected{inside(p), false})
		}
		if !complete {
			v.unsure = append(v.unsure, m.guest+" could not be looked through everywhere for protected files (.git/hooks and such), being too large or unreadable in part: those that were not found can be changed")
		}
	}
	slices.SortStableFunc(v.protected, func(a, b protected) int { return depth(a.guest) - depth(b.guest) })
}

// maxLook bounds the search for protected files, in directory entries.
const maxLook = 50_000

// findProtected walks a directory of the host, breadth first, for paths that a write
// grant does not cover, and for the directories above them, which must stay where they
// are: with another directory in its place, another file would have the name.
func findProtected(top string, unprotect []string) (found, pins []string, complete bool) {
	subject := perm.NewSubject(perm.SubjectSpec{
		Caps:  abi.Caps(abi.CapFileRead, abi.CapFileWrite),
		Paths: []perm.PathRule{{Guest: top, Right: perm.Write, Host: top}}, Unprotect: unprotect, FoldCase: foldsCase(),
	})
	left, unread := maxLook, false
	queue := []string{top}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		entries, err := os.ReadDir(dir)
		if err != nil {
			unread = true // the program may still know the names in it
			continue
		}
		for _, e := range entries {
			if left--; left < 0 {
				return found, pins, false
			}
			p := filepath.Join(dir, e.Name())
			switch {
			case subject.Protected(p, e.IsDir()):
				found = append(found, p)
				for up := filepath.Dir(p); up != top && !slices.Contains(pins, up); up = filepath.Dir(up) {
					pins = append(pins, up)
				}
			case e.IsDir():
				queue = append(queue, p)
			}
		}
	}
	return found, pins, !unread
}

// setting describes the surroundings of a native program, with a handle on everything
// that it is lent of the host.
func (p *Process) setting(kp *proc.Process) (_ *guest.Setting, err error) {
	v, l := p.view, &p.spec.Limits
	s := &guest.Setting{
		Program: p.exec, Args: kp.Args, Env: kp.Env, Dir: v.cwd, User: v.user, Mounts: v.native, BestEffort: p.spec.BestEffort,
		Limits: guest.Bounds{
			Memory: bound(kp, abi.LimitMemory), Disk: bound(kp, abi.LimitDisk), Pids: bound(kp, abi.LimitProcesses), Files: bound(kp, abi.LimitFiles),
			CPUs: l.CPUs, CPUTime: l.CPUTime, Weight: 5,
		},
	}
	if l.PrioritySet || l.Priority != 0 {
		s.Limits.Weight = l.Priority
	}
	overflow := func() {
		kp.Kill(proc.End{Cause: abi.CauseOutputLimit, Detail: "wrote more than " + strconv.FormatUint(l.Output, 10) + " bytes"})
	}
	s.Stdin = p.spec.Stdin
	s.Stdout = p.counted(kp, p.spec.Stdout, overflow)
	s.Stderr = s.Stdout
	if !sameStream(p.spec.Stderr, p.spec.Stdout) {
		s.Stderr = p.counted(kp, p.spec.Stderr, overflow)
	}
	s.Missing = p.degrade
	s.Release = func() error { return closeMounts(s) }
	if t := p.spec.Terminal; t != nil {
		s.Terminal = &guest.Terminal{Rows: t.Rows, Cols: t.Cols, Suspend: t.Suspend}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeMounts(s))
		}
	}()
	for i := range s.Mounts {
		if m := &s.Mounts[i]; m.Kind == guest.Bind && m.Source != "default" {
			if m.File, err = v.handle(m); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func closeMounts(s *guest.Setting) error {
	var errs []error
	for i := range s.Mounts {
		if f := s.Mounts[i].File; f != nil {
			errs = append(errs, f.Close())
			s.Mounts[i].File = nil
		}
	}
	return errors.Join(errs...)
}

// handle opens what a grant names, if it still is what was looked at.
func (v *view) handle(m *guest.Mount) (*os.File, error) {
	fd, err := unix.Open(m.Host, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", m.Guest, &os.PathError{Op: "open", Path: m.Host, Err: err})
	}
	f := os.NewFile(uintptr(fd), m.Host)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for i := range v.mounts {
		if g := &v.mounts[i]; g.guest == m.Guest && g.host == m.Host && g.id.Is(uint64(st.Dev), st.Ino) {
			return f, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s was replaced while the run was prepared", m.Host), f.Close())
}

func bound(kp *proc.Process, l abi.Limit) uint64 {
	if n := kp.Account().Limit(l); n != limit.None {
		return n
	}
	return 0
}

// buildNative is the mount namespace of a native program in the kernel's own sense:
// empty, since Linux resolves its paths.
func (v *view) buildNative(*proc.Process) (*vfs.Namespace, error) {
	return vfs.NewNamespace(vfs.Options{}), nil
}

// sameStream reports whether two writers are one, or one file: then the program has one
// stream, whose order is kept and which is written to by one goroutine.
func sameStream(a, b io.Writer) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b {
		return true
	}
	fa, ok := a.(*os.File)
	fb, also := b.(*os.File)
	if !ok || !also {
		return false
	}
	ia, err := fa.Stat()
	if err != nil {
		return false
	}
	ib, err := fb.Stat()
	return err == nil && os.SameFile(ia, ib)
}

// defaultEnvironment is what every native program has.
func defaultEnvironment(u guest.User) []string { return nativeview.Environ(u, os.Environ()) }

// ready is how many sandboxes are kept.
func (c *Config) ready() int {
	if c.NativeReady == 0 {
		return 2
	}
	return max(c.NativeReady, 0)
}

// counted is a stream of the program's output, charged to its process.
func (p *Process) counted(kp *proc.Process, w io.Writer, overflow func()) io.Writer {
	if w == nil {
		if kp.Account().Limit(abi.LimitOutput) == limit.None {
			return nil
		}
		w = io.Discard
	}
	return &counter{kp: kp, w: w, overflow: overflow}
}

// counter charges what passes through it. A write that passes the limit is cut there,
// as by [vfs.NewStream].
type counter struct {
	kp       *proc.Process
	w        io.Writer
	overflow func()
}

func (c *counter) Write(b []byte) (int, error) {
	a := c.kp.Account()
	room, over := len(b), false
	for room > 0 && !a.Charge(abi.LimitOutput, uint64(room)) {
		left := a.Limit(abi.LimitOutput) - min(a.Limit(abi.LimitOutput), a.Used(abi.LimitOutput))
		room, over = int(min(left, uint64(room-1))), true
	}
	n, err := 0, error(nil)
	if room > 0 {
		n, err = c.w.Write(b[:room])
	}
	if err == nil && over {
		c.overflow()
		err = errOutput
	}
	return n, err
}

var errOutput = errors.New("the limit of output is reached")

// fingerprint is equal for equal views.
func fingerprint(mounts []guest.Mount) string { return nativeview.Fingerprint(mounts) }

// identify notes which file the program is.
func (q *question) identify() bool {
	var st unix.Stat_t
	if unix.Stat(q.program, &st) != nil {
		return false // whoever resolves it says what is wrong
	}
	q.file = identity{dev: uint64(st.Dev), ino: st.Ino, size: uint64(st.Size), changed: uint64(st.Ctim.Nano())}
	return true
}

// identity tells a file from others, and from what it was.
type identity struct{ dev, ino, size, changed uint64 }
