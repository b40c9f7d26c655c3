package agentos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/agentos-kernel/agentos/internal/control"
	"github.com/agentos-kernel/agentos/internal/statedir"
	"github.com/agentos-kernel/agentos/kernel"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
)

// openRecord begins the run's record. Without a state directory, or where it
// cannot be written, the run goes on without one and its report says so.
func (p *Process) openRecord() {
	p.started = time.Now()
	p.run = statedir.NewID()
	if p.k.state == nil || p.spec.inner != nil || p.spec.unrecorded {
		return // what the kernel runs for itself is part of another run, or nobody's
	}
	rec, err := p.k.state.Create(p.description(0))
	if err != nil {
		p.degrade(fmt.Sprintf("state: the run has no record: %v", err))
		return
	}
	p.record, p.run = rec, rec.ID()
}

func (p *Process) description(pid abi.PID) statedir.Description {
	return statedir.Description{
		Name: p.spec.Name, Program: p.spec.Program, Args: len(p.spec.Args), Domain: p.domain,
		PID: uint32(pid), KernelPID: os.Getpid(), Started: p.started, AgentOS: p.k.config.Version,
	}
}

// degrade notes something that the run went without.
func (p *Process) degrade(why string) { p.missing = append(p.missing, why) }

// dropRecord takes the record back of a run that never was.
func (p *Process) dropRecord() error {
	if p.record == nil {
		return nil
	}
	if p.audit != nil {
		p.audit.close() // what is in it goes with the record
	}
	return p.record.Abandon()
}

// created completes the record once the process has its number and before its
// first event: it subscribes to the events and opens the control socket.
func (p *Process) created(kp *kernel.Process) {
	p.p = kp
	if p.spec.Events != nil {
		if p.k.collector == nil {
			p.degrade("events: asked for, but the kernel records none")
		} else {
			p.unsubscribe = p.k.collector.Subscribe(kp.PID, p.run, p.spec.Events)
		}
	}
	if p.record == nil {
		return
	}
	if err := p.record.WriteDescription(p.description(kp.PID)); err != nil {
		p.degrade(fmt.Sprintf("state: the description is incomplete: %v", err))
	}
	l, err := p.record.Listen()
	if err != nil {
		p.degrade(fmt.Sprintf("control: kill and wait cannot reach the run: %v", err))
		return
	}
	p.control = control.Serve(l, handler{p})
}

// handler answers on the control socket.
type handler struct{ p *Process }

// Status describes the run.
func (h handler) Status() control.Status {
	p, kp := h.p, h.p.p
	total, _ := p.denied.Total()
	return control.Status{
		Run: p.run, Name: p.spec.Name, Program: p.spec.Program, Domain: p.domain, KernelPID: os.Getpid(), Started: p.started,
		Processes: []control.Process{{
			PID: kp.PID, Program: kp.Program, State: kp.State().String(),
			WallNS: int64(time.Since(kp.Created())), CPUNS: int64(kp.CPUTime()),
			MemoryBytes: kp.Account().Used(abi.LimitMemory) + kp.Resident.Load(), Syscalls: kp.Syscalls.Load(), Denials: total,
		}},
	}
}

// Signal delivers a signal.
func (h handler) Signal(pid abi.PID, sig abi.Signal) error {
	if pid != 0 && pid != h.p.p.PID {
		return abi.ESRCH
	}
	return ended(h.p.Signal(sig))
}

// Kill ends the process.
func (h handler) Kill(pid abi.PID) error {
	if pid != 0 && pid != h.p.p.PID {
		return abi.ESRCH
	}
	return ended(h.p.Kill())
}

// Change gives or takes grants.
func (h handler) Change(ctx context.Context, r control.Request) ([]byte, error) {
	grants := make([]Grant, len(r.Grants))
	for i, g := range r.Grants {
		grants[i] = Grant{Host: g.Host, Guest: g.Guest}
		switch g.Kind {
		case control.KindWrite:
			grants[i].Kind = GrantWrite
		case control.KindAllow:
			grants[i].Kind = GrantAllow
			grants[i].Capability, _ = abi.ParseCapability(g.Capability) // the request was checked
		}
	}
	var change *LiveChange
	var err error
	if r.Op == control.OpRevoke {
		change, err = h.p.Revoke(ctx, RevokeOptions{Hard: r.Hard, KeepOpen: r.Keep}, grants...)
	} else {
		change, err = h.p.Grant(ctx, grants...)
	}
	var se *StartError
	if errors.As(err, &se) {
		err = &control.Error{Code: se.Code, Message: se.Problem, Where: se.Where, Fix: se.Fix}
	}
	if change == nil {
		return nil, ended(err)
	}
	body, jerr := json.Marshal(change)
	return body, errors.Join(ended(err), jerr)
}

// ended gives ErrEnded its error number on the wire.
func ended(err error) error {
	if errors.Is(err, ErrEnded) {
		return abi.ESRCH
	}
	return err
}

// Wait returns the report once there is one.
func (h handler) Wait(ctx context.Context) ([]byte, error) {
	select {
	case <-h.p.reported:
	case <-ctx.Done():
		select {
		case <-h.p.reported: // both are true when the run ends: the report goes first
		default:
			return nil, context.Cause(ctx)
		}
	}
	return json.Marshal(h.p.report)
}

