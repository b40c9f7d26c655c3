package agentos

import (
	"encoding/json"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// DocumentVersion is the version field of every document that AgentOS writes.
const DocumentVersion = 1

// Report is the record of one run. It is written whatever the cause of the end.
type Report struct {
	Version     int               `json:"version"`
	Run         string            `json:"run"`
	Name        string            `json:"name"`
	Program     string            `json:"program"`
	Domain      string            `json:"domain"`
	PID         abi.PID           `json:"pid"`
	Cause       string            `json:"cause"`
	ExitCode    int               `json:"exit_code"`        // the status that `agentos run` ends with
	Signal      int               `json:"signal,omitempty"` // for cause signaled and killed
	Detail      string            `json:"detail"`
	Backtrace   []string          `json:"backtrace,omitempty"` // where the program was when it broke or was ended, innermost first
	States      []StateChange     `json:"states"`
	Usage       Usage             `json:"usage"`
	Cleanup     Cleanup           `json:"cleanup"`
	Decisions   Decisions         `json:"decisions"`
	Denials     []Denial          `json:"denials"`
	Failures    []FailedCall      `json:"failures"` // what was allowed and failed all the same: missing files, full disks
	View        []ViewEntry       `json:"view"`
	Policies    []string          `json:"policies"` // in force: file, how many, digest
	Audit       *Audit            `json:"audit,omitempty"`
	Enforcement map[string]string `json:"enforcement"`
	Captured    int               `json:"captured,omitempty"` // changes that overlays hold, to be committed or discarded
	Degraded    []string          `json:"degraded,omitempty"` // what was asked for and was not available
	Chain       string            `json:"chain"`
}

// StateChange is one step of the life of a process, AtNS after its creation.
type StateChange struct {
	State string `json:"state"`
	AtNS  int64  `json:"at_ns"`
}

// Usage is what a run consumed.
type Usage struct {
	WallNS          int64  `json:"wall_ns"`
	CPUNS           int64  `json:"cpu_ns"`
	MemoryPeakBytes uint64 `json:"memory_peak_bytes"`
	Syscalls        uint64 `json:"syscalls"`
	Denials         uint64 `json:"denials"`
	BytesRead       uint64 `json:"bytes_read"`
	BytesWritten    uint64 `json:"bytes_written"`
	Events          uint64 `json:"events"`
	EventsDropped   uint64 `json:"events_dropped"`
}

// Cleanup is what was released at the end of a run.
type Cleanup struct {
	ResourcesFreed uint64            `json:"resources_freed"`
	BytesFreed     uint64            `json:"bytes_freed"`
	ByType         map[string]uint64 `json:"by_type"`
	DurationUS     int64             `json:"duration_us"`
	Errors         []string          `json:"errors"`
}

// Decisions is what became of the questions whether the program may do something to
// one thing. Whether it may do such a thing at all is not counted.
type Decisions struct {
	Hits      uint64 `json:"hits"`      // answered from memory
	Misses    uint64 `json:"misses"`    // decided anew, the stale ones included
	Evictions uint64 `json:"evictions"` // forgotten for want of room
	Stale     uint64 `json:"stale"`     // remembered, but rights had changed since or the time was over
}

// Denial is one refused operation, folded over repetitions.
type Denial struct {
	Event     string `json:"event"`
	Code      string `json:"code"` // stable, AGENTOS-…
	Syscall   string `json:"syscall"`
	Via       string `json:"via"`
	Layer     string `json:"layer"`
	Rule      string `json:"rule"`
	Requested string `json:"requested"`
	Canonical string `json:"canonical"`
	Grant     string `json:"grant"` // the smallest grant that would allow it, as a flag
	Errno     string `json:"errno"`
	Cached    bool   `json:"cached"` // the first time it was refused from memory
	Count     uint64 `json:"count"`
}

// FailedCall is an operation that was allowed and that the host could not do, folded over
// repetitions. At most 256 different ones are kept.
type FailedCall struct {
	Event   string `json:"event,omitempty"`
	Syscall string `json:"syscall"`
	Via     string `json:"via"`
	Path    string `json:"path,omitempty"`
	Errno   string `json:"errno"`
	Count   uint64 `json:"count"`
}

// ViewEntry is one part of the file system that the program saw.
type ViewEntry struct {
	Path   string `json:"path"`
	Host   string `json:"host,omitempty"`
	Right  string `json:"right"`  // read, write, overlay, deny; listen, on the address Path
	Source string `json:"source"` // default, flag, manifest:line, profile
}

// MarshalJSON writes empty lists as [] and never as null.
func (r *Report) MarshalJSON() ([]byte, error) {
	type plain Report
	p := plain(*r)
	p.Version = DocumentVersion
	if p.States == nil {
		p.States = []StateChange{}
	}
	if p.Denials == nil {
		p.Denials = []Denial{}
	}
	if p.View == nil {
		p.View = []ViewEntry{}
	}
	if p.Failures == nil {
		p.Failures = []FailedCall{}
	}
	if p.Policies == nil {
		p.Policies = []string{}
	}
	if p.Enforcement == nil {
		p.Enforcement = map[string]string{}
	}
	if p.Cleanup.ByType == nil {
		p.Cleanup.ByType = map[string]uint64{}
	}
	if p.Cleanup.Errors == nil {
		p.Cleanup.Errors = []string{}
	}
	return json.Marshal(&p)
}
