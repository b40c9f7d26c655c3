package agentos

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/devfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// view is what one process will see of the file system and may do to it,
// resolved against the host.
type view struct {
	mounts    []mount
	rules     []perm.PathRule
	unprotect []string
	preopens  []kernel.Preopen
	hidden    []hostfs.ID
	cwd       string

	// Of a native program.
	user           guest.User
	defaults       []guest.Mount // what it has unasked
	defaultEntries []ViewEntry   // the same, for reports
	native         []guest.Mount // all that a native program sees, once it was resolved
	protected      []protected   // what exists and must not be changed or moved, parents first
	hiddenPaths    []string      // host paths that no grant shows
	unsure         []string      // sentences about what could not be made certain

	store string // host path of the directory for captured writes; set before build if there are overlays
}

// protected is a guest path that is protected inside a write grant.
type protected struct {
	guest string
	place bool // only its place: it leads to one that is protected, and must not be moved
}

// mount is one file system to be mounted. Host is empty for a private one.
type mount struct {
	guest string
	host  string // real path
	id    hostfs.ID
	dir   bool // of a host mount: it is a directory
	write bool
	// overlay has writes captured in the store of that number; 0 for none.
	overlay int
	make    func(*limit.Account) vfs.FileSystem
	source  string
	fs      *hostfs.FS // once it is mounted; the namespace owns it
}

// resolve turns the grants of a spec into a view. Errors are *StartErrors.
func (k *Kernel) resolve(spec *Spec, domain string) (*view, error) {
	v := new(view)
	v.hidden = append(v.hidden, k.hidden...)
	for _, g := range spec.Grants {
		if g.Kind == GrantAllow {
			spec.Allow = append(slices.Clip(spec.Allow), g.Capability)
			continue
		}
		if err := v.grant(g); err != nil {
			return nil, err
		}
	}
	for _, u := range spec.Unprotect {
		abs, err := filepath.Abs(u)
		if err != nil {
			return nil, refuse("GRANT", "--unprotect "+u, "the path cannot be made absolute", "", err)
		}
		v.unprotect = append(v.unprotect, abs)
		if real, err := filepath.EvalSymlinks(abs); err == nil && real != abs {
			v.unprotect = append(v.unprotect, real)
		}
	}
	if v.overlays() > 0 && k.state == nil {
		return nil, refuse("STATE", "--overlay", "captured writes are kept in the state directory, and there is none", k.stateFix(), nil)
	}
	v.hideDenied()
	v.workingDirectory(spec.Dir)
	if domain != "native" {
		v.implicit(spec.Bare)
		return v, nil
	}
	if err := notYetNative(spec); err != nil {
		return nil, err
	}
	if k.state != nil {
		v.hiddenPaths = append(v.hiddenPaths, k.state.Path())
	}
	v.protectNative(v.unprotect)
	if err := v.lend(spec.inner); err != nil {
		return nil, err
	}
	v.nativeDefaults(&k.native, spec.Bare)
	return v, nil
}

