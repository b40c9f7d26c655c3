package agentos

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/observe/audit"
)

// Audit says of a report where the audit log of the run is and how it ends. A run that was
// refused nothing has none, and then its head is that of no records.
type Audit struct {
	Head    string `json:"head"` // RECORDS:HASH; for agentos audit verify --head
	Records uint64 `json:"records"`
	File    string `json:"file"`              // "" if there is none
	Problem string `json:"problem,omitempty"` // why it is not complete
}

// auditor writes a run's audit log behind the run: whoever is refused something does not
// wait for the disk, nor does anyone else. What one run can have it write is bounded, as
// the record of denials is.
type auditor struct {
	log  *audit.Log
	fail func(error) // is told once that the log cannot be written
	file string

	mu      sync.Mutex
	queue   []auditNote   // guarded by mu
	writing chan struct{} // guarded by mu; closed when the goroutine has ended; nil if there is none
	begun   bool          // guarded by mu; the start of the run is in the queue or written
	failed  bool          // guarded by mu
}

type auditNote struct {
	kind string
	body any
}

// auditedStart is the body of the first record.
type auditedStart struct {
	Program  string      `json:"program"`
	Domain   string      `json:"domain"`
	Args     int         `json:"args"`
	Name     string      `json:"name,omitempty"`
	Started  time.Time   `json:"started"`
	View     []ViewEntry `json:"view"`
	Policies []string    `json:"policies"`
}

// auditedDenial is the body of a denial's records. The last one of a kind has the exact
// count.
type auditedDenial struct {
	Denial
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// auditedEnd is the body of the last record.
type auditedEnd struct {
	Cause    string `json:"cause"`
	ExitCode int    `json:"exit_code"`
	Denials  uint64 `json:"denials"`
	Unlisted uint64 `json:"unlisted"` // denials of kinds that no record names, for want of room
}

// openAudit prepares the log of a recorded run. With RequireAudit it must be possible to
// write it.
func (p *Process) openAudit() error {
	if p.record == nil {
		if p.spec.RequireAudit {
			return refuse("AUDIT", "--require-audit", "the audit log has no place: the run has no record", p.k.stateFix(), nil)
		}
		return nil
	}
	p.audit = &auditor{log: audit.New(p.run, func() (audit.File, error) { return p.record.CreateAudit() }), file: p.record.AuditPath()}
	p.audit.fail = func(err error) {
		if p.spec.RequireAudit && p.p != nil {
			p.p.Kill(proc.End{Cause: abi.CausePolicy, Detail: "the audit log cannot be written: " + err.Error()})
		}
	}
	p.denied.Told = func(d perm.Denial) {
		p.audited(audit.KindDenial, auditedDenial{denial(&d), d.First.UTC(), d.Last.UTC()})
	}
	if p.spec.RequireAudit {
		if err := p.audit.log.Open(); err != nil {
			return refuse("AUDIT", "--require-audit", "the audit log cannot be written: "+err.Error(), "give $AGENTOS_STATE a directory that can be written", err)
		}
	}
	return nil
}

// audited notes something for the log, if there is one.
func (p *Process) audited(kind string, body any) {
	a := p.audit
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.begun {
		a.begun = true
		s := auditedStart{Program: p.spec.Program, Domain: p.domain, Args: len(p.spec.Args), Name: p.spec.Name, Started: p.started.UTC(), View: p.view.entries(), Policies: []string{}}
		if p.policies != nil {
			s.Policies = p.policies.Describe()
		}
		a.queue = append(a.queue, auditNote{audit.KindStart, s})
	}
	a.queue = append(a.queue, auditNote{kind, body})
	if a.writing == nil {
		a.writing = make(chan struct{})
		go a.write()
	}
}

// write writes what is in the queue, and ends.
func (a *auditor) write() {
	for {
		a.mu.Lock()
		notes := a.queue
		a.queue = nil
		if len(notes) == 0 {
			close(a.writing)
			a.writing = nil
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		for _, n := range notes {
			if err := a.log.Append(n.kind, n.body); err != nil {
				a.problem(err)
			}
		}
	}
}

// problem tells, once, that the log cannot be written.
func (a *auditor) problem(err error) {
	a.mu.Lock()
	first := !a.failed
	a.failed = true
	a.mu.Unlock()
	if first {
		a.fail(err)
	}
}

// auditPatience is how long the end of a run waits for a disk that does not answer.
const auditPatience = 5 * time.Second

// close waits until what was noted is written, and closes the log. It reports false if the
// host does not take it.
func (a *auditor) close() bool {
	a.mu.Lock()
	writing := a.writing
	a.mu.Unlock()
	if writing != nil {
		stuck := time.NewTimer(auditPatience)
		defer stuck.Stop()
		select {
		case <-writing:
		case <-stuck.C:
			return false
		}
	}
	if err := a.log.Close(); err != nil {
		a.problem(err)
	}
	return true
}

// endAudit writes the counts of what was folded and the end of the run, closes the log, and
// describes it. The process is dead.
func (p *Process) endAudit(end proc.End) *Audit {
	a := p.audit
	if a == nil {
		return nil
	}
	a.mu.Lock()
	begun := a.begun
	a.mu.Unlock()
	if begun || p.spec.RequireAudit {
		for _, d := range p.denied.Untold() {
			p.audited(audit.KindDenial, auditedDenial{denial(&d), d.First.UTC(), d.Last.UTC()})
		}
		total, overflow := p.denied.Total()
		p.audited(audit.KindEnd, auditedEnd{end.Cause.String(), causeStatus(end.Cause, end.Code, end.Signal), total, overflow})
	}
	if !a.close() {
		p.degrade("audit: the host does not take the log; it is not complete")
		return &Audit{File: a.file, Problem: "the host did not take what was written for " + auditPatience.String()}
	}
	head := a.log.Head()
	r := &Audit{Head: head.String(), Records: head.Records}
	if head.Records > 0 {
		r.File = a.file
	}
	if err := a.log.Err(); err != nil {
		r.Problem = err.Error()
		p.degrade("audit: the log is not complete: " + err.Error())
	}
	return r
}

// auditChange notes what was given or taken while the program ran.
func (p *Process) auditChange(kind string, change *LiveChange) {
	body, err := json.Marshal(change)
	if err != nil {
		body = []byte(`{"problem":"could not be described"}`)
	}
	p.audited(kind, json.RawMessage(body))
}
