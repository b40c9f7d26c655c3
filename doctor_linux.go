package agentos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/guest/native/attempt"
)

// attemptMain makes this process try what its environment orders, if anything.
func attemptMain() { attempt.Main() }

// trial has native programs try what they must not be able to do.
type trial struct {
	k        *Kernel
	command  []string // calls [Helper] first thing
	bait     *attempt.Bait
	enforced map[string]string
	run      func(context.Context, Spec) (*Report, error)
}

// attempts lays out bait, has programs of both domains try at once what they must not be
// able to do, and clears up.
func (k *Kernel) attempts(d *Diagnosis) {
	t := &trial{k: k, command: k.config.Helper, run: k.Run}
	if err := t.lay(); err != nil {
		d.add("attempts", false, true, err.Error(), "")
		return
	}
	var ofWasm, ofNative Diagnosis
	var both sync.WaitGroup
	both.Go(func() { k.wasmAttempts(&ofWasm, t.bait.Order.Secret, t.bait.Order.Shown) })
	both.Go(func() { k.nativeAttempts(&ofNative, t) })
	both.Wait()
	for _, of := range []*Diagnosis{&ofNative, &ofWasm} {
		d.Checks = append(d.Checks, of.Checks...)
		d.Degraded = append(d.Degraded, of.Degraded...)
	}
	if err := t.bait.Close(); err != nil {
		d.add("attempts", false, true, err.Error(), "")
	}
}

// lay lays out the bait.
func (t *trial) lay() (err error) {
	if len(t.command) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("the program that tries violations is not known: %w", err)
		}
		t.command = []string{exe}
	}
	t.bait, err = attempt.Lay(t.command)
	return err
}

// nativeAttempts tries violations in native programs, if there can be any here.
func (k *Kernel) nativeAttempts(d *Diagnosis, t *trial) {
	domain, err := k.nativeDomain()
	if err != nil {
		d.add("native", false, false, "native programs are refused: "+err.Error(), "")
		d.weak("There are no native programs here: "+err.Error(), "")
		return
	}
	var weak []string
	t.enforced, weak = domain.Enforcement()
	detail := "native programs run"
	if how := t.enforced["isolation"]; how != "" {
		detail += " behind " + how
	}
	d.add("native", true, false, detail, "")
	for _, why := range weak {
		d.weak(why, "")
	}
	t.try(d)
}

// try has everything tried at once.
func (t *trial) try(d *Diagnosis) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	parts := make([]Diagnosis, 1+len(strains))
	var all sync.WaitGroup
	all.Go(func() { t.violations(ctx, &parts[0]) })
	for i := range strains {
		all.Go(func() { t.strain(ctx, &strains[i], &parts[1+i]) })
	}
	all.Wait()
	for _, p := range parts {
		d.Checks = append(d.Checks, p.Checks...)
		for _, w := range p.Degraded {
			if !slices.Contains(d.Degraded, w) {
				d.Degraded = append(d.Degraded, w)
			}
		}
	}
}

// spec is a default run of the program that tries things, with the bait's grants.
func (t *trial) spec(o attempt.Order) (Spec, error) {
	env, err := o.Variable()
	exe, aerr := filepath.Abs(t.command[0])
	s := Spec{
		Program: exe, Args: t.command[1:], Domain: "native", Name: "doctor", Dir: "/", Env: []string{env},
		Grants: []Grant{{Kind: GrantRead, Host: exe}, {Kind: GrantRead, Host: o.Shown}, {Kind: GrantDeny, Host: t.bait.Denied},
			{Kind: GrantWrite, Host: o.Room}, {Kind: GrantWrite, Host: o.Repo}},
		// It must not hang, whatever it hangs on; and it writes little.
		Limits: Limits{Timeout: 10 * time.Second}, KillAfter: 10 * time.Millisecond,
		unrecorded: true,
	}
	return s, errors.Join(err, aerr)
}

// start runs an order. What it returns in place of a report is a check's outcome.
func (t *trial) start(ctx context.Context, o attempt.Order, limits Limits, out *bytes.Buffer) (*Report, Check) {
	s, err := t.spec(o)
	if err != nil {
		return nil, Check{Outcome: OutcomeUnknown, Detail: err.Error()}
	}
	if limits != (Limits{}) {
		timeout := s.Limits.Timeout
		if s.Limits = limits; limits.Timeout == 0 {
			s.Limits.Timeout = timeout
		}
	}
	var said bytes.Buffer
	s.Stdout, s.Stderr = out, &said
	r, err := t.run(ctx, s)
	var se *StartError
	switch {
	case errors.As(err, &se) && se.Status == 125:
		return nil, Check{Outcome: OutcomeDegraded, StoppedBy: "such a run is refused", Detail: err.Error(), Fix: se.Fix}
	case err != nil:
		return nil, Check{Outcome: OutcomeUnknown, Detail: err.Error()}
	}
	if said.Len() > 0 {
		line, _, _ := strings.Cut(said.String(), "\n")
		r.Detail = strings.TrimPrefix(r.Detail+"; "+line, "; ")
	}
	return r, Check{}
}

