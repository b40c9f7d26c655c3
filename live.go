package agentos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
)

// LiveChange is the answer to a grant or a revocation while the program runs.
type LiveChange struct {
	Version int          `json:"version"`
	Run     string       `json:"run"`
	PID     abi.PID      `json:"pid"`
	Op      string       `json:"op"`      // grant, revoke
	Applied bool         `json:"applied"` // the next call is decided by it
	Epoch   uint64       `json:"epoch"`   // of what the program may do, from 1; it grows with each change
	Changes []LiveRight  `json:"changes"`
	Remains []Unrecalled `json:"remains"` // what it still has of what was to be taken
	Killed  bool         `json:"killed"`  // it was ended, cause policy
	// Kept is how many descriptors were open and, as was asked, keep their rights.
	Kept int `json:"kept,omitempty"`
	// Children is what became of those that were started within it.
	Children []*LiveChange `json:"children,omitempty"`
}

// LiveRight is one right that a live change changed.
type LiveRight struct {
	Path       string `json:"path,omitempty"` // as the program sees it
	Host       string `json:"host,omitempty"` // "" for what is private to the program
	Capability string `json:"capability,omitempty"`
	Was        string `json:"was"` // of a path deny, read, write; of a capability no, yes
	Is         string `json:"is"`
	// Via is the pre-opened directory that the program reaches the path through.
	Via string `json:"via,omitempty"`
}

// Unrecalled is something that cannot be taken back.
type Unrecalled struct {
	What   string `json:"what"` // operation, descriptors, mappings, mounts, rules
	Detail string `json:"detail"`
}

// RevokeOptions say how far a revocation goes.
type RevokeOptions struct {
	// Hard ends the run where something cannot be taken back otherwise.
	Hard bool
	// KeepOpen leaves their rights to the descriptors that are open, until they are
	// closed or something is revoked without it.
	KeepOpen bool
}

// recallPatience is how long a revocation waits for an operation that the host has
// been given already.
const recallPatience = 2 * time.Second

// changes is what was changed while the run went on.
type changes struct {
	mu     sync.Mutex // held for the length of one change of the process's own; above Kernel.family
	mounts []mount    // that were added; guarded by mu

	noted sync.Mutex  // a leaf
	list  []LiveRight // guarded by noted
}

// Grant gives the running program more: paths with GrantRead and GrantWrite, and
// capabilities with GrantAllow. The next call sees it. All are given, or none, and
// then the error is a *StartError. It is for WASM programs: what a native one can see
// is fixed when it starts.
func (p *Process) Grant(ctx context.Context, grants ...Grant) (*LiveChange, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.changes.mu.Lock()
	defer p.changes.mu.Unlock()
	if err := p.changeable("grant", grants); err != nil {
		return nil, err
	}
	if p.domain == "native" {
		return nil, refuse("UNENFORCED", "grant", "what a native program can see is fixed when it starts", "start it again with the grant", nil)
	}
	if s := p.p.State(); !s.Schedulable() && s != proc.Stopped {
		return nil, refuse("NOT-STARTED", "grant", "the program has not started yet", "try again in a moment", nil)
	}
	var prepared []widening
	defer func() {
		for _, w := range prepared {
			if w.fs != nil {
				_ = w.fs.Close() // nothing was written through it
			}
		}
	}()
	var caps abi.CapSet
	for _, g := range grants {
		if g.Kind == GrantAllow {
			caps |= abi.Caps(g.Capability)
			continue
		}
		w, err := p.prepareWidening(g)
		if err != nil {
			return nil, err
		}
		prepared = append(prepared, w)
	}
	change, err := p.widen(caps, prepared)
	if err != nil {
		return nil, err
	}
	for i := range prepared {
		if err := p.expose(&prepared[i]); err != nil {
			return nil, err
		}
	}
	p.noteChange(change, event.KindGrant)
	return change, nil
}

// widening is one path grant that is checked and not yet given.
type widening struct {
	where string
	host  string
	guest string
	right perm.Right
	fs    *hostfs.FS // to be mounted; nil where the path is shown already
	raise *hostfs.FS // to be made writable
	dir   bool
	id    hostfs.ID
}

