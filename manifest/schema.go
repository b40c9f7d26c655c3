package manifest

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/agentos-kernel/agentos/internal/nearest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Key documents one key of the schema. The same table drives decoding, the
// suggestions for unknown keys, and the generated part of docs/MANIFEST.md.
type Key struct {
	Name string // dotted; "env.*" stands for any key of the table env
	Type string
	Flag string // what gives the same on the command line, "" if nothing does
	Doc  string // one sentence

	decode func(d *decoder, n *unstable.Node)
}

// Schema returns the keys of the document, in the order in which they are
// documented.
func Schema() []Key { return append([]Key(nil), schema()...) }

// schema is a function and not a variable only because the decode functions
// refer back to it for suggestions.
func schema() []Key {
	return []Key{
		{"version", "integer", "", "The version of this schema: 1. Required.", func(d *decoder, n *unstable.Node) {
			if v, ok := d.count(n); ok && v != Version {
				d.fail(n, fmt.Sprintf("version %d of the schema is not known to this program", v), fmt.Sprintf("it reads version %d", Version))
			}
			d.versioned = true
		}},
		{"program", "string", "PROGRAM", "The program to run: a path if it has a slash, else a name to be looked up like one on the command line.", func(d *decoder, n *unstable.Node) {
			d.m.Program = into(d, n, func(s string) (string, error) {
				if strings.Contains(s, "/") {
					return d.abs(s)
				}
				return nonEmpty(s)
			})
		}},
		{"args", "array of strings", "ARG…", "The program's arguments. Arguments on the command line replace them.", func(d *decoder, n *unstable.Node) {
			args := []string{}
			d.each(n, func(n *unstable.Node) {
				if v := into(d, n, noNUL); v.Set() {
					args = append(args, v.V)
				}
			})
			d.m.Args = Value[[]string]{args, d.pos(n)}
		}},
		{"name", "string", "--name", "A label for people.", func(d *decoder, n *unstable.Node) { d.m.Name = into(d, n, noNUL) }},
		{"domain", "string", "--domain", "`auto`, `wasm`, or `native`.", func(d *decoder, n *unstable.Node) { d.m.Domain = into(d, n, ParseDomain) }},
		{"cwd", "string", "--cwd", "The working directory, as the program sees it.", func(d *decoder, n *unstable.Node) { d.m.Cwd = into(d, n, ParseGuestPath) }},
		{"read", "array of strings", "--read", "Paths to grant reading of, `HOST` or `HOST:GUEST`.", func(d *decoder, n *unstable.Node) { d.grants(n, Read) }},
		{"write", "array of strings", "--write", "Paths to grant reading, creating, changing, and deleting under, `HOST` or `HOST:GUEST`.", func(d *decoder, n *unstable.Node) { d.grants(n, Write) }},
		{"overlay", "array of strings", "--overlay", "Directories to grant like `write`, whose writes are captured and reach the host only when they are committed, `HOST` or `HOST:GUEST`.", func(d *decoder, n *unstable.Node) { d.grants(n, Overlay) }},
		{"deny", "array of strings", "--deny", "Host paths that nothing grants.", func(d *decoder, n *unstable.Node) { d.grants(n, Deny) }},
		{"allow", "array of strings", "--allow", "Other capabilities, by their names in `agentos syscalls`.", func(d *decoder, n *unstable.Node) {
			d.each(n, func(n *unstable.Node) {
				if v := into(d, n, ParseCapability); v.Set() {
					d.m.Allow = append(d.m.Allow, v)
				}
			})
		}},
		{"unprotect", "array of strings", "--unprotect", "Host paths whose protection inside write grants is lifted.", func(d *decoder, n *unstable.Node) {
			d.each(n, func(n *unstable.Node) {
				if v := into(d, n, d.abs); v.Set() {
					d.m.Unprotect = append(d.m.Unprotect, v)
				}
			})
		}},
		{"policies", "array of strings", "--policy", "Files of policies in the Cedar language, or `builtin:NAME`.", func(d *decoder, n *unstable.Node) {
			d.each(n, func(n *unstable.Node) {
				parse := func(s string) (string, error) {
					if strings.HasPrefix(s, "builtin:") {
						return s, nil
					}
					return d.abs(s)
				}
				if v := into(d, n, parse); v.Set() {
					d.m.Policies = append(d.m.Policies, v)
				}
			})
		}},
		{"policy_default", "string", "--policy-default", "`allow` or `deny`: what becomes of what no policy decides.", func(d *decoder, n *unstable.Node) {
			d.m.PolicyDeny = scalar(d, n, ParsePolicyDefault)
		}},
		{"listen", "array of strings", "--listen", "Addresses to listen on, `PORT` or `ADDR:PORT`.", func(d *decoder, n *unstable.Node) {
			d.each(n, func(n *unstable.Node) {
				if v := into(d, n, ParseListen); v.Set() {
					d.m.Listen = append(d.m.Listen, v)
				}
			})
		}},
		{"inherit_env", "array of strings", "--env KEY", "Environment variables to pass on from the caller.", func(d *decoder, n *unstable.Node) {
			d.each(n, func(n *unstable.Node) {
				if v := into(d, n, parseKey); v.Set() {
					d.m.Env = append(d.m.Env, Variable{Key: v.V, Inherit: true, Pos: v.Pos})
				}
			})
		}},
		{"bare", "boolean", "--bare", "Without what a program otherwise has unasked.", func(d *decoder, n *unstable.Node) { d.m.Bare = d.boolean(n) }},
		{"toolchain", "boolean", "--toolchain", "Grant reading of the installation that a native program belongs to.", func(d *decoder, n *unstable.Node) { d.m.Toolchain = d.boolean(n) }},
		{"best_effort", "boolean", "--best-effort", "Run although a limit or protection cannot be enforced here; the report says which.", func(d *decoder, n *unstable.Node) { d.m.BestEffort = d.boolean(n) }},
		{"require_audit", "boolean", "--require-audit", "Refuse the run if its audit log cannot be written, and end it when that becomes so.", func(d *decoder, n *unstable.Node) { d.m.RequireAudit = d.boolean(n) }},
		{"kill_after", "duration", "--kill-after", "The grace between TERM and KILL.", func(d *decoder, n *unstable.Node) { d.m.KillAfter = scalar(d, n, ParseDuration) }},
		{"env.*", "string", "--env KEY=VALUE", "The environment variable of that name.", nil}, // decoded by decoder.variable
		{"limits.timeout", "duration", "--timeout", "Wall time since creation.", func(d *decoder, n *unstable.Node) { d.m.Limits.Timeout = scalar(d, n, ParseDuration) }},
		{"limits.cpu_time", "duration", "--cpu-time", "Processor time.", func(d *decoder, n *unstable.Node) { d.m.Limits.CPUTime = scalar(d, n, ParseDuration) }},
		{"limits.cpus", "number", "--cpus", "Processors.", func(d *decoder, n *unstable.Node) { d.m.Limits.CPUs = scalar(d, n, ParseCPUs) }},
		{"limits.memory", "size", "--memory", "Memory.", func(d *decoder, n *unstable.Node) { d.m.Limits.Memory = scalar(d, n, ParseSize) }},
		{"limits.pids", "integer", "--pids", "Processes.", func(d *decoder, n *unstable.Node) { d.m.Limits.Pids = scalar(d, n, ParseCount) }},
		{"limits.files", "integer", "--files", "Open files.", func(d *decoder, n *unstable.Node) { d.m.Limits.Files = scalar(d, n, ParseCount) }},
		{"limits.disk", "size", "--disk", "Private writable space.", func(d *decoder, n *unstable.Node) { d.m.Limits.Disk = scalar(d, n, ParseSize) }},
		{"limits.output", "size", "--output", "Standard output and standard error together.", func(d *decoder, n *unstable.Node) { d.m.Limits.Output = scalar(d, n, ParseSize) }},
		{"limits.priority", "integer", "--priority", "0 (least) to 10.", func(d *decoder, n *unstable.Node) { d.m.Limits.Priority = scalar(d, n, ParsePriority) }},
	}
}