// grant adds one grant.
func (v *view) grant(g Grant) error {
	where := g.Kind.Flag() + " " + g.Host
	abs, guest, err := paths(g)
	if err != nil {
		return refuse("GRANT", where, err.Error(), "", err)
	}
	source := g.Source
	if source == "" {
		source = "flag"
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return refuse("GRANT", where, "the path cannot be followed: "+err.Error(), "check its permissions and symbolic links", err)
	}
	if g.Kind == GrantDeny {
		if err != nil {
			// What does not exist yet is denied all the same, where it would be made.
			if real, err = whereMade(abs); err != nil {
				return refuse("GRANT", where, "the path cannot be followed: "+err.Error(), "check its permissions and symbolic links", err)
			}
		}
		v.deny(abs, real, guest, source)
		return nil
	}
	right := perm.Read
	if g.Kind == GrantWrite || g.Kind == GrantOverlay {
		right = perm.Write
	}
	if err != nil {
		if g.Kind == GrantOverlay || !v.writable(abs, guest, g.Kind) {
			return refuse("GRANT", where, "no such file or directory on the host", "create it, or grant an existing directory above it", err)
		}
		// Beneath a write grant the program can create it; the rule waits for it.
		v.rules = append(v.rules, perm.PathRule{Guest: guest, Right: right, Source: source, Host: abs})
		return nil
	}
	if i := slices.IndexFunc(v.mounts, func(m mount) bool { return m.guest == guest }); i >= 0 {
		if v.mounts[i].host != real {
			return refuse("GRANT", where, fmt.Sprintf("%s is already granted at %s", v.mounts[i].host, guest), "give one of them another guest path: HOST:GUEST", nil)
		}
		m := &v.mounts[i]
		if m.write && right == perm.Write && (m.overlay > 0) != (g.Kind == GrantOverlay) {
			return refuse("GRANT", where, "is granted both with --write and with --overlay at "+guest, "give one of them", nil)
		}
		if g.Kind == GrantOverlay && m.overlay == 0 {
			if !m.dir {
				return refuse("GRANT", where, "is not a directory, and only a directory's writes can be captured", "grant the directory that holds it", nil)
			}
			m.overlay = v.overlays() + 1
		}
		m.write = m.write || right == perm.Write
		for j := range v.rules {
			if v.rules[j].Guest == guest && v.rules[j].Right == perm.Read {
				v.rules[j].Right = right
			}
		}
		return nil
	}
	fs, err := hostfs.Open(real, hostfs.Options{Write: g.Kind == GrantWrite, Hidden: v.hidden})
	if err != nil {
		return refuse("GRANT", where, err.Error(), grantFix(err), err)
	}
	id := fs.ID()
	isDir := true
	if root, errno := fs.Root(); errno == abi.OK {
		st, errno := root.Stat()
		isDir = errno != abi.OK || st.Type == abi.TypeDirectory
		root.Close()
	}
	if err := fs.Close(); err != nil {
		return refuse("GRANT", where, err.Error(), "", err)
	}
	m := mount{guest: guest, host: real, id: id, dir: isDir, write: right == perm.Write, source: source}
	if g.Kind == GrantOverlay {
		if !isDir {
			return refuse("GRANT", where, "is not a directory, and only a directory's writes can be captured", "grant the directory that holds it", nil)
		}
		m.overlay = v.overlays() + 1
	}
	v.mounts = append(v.mounts, m)
	v.rules = append(v.rules, perm.PathRule{Guest: guest, Right: right, Source: source, Host: real})
	pre := kernel.Preopen{Path: guest, Name: guest}
	if g.Guest != "" && !path.IsAbs(g.Guest) {
		pre.Name = g.Guest // as it was given: programs look for exactly that
	}
	if !isDir {
		pre = kernel.Preopen{Path: path.Dir(pre.Path), Name: path.Dir(pre.Name)}
	}
	v.preopen(pre)
	return nil
}

// whereMade follows the symbolic links on the way to a path that does not exist, the
// last component included: it is where the host would make the file. abs is clean.
func whereMade(abs string) (string, error) {
	const most = 255 // as many as the standard library follows
	done, rest := "/", abs
	for links := 0; ; {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			return done, nil
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if name == ".." {
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, name)
		target, err := os.Readlink(next)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return filepath.Join(next, rest), nil
		case err != nil: // it is there and no link
			if _, err := os.Lstat(next); err != nil {
				return "", err
			}
			done = next
			continue
		}
		if links++; links > most {
			return "", fmt.Errorf("%s: too many links", abs)
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = target + "/" + rest
	}
}

// paths makes the two paths of a grant absolute and clean. A relative guest path
// is taken from the guest's root.
func paths(g Grant) (host, guest string, err error) {
	if g.Host == "" {
		return "", "", errors.New("the path is empty")
	}
	if host, err = filepath.Abs(g.Host); err != nil {
		return "", "", err
	}
	guest = g.Guest
	if guest == "" {
		guest = filepath.ToSlash(host)
	}
	if slices.Contains(strings.Split(guest, "/"), "..") {
		return "", "", fmt.Errorf("the guest path %q has a component ..", guest)
	}
	return host, path.Clean("/" + guest), nil
}

