package gate

import (
	"sync/atomic"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// DefaultHostOps bounds the host operations in flight in one kernel. Reads and
// writes of streams, which may wait for a person, do not count towards it.
const DefaultHostOps = 256

// Workers runs the operations that may wait for the host, each on a goroutine
// of its own, and bounds how many are inside the host at once.
type Workers struct {
	slots   chan struct{}
	running atomic.Int64
	orphans atomic.Int64
}

// NewWorkers admits max operations at once; 0 is [DefaultHostOps].
func NewWorkers(max int) *Workers {
	if max <= 0 {
		max = DefaultHostOps
	}
	return &Workers{slots: make(chan struct{}, max)}
}

// Running returns how many operations are in flight or queued for a slot.
func (w *Workers) Running() int { return int(w.running.Load()) }

// Orphans returns how many operations are in flight for processes that are gone.
func (w *Workers) Orphans() int { return int(w.orphans.Load()) }

// The states of a job.
const (
	jobRunning int32 = iota
	jobDone
	jobAbandoned
)

// job is one operation on a worker: its own copy of the call, with buffers that
// belong to the kernel.
type job struct {
	p      *proc.Process
	call   abi.Call
	vec    [1][]byte
	held   *vfs.File // keeps what the handler borrows open; may be nil
	stream bool
	epoch  uint64 // that it was decided under
	state  atomic.Int32
	fin    chan struct{} // closed when the handler has returned
}

// Patience is how long the release of a process waits for a host operation in
// flight before it leaves it behind. Nearly all return within microseconds.
const Patience = 50 * time.Millisecond

// abandon reports whether the job is finished; if it is not, it is left behind
// and counted until it is.
func (j *job) abandon(w *Workers) bool {
	patience := Patience
	if j.stream {
		// Stopped, it returns at once, or not at all: a reader of the caller's.
		j.held.Stop()
		patience /= 10
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-j.fin:
	case <-t.C:
	}
	w.orphans.Add(1)
	if !j.state.CompareAndSwap(jobRunning, jobAbandoned) {
		w.orphans.Add(-1)
		return true
	}
	return false
}

// keepBuffer is the largest bounce buffer that a gate keeps between calls.
const keepBuffer = 64 << 10

// offload starts c on a worker.
func (g *Gate) offload(c *abi.Call) abi.Status {
	j := &job{p: g.p, call: *c, fin: make(chan struct{})}
	if d, errno := g.p.FDs().Get(c.FD); errno == abi.OK {
		j.held, j.stream = d.File, d.File.Stream()
	}
	n := 0
	for _, b := range c.Buf {
		n += len(b)
	}
	if n = min(n, abi.MaxTransfer); n > 0 {
		if n > len(g.buffer) {
			g.buffer = make([]byte, n)
		}
		j.vec[0] = g.buffer[:n:n]
		if c.Nr == abi.SysWrite || c.Nr == abi.SysPwrite {
			gather(j.vec[0], c.Buf)
		}
		j.call.Buf = j.vec[:]
	}
	g.job = j
	g.inflight.Store(j)
	w := g.shared.Workers
	w.running.Add(1)
	g.p.Leave() // the worker enters when it begins
	go g.shared.run(j)
	return abi.Blocked
}

// run performs a job. It owns the job until it has set its state.
func (s *Shared) run(j *job) {
	w := s.Workers
	defer func() {
		if r := recover(); r != nil {
			panicked(s, j.p, &j.call, r)
		}
		if j.epoch != 0 && !j.stream {
			j.p.Leave()
		}
		if j.held != nil {
			_ = j.held.Unref() // what closing says goes to whoever closed the descriptor
		}
		w.running.Add(-1)
		close(j.fin)
		if j.state.CompareAndSwap(jobRunning, jobDone) {
			j.p.Wake()
		} else {
			w.orphans.Add(-1)
		}
	}()
	if !j.stream {
		w.slots <- struct{}{}
		defer func() { <-w.slots }()
	}
	if j.p.Killed() {
		j.call.Errno = abi.EINTR // it waited for its slot too long; nothing has happened yet
		return
	}
	if j.stream {
		// It may wait for a person for ever; no path was decided on.
		j.epoch = j.p.Authority().Epoch()
	} else {
		j.epoch = j.p.Enter()
	}
	if j.call.Errno = admit(j.p, j.call.Nr.Row(), &j.call, j.epoch); j.call.Errno != abi.OK {
		return
	}
	j.p.SetCall(&j.call)
	j.call.Errno = s.Table.handlers[j.call.Nr](j.p, &j.call)
}

// collect takes a finished job's results into the guest's call.
func (g *Gate) collect(c *abi.Call) abi.Status {
	j := g.job
	if j.state.Load() == jobRunning {
		return abi.Blocked // a wake-up that was meant for something else
	}
	g.job = nil
	g.inflight.Store(nil)
	buf := c.Buf
	*c = j.call
	c.Buf = buf
	if !j.stream {
		// Under a stream's epoch nothing of a path was decided.
		g.deliver(c.Nr.Row(), c, j.epoch)
	}
	if (c.Nr == abi.SysRead || c.Nr == abi.SysPread) && c.Errno == abi.OK && len(j.call.Buf) > 0 {
		scatter(buf, j.vec[0][:min(c.Ret, uint64(len(j.vec[0])))])
	}
	if len(g.buffer) > keepBuffer {
		g.buffer = nil
	}
	return g.done(c)
}

// gather fills dst from the vector.
func gather(dst []byte, vec [][]byte) {
	for _, b := range vec {
		if len(dst) == 0 {
			return
		}
		dst = dst[copy(dst, b):]
	}
}

// scatter copies src into the vector.
func scatter(vec [][]byte, src []byte) {
	for _, b := range vec {
		if len(src) == 0 {
			return
		}
		src = src[copy(b, src):]
	}
}
