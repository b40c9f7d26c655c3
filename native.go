package agentos

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/program"
	"github.com/agentos-kernel/agentos/kernel"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// resolveNative says how a native program starts in the view that the mounts make.
// Errors are *StartErrors.
func (k *Kernel) resolveNative(spec *Spec, mounts []guest.Mount) (*program.Executable, error) {
	x, err := program.Resolve(spec.Program, program.NewView(mounts), nativeSurroundings(spec))
	if err != nil {
		return nil, programError(spec.Program, err)
	}
	return x, nil
}

// addToolchain grants reading of the installation that a program belongs to, and
// names the program itself where a version manager's shim was named.
func addToolchain(spec *Spec) error {
	in, err := program.Toolchain(spec.Program, nativeSurroundings(spec))
	if err != nil {
		return programError(spec.Program, err)
	}
	spec.Program = in.Program
	spec.Grants = slices.Clip(spec.Grants) // the caller's own list stays as it is
	for _, d := range in.Dirs {
		spec.Grants = append(spec.Grants, Grant{Kind: GrantRead, Host: d, Source: "toolchain"})
	}
	return nil
}

// nativeSurroundings are the caller's, and the PATH of the guest.
func nativeSurroundings(spec *Spec) program.Surroundings {
	s := program.Surroundings{Getenv: os.Getenv}
	// Without them a shim's choice is less well known, and the message says less.
	if wd, err := os.Getwd(); err == nil {
		s.Dir = wd
	}
	if home, err := os.UserHomeDir(); err == nil {
		s.Home = home
	}
	for _, kv := range spec.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			s.Path = path
		}
	}
	return s
}

// programCodes gives the code of each kind of error; see ui/cli/codes.go.
var programCodes = [...]string{
	program.NotFound:      "NOT-FOUND",
	program.Unreadable:    "UNREADABLE",
	program.NotExecutable: "NOT-EXECUTABLE",
	program.NotRunnable:   "NOT-RUNNABLE",
	program.WrongArch:     "WRONG-ARCH",
	program.NoInterpreter: "NO-INTERPRETER",
	program.NotVisible:    "NOT-VISIBLE",
}

// programError turns an error of package program into a StartError: 127 if the
// program was not found, 126 if it cannot start.
func programError(name string, err error) *StartError {
	var e *program.Error
	if !errors.As(err, &e) {
		return notRunnable("NOT-RUNNABLE", name, err.Error(), "", err)
	}
	se := notRunnable(programCodes[e.Kind], e.Path, e.Problem, e.Fix, err)
	if e.Kind == program.NotFound {
		se.Status = 127
	}
	return se
}

// nativeDomain is what the kernel needs of the domain of native programs.
type nativeDomain interface {
	guest.Domain
	// Enforcement says what stands behind each protection here, and in sentences
	// what is weaker than it could be.
	Enforcement() (map[string]string, []string)
	// Shared says why programs share the host's namespaces, "" if they do not.
	Shared() string
}

// nativeDomains opens the domain when it is needed first: what it takes to probe the
// host is too much for a run that does not use it.
type nativeDomains struct {
	once   sync.Once
	domain nativeDomain // nil if there is none
	err    error

	mu       sync.Mutex
	defaults map[defaultsKey]nativeDefaults // guarded by mu
	resolved map[question]resolved          // guarded by mu
}

// defaultsKey says of what program the default view is.
type defaultsKey struct{ bare, whole bool }

// nativeDefaults is what a native program has unasked, which takes some hundred looks
// at the host to find out.
type nativeDefaults struct {
	user    guest.User
	mounts  []guest.Mount
	entries []ViewEntry
	at      time.Time
}

// fresh is how long that is taken to be true. A host that changes meanwhile is seen by
// its handles all the same: only what there is to be shown is remembered.
const fresh = time.Second

// defaultsOf returns what a native program has unasked.
func (n *nativeDomains) defaultsOf(bare, whole bool) nativeDefaults {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := defaultsKey{bare, whole}
	if d, ok := n.defaults[key]; ok && time.Since(d.at) < fresh {
		return d
	}
	d := nativeDefaults{user: callerUser(), at: time.Now()}
	d.mounts = defaultMounts(d.user, bare, whole)
	d.entries = nativeEntries(d.mounts)
	if n.defaults == nil {
		n.defaults = map[defaultsKey]nativeDefaults{}
	}
	n.defaults[key] = d
	return d
}

// nativeDefaults adds what a native program has without asking. It comes first: the
// grants are mounted over it.
func (v *view) nativeDefaults(n *nativeDomains, bare bool) {
	whole := slices.ContainsFunc(v.mounts, func(m mount) bool { return m.guest == "/" })
	d := n.defaultsOf(bare, whole)
	v.user, v.defaults, v.defaultEntries = d.user, d.mounts, d.entries
	if v.cwd == "" {
		v.cwd = "/"
		if slices.ContainsFunc(v.defaults, func(m guest.Mount) bool { return m.Guest == v.user.Home }) {
			v.cwd = v.user.Home
		}
	}
}