// tables are the names that take keys of their own.
var tables = [...]string{"env", "limits"}

// ParseDomain accepts auto, wasm, and native.
func ParseDomain(s string) (string, error) {
	switch s {
	case "auto", "wasm", "native":
		return s, nil
	}
	return "", fmt.Errorf("%q is not a domain; write auto, wasm, or native", s)
}

// ParseGuestPath accepts an absolute path as the program sees it.
func ParseGuestPath(s string) (string, error) {
	if _, err := noNUL(s); err != nil {
		return "", err
	}
	if !strings.HasPrefix(s, "/") {
		return "", fmt.Errorf("%q is not absolute; write the path as the program sees it, from /", s)
	}
	return s, nil
}

// ParseCapability resolves a capability by name.
func ParseCapability(s string) (abi.Capability, error) {
	c, ok := abi.ParseCapability(s)
	if ok && c != abi.CapNone {
		return c, nil
	}
	names := make([]string, 0, abi.NumCapabilities)
	for c := abi.CapNone + 1; c < abi.NumCapabilities; c++ {
		names = append(names, c.String())
	}
	if near := nearest.Of(s, names); near != "" {
		return 0, fmt.Errorf("%q is not a capability; did you mean %q?", s, near)
	}
	return 0, fmt.Errorf("%q is not a capability; `agentos syscalls` lists them: %s", s, strings.Join(names, ", "))
}

func parseKey(s string) (string, error) {
	if p := CheckKey(s); p != "" {
		return "", fmt.Errorf("%q %s", s, p)
	}
	return s, nil
}

func noNUL(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q has a zero byte", s)
	}
	return s, nil
}

func nonEmpty(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("is empty; leave it out, or name something")
	}
	return noNUL(s)
}

// abs makes a host path absolute against the manifest's directory.
func (d *decoder) abs(s string) (string, error) {
	if _, err := nonEmpty(s); err != nil {
		return "", err
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s), nil
	}
	return filepath.Join(d.m.Dir, s), nil
}

// ParsePolicyDefault reads what becomes of what no policy decides; true is a denial.
func ParsePolicyDefault(s string) (bool, error) {
	switch s {
	case "allow":
		return false, nil
	case "deny":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither allow nor deny", s)
}
