package agentos

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Explanation says why something was refused, or that it was not refused by us.
type Explanation struct {
	Version   int    `json:"version"`
	Run       string `json:"run,omitempty"`
	Event     string `json:"event"`
	Decision  string `json:"decision"` // deny or allow
	Ours      bool   `json:"ours"`     // false for an error of the host
	Syscall   string `json:"syscall"`
	Via       string `json:"via"`
	Layer     string `json:"layer"` // capability, path, policy, limit, isolation; host if it was not ours
	Rule      string `json:"rule"`
	Requested string `json:"requested"`
	Canonical string `json:"canonical"`
	Cached    bool   `json:"cached"`
	Grant     string `json:"grant"` // the smallest that would allow it
	Retry     string `json:"retry"` // never or after_grant
	Code      string `json:"code,omitempty"`
	Errno     string `json:"errno,omitempty"`
	Count     uint64 `json:"count,omitempty"`
}

// The values of Explanation.Retry.
const (
	RetryNever      = "never"
	RetryAfterGrant = "after_grant"
)

func retry(grant string) string {
	if grant == "" {
		return RetryNever
	}
	return RetryAfterGrant
}

// Explain explains a denial of a report.
func (d *Denial) Explain(run string) *Explanation {
	return &Explanation{
		Version: DocumentVersion, Run: run, Event: d.Event, Decision: "deny", Ours: true, Syscall: d.Syscall, Via: d.Via, Layer: d.Layer, Rule: d.Rule,
		Requested: d.Requested, Canonical: d.Canonical, Cached: d.Cached, Grant: d.Grant, Retry: retry(d.Grant), Code: d.Code, Errno: d.Errno, Count: d.Count,
	}
}

// Explain explains a failure of a report: it was not ours.
func (f *FailedCall) Explain(run string) *Explanation {
	return &Explanation{
		Version: DocumentVersion, Run: run, Event: f.Event, Decision: "allow", Ours: false, Syscall: f.Syscall, Via: f.Via, Layer: "host",
		Rule: hostSays(f.Errno), Requested: f.Path, Retry: RetryNever, Errno: f.Errno, Count: f.Count,
	}
}

// hostSays puts an error number of the host into words.
func hostSays(errno string) string {
	switch errno {
	case "ENOENT":
		return "there is no such file or directory"
	case "EACCES", "EPERM":
		return "the host's own permissions refuse it to the user that AgentOS runs as"
	case "ENOSPC", "EDQUOT":
		return "the host's disk or quota is full"
	case "EROFS":
		return "the host's file system is read-only"
	case "EEXIST":
		return "it exists already"
	case "ENOTDIR":
		return "something on the way is not a directory"
	case "EISDIR":
		return "it is a directory"
	case "ENOTEMPTY":
		return "the directory is not empty"
	case "ELOOP":
		return "there are too many symbolic links on the way"
	case "EIO":
		return "the host's storage failed"
	case "ENAMETOOLONG":
		return "a name is too long"
	}
	return "the host answered " + errno
}