// prepareWidening checks one path grant against the host and the view.
func (p *Process) prepareWidening(g Grant) (w widening, err error) {
	w.where = g.Kind.Flag() + " " + g.Host
	abs, guest, err := paths(g)
	if err != nil {
		return w, refuse("GRANT", w.where, err.Error(), "", err)
	}
	w.guest, w.right = guest, perm.Read
	if g.Kind == GrantWrite {
		w.right = perm.Write
	}
	if w.host, err = filepath.EvalSymlinks(abs); err != nil {
		return w, refuse("GRANT", w.where, "no such file or directory on the host", "create it, or grant an existing directory above it", err)
	}
	if _, _, err := p.p.Subject().Widen(guest, w.host, w.right, liveSource); err != nil {
		return w, p.liveError(w.where, err)
	}
	// What may never be granted is not granted now either.
	fs, err := hostfs.Open(w.host, hostfs.Options{Write: w.right == perm.Write, Hidden: p.view.hidden})
	if err != nil {
		return w, refuse("GRANT", w.where, err.Error(), grantFix(err), err)
	}
	w.fs, w.id = fs, fs.ID()
	point, covered, beneath := p.p.NS().Covered(guest)
	if covered {
		err = p.alreadyShown(&w, point)
	} else if guest == "/" || beneath && !isDir(w.host) {
		err = refuse("GRANT", w.where, "the program's "+guest+" leads to what is mounted beneath it", "grant what is wanted of it", nil)
	}
	if err != nil || w.fs != fs {
		err = errors.Join(err, fs.Close())
		w.fs = nil
	}
	w.dir = isDir(w.host)
	return w, err
}

func isDir(host string) bool {
	fi, err := os.Stat(host)
	return err == nil && fi.IsDir()
}

// alreadyShown checks a grant of a path that a mount covers. Where that shows the host,
// only what it shows there can be given: were another mounted over it, what is open
// there, or was revoked, would be decided on as if it were the new. What is private to
// the program is its own, and may be covered.
func (p *Process) alreadyShown(w *widening, point string) error {
	var m *mount
	for _, list := range [...][]mount{p.view.mounts, p.changes.mounts} {
		if i := slices.IndexFunc(list, func(m mount) bool { return m.guest == point }); i >= 0 {
			m = &list[i]
		}
	}
	switch {
	case m == nil || m.host == "" && w.guest == point:
		return refuse("GRANT", w.where, w.guest+" is private to the program in this run", "give another guest path: HOST:GUEST", nil)
	case m.host == "":
		return nil
	}
	if shows := path.Join(m.host, strings.TrimPrefix(w.guest, strings.TrimSuffix(point, "/"))); shows != w.host {
		return refuse("GRANT", w.where, w.guest+" shows "+shows+" in this run", "give another guest path: HOST:GUEST", nil)
	}
	w.fs = nil
	if w.right == perm.Write && m.overlay == 0 {
		w.raise = m.fs
	}
	return nil
}

// widen changes what the process may do, for all or for none.
func (p *Process) widen(caps abi.CapSet, prepared []widening) (*LiveChange, error) {
	p.k.family.Lock()
	defer p.k.family.Unlock()
	change := p.newChange("grant")
	err := p.p.Authority().Change(func(s *perm.Subject) (*perm.Subject, error) {
		change.Changes = []LiveRight{}
		s, list := s.WithCaps(caps, 0)
		p.add(change, list)
		for _, w := range prepared {
			next, list, err := s.Widen(w.guest, w.host, w.right, liveSource)
			if err != nil {
				return nil, p.liveError(w.where, err)
			}
			if w.fs != nil {
				list[0].Was = perm.None // what was there, if anything, was something else
			}
			p.add(change, list)
			s = next
		}
		return s, p.staysWithin(s)
	})
	if err != nil {
		return nil, err
	}
	change.Applied, change.Epoch = true, p.p.Authority().Epoch()
	return change, nil
}