// grantFix says what to do about a host path that cannot be granted.
func grantFix(err error) string {
	var oe *hostfs.OpenError
	if !errors.As(err, &oe) {
		return ""
	}
	switch oe.Reason {
	case hostfs.ForbiddenFS, hostfs.IsDevice:
		return "no grant reaches it; copy what the program needs into a directory and grant that"
	case hostfs.IsFIFO, hostfs.IsSocket:
		return "grant a regular file or a directory"
	case hostfs.IsHidden:
		return "no grant reaches it; grant a directory beside it"
	case hostfs.Unreadable, hostfs.NotDirectory:
		return "check its permissions and those of the directories above it"
	}
	return ""
}

// deny adds a deny for a path as it is written, as it resolves, and as the guest
// would name it.
func (v *view) deny(abs, real, guest, source string) {
	v.rules = append(v.rules, perm.PathRule{Guest: guest, Right: perm.None, Source: source, Host: abs})
	if real != abs {
		v.rules = append(v.rules, perm.PathRule{Right: perm.None, Source: source, Host: real})
	}
}

// hideDenied makes what is denied and exists invisible by its identity too, so
// that no other name of it (a hard link, a bind mount) shows it.
func (v *view) hideDenied() {
	for _, r := range v.rules {
		if r.Right != perm.None || r.Host == "" || slices.ContainsFunc(v.mounts, func(m mount) bool { return beneath(m.host, r.Host) }) {
			continue
		}
		if id, err := hostfs.Identify(r.Host); err == nil {
			v.hidden = append(v.hidden, id)
		}
	}
}

// writable reports whether an earlier write grant covers a path that is granted
// now. An overlay does not for a write grant: the host would never see the writes
// that were asked for.
func (v *view) writable(host, guest string, kind GrantKind) bool {
	covers := func(m mount) bool { return m.write && (m.overlay == 0 || kind == GrantRead) }
	return slices.ContainsFunc(v.mounts, func(m mount) bool {
		return covers(m) && beneath(guest, m.guest) && beneath(host, m.host)
	}) || slices.ContainsFunc(v.mounts, func(m mount) bool {
		real, err := filepath.EvalSymlinks(filepath.Dir(host))
		return covers(m) && err == nil && beneath(real, m.host)
	})
}

// overlays returns how many overlays the view has.
func (v *view) overlays() (n int) {
	for i := range v.mounts {
		n = max(n, v.mounts[i].overlay)
	}
	return n
}

// beneath reports whether p is top or under it; both are clean and absolute.
func beneath(p, top string) bool {
	return top == "/" || p == top || strings.HasPrefix(p, top) && p[len(top)] == '/'
}

// implicit adds what every program has unasked, unless the guest's root was
// granted as a whole.
func (v *view) implicit(bare bool) {
	whole := slices.ContainsFunc(v.mounts, func(m mount) bool { return m.guest == "/" })
	if !bare && !whole {
		v.private("/tmp", perm.Write, func(a *limit.Account) vfs.FileSystem { return memfs.New(a, memfs.Options{}) })
		v.private("/dev", perm.Write, func(*limit.Account) vfs.FileSystem { return devfs.New() })
	}
	// The root comes last: it lets a program name any path, so that what it asks
	// for and cannot see is known, and it shows nothing but the mounts.
	v.preopen(kernel.Preopen{Path: "/", Name: "/"})
}

// private adds an implicit file system, unless a grant stands there.
func (v *view) private(guest string, right perm.Right, make func(*limit.Account) vfs.FileSystem) {
	if slices.ContainsFunc(v.mounts, func(m mount) bool { return m.guest == guest }) {
		return
	}
	v.mounts = append(v.mounts, mount{guest: guest, write: right == perm.Write, make: make, source: "default"})
	v.rules = append(v.rules, perm.PathRule{Guest: guest, Right: right, Source: "default"})
	v.preopen(kernel.Preopen{Path: guest, Name: guest})
}