// finish waits until the process is dead and writes what is left of it: events,
// denials, report. It is the last goroutine of a run.
func (p *Process) finish() {
	defer p.k.runs.Done()
	defer close(p.done)
	<-p.p.DeadC()
	p.leaveFamily()
	var errs []error
	if p.unsubscribe != nil {
		errs = append(errs, wrap("events", p.unsubscribe()))
	}
	if err := p.countCaptured(); err != nil {
		p.degrade("overlay: " + err.Error())
		errs = append(errs, err)
	}
	audited := p.endAudit(*p.p.End())
	p.report = p.makeReport()
	p.report.Audit = audited
	p.k.collector.Forget(p.p.PID)
	if p.record != nil {
		errs = append(errs, wrap("run record", p.writeRecord()))
	}
	close(p.reported)
	if p.control != nil {
		errs = append(errs, wrap("control socket", p.control.Close()))
	}
	if p.record != nil {
		errs = append(errs, wrap("run record", p.record.Close()))
	}
	p.err = errors.Join(errs...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// writeRecord writes the denials and, whatever becomes of those, the report.
func (p *Process) writeRecord() error {
	body, err := json.Marshal(p.report)
	if err != nil {
		return err
	}
	return errors.Join(p.writeDenials(), p.record.WriteReport(body))
}

func (p *Process) writeDenials() error {
	for i := range p.report.Denials {
		line, err := json.Marshal(&p.report.Denials[i])
		if err != nil {
			return err
		}
		switch err := p.record.AppendDenial(line); {
		case errors.Is(err, statedir.ErrTooManyDenials):
			return nil // the report has them all
		case err != nil:
			return err
		}
	}
	return nil
}

// makeReport describes a run whose process is dead.
func (p *Process) makeReport() *Report {
	kp, end, sum := p.p, p.p.End(), p.p.Summary()
	total, overflow := p.denied.Total()
	if overflow > 0 {
		p.degrade(fmt.Sprintf("denials: %d of %d are counted but not listed", overflow, total))
	}
	r := &Report{
		Version: DocumentVersion, Run: p.run, Name: p.spec.Name, Program: p.spec.Program, Domain: p.domain, PID: kp.PID,
		Cause: end.Cause.String(), ExitCode: causeStatus(end.Cause, end.Code, end.Signal), Signal: int(end.Signal), Detail: end.Detail, Backtrace: end.Backtrace,
		Usage: Usage{
			CPUNS: int64(kp.CPUTime()), MemoryPeakBytes: kp.Account().Peak(abi.LimitMemory),
			Syscalls: kp.Syscalls.Load(), Denials: total,
			BytesRead: kp.BytesRead.Load(), BytesWritten: kp.BytesWritten.Load(), Events: kp.Emitted.Load(),
		},
		Decisions: Decisions(kp.Remembered()),
		Cleanup: Cleanup{
			ResourcesFreed: sum.Freed.Count, BytesFreed: sum.Freed.Bytes, ByType: map[string]uint64{},
			DurationUS: sum.Duration.Microseconds(), Errors: sum.Errors,
		},
		View:        slices.Concat(p.view.entries(), listenEntries(&p.spec, p.listening), p.liveEntries()),
		Enforcement: p.enforcement(),
		Captured:    p.captured,
		Degraded:    append(append(p.k.Degraded(), p.k.missing(&p.spec, p.domain)...), p.missing...),
		Chain:       kp.Chain.String(),
	}
	for _, s := range kp.History() {
		r.States = append(r.States, StateChange{State: s.State.String(), AtNS: int64(s.At)})
		if s.State == proc.Zombie || s.State == proc.Dead && r.Usage.WallNS == 0 {
			r.Usage.WallNS = int64(s.At)
		}
	}
	for kind := range abi.NumResourceKinds {
		r.Cleanup.ByType[kind.String()] = sum.ByKind[kind].Count
	}
	for _, d := range p.denied.List() {
		r.Denials = append(r.Denials, denial(&d))
	}
	r.Failures = failed(kp.Failures().List(), r.Denials)
	if p.policies != nil {
		r.Policies = p.policies.Describe()
		if unchecked := uncheckedNatively(p.policies); p.domain == "native" && unchecked != "" {
			r.Degraded = append(r.Degraded, unenforcedPolicy(unchecked))
		}
	}
	if p.unsubscribe != nil {
		c := p.k.collector.Counts(kp.PID)
		r.Usage.Events, r.Usage.EventsDropped = c.Written, c.Lost+c.Uncertain
	}
	return r
}

// denial renders one refusal.
func denial(d *perm.Denial) Denial {
	return Denial{
		Event: d.Event.String(), Code: d.Reason.Code(), Syscall: d.Nr.String(), Via: d.Via,
		Layer: d.Layer.String(), Rule: d.Rule, Requested: d.Requested, Canonical: d.Canonical, Grant: d.Grant,
		Errno: d.Errno.String(), Cached: d.Cached, Count: d.Count,
	}
}

// failed renders what failed without being refused. What turned out to be hidden is a
// denial, and not here.
func failed(all []perm.Failure, denials []Denial) []FailedCall {
	var out []FailedCall
	for i := range all {
		f := &all[i]
		if slices.ContainsFunc(denials, func(d Denial) bool {
			return d.Requested == f.Path && d.Syscall == f.Nr.String() && d.Errno == f.Errno.String()
		}) {
			continue
		}
		c := FailedCall{Syscall: f.Nr.String(), Via: f.Via, Path: f.Path, Errno: f.Errno.String(), Count: f.Count}
		if f.Event != 0 {
			c.Event = f.Event.String()
		}
		out = append(out, c)
	}
	return out
}

// denied is what a live run says of itself, of a report the same fields.
type denied struct {
	Denials  []Denial     `json:"denials"`
	Failures []FailedCall `json:"failures"`
}

// Denied returns what the run was refused so far, and what failed.
func (h handler) Denied() ([]byte, error) {
	d := denied{Denials: []Denial{}}
	for _, x := range h.p.denied.List() {
		d.Denials = append(d.Denials, denial(&x))
	}
	d.Failures = failed(h.p.p.Failures().List(), d.Denials)
	return json.Marshal(&d)
}