// expose makes a path visible that was granted. The rule stands already: what cannot
// be mounted now is allowed and not there.
func (p *Process) expose(w *widening) error {
	if w.raise != nil {
		w.raise.AllowWrite()
	}
	if w.fs == nil {
		return nil
	}
	fs := w.fs
	w.fs = nil // the namespace closes it, come what may
	if err := p.p.NS().Mount(w.guest, fs); err != nil {
		_, rerr := p.narrow([]Grant{{Kind: GrantRead, Host: w.host, Guest: w.guest}})
		return refuse("GRANT", w.where, err.Error(), "", errors.Join(err, rerr))
	}
	p.changes.mounts = append(p.changes.mounts, mount{guest: w.guest, host: w.host, id: w.id, dir: w.dir, write: w.right == perm.Write, source: liveSource, fs: fs})
	return nil
}

// Revoke takes from the running program: GrantRead takes everything at and beneath a
// path, GrantWrite leaves reading, GrantAllow takes a capability. A grant that names a
// Guest path is about that path alone, another about the host path wherever it is
// seen. When Revoke returns, no call that was decided before is in flight, descriptors
// that are open have lost the right, and what an operation still brings that the host
// holds on to will be thrown away; the answer names it. All is taken or nothing.
//
// A native program keeps what it has opened, mapped, and been shown. Without
// RevokeOptions.Hard nothing is taken from it then, and the error says so beside the
// answer; with it the program is ended.
func (p *Process) Revoke(ctx context.Context, o RevokeOptions, grants ...Grant) (*LiveChange, error) {
	p.changes.mu.Lock()
	defer p.changes.mu.Unlock()
	if err := p.changeable("revoke", grants); err != nil {
		return nil, err
	}
	if p.domain == "native" && !o.Hard {
		change, err := p.wouldNarrow(grants)
		if err != nil {
			return nil, err
		}
		change.Remains = nativeRemains(change.Changes)
		return change, refuse("CANNOT-RECALL", "revoke", "a native program cannot be made to give back what it has, and goes on unchanged", "add --hard to end it", nil)
	}
	if o.Hard && o.KeepOpen {
		return nil, refuse("USAGE", "revoke", "nothing is to be kept, and what is open is to be kept", "give one of --hard and --keep-open", nil)
	}
	change, children, err := p.narrowFamily(grants, o)
	if err != nil {
		return nil, err
	}
	for _, c := range children {
		change.Children = append(change.Children, c.p.settleNarrowed(ctx, c.change, o, grants))
	}
	return p.settleNarrowed(ctx, change, o, grants), nil
}

// settleNarrowed sees to it that nothing is in flight any more that was decided before
// change, and completes the answer.
func (p *Process) settleNarrowed(ctx context.Context, change *LiveChange, o RevokeOptions, grants []Grant) *LiveChange {
	p.noteChange(change, event.KindRevoke) // before it may be killed, and its report written
	native := p.domain == "native"
	if native && !o.Hard {
		change.Remains = nativeRemains(change.Changes)
	}
	if !native && !p.recall(ctx, change.Epoch) {
		change.Remains = append(change.Remains, Unrecalled{"operation", "one operation that the host had been given does not return: it cannot be stopped, and what it brings will be thrown away"})
	}
	if o.Hard && (native || len(change.Remains) > 0) {
		change.Killed = p.endByPolicy(grants)
		if !p.gone(ctx) {
			change.Remains = append(change.Remains, Unrecalled{"process", "it was killed, and the host has not let go of it yet"})
		}
	}
	return change
}

// recall waits until nothing that was decided before epoch is in flight.
func (p *Process) recall(ctx context.Context, epoch uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, recallPatience)
	defer cancel()
	return p.p.Quiesce(ctx, epoch)
}

// gone waits until the process is dead.
func (p *Process) gone(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, recallPatience)
	defer cancel()
	select {
	case <-p.p.DeadC():
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Process) endByPolicy(grants []Grant) bool {
	what := make([]string, len(grants))
	for i, g := range grants {
		what[i] = g.String()
	}
	return p.p.Kill(proc.End{Cause: abi.CausePolicy, Detail: "revoked " + strings.Join(what, ", ")})
}