func (v *view) preopen(p kernel.Preopen) {
	if !slices.Contains(v.preopens, p) {
		v.preopens = append(v.preopens, p)
	}
}

// workingDirectory decides where relative paths start: as asked, else the
// caller's directory where a grant shows it, else the domain's own choice.
func (v *view) workingDirectory(asked string) {
	if asked != "" {
		v.cwd = path.Clean("/" + asked)
		return
	}
	if !slices.ContainsFunc(v.mounts, func(m mount) bool { return m.host != "" }) {
		return // nothing of the host is shown
	}
	wd, err := os.Getwd()
	if err != nil {
		return
	}
	real, err := filepath.EvalSymlinks(wd)
	if err != nil {
		return
	}
	best := -1
	for _, m := range v.mounts {
		if m.host == "" || len(m.host) <= best || !beneath(real, m.host) {
			continue
		}
		rel, err := filepath.Rel(m.host, real)
		if err != nil {
			continue
		}
		best = len(m.host)
		v.cwd = path.Join(m.guest, filepath.ToSlash(rel))
	}
}

// entries renders the view for reports and --dry-run.
func (v *view) entries() []ViewEntry {
	out := slices.Clone(v.defaultEntries)
	for _, m := range v.mounts {
		right := perm.Read.String()
		switch {
		case m.overlay > 0:
			right = "overlay"
		case m.write:
			right = perm.Write.String()
		}
		out = append(out, ViewEntry{Path: m.guest, Host: m.host, Right: right, Source: m.source})
	}
	for _, p := range v.protected {
		if p.place {
			continue // it can be written to
		}
		out = append(out, ViewEntry{Path: p.guest, Right: perm.Read.String(), Source: "protected"})
	}
	for _, r := range v.rules {
		if r.Right == perm.None && r.Guest != "" {
			out = append(out, ViewEntry{Path: r.Guest, Host: r.Host, Right: r.Right.String(), Source: r.Source})
		}
	}
	return out
}

// subject makes the credentials that go with the view.
func (v *view) subject(spec *Spec) *perm.Subject {
	caps := abi.Caps(abi.CapEnv, abi.CapClock, abi.CapRandom, abi.CapSignal)
	for _, m := range v.mounts {
		caps |= abi.Caps(abi.CapFileRead)
		if m.write {
			caps |= abi.Caps(abi.CapFileWrite)
		}
	}
	return perm.NewSubject(perm.SubjectSpec{
		Caps: caps | abi.Caps(spec.Allow...), Paths: v.rules, Unprotect: v.unprotect, FoldCase: foldsCase(),
	})
}

// foldsCase reports whether the host's file systems usually ignore case.
func foldsCase() bool { return runtime.GOOS == "darwin" }

// build mounts the view for a process.
func (v *view) build(p *proc.Process) (*vfs.Namespace, error) {
	ns := vfs.NewNamespace(vfs.Options{FoldCase: foldsCase()})
	for i := range v.mounts {
		m := &v.mounts[i]
		fs, err := v.open(p, *m)
		if host, ok := fs.(*hostfs.FS); ok {
			m.fs = host
		}
		if err == nil {
			err = ns.Mount(m.guest, fs)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("mount %s: %w", m.guest, err), ns.Close())
		}
	}
	return ns, nil
}

func (v *view) open(p *proc.Process, m mount) (vfs.FileSystem, error) {
	if m.make != nil {
		return m.make(p.Account()), nil
	}
	fs, err := hostfs.Open(m.host, hostfs.Options{Write: m.write && m.overlay == 0, Hidden: v.hidden})
	if err != nil {
		return nil, err
	}
	if !m.id.Is(fs.ID().Dev, fs.ID().Ino) {
		return nil, errors.Join(fmt.Errorf("%s was replaced while the run was prepared", m.host), fs.Close())
	}
	if m.overlay > 0 {
		return v.capture(p, m, fs)
	}
	return fs, nil
}