func (k *Kernel) nativeDomain() (nativeDomain, error) {
	n := &k.native
	n.once.Do(func() { n.domain, n.err = openNative(k) })
	return n.domain, n.err
}

func (n *nativeDomains) close() error {
	n.once.Do(func() { n.err = os.ErrClosed }) // it is not opened any more
	if n.domain == nil {
		return nil
	}
	return n.domain.Close()
}

// executable returns the guest path to execute of a native program.
func (k *Kernel) executable(spec *Spec, domain string, v *view) (string, error) {
	if domain != "native" {
		return "", nil
	}
	v.native = v.nativeMounts()
	mounts := v.native
	q := k.native.question(spec, mounts)
	if at, ok := k.native.answer(q); ok {
		return at, nil
	}
	x, err := k.resolveNative(spec, mounts)
	if err != nil {
		return "", err
	}
	v.unsure = append(v.unsure, x.Notes...)
	if len(x.Notes) == 0 {
		k.native.remember(q, x.Guest)
	}
	return x.Guest, nil
}

// question is what the resolution of a program depends on, but for what the host has
// beside the program itself. Its zero value is one that has no answer.
type question struct {
	program, dir, home, path, view string

	file identity // of the program
}

// resolved is an answer.
type resolved struct {
	guest string
	at    time.Time
}

// question asks about a program that is named by its path.
func (n *nativeDomains) question(spec *Spec, mounts []guest.Mount) question {
	if !filepath.IsAbs(spec.Program) {
		return question{}
	}
	s := nativeSurroundings(spec)
	q := question{program: spec.Program, dir: s.Dir, home: s.Home, path: s.Path, view: fingerprint(mounts)}
	if !q.identify() {
		return question{}
	}
	return q
}

// answer returns the path that the program had in its view a moment ago. What lies
// between, such as an interpreter, may have changed since: then the start fails as it
// would if it changed a moment later.
func (n *nativeDomains) answer(q question) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.resolved[q]
	return r.guest, ok && time.Since(r.at) < fresh
}

// remember keeps an answer.
func (n *nativeDomains) remember(q question, at string) {
	if q == (question{}) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.resolved) >= maxResolved {
		clear(n.resolved)
	}
	if n.resolved == nil {
		n.resolved = map[question]resolved{}
	}
	n.resolved[q] = resolved{at, time.Now()}
}

// maxResolved bounds what is remembered.
const maxResolved = 64

// notYetNative refuses what a native program cannot be given in this version.
func notYetNative(spec *Spec) error {
	if len(spec.Listen) > 0 {
		return refuse("UNENFORCED", "--listen", "a native program has no network in this version, and cannot listen", "leave it out", nil)
	}
	for _, g := range spec.Grants {
		if g.Kind == GrantOverlay {
			return refuse("UNENFORCED", "--overlay "+g.Host, "the writes of a native program cannot be captured in this version", "grant a copy of the directory with --write", nil)
		}
	}
	return nil
}

// native completes a kernel's spec for a native program.
func (p *Process) native(ks *kernel.Spec) {
	ks.Setting = p.setting
	ks.Mount = p.view.buildNative
	ks.Streams = func(kp *proc.Process) [3]*vfs.File {
		return openStreams(kp, &Spec{}) // its own are copied by its instance
	}
	ks.Preopens, ks.Listen = nil, nil
	// The host's name for it may be another file there, or none: an interpreter of a
	// virtual environment finds that by the name it was started under.
	ks.Args[0] = p.exec
	ks.Grace = p.spec.KillAfter
	if ks.Grace == 0 {
		ks.Grace = 2 * time.Second
	}
	p.missing = append(p.missing, p.view.unsure...)
}

// nativeEnvironment is what every native program has, and what was granted.
func nativeEnvironment(spec *Spec, v *view) []string {
	var env []string
	if !spec.Bare {
		env = defaultEnvironment(v.user)
	}
	for _, kv := range spec.Env {
		key, _, _ := strings.Cut(kv, "=")
		env = slices.DeleteFunc(env, func(have string) bool { return strings.HasPrefix(have, key+"=") })
		env = append(env, kv)
	}
	return env
}

// nativeEntries renders what a native program has unasked.
func nativeEntries(mounts []guest.Mount) []ViewEntry {
	var out []ViewEntry
	for _, m := range mounts {
		e := ViewEntry{Path: m.Guest, Right: perm.Read.String(), Source: m.Source}
		switch m.Kind {
		case guest.Bind:
			if m.Host != m.Guest {
				e.Host = m.Host
			}
			if m.Optional {
				if _, err := os.Lstat(m.Host); err != nil {
					continue
				}
			}
		case guest.Private, guest.Devices, guest.Procs:
			e.Right = perm.Write.String()
		case guest.Text, guest.Link, guest.Mask, guest.Frozen:
		}
		out = append(out, e)
	}
	return out
}

// enforcement says what stood behind each protection of the run.
func (p *Process) enforcement() map[string]string {
	if p.domain != "native" {
		return maps.Clone(p.k.enforced)
	}
	d, err := p.k.nativeDomain()
	if err != nil {
		return map[string]string{}
	}
	facts, _ := d.Enforcement()
	return facts
}