// nativeRemains is what a native program keeps.
func nativeRemains(changes []LiveRight) []Unrecalled {
	var of []string
	for _, c := range changes {
		if c.Path != "" {
			of = append(of, c.Path)
		}
	}
	if len(of) == 0 {
		return []Unrecalled{{"rules", "its system call filter is fixed when it starts"}}
	}
	paths := strings.Join(of, ", ")
	return []Unrecalled{
		{"descriptors", "files of " + paths + " that it has open, has duplicated, or has passed on"},
		{"mappings", "memory that is mapped from files of " + paths},
		{"mounts", "its namespace goes on showing " + paths},
		{"rules", "the Landlock rules that allow " + paths + " cannot be narrowed from outside"},
	}
}

// narrow changes what the process may do, for all or for none.
func (p *Process) narrow(grants []Grant) (*LiveChange, error) {
	change := p.newChange("revoke")
	err := p.p.Authority().Change(func(s *perm.Subject) (*perm.Subject, error) {
		change.Changes = []LiveRight{}
		return p.narrowed(s, grants, change)
	})
	if err != nil {
		return nil, err
	}
	change.Applied, change.Epoch = true, p.p.Authority().Epoch()
	return change, nil
}

// wouldNarrow is narrow without a change.
func (p *Process) wouldNarrow(grants []Grant) (*LiveChange, error) {
	change := p.newChange("revoke")
	change.Epoch = p.p.Authority().Epoch()
	_, err := p.narrowed(p.p.Subject(), grants, change)
	return change, err
}

func (p *Process) narrowed(s *perm.Subject, grants []Grant, change *LiveChange) (*perm.Subject, error) {
	for _, g := range grants {
		if g.Kind == GrantAllow {
			next, list := s.WithCaps(0, abi.Caps(g.Capability))
			if len(list) == 0 {
				return nil, p.liveError(g.String(), perm.ErrNotGranted)
			}
			p.add(change, list)
			s = next
			continue
		}
		to := perm.None
		if g.Kind == GrantWrite {
			to = perm.Read
		}
		next, list, err := s.Narrow(extent(g), to)
		if errors.Is(err, perm.ErrNotGranted) && g.Guest == "" && slices.ContainsFunc(s.Rules(), func(r perm.PathRule) bool { return r.Guest == g.Host }) {
			// No grant shows the host's: it is the program's name for one.
			next, list, err = s.Narrow(perm.Extent{Guest: g.Host}, to)
		}
		if err != nil {
			return nil, p.liveError(g.String(), err)
		}
		p.add(change, list)
		s = next
	}
	return s, nil
}

// extent is what a revocation names.
func extent(g Grant) perm.Extent {
	if g.Guest != "" {
		return perm.Extent{Guest: path.Clean("/" + g.Guest)}
	}
	abs, err := filepath.Abs(g.Host)
	if err != nil {
		abs = g.Host // without a working directory only an absolute path means something
	}
	e := perm.Extent{Hosts: []string{abs}}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil { // what is gone is taken under the name that it would have
		if dir, derr := filepath.EvalSymlinks(filepath.Dir(abs)); derr == nil {
			real, err = filepath.Join(dir, filepath.Base(abs)), nil
		}
	}
	if err == nil && real != abs {
		e.Hosts = append([]string{real}, abs)
	}
	return e
}

// liveSource is the source of what is granted to a running program.
const liveSource = "live"

