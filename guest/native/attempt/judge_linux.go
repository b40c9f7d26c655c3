package attempt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentos-kernel/agentos/guest/native/seccomp"
)

// Outcome is what became of an attempt.
type Outcome uint8

// The outcomes. The zero value is that it could not be told, which nobody should take
// for safety.
const (
	Unknown Outcome = iota
	Held
	Escaped
	Untried
)

var outcomeNames = [...]string{Unknown: "unknown", Held: "held", Escaped: "escaped", Untried: "untried"}

func (o Outcome) String() string { return outcomeNames[o] }

// layer is a part of the floor, for people.
type layer string

const (
	layerFilter   layer = "seccomp: the call is refused"
	layerView     layer = "mount namespace: it is not in the program's view"
	layerReadOnly layer = "mount namespace: it is mounted read-only"
	layerFrozen   layer = "mount namespace: a protected path is mounted over itself, read-only"
	layerMask     layer = "mount namespace: something empty and unreadable lies over it"
	layerNet      layer = "network namespace: it has nothing but a loopback of its own"
	layerPID      layer = "pid namespace: there is no such process in it"
	layerIPC      layer = "ipc namespace: there is no such object in it"
	layerUser     layer = "user namespace: there is no such user in it"
	layerLandlock layer = "Landlock"
	layerEither   layer = "Landlock, or the permissions of the file"
	layerTrace    layer = "it may not look into that process"
	layerPowers   layer = "no capabilities"
	layerSession  layer = "a session of its own, which has no terminal"
	layerClosed   layer = "nothing but its streams was handed over"
	layerHost     layer = "the host itself"
)

// Self is what a process finds out about how it is confined.
type Self struct {
	Seccomp    bool              `json:"seccomp"`
	NoNewPrivs bool              `json:"no_new_privs"`
	Powerless  bool              `json:"powerless"` // it holds no capability
	Namespaces map[string]uint64 `json:"namespaces"`
}

// Look looks at this process. What it cannot see counts as not confined.
func Look() Self {
	s := Self{Powerless: true, Namespaces: map[string]uint64{}}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		s.Powerless = false
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Seccomp":
			s.Seccomp = value == "2"
		case "NoNewPrivs":
			s.NoNewPrivs = value == "1"
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			if n, err := strconv.ParseUint(value, 16, 64); err != nil || n != 0 && key != "CapBnd" {
				s.Powerless = false
			}
		}
	}
	for _, name := range []string{"mnt", "net", "pid", "ipc", "uts", "user", "cgroup"} {
		var st unix.Stat_t
		if err := unix.Stat("/proc/self/ns/"+name, &st); err == nil {
			s.Namespaces[name] = st.Ino
		}
	}
	return s
}

// Verdict is the judgement on one attempt.
type Verdict struct {
	Name, What string
	Outcome    Outcome
	Errno      string // what it was answered, "" if nothing
	By         string // what stopped it
	Detail     string // why it was not tried, or what it got, or why it cannot be told
}

// Verdicts judges what a program that tried all [Violations] printed, one verdict for
// each violation, whatever it printed.
func (b *Bait) Verdicts(printed io.Reader) (Self, []Verdict, error) {
	dec := json.NewDecoder(printed)
	var self Self
	err := dec.Decode(&self)
	host := Look()
	results := map[string]*Result{}
	for err == nil {
		r := new(Result)
		if err = dec.Decode(r); err == nil {
			results[r.Name] = r
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	verdicts := make([]Verdict, len(violations))
	for i := range violations {
		v := &violations[i]
		verdicts[i] = b.verdict(v, results[v.name], &self, &host)
	}
	return self, verdicts, err
}

func (b *Bait) verdict(v *violation, r *Result, self, host *Self) Verdict {
	d := Verdict{Name: v.name, What: v.what}
	switch {
	case r == nil:
		d.Detail = "the program that tries it did not say what became of it"
		return d
	case r.Untried != "":
		d.Outcome, d.Detail = Untried, r.Untried
		return d
	}
	if r.Errno != 0 {
		d.Errno = unix.ErrnoName(r.Errno)
	}
	if escaped, err := b.escaped(v, r); err != nil {
		d.Detail = err.Error()
	} else if escaped {
		d.Outcome, d.Detail = Escaped, "nothing stopped it"
	} else {
		d.Outcome, d.By = Held, string(stoppedBy(v, r, self, host))
	}
	return d
}

func (b *Bait) escaped(v *violation, r *Result) (bool, error) {
	switch v.proof {
	case byContent:
		return bytes.Contains(r.Got, []byte(b.secret)), nil
	case bySight:
		if r.Errno != 0 {
			return false, nil
		}
		return b.sighted(v.name)
	default:
		return r.Errno == 0 || slices.Contains(v.through, r.Errno), nil
	}
}

// stoppedBy says which layer answered. The filter comes before all that the kernel
// itself looks at, and what the kernel says differs by layer.
func stoppedBy(v *violation, r *Result, self, host *Self) layer {
	own := func(ns string) bool { return self.Namespaces[ns] != host.Namespaces[ns] && self.Namespaces[ns] != 0 }
	if self.Seccomp && filters(v, r, own("net")) {
		return layerFilter
	}
	if l, ok := v.by[r.Errno]; ok && believable(l, own) {
		return l
	}
	switch r.Errno {
	case 0:
		return "what is in its place is something else"
	case unix.ENOENT, unix.ENOTDIR:
		if own("mnt") {
			return layerView
		}
	case unix.EROFS:
		if own("mnt") {
			return layerReadOnly
		}
	case unix.ENETUNREACH, unix.ECONNREFUSED, unix.EADDRNOTAVAIL:
		if own("net") {
			return layerNet
		}
	case unix.ESRCH:
		if own("pid") {
			return layerPID
		}
	case unix.EPERM:
		if self.Powerless {
			return layerPowers
		}
	case unix.EACCES:
		switch {
		case !self.Seccomp: // and so it is not under the floor
		case os.Geteuid() == 0: // whose files these are
			return layerLandlock
		default:
			return layerEither
		}
	}
	return layerHost
}

// filters reports whether the filter answers so, with namespaces behind it or without.
func filters(v *violation, r *Result, namespaces bool) bool {
	if r.Call == v.call && slices.Contains(v.filter, r.Errno) {
		return true
	}
	rules := seccomp.Rules()
	if !namespaces {
		if r.Call == "socket" && r.Errno == unix.EACCES {
			return true // of every kind
		}
		rules = append(rules, seccomp.WithoutNamespaces()...)
	}
	return slices.ContainsFunc(rules, func(l seccomp.Rule) bool {
		return l.Name == r.Call && l.Verdict == seccomp.Refuse && l.Errno == r.Errno
	})
}

// believable reports whether there is such a layer.
func believable(l layer, own func(string) bool) bool {
	ns := map[layer]string{layerView: "mnt", layerReadOnly: "mnt", layerFrozen: "mnt", layerMask: "mnt", layerNet: "net", layerPID: "pid", layerIPC: "ipc", layerUser: "user"}
	name, ok := ns[l]
	return !ok || own(name)
}

// String renders a verdict for a test's log.
func (d *Verdict) String() string {
	return fmt.Sprintf("%-16s %-8s %-14s %s%s", d.Name, d.Outcome, d.Errno, d.By, d.Detail)
}
