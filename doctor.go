package agentos

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/agentos-kernel/agentos/guest"
)

// Diagnosis is what `agentos doctor` found.
type Diagnosis struct {
	Version  int        `json:"version"`
	Build    string     `json:"build"`
	Host     string     `json:"host"`
	Safe     bool       `json:"safe"` // what protects the host in a default run is there, and held
	Checks   []Check    `json:"checks"`
	Degraded []Weakness `json:"degraded"`
}

// Check is one thing that was looked at, or tried by a program that must not succeed.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Protects bool   `json:"protects"` // a run without it would be less safe; otherwise it only informs
	Detail   string `json:"detail"`
	Fix      string `json:"fix,omitempty"`

	// Of an attempt, whose name begins with its domain:
	Tried     string `json:"tried,omitempty"`      // for people: what
	Outcome   string `json:"outcome,omitempty"`    // held, escaped, degraded, untried, or unknown
	StoppedBy string `json:"stopped_by,omitempty"` // the first layer that stopped it
	Errno     string `json:"errno,omitempty"`      // what the program was answered
}

// The outcomes of an attempt. What is not known counts as not held.
const (
	OutcomeHeld     = "held"
	OutcomeEscaped  = "escaped"
	OutcomeDegraded = "degraded" // held by refusing what cannot be held otherwise
	OutcomeUntried  = "untried"
	OutcomeUnknown  = "unknown"
)