// changeable refuses changes of a run that is over, and what cannot be changed.
func (p *Process) changeable(op string, grants []Grant) error {
	if p.p.End() != nil {
		return ErrEnded
	}
	if len(grants) == 0 {
		return refuse("USAGE", op, "nothing is named", "name a path or a capability", nil)
	}
	for _, g := range grants {
		switch g.Kind {
		case GrantRead, GrantWrite:
			if g.Host == "" && (op == "grant" || g.Guest == "") {
				return refuse("USAGE", op, "a path is empty", "name one", nil)
			}
		case GrantAllow:
			if g.Capability == abi.CapNone || g.Capability >= abi.NumCapabilities {
				return refuse("USAGE", op, "there is no such capability", "agentos syscalls lists them", nil)
			}
		default:
			return refuse("USAGE", g.String(), "cannot be changed while the program runs", "use --read, --write, or --allow", nil)
		}
	}
	return nil
}

// liveError words a refusal of package perm.
func (p *Process) liveError(where string, err error) *StartError {
	switch {
	case errors.Is(err, perm.ErrNotGranted):
		return refuse("NOT-GRANTED", where, "the program does not have it", "the flags of the run and what was granted since say what it has", err)
	case errors.Is(err, perm.ErrRevokedAbove):
		return refuse("GRANT", where, err.Error(), "grant that directory again", err)
	}
	return refuse("GRANT", where, err.Error(), "", err)
}

func (p *Process) newChange(op string) *LiveChange {
	return &LiveChange{Version: DocumentVersion, Run: p.run, PID: p.p.PID, Op: op, Changes: []LiveRight{}, Remains: []Unrecalled{}}
}

// add words what changed.
func (p *Process) add(change *LiveChange, list []perm.Changed) {
	yes := map[bool]string{false: "no", true: "yes"}
	for _, c := range list {
		if c.Capability != abi.CapNone {
			change.Changes = append(change.Changes, LiveRight{Capability: c.Capability.String(), Was: yes[c.Held], Is: yes[c.Holds]})
			continue
		}
		if c.Was == c.Is {
			continue
		}
		r := LiveRight{Path: c.Guest, Host: c.Host, Was: c.Was.String(), Is: c.Is.String()}
		if c.Is > c.Was && p.domain != "native" {
			r.Via = p.view.reaches(c.Guest)
		}
		change.Changes = append(change.Changes, r)
	}
}

// reaches returns the pre-opened directory that a program looks a path up in.
func (v *view) reaches(guest string) (name string) {
	best := ""
	for _, pre := range v.preopens {
		if beneath(guest, pre.Path) && len(pre.Path) > len(best) {
			best, name = pre.Path, pre.Name
		}
	}
	return name
}

// noteChange records and emits what was changed.
func (p *Process) noteChange(change *LiveChange, kind event.Kind) {
	p.changes.noted.Lock()
	p.changes.list = append(p.changes.list, change.Changes...)
	p.changes.noted.Unlock()
	p.auditChange(kind.String(), change)
	for _, c := range change.Changes {
		e := event.Event{Category: abi.CatSecurity, Severity: abi.Warning, Kind: kind, PID: p.p.PID, Chain: p.p.Chain, Text: c.Path, Text2: c.Was + " → " + c.Is}
		if cap, ok := abi.ParseCapability(c.Capability); ok {
			e.A = uint64(cap)
		}
		p.p.Emit(&e)
	}
}

// liveEntries renders what was changed for the report.
func (p *Process) liveEntries() (out []ViewEntry) {
	p.changes.noted.Lock()
	defer p.changes.noted.Unlock()
	for _, c := range p.changes.list {
		e := ViewEntry{Path: c.Path, Host: c.Host, Right: c.Is, Source: liveSource}
		if c.Path == "" {
			e.Path, e.Right = c.Capability, map[string]string{"yes": "allow", "no": "deny"}[c.Is]
		}
		out = append(out, e)
	}
	return out
}

// String writes g as a flag.
func (g Grant) String() string {
	if g.Kind == GrantAllow {
		return g.Kind.Flag() + " " + g.Capability.String()
	}
	switch {
	case g.Host == "":
		return fmt.Sprintf("%s :%s", g.Kind.Flag(), g.Guest)
	case g.Guest == "" || g.Guest == g.Host:
		return g.Kind.Flag() + " " + g.Host
	}
	return g.Kind.Flag() + " " + g.Host + ":" + g.Guest
}