// violations tries what must fail at once.
func (t *trial) violations(ctx context.Context, d *Diagnosis) {
	o := t.bait.Order
	o.Do = attempt.Violations
	if t.k.state != nil {
		o.State = t.k.state.Path()
	}
	var out bytes.Buffer
	r, c := t.start(ctx, o, Limits{}, &out)
	if r == nil {
		c.Name, c.Tried = "native.violations", "try violations"
		d.attempt(c)
		d.weak("Native programs do not start here: "+c.Detail, c.Fix)
		return
	}
	for _, why := range r.Degraded {
		d.weak(why, "")
	}
	self, verdicts, err := t.bait.Verdicts(&out)
	if err != nil || r.Cause != "exited" || r.ExitCode != 0 {
		why := strings.TrimSuffix(fmt.Sprintf("the program that tries violations ended by %s (%d): %s", r.Cause, r.ExitCode, r.Detail), ": ")
		if err != nil {
			why += fmt.Sprintf("; what it said: %v", err)
		}
		d.attempt(Check{Name: "native.violations", Tried: "try violations", Outcome: OutcomeUnknown, Detail: why})
	}
	d.state("native.seccomp", "run without a filter of system calls", self.Seccomp, "seccomp")
	d.state("native.no_new_privs", "gain privileges by executing a program", self.NoNewPrivs, "no_new_privs")
	d.state("native.capabilities", "use a capability", self.Powerless, "no capabilities")
	for i := range verdicts {
		v := &verdicts[i]
		d.attempt(Check{Name: "native." + v.Name, Tried: v.What, Outcome: v.Outcome.String(), Errno: v.Errno, StoppedBy: v.By, Detail: v.Detail})
	}
}

// state adds what a program found out about itself.
func (d *Diagnosis) state(name, what string, ok bool, by string) {
	c := Check{Name: name, Tried: what, Outcome: OutcomeHeld, StoppedBy: by}
	if !ok {
		c.Outcome, c.StoppedBy, c.Detail = OutcomeEscaped, "", "not in place"
	}
	d.attempt(c)
}

// strain is a program that takes more than it may have.
type strain struct {
	name, what string
	do         string
	amount     uint64 // well above the limit
	limits     Limits
	causes     []string // of its end, if that is by the limit
	by         string   // which entry of the enforcement says what stands behind the limit
}

var strains = []strain{
	{"memory", "use more memory than it may", attempt.Memory, 256 << 20, Limits{Memory: 64 << 20}, []string{"memory_limit"}, "memory"},
	{"pids", "make more processes than it may", attempt.Processes, 150, Limits{Pids: 40}, nil, "pids"},
	{"disk", "fill more private space than it may", attempt.Disk, 16 << 20, Limits{Disk: 4 << 20}, []string{"memory_limit"}, "disk"},
	{"cpu_time", "use more processor time than it may", attempt.Processor, 2, Limits{CPUTime: 200 * time.Millisecond}, []string{"cpu_limit"}, "cpu_time"},
	{"wall_time", "run longer than it may", attempt.Time, 3, Limits{Timeout: 300 * time.Millisecond}, []string{"timeout"}, "wall_time"},
	{"output", "write more than it may", attempt.Output, 1 << 20, Limits{Output: 64 << 10}, []string{"output_limit"}, "output"},
	{"files", "open more files than it may", attempt.Files, 200, Limits{Files: 64}, nil, "files_open"},
	{"outlive", "leave a process behind", attempt.Outlive, 2, Limits{}, nil, "kill"},
}

// strain tries one, and looks at how it ended.
func (t *trial) strain(ctx context.Context, s *strain, d *Diagnosis) {
	o := t.bait.Order
	o.Do, o.Amount = s.do, s.amount
	var out bytes.Buffer
	r, c := t.start(ctx, o, s.limits, &out)
	if r != nil {
		c = t.ended(s, r)
		for _, why := range r.Degraded {
			d.weak(why, "")
		}
	}
	c.Name, c.Tried = "native."+s.name, s.what
	d.attempt(c)
}

// ended says what the end of a strain means.
func (t *trial) ended(s *strain, r *Report) Check {
	held := Check{Outcome: OutcomeHeld, StoppedBy: t.enforced[s.by], Detail: strings.TrimSuffix(r.Cause+": "+r.Detail, ": ")}
	switch {
	case slices.Contains(s.causes, r.Cause):
		return held
	case s.do == attempt.Processes && r.Cause == "killed" && strings.HasPrefix(r.Detail, "it had "):
		return held // by who looks at it
	case s.do == attempt.Outlive && r.Cause == "exited" && r.ExitCode == 0:
		return t.outlived(held)
	case r.Cause == "exited" && r.ExitCode == attempt.Refused:
		held.Detail = "it was refused more"
		return held
	case r.Cause == "exited" && r.ExitCode == 0:
		return Check{Outcome: OutcomeEscaped, Detail: "nothing stopped it"}
	}
	return Check{Outcome: OutcomeUnknown, Detail: strings.TrimSuffix(fmt.Sprintf("it ended by %s (%d): %s", r.Cause, r.ExitCode, r.Detail), ": ")}
}

func (t *trial) outlived(held Check) Check {
	switch left, err := t.bait.Outlived(); {
	case err != nil:
		return Check{Outcome: OutcomeUnknown, Detail: err.Error()}
	case left:
		return Check{Outcome: OutcomeEscaped, Detail: "it is still there"}
	}
	held.Detail = "it was ended with the program"
	return held
}