// Ask decides what a program with spec's grants and policies could do to a path, by the
// same rules as a run, and runs nothing. The path is the program's; a relative one is
// taken from its working directory. Errors are *StartErrors.
func (k *Kernel) Ask(spec Spec, act abi.Action, name string) (*Explanation, error) {
	domain := spec.Domain
	if domain == "" || domain == "auto" {
		domain = "wasm"
	}
	v, err := k.resolve(&spec, domain)
	if err != nil {
		return nil, err
	}
	engine, err := loadPolicies(spec.Policies, spec.PolicyDefaultDeny)
	if err != nil {
		return nil, err
	}
	var e perm.Engine
	if engine != nil {
		e = engine
	}
	program := ""
	if spec.Program != "" {
		program = principalProgram(&spec)
	}
	a := perm.NewAuthority(perm.Principal{Program: program, Name: spec.Name, Domain: domain}, v.subject(&spec), e)
	if !path.IsAbs(name) {
		name = path.Join("/", v.cwd, name)
	}
	x := &Explanation{Version: DocumentVersion, Ours: true, Syscall: syscallOf(act), Via: syscallOf(act), Requested: name, Decision: "allow", Retry: RetryNever}
	canonical, exists, out := v.canonical(path.Clean(name))
	x.Canonical = canonical
	if out {
		flag := "--read "
		if act == abi.ActWrite || act == abi.ActCreate || act == abi.ActDelete {
			flag = "--write "
		}
		x.Decision, x.Layer, x.Code, x.Errno = "deny", abi.LayerPath.String(), perm.Ungranted.Code(), "EPERM"
		x.Rule = "a symbolic link leads out of the grant, to " + canonical
		if _, grantable := k.hostHas(canonical); grantable {
			x.Grant = flag + canonical
		}
		x.Retry = retry(x.Grant)
		return x, nil
	}
	if slices.ContainsFunc(v.defaults, func(m guest.Mount) bool { return beneath(canonical, m.Guest) }) && act != abi.ActWrite && act != abi.ActCreate && act != abi.ActDelete {
		x.Layer, x.Rule = "path", "what every native program has"
		return x, nil
	}
	d := a.File(act, canonical)
	if covered, host := a.Subject().Covered(canonical); d.Allow && covered && !host && !exists && act != abi.ActCreate && act != abi.ActWrite {
		// It is looked for where the program has its own; the host's may be meant.
		if has, grantable := k.hostHas(canonical); has {
			x.Decision, x.Layer, x.Rule, x.Code, x.Errno = "deny", abi.LayerPath.String(), "hidden: no grant shows "+canonical, perm.Hidden.Code(), "ENOENT"
			if grantable {
				x.Grant = "--read " + canonical
			}
			x.Retry = retry(x.Grant)
			return x, nil
		}
	}
	if real := a.Subject().HostPath(canonical); d.Allow && exists {
		if _, grantable := k.hostHas(real); !grantable {
			x.Decision, x.Layer, x.Rule, x.Code, x.Errno = "deny", abi.LayerIsolation.String(), "no grant reaches "+real, perm.Hidden.Code(), "ENOENT"
			return x, nil
		}
	}
	if d.Allow {
		x.Layer, x.Rule = "path", a.Subject().Granted(canonical)
		if !exists && act != abi.ActCreate && act != abi.ActWrite {
			x.Ours, x.Layer, x.Rule, x.Errno = false, "host", hostSays("ENOENT"), "ENOENT"
		}
		return x, nil
	}
	x.Decision, x.Layer, x.Rule, x.Grant, x.Code, x.Errno = "deny", d.Layer.String(), d.Rule, d.Grant, d.Reason.Code(), d.Errno.String()
	if d.Reason == perm.Ungranted && exists {
		x.Code = perm.Hidden.Code()
		if _, grantable := k.hostHas(canonical); !grantable {
			x.Layer, x.Rule, x.Grant = abi.LayerIsolation.String(), "hidden: no grant reaches "+canonical, ""
		}
	}
	x.Retry = retry(x.Grant)
	return x, nil
}

// canonical is the path that a walk of name would end at, as far as the host tells, and
// whether something is there. What leads out of a grant ends at a path of the host.
func (v *view) canonical(name string) (canonical string, exists, out bool) {
	host, top := name, (*mount)(nil)
	for i := range v.mounts {
		m := &v.mounts[i]
		if beneath(name, m.guest) && (top == nil || len(m.guest) > len(top.guest)) {
			top = m
		}
	}
	if top != nil && top.host == "" {
		return name, false, false // nothing is there yet
	}
	if top != nil {
		host = filepath.Join(top.host, strings.TrimPrefix(name, strings.TrimSuffix(top.guest, "/")))
	}
	exists = true
	real, rest := host, ""
	for {
		r, err := filepath.EvalSymlinks(real)
		if err == nil {
			real = filepath.Join(r, rest)
			break
		}
		exists = false
		rest = filepath.Join(filepath.Base(real), rest)
		up := filepath.Dir(real)
		if up == real {
			real = host
			break
		}
		real = up
	}
	if _, err := os.Lstat(real); err != nil {
		exists = false
	}
	for i := range v.mounts {
		if m := &v.mounts[i]; m.host != "" && beneath(real, m.host) {
			return path.Join(m.guest, filepath.ToSlash(strings.TrimPrefix(real, m.host))), exists, false
		}
	}
	return filepath.ToSlash(real), exists, top != nil
}

// syscallOf names the operation that an action is mostly part of.
func syscallOf(act abi.Action) string {
	switch act {
	case abi.ActList:
		return abi.SysReaddir.String()
	case abi.ActDelete:
		return abi.SysUnlink.String()
	}
	return abi.SysOpen.String()
}