// Weakness is what is missing here or weaker than it could be, and what to change.
type Weakness struct {
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

// Doctor opens a kernel as c says and tries its parts; and in throw-away programs it
// tries what no program must be able to do. It leaves nothing behind.
func Doctor(c Config) *Diagnosis {
	if c.Version == "" {
		c.Version = Version
	}
	d := &Diagnosis{Version: DocumentVersion, Build: c.Version, Host: runtime.GOOS + "/" + runtime.GOARCH, Checks: []Check{}, Degraded: []Weakness{}}
	k, err := Open(c)
	if err != nil {
		fix := ""
		var se *StartError
		if errors.As(err, &se) {
			fix = se.Fix
		}
		d.add("kernel", false, true, err.Error(), fix)
		return d
	}
	d.add("kernel", true, true, fmt.Sprintf("%s scheduler, preemptive by metering", k.sched.Policy()), "")
	k.examine(d)
	if err := k.Close(); err != nil {
		d.add("shutdown", false, true, err.Error(), "")
	}
	d.Safe = !slices.ContainsFunc(d.Checks, func(c Check) bool { return c.Protects && !c.OK })
	return d
}

func (d *Diagnosis) add(name string, ok, protects bool, detail, fix string) {
	d.Checks = append(d.Checks, Check{Name: name, OK: ok, Protects: protects, Detail: detail, Fix: fix})
}

func (k *Kernel) examine(d *Diagnosis) {
	vcpus, procs := k.sched.VCPUs(), runtime.GOMAXPROCS(0)
	fix := ""
	if vcpus >= procs {
		fix = "give Go more processors (GOMAXPROCS) or use fewer vCPUs"
	}
	d.add("vcpus", vcpus < procs, false, fmt.Sprintf("%d, of %d processors", vcpus, procs), fix)
	facts := k.wasm.Facts()
	d.add("wasm", facts.Engine == "compiler", false, "engine: "+facts.Engine, "")
	d.add("compile", facts.Isolation == "child", true, "untrusted modules are compiled in: "+facts.Isolation, "")
	err := k.tryCompile()
	detail := "a module was compiled and ran"
	if err != nil {
		detail = err.Error()
	}
	d.add("run", err == nil, true, detail, "")
	err = k.tryGarbage()
	detail = "a corrupt module was refused"
	if err != nil {
		detail = err.Error()
	}
	d.add("refuse", err == nil, true, detail, "")
	d.add("files", true, true, "host paths are resolved "+resolution(), "")
	for _, name := range Subsystems() {
		at := len(d.Checks)
		d.add(name, true, false, k.subsystem(name), "")
		for _, why := range k.Degraded() {
			if rest, ok := strings.CutPrefix(why, name+": "); ok {
				d.Checks[at].OK, d.Checks[at].Detail = false, rest
			}
		}
	}
	for _, why := range k.Degraded() {
		d.weak(why, "")
	}
	k.attempts(d)
}

// attempt adds what became of one.
func (d *Diagnosis) attempt(c Check) {
	switch c.Outcome {
	case OutcomeHeld:
		c.OK, c.Protects = true, true
	case OutcomeUntried:
		c.OK, c.Protects = true, false
	case OutcomeDegraded:
		c.OK, c.Protects = false, false
	default:
		c.OK, c.Protects = false, true
	}
	d.Checks = append(d.Checks, c)
}

// weak adds a weakness. Without a fix of its own it is looked for by what it is about.
func (d *Diagnosis) weak(what, fix string) {
	for _, r := range remedies {
		// Some sentences say themselves what to change.
		if fix == "" && strings.Contains(what, r.about) && !strings.Contains(what, "run as root") && !strings.Contains(what, "To have them") {
			fix = r.fix
		}
	}
	d.Degraded = append(d.Degraded, Weakness{What: what, Fix: fix})
}

var remedies = []struct{ about, fix string }{
	{"control group", "run as root where the controllers are mounted, or have them delegated to this user (systemd: Delegate=yes)"},
	{"Landlock", "use a newer kernel, with landlock among its security modules (lsm= on its command line)"},
	{"namespaces", "run as root, or allow this user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or an AppArmor profile for agentos)"},
	{"left out", "it was asked for: leave that setting out"},
	{"state:", "name a directory of this user's own, mode 0700, in AGENTOS_STATE"},
	{"cache:", "name a directory of this user's own, mode 0700, in AGENTOS_STATE"},
}

// subsystem describes an optional subsystem that is there.
func (k *Kernel) subsystem(name string) string {
	switch name {
	case "events":
		if k.stream != nil {
			return fmt.Sprintf("%d records in memory", k.stream.Stats().Records)
		}
	case "state":
		if k.state != nil {
			return k.state.Path()
		}
	case "decisions":
		if o := k.config.DecisionCache.options(); !o.Off() {
			return fmt.Sprintf("each process remembers %d, for %s at most", o.Size(), o.Lifetime())
		}
	case "cache":
		if c := k.wasm.Facts().Cache; c != "" {
			return c
		}
	}
	return "absent"
}

// tiny is a module whose _start returns at once.
var tiny = []byte("\x00asm\x01\x00\x00\x00" + // magic, version
	"\x01\x04\x01\x60\x00\x00" + // type: () -> ()
	"\x03\x02\x01\x00" + // function 0 of type 0
	"\x07\x0a\x01\x06_start\x00\x00" + // export
	"\x0a\x04\x01\x02\x00\x0b") // code: no locals, end

func (k *Kernel) tryCompile() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := k.Run(ctx, Spec{Program: "self-test", Image: tiny, unrecorded: true})
	if err != nil {
		return err
	}
	if r.Cause != "exited" || r.ExitCode != 0 || len(r.Cleanup.Errors) != 0 {
		return fmt.Errorf("the self-test ended by %s: %s %v", r.Cause, r.Detail, r.Cleanup.Errors)
	}
	return nil
}

func (k *Kernel) tryGarbage() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := k.Run(ctx, Spec{Program: "self-test", Image: tiny[:len(tiny)-1], unrecorded: true})
	var le *guest.LoadError
	if !errors.As(err, &le) || le.Kind != guest.NotRunnable {
		return fmt.Errorf("a corrupt module was not refused: %v", err)
	}
	return nil
}

// enforcement says what stands behind each protection, for reports.
func (k *Kernel) enforcement() map[string]string {
	facts := k.wasm.Facts()
	return map[string]string{
		"isolation":  "WebAssembly linear memory (" + facts.Engine + ")",
		"compile":    facts.Isolation,
		"preemption": "metering by rewriting",
		"memory":     "charged before every growth",
		"cpu_time":   "charged a slice at a time",
		"wall_time":  "kernel timer",
		"files":      "host paths resolved " + resolution(),
		"network":    "no operation exists",
		"processes":  "no operation exists",
		"output":     "charged before every write",
		"disk":       "private files charged before every growth",
	}
}
