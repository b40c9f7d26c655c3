package cgroup

import (
	"fmt"
	"time"
)

// Limits of one group. Zero means none, but for Weight.
type Limits struct {
	Memory uint64 // bytes, with swap
	// Pids counts threads, those of the caller that are inside included.
	Pids uint64
	CPUs float64 // processors' worth of time in each period
	// Weight is a priority from 0 (least) to 10; 5 is what every group has anyway.
	Weight int
}

// The names of the limits in Unenforced.
const (
	LimitMemory = "memory"
	LimitPids   = "pids"
	LimitCPUs   = "cpus"
	LimitWeight = "priority"
)

// Unenforced is a limit that was asked for and does not hold.
type Unenforced struct {
	Limit string // one of the Limit constants
	Why   string
	Fix   string // what to do about it; empty if nothing is known
}

func (u *Unenforced) Error() string {
	s := fmt.Sprintf("limit %s cannot be enforced: %s", u.Limit, u.Why)
	if u.Fix != "" {
		s += " (" + u.Fix + ")"
	}
	return s
}

// Stats is what a group has consumed. What the host does not tell is zero.
type Stats struct {
	CPU        time.Duration // of the whole tree, dead processes included
	Memory     uint64        // bytes now
	MemoryPeak uint64        // bytes, the most at once
	Pids       uint64        // threads now
	PidsPeak   uint64        // threads, the most at once
	OOMKills   uint64        // processes that the kernel's OOM killer took
	MemoryFull uint64        // times that an allocation met the limit; version 1 of Linux 6.18 counts none
	PidsFull   uint64        // forks that were refused
	Throttled  uint64        // periods in which the group had to wait
	Waited     time.Duration // for how long, over all its processors

	// Only TreeUsage knows these: bytes that went through read and write calls.
	BytesRead, BytesWritten uint64
}

// Swept is what a sweep removed.
type Swept struct {
	Kernels []string // ids of the kernels that are gone
	Groups  int      // directories that were removed
	Killed  int      // processes that were still inside
}
