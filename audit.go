package agentos

import (
	"context"
	"fmt"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/perm/cedar"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/observe/audit"
)

// auditPatience is how long a start or a change of rights waits for its record to be
// written.
const auditPatience = 5 * time.Second

// openAudit begins the run's audit log. Without it the run goes on and its report says
// so, unless the log is required; the error is then a *StartError.
func (p *Process) openAudit(ctx context.Context, engine *cedar.Engine) error {
	if p.spec.inner != nil || p.spec.unrecorded {
		return nil
	}
	if p.record == nil {
		return p.noAudit("the run has no record", nil)
	}
	f, err := p.record.Audit()
	if err != nil {
		return p.noAudit(err.Error(), err)
	}
	p.log = audit.Open(f, p.run)
	start := audit.Record{Kind: audit.KindStart, Severity: "notice", Program: p.spec.Program, Domain: p.domain}
	for _, g := range p.spec.Grants {
		start.Grants = append(start.Grants, g.String())
	}
	for _, c := range p.spec.Allow {
		start.Grants = append(start.Grants, "--allow "+c.String())
	}
	p.audit(start)
	if engine != nil {
		for _, line := range engine.Describe() {
			p.audit(audit.Record{Kind: audit.KindPolicy, Subject: line})
		}
	}
	if !p.spec.RequireAudit {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	if err := p.log.Wait(ctx); err != nil {
		return p.noAudit(err.Error(), err)
	}
	return nil
}

// noAudit degrades or refuses the run.
func (p *Process) noAudit(why string, err error) error {
	if p.spec.RequireAudit {
		return refuse("NO-AUDIT", "--require-audit", "the audit log cannot be written: "+why, "make the state directory writable, or leave the flag out", err)
	}
	if p.record != nil { // else it was said of the record
		p.degrade("audit: what is refused is not logged: " + why)
	}
	return nil
}

// audit adds a record to the run's log, if it has one.
func (p *Process) audit(r audit.Record) {
	if p.log != nil {
		p.log.Add(r)
	}
}

// settleAudit waits until what was added is written: whoever changed what a program may
// do is told so once it is on record. A failure is said by the report.
func (p *Process) settleAudit() {
	if p.log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditPatience)
	defer cancel()
	_ = p.log.Wait(ctx) // closeAudit says it, and requireAudit acts on it
}

// requireAudit ends the run when its log cannot be written any more, if that was asked.
func (p *Process) requireAudit() {
	if p.log == nil || !p.spec.RequireAudit {
		return
	}
	kp := p.p
	p.log.OnFailure(func(err error) {
		kp.Kill(proc.End{Cause: abi.CausePolicy, Detail: "the audit log cannot be written, and is required: " + err.Error()})
	})
}

// closeAudit ends the log of a run whose process is dead.
func (p *Process) closeAudit() *AuditHead {
	if p.log == nil {
		return nil
	}
	end := p.p.End()
	head, err := p.log.Close(audit.Record{Kind: audit.KindEnd, Severity: "notice", Cause: end.Cause.String(), Detail: end.Detail})
	if err != nil {
		p.degrade(fmt.Sprintf("audit: the log is not complete: %v", err))
	}
	return &AuditHead{Head: head.Hash.String(), Records: head.Records, File: p.record.AuditPath()}
}

// recorder is the kernel's way into a log.
type recorder struct{ *audit.Log }

// Denied records one refusal.
func (r recorder) Denied(d *perm.Denial, quiet bool) (mark uint64, fresh bool) {
	x := audit.Record{
		Code: d.Reason.Code(), Syscall: d.Nr.String(), Via: d.Via, Layer: d.Layer.String(), Rule: d.Rule,
		Requested: d.Requested, Canonical: d.Canonical, Grant: d.Grant, Errno: d.Errno.String(),
	}
	if d.Event != 0 {
		x.Event = d.Event.String()
	}
	return r.Deny(x, quiet)
}
